#include "circuit/wire_drop.hpp"

namespace tessera::circuit::detail {

WireDrop::WireDrop(std::int64_t sets, std::int64_t outputs, std::int64_t inputs, const Wires& wires)
    : sets_(sets), outputs_(outputs), inputs_(inputs), wires_(wires) {}

void WireDrop::along_inputs(std::span<const double> current, std::span<double> drop) const {
  const double first = wires_.first_row_ohm(), step = wires_.row_ohm;
  const std::int64_t p = outputs_, n = inputs_;
  for (std::int64_t k = 0; k < sets_; ++k) {
    const double* from = current.data() + k * p * n;
    double* to = drop.data() + k * p * n;
    if (wires_.current_from_input) {
      for (std::int64_t i = 0; i < n; ++i) to[(p - 1) * n + i] = from[(p - 1) * n + i];
      for (std::int64_t j = p - 1; j-- > 0;)
        for (std::int64_t i = 0; i < n; ++i) to[j * n + i] = to[(j + 1) * n + i] + from[j * n + i];
      for (std::int64_t i = 0; i < n; ++i) to[i] *= first;
      for (std::int64_t j = 1; j < p; ++j)
        for (std::int64_t i = 0; i < n; ++i) to[j * n + i] = to[(j - 1) * n + i] + step * to[j * n + i];
    } else {
      for (std::int64_t j = 0; j < p; ++j) {
        double sum = 0.0;
        for (std::int64_t i = n; i-- > 0;) to[j * n + i] = sum += from[j * n + i];
        double lost = 0.0;
        for (std::int64_t i = 0; i < n; ++i) to[j * n + i] = lost += (i == 0 ? first : step) * to[j * n + i];
      }
    }
  }
}

void WireDrop::along_outputs(std::span<const double> current, std::span<double> rise) const {
  const double last = wires_.last_column_ohm(), step = wires_.column_ohm;
  const std::int64_t n = inputs_, cells = outputs_ * inputs_;
  for (std::int64_t j = 0; j < outputs_; ++j) {
    double* to = rise.data() + j * n;
    double sum = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t k = 0; k < sets_; ++k) sum += current[static_cast<std::size_t>(k * cells + j * n + i)];
      to[i] = sum;
    }
    double lifted = 0.0;
    for (std::int64_t i = n; i-- > 0;) to[i] = lifted += (i == n - 1 ? last : step) * to[i];
  }
}

void WireDrop::total(std::span<const double> current, std::span<double> drop) const {
  along_inputs(current, drop);
  std::vector<double> rise(static_cast<std::size_t>(outputs_ * inputs_));
  along_outputs(current, rise);
  for (std::size_t k = 0; k < static_cast<std::size_t>(sets_); ++k)
    for (std::size_t c = 0; c < rise.size(); ++c) drop[k * rise.size() + c] += rise[c];
}

}  // namespace tessera::circuit::detail
