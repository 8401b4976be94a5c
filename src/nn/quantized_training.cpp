#include "tessera/nn/quantized_training.hpp"

#include <algorithm>

#include "float_linear.hpp"

namespace tessera::nn {

namespace {

/// Elements that are worked on together; fixed, so that sums do not depend on threads.
constexpr std::int64_t elements_per_block = 16384;

/// A quantizer whose range is estimated first and then learned.
class RangeLearner {
 public:
  RangeLearner(const QuantizerTraining& training, std::int64_t channels)
      : manager_(training.quantizer), learn_from_(training.learn_from) {
    const bool symmetric = manager_.quantizer().symmetric();
    delta_.assign(static_cast<std::size_t>(channels), 0.0F);
    d_delta_ = delta_;
    if (!symmetric) d_zero_ = zero_ = delta_;
    if (training.range.delta.empty()) return;
    manager_.set_quantizer_state(training.range);
    require<InputError>(training.range.delta.size() == delta_.size(), "a range of {} steps for a quantizer of {}",
                        training.range.delta.size(), channels);
    copy_from_manager();
  }

  void begin_step(std::uint64_t step) {
    if (!learn_from_ || step < *learn_from_ || manager_.is_learning()) return;
    if (manager_.quantizer().is_initialized()) manager_.learn_ranges();
  }

  void observe(const Shape& shape, std::span<const float> x) {
    if (!manager_.is_estimating(true)) return;
    manager_.observe(shape, x, true);
    copy_from_manager();
  }

  /// dx = dy, inside the range; adds to the gradients of a range that is learned. Channels along the first axis.
  void backward(std::span<const float> x, std::span<const float> dy, std::span<float> dx, Parallel parallel) {
    const auto channels = static_cast<std::int64_t>(delta_.size());
    const std::int64_t inner = static_cast<std::int64_t>(x.size()) / channels;
    const quant::UniformQuantizer& quantizer = manager_.quantizer();
    const bool learning = manager_.is_learning();
    if (channels > 1) {
      const quant::ChannelLayout layout{1, channels, inner};
      if (learning) add(quantizer.range_gradient(layout, x, dy));
      return quantizer.backward(layout, x, dy, dx);
    }
    const std::int64_t blocks = (inner + elements_per_block - 1) / elements_per_block;
    std::vector<quant::RangeGradient> parts(static_cast<std::size_t>(blocks));
    parallel_for_blocks(parallel, inner, elements_per_block, [&](std::int64_t b, std::int64_t begin, std::int64_t end) {
      const quant::ChannelLayout layout{1, 1, end - begin};
      const auto first = static_cast<std::size_t>(begin), count = static_cast<std::size_t>(end - begin);
      const std::span<const float> xs = x.subspan(first, count), dys = dy.subspan(first, count);
      if (learning) parts[static_cast<std::size_t>(b)] = quantizer.range_gradient(layout, xs, dys);
      quantizer.backward(layout, xs, dys, dx.subspan(first, count));
    });
    if (!learning) return;
    quant::RangeGradient sum{{0.0}, {}};
    if (!zero_.empty()) sum.zero_float = {0.0};
    for (const quant::RangeGradient& part : parts) {
      sum.delta[0] += part.delta[0];
      if (!zero_.empty()) sum.zero_float[0] += part.zero_float[0];
    }
    add(sum);
  }

  void list(std::vector<TrainedParameter>& parameters, const std::string& prefix) {
    parameters.push_back({prefix + "delta", ParameterKind::quantizer_range, delta_, d_delta_});
    if (!zero_.empty()) parameters.push_back({prefix + "zero_float", ParameterKind::quantizer_range, zero_, d_zero_});
  }

  /// Values of a range that is not learned yet follow the estimator, whatever an optimizer made of them.
  void updated() {
    if (!manager_.quantizer().is_initialized()) return;
    if (!manager_.is_learning()) return copy_from_manager();
    quant::UniformQuantizerState state = manager_.quantizer().state();
    state.delta = delta_;
    state.zero_float = zero_;
    state.x_min = state.x_max = {};  // the step is learned, not the bounds
    manager_.set_quantizer_state(std::move(state));
  }

  const quant::UniformQuantizer& quantizer() const { return manager_.quantizer(); }
  bool learned() const { return manager_.is_learning(); }

