#include "tile/learning_backward.hpp"

#include <algorithm>
#include <limits>

#include "tile/blocks.hpp"

// Gradients of a training-mode pass. Vectors are taken in blocks of fixed size, one after the other; within a block the
// tiles' passes are made again (product_trace.cpp), then gradients run backwards. Sums over vectors go in index order
// over pieces whose borders depend on shapes only.
namespace tessera::tile {
namespace {

constexpr std::int64_t block_vectors = 4096;

// Straight through the integers of a fixed-point periphery: no gradient where the output is beyond its codes or a fused
// ReLU gives 0.
void clip_gradient(const FixedPointPeriphery& periphery, ConstMatrixView sum, MatrixView g) {
  const kernels::FixedPointDatapath& path = periphery.datapath;
  float low = -std::numeric_limits<float>::infinity(), high = -low;
  if (path.output_bits > 0 && !periphery.parameters.output.exact) {
    const kernels::CodeRange codes = kernels::code_range(path.output_bits, path.output_signed);
    low = (static_cast<float>(codes.low) - 0.5F) * periphery.step;
    high = (static_cast<float>(codes.high) + 0.5F) * periphery.step;
  }
  if (path.relu) low = std::max(low, 0.0F);
  for (std::int64_t r = 0; r < g.rows; ++r) {
    const float* value = sum.row(r);
    float* gradient = g.row(r);
    for (std::int64_t i = 0; i < g.cols; ++i)
      if (value[i] < low || value[i] > high) gradient[i] = 0.0F;
  }
}

}  // namespace

void quantizer_backward(const quant::QuantizationManager& manager, LearnedRange& range, ConstMatrixView values,
                        MatrixView g) {
  const quant::UniformQuantizer& quantizer = manager.quantizer();
  quant::RangeGradient sums{{0.0}, {}};
  if (!quantizer.symmetric()) sums.zero_float = {0.0};
  for (std::int64_t r = 0; r < g.rows; ++r) {
    const quant::ChannelLayout layout{1, 1, g.cols};
    if (manager.is_learning()) {
      const quant::RangeGradient part = quantizer.range_gradient(layout, values.row_span(r), g.row_span(r));
      sums.delta[0] += part.delta[0];
      if (!sums.zero_float.empty()) sums.zero_float[0] += part.zero_float[0];
    }
    quantizer.backward(layout, values.row_span(r), g.row_span(r), g.row_span(r));
  }
  if (manager.is_learning()) range.add(sums);
}

void LearningLayer::backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, const ForwardCall& call) {
  Impl& layer = *impl_;
  layer.analog().check_call(x, MatrixView(nullptr, x.rows, outputs()), call);
  require<InputError>(
      dy.rows == x.rows && dy.cols == outputs() && (dx.rows == 0 || (dx.rows == x.rows && dx.cols == inputs())),
      "gradients of {}x{} and {}x{} do not fit {} vectors of {} inputs and {} outputs", dy.rows, dy.cols, dx.rows,
      dx.cols, x.rows, inputs(), outputs());
  if (x.rows == 0) return;
  layer.prepare();
  layer.begin_sums();
  for (std::int64_t first = 0; first < x.rows; first += block_vectors) {
    const std::int64_t rows = std::min(block_vectors, x.rows - first);
    layer.backward_block({x.rows_from(first, rows), dy.rows_from(first, rows),
                          dx.rows == 0 ? dx : dx.rows_from(first, rows),
                          call.first_vector + static_cast<std::uint64_t>(first), call.event, call.parallel});
  }
  layer.finish_sums(x.rows);
}

void LearningLayer::Impl::begin_sums() {
  bias_sums.assign(bias.size(), 0.0);
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    LearningTile& tile = tiles[t];
    tile.backward.engine->begin();
    if (tile.backward.negative) tile.backward.negative->begin();
    tile.range = {};
    tile.scale_sums.assign(static_cast<std::size_t>(tile.weights.rows()), 0.0);
  }
}

// Whether the gradient needs the tile's outputs: for its scale, or to know what a quantizer behind it did.
bool LearningLayer::Impl::needs_outputs(std::int64_t t) const {
  const LayerTile& tile = analog().tiles[static_cast<std::size_t>(t)];
  if (tile.output_quantizer || analog().output_quantizer || analog().fixed_point) return true;
  if (!analog().state.tiles[static_cast<std::size_t>(t)].output_scale.empty()) return true;
  if (!tile.quantized.values.empty()) return true;  // its range, and the ranges behind the scale
  return rpu().pre_post.input_range.enable && exact() && !tile.product.perfect();
}

