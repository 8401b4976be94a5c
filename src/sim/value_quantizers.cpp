#include "value_quantizers.hpp"

#include <algorithm>

namespace tessera::sim {

namespace {

constexpr std::int64_t block_elements = 16384;

std::span<const float> part_of(std::span<const float> all, std::int64_t begin, std::int64_t end) {
  return all.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}
std::span<float> part_of(std::span<float> all, std::int64_t begin, std::int64_t end) {
  return all.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
}

}  // namespace

RangeQuantizer::RangeQuantizer(std::string name, const quant::QuantizationManagerParameters& parameters)
    : name_(std::move(name)),
      ordered_(parameters.init == quant::RangeEstimators::cross_entropy),
      manager_(parameters) {}

void RangeQuantizer::apply(const nn::TransformCall& call) const {
  if (manager_.is_estimating(false)) {
    try {
      manager_.observe(call.shape, call.x, false);
    } catch (const InputError& error) {
      throw InputError(fmt::format("range of the {}: {}", name_, error.what()));
    }
  }
  const quant::UniformGrid grid = manager_.quantizer().grid();
  parallel_for_blocks(call.parallel, static_cast<std::int64_t>(call.x.size()), block_elements,
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                        quant::quantize_dequantize(grid, part_of(call.x, begin, end), part_of(call.y, begin, end));
                      });
}

void RangeQuantizer::fix() {
  require<InputError>(manager_.quantizer().is_initialized(), "range of the {}: no data reached it", name_);
  manager_.fix_ranges();
}

void RangeQuantizer::set_range(const quant::UniformQuantizerState& range) {
  manager_.set_quantizer_state(range);
  manager_.fix_ranges();
}

bool FormatQuantizer::needs_order() const {
  return rounding_ == quant::Rounding::stochastic || std::holds_alternative<quant::BlockFloatingPoint>(number_);
}

void FormatQuantizer::apply(const nn::TransformCall& call) const {
  const auto size = static_cast<std::int64_t>(call.x.size());
  if (!needs_order()) {
    parallel_for_blocks(call.parallel, size, block_elements, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      quant::quantize_nearest(number_, {end - begin}, part_of(call.x, begin, end), part_of(call.y, begin, end));
    });
    return;
  }
  const std::int64_t samples = std::max<std::int64_t>(1, call.samples), each = size / samples;
  Shape shape = call.shape;
  if (shape.empty()) shape = {1};
  shape[0] /= samples;
  parallel_for(call.parallel, samples, [&](std::int64_t s) {
    const quant::RandomDraws draws{
        stream_, 0, (call.first_sample + static_cast<std::uint64_t>(s)) * static_cast<std::uint64_t>(each)};
    quant::quantize(number_, rounding_, shape, part_of(call.x, s * each, (s + 1) * each),
                    part_of(call.y, s * each, (s + 1) * each), draws);
  });
}

AccumulatingOperator::AccumulatingOperator(const nn::LinearPart& part, quant::Number number, quant::Rounding rounding,
                                           random::Stream stream)
    : weight_(part.weight.cols(), part.weight.rows()),
      bias_(part.bias),
      number_(number),
      rounding_(rounding),
      stream_(stream) {
  const Matrix weight = part.weight.matrix();
  for (std::int64_t o = 0; o < weight.rows(); ++o)
    for (std::int64_t k = 0; k < weight.cols(); ++k) weight_(k, o) = weight(o, k);
}

void AccumulatingOperator::forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector,
                                   Parallel parallel) const {
  const std::int64_t inputs = weight_.rows(), outputs = weight_.cols();
  parallel_for(parallel, x.rows, [&](std::int64_t v) {
    std::vector<float> product(static_cast<std::size_t>(outputs));
    const std::span<float> sum(y.row(v), static_cast<std::size_t>(outputs));
    std::ranges::fill(sum, 0.0F);
    const std::uint64_t first = (first_vector + static_cast<std::uint64_t>(v)) * static_cast<std::uint64_t>(inputs) *
                                static_cast<std::uint64_t>(outputs);
    for (std::int64_t k = 0; k < inputs; ++k) {
      const float input = x(v, k);
      const float* row = weight_.view().row(k);
      for (std::int64_t o = 0; o < outputs; ++o) product[static_cast<std::size_t>(o)] = input * row[o];
      quant::accumulate(number_, rounding_, {outputs}, product, sum,
                        {stream_, 0, first + static_cast<std::uint64_t>(k * outputs)});
    }
    for (std::size_t o = 0; o < bias_.size(); ++o) sum[o] += bias_[o];
  });
}

}  // namespace tessera::sim