 private:
  void copy_from_manager() {
    const quant::UniformQuantizerState& state = manager_.quantizer().state();
    delta_.assign(state.delta.begin(), state.delta.end());
    zero_.assign(state.zero_float.begin(), state.zero_float.end());
  }
  void add(const quant::RangeGradient& gradient) {
    for (std::size_t i = 0; i < d_delta_.size(); ++i) d_delta_[i] += static_cast<float>(gradient.delta[i]);
    for (std::size_t i = 0; i < d_zero_.size(); ++i) d_zero_[i] += static_cast<float>(gradient.zero_float[i]);
  }

  quant::QuantizationManager manager_;
  std::optional<std::uint64_t> learn_from_;
  std::vector<float> delta_, zero_, d_delta_, d_zero_;
};

class LearnedValue final : public QuantizedValue {
 public:
  explicit LearnedValue(const QuantizerTraining& training) : range_(training, 1) {
    require<InputError>(!training.quantizer.quantizer.per_channel && !training.quantizer.quantizer.axis,
                        "the range of a value is per tensor");
  }
  void begin_step(std::uint64_t step) override { range_.begin_step(step); }
  void forward(const TransformCall& call) override {
    range_.observe(call.shape, call.x);
    const quant::UniformGrid grid = range_.quantizer().grid();
    parallel_for_blocks(call.parallel, static_cast<std::int64_t>(call.x.size()), elements_per_block,
                        [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                          const auto first = static_cast<std::size_t>(begin);
                          const auto count = static_cast<std::size_t>(end - begin);
                          quant::quantize_dequantize(grid, call.x.subspan(first, count), call.y.subspan(first, count));
                        });
  }
  void backward(const TransformCall& call, std::span<const float> dy, std::span<float> dx) override {
    range_.backward(call.x, dy, dx, call.parallel);
  }
  std::vector<TrainedParameter> parameters() override {
    std::vector<TrainedParameter> result;
    range_.list(result, "");
    return result;
  }
  void updated() override { range_.updated(); }
  const quant::UniformQuantizerState& range() const override { return range_.quantizer().state(); }
  bool learned() const override { return range_.learned(); }

 private:
  RangeLearner range_;
};

class LearnedLinear final : public QuantizedLinear {
 public:
  LearnedLinear(const LinearPart& part, const QuantizerTraining& training)
      : range_(training, training.quantizer.quantizer.per_channel ? part.weight.rows() : 1),
        weight_(part.weight.matrix()),
        gradient_(part.weight.rows(), part.weight.cols()),
        product_(part) {}

  void begin_step(std::uint64_t step) override {
    range_.begin_step(step);
    range_.observe({weight_.rows(), weight_.cols()}, weight_.values());
    // The first parameter of the product is its weight.
    range_.quantizer().forward(Shape{weight_.rows(), weight_.cols()}, std::as_const(weight_).values(),
                               product_.parameters()[0].value);
    product_.updated();
  }
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) override {
    product_.forward(x, y, first_vector, parallel);
  }
  void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first_vector,
                Parallel parallel) override {
    const std::span<float> of_product = product_.parameters()[0].gradient;
    std::ranges::fill(of_product, 0.0F);
    product_.backward(x, dy, dx, first_vector, parallel);
    Matrix own(weight_.rows(), weight_.cols());
    range_.backward(std::as_const(weight_).values(), of_product, own.values(), parallel);
    for (std::size_t i = 0; i < own.values().size(); ++i) gradient_.values()[i] += own.values()[i];
  }
  std::vector<TrainedParameter> parameters() override {
    std::vector<TrainedParameter> result = product_.parameters();
    result[0].value = weight_.values();
    result[0].gradient = gradient_.values();
    range_.list(result, "weight_range.");
    return result;
  }
  void updated() override { range_.updated(); }
  const quant::UniformQuantizerState& range() const override { return range_.quantizer().state(); }
  bool learned() const override { return range_.learned(); }

 private:
  RangeLearner range_;
  Matrix weight_, gradient_;
  FloatLinear product_;
};

}  // namespace

std::shared_ptr<QuantizedValue> quantized_value(const QuantizerTraining& training) {
  return std::make_shared<LearnedValue>(training);
}

std::shared_ptr<QuantizedLinear> quantized_linear(const LinearPart& part, const QuantizerTraining& training) {
  return std::make_shared<LearnedLinear>(part, training);
}

}  // namespace tessera::nn
