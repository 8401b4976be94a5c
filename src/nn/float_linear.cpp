#include "float_linear.hpp"

#include "tessera/kernels/general_product.hpp"

namespace tessera::nn {

FloatLinear::FloatLinear(const LinearPart& part)
    : weight_(part.weight.matrix()),
      weight_gradient_(part.weight.rows(), part.weight.cols()),
      bias_(part.bias),
      bias_gradient_(part.bias.size(), 0.0F) {}

void FloatLinear::forward(ConstMatrixView x, MatrixView y, std::uint64_t, Parallel parallel) {
  if (stale_) packed_ = kernels::PackedMatrix(weight_.view());
  stale_ = false;
  kernels::multiply(packed_, x, y, parallel, bias_);
}

void FloatLinear::backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t, Parallel parallel) {
  kernels::general_product(kernels::transposed(dy), x, weight_gradient_.view(), kernels::Accumulate::yes, parallel);
  if (!bias_.empty()) add_column_sums(dy, bias_gradient_);
  if (dx.rows > 0) kernels::general_product(dy, weight_.view(), dx, kernels::Accumulate::no, parallel);
}

std::vector<TrainedParameter> FloatLinear::parameters() {
  std::vector<TrainedParameter> result{{"weight", ParameterKind::weight, weight_.values(), weight_gradient_.values()}};
  if (!bias_.empty()) result.push_back({"bias", ParameterKind::bias, bias_, bias_gradient_});
  return result;
}

void add_column_sums(ConstMatrixView dy, std::span<float> sum) {
  std::vector<double> total(sum.size(), 0.0);
  for (std::int64_t r = 0; r < dy.rows; ++r) {
    const float* row = dy.row(r);
    for (std::size_t o = 0; o < total.size(); ++o) total[o] += static_cast<double>(row[o]);
  }
  for (std::size_t o = 0; o < total.size(); ++o) sum[o] += static_cast<float>(total[o]);
}

}  // namespace tessera::nn
