#include "circuit/input_slices.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tessera::circuit::detail {

InputConverter::InputConverter(const CrossbarParameters& p) : dac_(p.dac) {
  const InputMapping& x = p.core.inputs;
  scale_ = (dac_.is_signed ? 2.0 : 1.0) / (x.max - x.min);
  low_ = scale_ * x.min;
  high_ = scale_ * x.max;
  clips_ = x.clipping || dac_.quantizes();
  if (dac_.model == DacModel::SignMagnitudeDAC && dac_.quantizes()) {
    low_ = -1.0;
    high_ = 1.0;
  }
  if (!dac_.input_bitslicing) return;
  const int m = dac_.magnitude_bits(), S = dac_.slice_size;
  weights_.clear();
  for (int k = 0; k * S < m; ++k) weights_.push_back((std::exp2(S) - 1.0) * std::exp2(S * k) / (std::exp2(m) - 1.0));
}

template <class T>
void InputConverter::convert(BasicMatrixView<const T> x, BasicMatrixView<T> v) const {
  const double levels = std::exp2(dac_.bits) - (dac_.model == DacModel::SignMagnitudeDAC ? 1.0 : 0.0);
  const double step = (high_ - low_) / (levels - 1.0);
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (std::int64_t i = 0; i < x.cols; ++i) {
      double value = static_cast<double>(x(r, i)) * scale_;
      if (clips_) value = std::clamp(value, low_, high_);
      if (dac_.quantizes()) value = low_ + step * std::rint((value - low_) / step);
      v(r, i) = static_cast<T>(value);
    }
}

template <class T>
void InputConverter::slice(BasicMatrixView<const T> v, int k, BasicMatrixView<T> out) const {
  const double full = std::exp2(dac_.magnitude_bits()) - 1.0;
  const int shift = dac_.slice_size * k;
  const std::int64_t mask = (std::int64_t{1} << dac_.slice_size) - 1;
  const double digit = 1.0 / static_cast<double>(mask);
  for (std::int64_t r = 0; r < v.rows; ++r)
    for (std::int64_t i = 0; i < v.cols; ++i) {
      const double value = static_cast<double>(v(r, i));
      const auto q = static_cast<std::int64_t>(std::rint(std::min(std::abs(value), 1.0) * full));
      const double d = static_cast<double>((q >> shift) & mask) * digit;
      out(r, i) = static_cast<T>(value < 0.0 ? -d : d);
    }
}

template <class T>
void InputConverter::count_codes(BasicMatrixView<const T> v, std::int64_t& codes, std::int64_t& ones) const {
  if (!dac_.quantizes()) return;
  const double full = std::exp2(dac_.magnitude_bits()) - 1.0;
  for (std::int64_t r = 0; r < v.rows; ++r)
    for (std::int64_t i = 0; i < v.cols; ++i) {
      const double value = std::min(std::abs(static_cast<double>(v(r, i))), 1.0);
      const auto n = static_cast<std::uint64_t>(std::rint(value * full));
      codes += static_cast<std::int64_t>(n);
      ones += std::popcount(n);
    }
}

template void InputConverter::count_codes(BasicMatrixView<const float>, std::int64_t&, std::int64_t&) const;
template void InputConverter::count_codes(BasicMatrixView<const double>, std::int64_t&, std::int64_t&) const;
template void InputConverter::convert(BasicMatrixView<const float>, BasicMatrixView<float>) const;
template void InputConverter::convert(BasicMatrixView<const double>, BasicMatrixView<double>) const;
template void InputConverter::slice(BasicMatrixView<const float>, int, BasicMatrixView<float>) const;
template void InputConverter::slice(BasicMatrixView<const double>, int, BasicMatrixView<double>) const;

}  // namespace tessera::circuit::detail
