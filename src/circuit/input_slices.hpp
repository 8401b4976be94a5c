#pragma once
#include <cstdint>
#include <vector>

#include "tessera/circuit/parameters.hpp"

/// Private: inputs to line voltages.
namespace tessera::circuit::detail {

/// v = x f/(max - min), quantized and clipped by the DAC; recombination weights of its slices.
class InputConverter {
 public:
  explicit InputConverter(const CrossbarParameters& parameters);

  /// 1 without slicing.
  int slices() const { return static_cast<int>(weights_.size()); }
  /// c_k: sum_k c_k v_k = v.
  double weight(int slice) const { return weights_[static_cast<std::size_t>(slice)]; }
  /// y = u * output_scale for u in units of v.
  double output_scale() const { return 1.0 / scale_; }

  template <class T>
  void convert(BasicMatrixView<const T> x, BasicMatrixView<T> v) const;
  /// v_k = sign(v) d_k/(2^S - 1), d_k the digit k of rint(|v| (2^m - 1)).
  template <class T>
  void slice(BasicMatrixView<const T> v, int k, BasicMatrixView<T> out) const;

  /// Sums of |n| and of the ones in |n| over the DAC's codes n, as slice() would cut them.
  template <class T>
  void count_codes(BasicMatrixView<const T> v, std::int64_t& codes, std::int64_t& ones) const;

 private:
  DacParameters dac_;
  bool clips_ = false;
  double scale_ = 1.0, low_ = -1.0, high_ = 1.0;
  std::vector<double> weights_ = {1.0};
};

}  // namespace tessera::circuit::detail
