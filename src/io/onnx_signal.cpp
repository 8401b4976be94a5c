#include <array>
#include <cmath>
#include <numbers>

#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

/// HannWindow, HammingWindow, BlackmanWindow: sums of cosines over a size that is known.
void import_window(const NodeImport& n) {
  const auto size = n.known_integers(0);
  require<InputError>(size && size->size() == 1 && size->front() >= 0 && size->front() < (std::int64_t{1} << 24),
                      "its size depends on the data or is out of range; only a constant size is supported");
  const std::int64_t count = size->front();
  const bool periodic = n.integer("periodic", 1) != 0;
  const auto length = static_cast<double>(periodic ? count : count - 1);
  std::array<double, 3> terms{0.5, -0.5, 0.0};
  if (n.op() == "HammingWindow") terms = {25.0 / 46.0, -21.0 / 46.0, 0.0};
  if (n.op() == "BlackmanWindow") terms = {0.42, -0.5, 0.08};
  Tensor window({count});
  for (std::int64_t i = 0; i < count; ++i) {
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(i) / length;
    window.data()[i] = static_cast<float>(terms[0] + terms[1] * std::cos(angle) + terms[2] * std::cos(2.0 * angle));
  }
  n.define_constant(std::move(window));
}

}  // namespace tessera::io
