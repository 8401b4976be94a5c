#include "tessera/nn/number_formats.hpp"

#include <algorithm>

#include "float_linear.hpp"
#include "tessera/kernels/general_product.hpp"
#include "tessera/kernels/product.hpp"

namespace tessera::nn {

namespace {

/// A quantizer with the addresses of its draws: stream `role` forward, `role` + 1 backward.
class AddressedQuantizer {
 public:
  AddressedQuantizer(const quant::QuantizerParameters& parameters, random::Address address, std::uint32_t role)
      : quantizer_(parameters), masks_(parameters.clamping_grad_zero) {
    address.tile = role;
    forward_ = random::Stream(address, random::Purpose::stochastic_rounding);
    address.tile = role + 1;
    backward_ = random::Stream(address, random::Purpose::stochastic_rounding);
  }

  void forward(const Shape& shape, std::span<const float> x, std::span<float> y, std::uint64_t step,
               std::uint64_t first, std::vector<std::uint8_t>* mask = nullptr) const {
    std::vector<std::uint8_t> unused;
    quantizer_.forward(shape, x, y, draws(forward_, step, first), mask != nullptr ? mask : &unused);
  }
  void backward(const Shape& shape, std::span<const float> dy, std::span<float> dx, std::uint64_t step,
                std::uint64_t first, const std::vector<std::uint8_t>& mask) const {
    quantizer_.backward(shape, dy, dx, draws(backward_, step, first), mask);
  }
  bool masks() const { return masks_; }

 private:
  static quant::RandomDraws draws(const random::Stream& stream, std::uint64_t step, std::uint64_t first) {
    return {.stream = stream, .event = static_cast<std::uint32_t>(step), .first = first};
  }

  quant::Quantizer quantizer_;
  bool masks_;
  random::Stream forward_, backward_;
};

Shape shape_of(const Matrix& matrix) {
  return {matrix.rows(), matrix.cols()};
}

class FormatLinear final : public TrainableLinear {
 public:
  FormatLinear(const LinearPart& part, const LinearFormats& formats, const random::Address& address)
      : weight_(part.weight.matrix()),
        weight_gradient_(part.weight.rows(), part.weight.cols()),
        bias_(part.bias),
        bias_gradient_(part.bias.size(), 0.0F),
        input_(formats.input, address, 0),
        weights_(formats.weight, address, 2),
        output_(formats.output, address, 4) {}

  void begin_step(std::uint64_t step) override {
    step_ = step;
    quantized_weight_ = Matrix::uninitialized(weight_.rows(), weight_.cols());
    weight_mask_.assign(weights_.masks() ? weight_.values().size() : 0, 0);
    weights_.forward(shape_of(weight_), weight_.values(), quantized_weight_.values(), step_, 0, &weight_mask_);
    packed_ = kernels::PackedMatrix(quantized_weight_.view());
  }

  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) override {
    const Matrix in = input(x, first_vector, nullptr);
    Matrix out = Matrix::uninitialized(y.rows, y.cols);
    product(in, out, parallel);
    output_.forward(shape_of(out), out.values(), out.values(), step_, first(first_vector, y.cols));
    for (std::int64_t r = 0; r < y.rows; ++r) std::copy_n(out.view().row(r), y.cols, y.row(r));
  }

  void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first_vector,
                Parallel parallel) override {
    std::vector<std::uint8_t> in_mask(input_.masks() ? static_cast<std::size_t>(x.rows * x.cols) : 0), out_mask;
    const Matrix in = input(x, first_vector, &in_mask);
    Matrix g(dy);
    if (output_.masks()) {  // what was clamped is found again from the same draws
      Matrix out = Matrix::uninitialized(dy.rows, dy.cols);
      product(in, out, parallel);
      out_mask.assign(out.values().size(), 0);
      output_.forward(shape_of(out), out.values(), out.values(), step_, first(first_vector, dy.cols), &out_mask);
    }
    output_.backward(shape_of(g), g.values(), g.values(), step_, first(first_vector, dy.cols), out_mask);
    if (!bias_.empty()) add_column_sums(g.view(), bias_gradient_);
    Matrix added = Matrix::uninitialized(weight_.rows(), weight_.cols());
    kernels::general_product(kernels::transposed(g.view()), in.view(), added.view(), kernels::Accumulate::no, parallel);
    const auto elements = static_cast<std::uint64_t>(weight_.rows() * weight_.cols());
    weights_.backward(shape_of(added), added.values(), added.values(), step_, first_vector * elements, weight_mask_);
    for (std::size_t i = 0; i < added.values().size(); ++i) weight_gradient_.values()[i] += added.values()[i];
    if (dx.rows == 0) return;
    Matrix d_in = Matrix::uninitialized(dx.rows, dx.cols);
    kernels::general_product(g.view(), quantized_weight_.view(), d_in.view(), kernels::Accumulate::no, parallel);
    input_.backward(shape_of(d_in), d_in.values(), d_in.values(), step_, first(first_vector, dx.cols), in_mask);
    for (std::int64_t r = 0; r < dx.rows; ++r) std::copy_n(d_in.view().row(r), dx.cols, dx.row(r));
  }

  std::vector<TrainedParameter> parameters() override {
    std::vector<TrainedParameter> result{
        {"weight", ParameterKind::weight, weight_.values(), weight_gradient_.values()}};
    if (!bias_.empty()) result.push_back({"bias", ParameterKind::bias, bias_, bias_gradient_});
    return result;
  }
  void updated() override {}  // weights are quantized when a step begins

 private:
  static std::uint64_t first(std::uint64_t vector, std::int64_t size) {
    return vector * static_cast<std::uint64_t>(size);
  }

  Matrix input(ConstMatrixView x, std::uint64_t first_vector, std::vector<std::uint8_t>* mask) const {
    Matrix in(x);
    input_.forward(shape_of(in), in.values(), in.values(), step_, first(first_vector, x.cols), mask);
    return in;
  }
  void product(const Matrix& in, Matrix& out, Parallel parallel) const {
    kernels::multiply(packed_, in.view(), out.view(), parallel, bias_);
  }

  Matrix weight_, weight_gradient_, quantized_weight_;
  std::vector<float> bias_, bias_gradient_;
  AddressedQuantizer input_, weights_, output_;
  kernels::PackedMatrix packed_;
  std::vector<std::uint8_t> weight_mask_;
  std::uint64_t step_ = 0;
};

class FormatTransform final : public TrainableTransform {
 public:
  FormatTransform(const quant::QuantizerParameters& format, const random::Address& address)
      : quantizer_(format, address, 0) {}

  void begin_step(std::uint64_t step) override { step_ = step; }
  void forward(const TransformCall& call) override {
    mask_.assign(quantizer_.masks() ? call.x.size() : 0, 0);
    quantizer_.forward(call.shape, call.x, call.y, step_, 0, &mask_);
  }
  void backward(const TransformCall& call, std::span<const float> dy, std::span<float> dx) override {
    quantizer_.backward(call.shape, dy, dx, step_, 0, mask_);
  }

 private:
  AddressedQuantizer quantizer_;
  std::vector<std::uint8_t> mask_;
  std::uint64_t step_ = 0;
};

}  // namespace

std::shared_ptr<TrainableLinear> format_linear(const LinearPart& part, const LinearFormats& formats,
                                               const random::Address& address) {
  return std::make_shared<FormatLinear>(part, formats, address);
}

std::shared_ptr<TrainableTransform> format_transform(const quant::QuantizerParameters& format,
                                                     const random::Address& address) {
  return std::make_shared<FormatTransform>(format, address);
}

}  // namespace tessera::nn