// Whether the tile's lines carry the input and nothing behind it asks for its output: no pass has to be made again.
bool LearningLayer::Impl::is_linear(std::int64_t t) const {
  return analog().tiles[static_cast<std::size_t>(t)].product.perfect() && !rpu().pre_post.input_range.enable &&
         !analog().analog_bias && !needs_outputs(t);
}

void LearningLayer::Impl::trace_tiles(const BlockCall& call) {
  std::int64_t widest = 0;
  for (const LayerTile& place : analog().tiles) widest = std::max(widest, place.place.inputs + place.place.outputs);
  const std::int64_t task_rows = rows_per_task(widest);
  const std::int64_t tasks = (call.x.rows + task_rows - 1) / task_rows;
  for (std::int64_t t = 0; t < tile_count(); ++t) {
    const AnalogProduct& product = analog().tiles[static_cast<std::size_t>(t)].product;
    if (!is_linear(t)) product.prepare_trace(tile(t).trace, call.x.rows);
  }
  parallel_for(call.parallel, tasks * tile_count(), [&](std::int64_t task) {
    const std::int64_t t = task / tasks;
    if (is_linear(t)) return;
    const std::int64_t first = task % tasks * task_rows;
    const std::int64_t rows = std::min(task_rows, call.x.rows - first);
    ProductScratch scratch;
    const ProductCall product =
        analog().product_call(t, call.x.rows_from(first, rows), MatrixView(),
                              call.first_vector + static_cast<std::uint64_t>(first), call.event, nullptr);
    analog().tiles[static_cast<std::size_t>(t)].product.run_traced(product, scratch, tile(t).trace, first);
  });
}

// The gradient of the sum over tiles plus bias, in front of the last activation quantizer.
Matrix LearningLayer::Impl::output_gradient(const BlockCall& call) {
  Matrix g(call.dy);
  AnalogLayer::Impl& a = analog();
  Rare<quant::QuantizationManager>& last = a.array() ? a.output_quantizer : a.tiles[0].output_quantizer;
  if (last || a.fixed_point) {
    Matrix sum(g.rows(), g.cols());
    for (std::int64_t t = 0; t < tile_count(); ++t) {
      const LayerTile& from = a.tiles[static_cast<std::size_t>(t)];
      Matrix part = tile(t).trace.o;
      multiply_columns(part.view(), from.scale);
      a.late_steps(from, part.view(), false, true);
      for (std::int64_t r = 0; r < g.rows(); ++r)
        for (std::int64_t i = 0; i < part.cols(); ++i) {
          float& total = sum(r, from.place.first_output + i);
          total = from.place.first_input == 0 ? part(r, i) : total + part(r, i);
        }
    }
    if (!a.bias.empty()) add_columns(sum.view(), a.bias_in_use());
    if (a.fixed_point)
      clip_gradient(*a.fixed_point, sum.view(), g.view());
    else
      quantizer_backward(*last, a.array() ? output_range : tiles[0].output_range, sum.view(), g.view());
  }
  return g;
}

void LearningLayer::Impl::backward_block(const BlockCall& call) {
  trace_tiles(call);
  Matrix g = output_gradient(call);
  if (!analog().bias.empty()) {
    std::vector<double> sums(bias.size(), 0.0);
    const std::int64_t task_rows = rows_per_task(g.cols());
    std::vector<std::vector<double>> parts(static_cast<std::size_t>((g.rows() + task_rows - 1) / task_rows));
    parallel_for_blocks(call.parallel, g.rows(), task_rows, [&](std::int64_t b, std::int64_t first, std::int64_t last) {
      std::vector<double>& part = parts[static_cast<std::size_t>(b)];
      part.assign(bias.size(), 0.0);
      for (std::int64_t r = first; r < last; ++r) {
        const float* row = std::as_const(g).view().row(r);
        for (std::size_t i = 0; i < part.size(); ++i) part[i] += static_cast<double>(row[i]);
      }
    });
    add_to(sums, parts);
    for (std::size_t i = 0; i < sums.size(); ++i) bias_sums[i] += sums[i];
  }
  for (std::int64_t t = 0; t < tile_count(); ++t) tile_backward(t, call, g.view());
}

}  // namespace tessera::tile
