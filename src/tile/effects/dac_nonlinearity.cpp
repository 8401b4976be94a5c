#include <algorithm>
#include <cmath>

#include "tile/effects/law.hpp"

// Integral nonlinearity of the DAC, cubic (docs/models/dac_nonlinearity.md): with full scale B = inp_bound and
// k = inp_nonlinearity,
//     z -> z + (3 sqrt(3) / 2) k z (1 - (z/B)^2) for |z| < B, else z,
// so that ends and zero stay where they are and the largest deviation is k B, at |z| = B / sqrt(3).
namespace tessera::tile {
namespace {

constexpr double by_peak = 2.598076211353316;  // 3 sqrt(3) / 2

constexpr const char* k = "inp_nonlinearity";

bool bends(const IOParameters& io) {
  return io.numbers[k] != 0.0 && bounded(io.inp_bound);
}

void bend(const Stage& stage, MatrixView z, Matrix* slope) {
  const auto a = static_cast<float>(by_peak * stage.io.numbers[k]);
  const float inverse = 1.0F / static_cast<float>(stage.io.inp_bound);
  apply(z, slope, [=](float t, std::int64_t, auto& d) {
    const float u = t * inverse;
    const float square = std::min(u * u, 1.0F);
    d = square < 1.0F ? 1.0F + a * (1.0F - 3.0F * square) : 1.0F;
    return t + a * t * (1.0F - square);
  });
}

double bend_reference(const IOParameters& io, double z) {
  if (!bends(io) || std::fabs(z) >= io.inp_bound) return z;
  return z + by_peak * io.numbers[k] * z * (1.0 - z * z / (io.inp_bound * io.inp_bound));
}

const EffectLaw law{.acts = [](const IOParameters& io, const FrozenDraws&) { return bends(io); }, .lines = bend};

}  // namespace

std::vector<Effect> dac_nonlinearity() {
  Effect effect{
      .name = "DAC nonlinearity",
      .place = 26,
      .page = "dac_nonlinearity.md",
      .law = "z += (3 sqrt(3) / 2) k z (1 - (z/B)^2)",
      .keys = {number(k, Range::between(-0.1, 0.1), {0.02},
                      "integral nonlinearity of the DAC: largest deviation as a fraction of inp_bound; cubic")},
      .is_on = [](const AnalogParameters& p) { return bends(p.rpu.forward); },
      .leave_out = [](AnalogParameters& p) { p.rpu.forward.numbers.set(k, 0.0); },
      .needs = analog_needs(),
      .act = &law,
      .line_reference = bend_reference};
  effect.needs.push_back({"DAC"});  // its full scale
  return {effect};
}

}  // namespace tessera::tile
