#include <algorithm>
#include <cmath>

#include "tessera/kernels/outer_product.hpp"
#include "tile/blocks.hpp"
#include "tile/learning_impl.hpp"

// Gradients of a training-mode pass. Vectors are taken in blocks of fixed size, one after the other; within a block the
// tiles' passes are made again (product_trace.cpp), then gradients run backwards. Sums over vectors go in index order
// over pieces whose borders depend on shapes only.
namespace tessera::tile {
namespace {

constexpr std::int64_t block_vectors = 4096;

// Vectors per task of a tile: what fits into the second-level cache.
std::int64_t rows_per_task(std::int64_t values_per_vector) {
  return std::clamp<std::int64_t>(32 * 1024 / values_per_vector, 96, 1024);
}

// Vectors whose gradients are summed apart from the others', so that small weight matrices occupy all threads.
std::int64_t span_count(std::int64_t outputs, std::int64_t lines) {
  return outputs * lines <= 64 * 1024 ? 8 : 1;
}

// Adds the terms of the input range of one vector and takes dx of the clipped inputs away (straight-through). Eight
// sums at a time, in a fixed order.
void range_backward(const float* x, const float* d, std::int64_t count, float r, bool exact, float* dx,
                    RangeSums& sums) {
  constexpr std::int64_t lanes = 8;
  float clipping[lanes] = {};
  float ordinary[lanes] = {};
  std::int32_t inside[lanes] = {};
  const float inverse = 1.0F / r;
  for (std::int64_t first = 0; first < count; first += lanes) {
    const std::int64_t now = std::min(lanes, count - first);
    const auto step = [&](std::int64_t j) {
      const float v = x[first + j];
      const float dc = d[first + j] * inverse;
      const float up = v >= r && dc < 0.0F ? dc : 0.0F;
      const float down = v <= -r && dc > 0.0F ? dc : 0.0F;
      clipping[j] += up - down;
      const float low = v > -r ? v : -r;
      ordinary[j] += dc * (low < r ? low : r);
      const float size = std::fabs(v);
      inside[j] += size < r ? 1 : 0;
      dx[first + j] = exact && size > r ? 0.0F : dc;
    };
    if (now == lanes)
      for (std::int64_t j = 0; j < lanes; ++j) step(j);
    else
      for (std::int64_t j = 0; j < now; ++j) step(j);
  }
  for (std::int64_t j = 0; j < lanes; ++j) {
    sums.clipping += static_cast<double>(clipping[j]);
    sums.ordinary += static_cast<double>(ordinary[j]);
    sums.inside += inside[j];
  }
}

void clear(std::vector<Matrix>& sums, std::int64_t count, std::int64_t rows, std::int64_t cols, bool wanted) {
  sums.resize(wanted ? static_cast<std::size_t>(count) : 0);
  for (Matrix& m : sums) {
    if (m.rows() != rows || m.cols() != cols) m = Matrix::uninitialized(rows, cols);
    std::fill(m.values().begin(), m.values().end(), 0.0F);
  }
}

void add_to(std::vector<double>& sums, const std::vector<std::vector<double>>& parts) {
  for (const std::vector<double>& part : parts)
    for (std::size_t i = 0; i < part.size(); ++i) sums[i] += part[i];
}

float at(const std::vector<float>& v, std::size_t i) {
  return v.empty() ? 1.0F : v[v.size() == 1 ? 0 : i];
}

// From the gradient of a per-tensor quantizer's output to that of its input, and to its range if that is learned.
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

// Gradients at the passes of a tile for all vectors of a block: [vectors, outputs] each.
struct PassGradients {
  Matrix plain;     // of sum W z
  Matrix far;       // of sum W z (1 - k/n)^2
  Matrix current;   // of sum |W| |z|
  Matrix variance;  // of sum |W| z^2
};

}  // namespace

struct LearningLayer::Impl::BlockCall {
  ConstMatrixView x;
  ConstMatrixView dy;
  MatrixView dx;
  std::uint64_t first_vector = 0;
  std::uint32_t event = 0;
  Parallel parallel;
};

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
    const AnalogProduct& product = analog().tiles[t].product;
    const IOParameters& io = product.io();
    const std::int64_t rows = product.outputs();
    const std::int64_t cols = product.inputs();
    const std::int64_t spans = span_count(rows, cols);
    const bool physical = exact() && !product.perfect();
    const bool magnitudes =
        physical && (io.ir_drop > 0.0 || (io.w_noise > 0.0 && io.w_noise_type == WeightNoiseType::PCM_READ));
    const bool negative = physical && product.negative_weights().has_value();
    clear(tile.weight_sums, spans, rows, cols, true);
    clear(tile.magnitude_sums, spans, rows, cols, magnitudes);
    clear(tile.negative_sums, spans, rows, cols, negative);
    clear(tile.negative_magnitude_sums, spans, rows, cols, negative && magnitudes);
    tile.range = {};
    tile.scale_sums.assign(static_cast<std::size_t>(rows), 0.0);
  }
}

// Whether the gradient needs the tile's outputs: for its scale, or to know what a quantizer behind it did.
bool LearningLayer::Impl::needs_outputs(std::int64_t t) const {
  const LayerTile& tile = analog().tiles[static_cast<std::size_t>(t)];
  if (tile.output_quantizer || analog().output_quantizer) return true;
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
  std::optional<quant::QuantizationManager>& last = a.array() ? a.output_quantizer : a.tiles[0].output_quantizer;
  if (last) {
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

void LearningLayer::Impl::tile_backward(std::int64_t t, const BlockCall& call, MatrixView all) {
  AnalogLayer::Impl& a = analog();
  LayerTile& place = a.tiles[static_cast<std::size_t>(t)];
  LearningTile& tile = this->tile(t);
  const TilePlace& at_place = place.place;
  const AnalogProduct& product = place.product;
  const IOParameters& io = product.io();
  const bool physical = exact() && !product.perfect();
  const ProductTrace& trace = tile.trace;
  const std::int64_t rows = call.x.rows;
  const std::int64_t outputs = product.outputs();
  const std::int64_t lines = product.inputs();

  Matrix own;
  MatrixView g = all.cols_from(at_place.first_output, at_place.outputs);
  if (a.array() && place.output_quantizer) {
    own = Matrix(g);
    g = own.view();
    Matrix values = trace.o;
    multiply_columns(values.view(), place.scale);
    multiply_columns(values.view(), place.late_scale);
    quantizer_backward(*place.output_quantizer, tile.output_range, values.view(), g);
  }

  std::vector<float> factor(static_cast<std::size_t>(outputs));  // what multiplies the product's output
  for (std::size_t i = 0; i < factor.size(); ++i) factor[i] = at(place.scale, i) * at(place.late_scale, i);
  const bool scale_wanted = needs_outputs(t);
  const InputRangeParameter& range = rpu().pre_post.input_range;
  const float r_now = range.enable ? a.state.tiles[static_cast<std::size_t>(t)].input_range : 0.0F;
  // Of the peer's compiled engine: outputs at their bound pass nothing where the bound refers to the static range.
  const bool mask_outputs = !exact() && !product.perfect() && range.enable &&
                            io.noise_management == NoiseManagementType::NONE &&
                            io.bound_management == BoundManagementType::NONE;
  const bool dx_wanted = call.dx.rows > 0 || range.enable;
  const ConstMatrixView x = call.x.cols_from(at_place.first_input, at_place.inputs);
  const std::vector<float> near = physical && io.ir_drop > 0.0 ? product.near_factors() : std::vector<float>{};
  const std::size_t passes = physical ? trace.phases.size() : 1;

  std::vector<PassGradients> gradients(passes);
  for (std::size_t p = 0; p < passes; ++p) {
    gradients[p].plain = Matrix::uninitialized(rows, outputs);
    if (!physical) continue;
    if (trace.phases[p].drop.rows() > 0) {
      gradients[p].far = Matrix::uninitialized(rows, outputs);
      gradients[p].current = Matrix::uninitialized(rows, outputs);
    }
    if (trace.phases[p].variance.rows() > 0) gradients[p].variance = Matrix::uninitialized(rows, outputs);
  }
  // What the transposed product multiplies: straight-through sees the lines, perfect_product the ranged input.
  Matrix ranged;
  if (!physical && !product.perfect()) ranged = Matrix::uninitialized(rows, lines);

  const std::int64_t task_rows = rows_per_task(lines + outputs);
  const std::int64_t tasks = (rows + task_rows - 1) / task_rows;
  std::vector<std::vector<double>> scale_parts(static_cast<std::size_t>(tasks));
  std::vector<RangeSums> range_parts(static_cast<std::size_t>(tasks));
  parallel_for_blocks(call.parallel, rows, task_rows, [&](std::int64_t b, std::int64_t first, std::int64_t last) {
    const std::int64_t n = last - first;
    const auto part = [&](Matrix& m) { return m.view().rows_from(first, n); };
    const auto part_of = [&](const Matrix& m) { return m.view().rows_from(first, n); };
    Matrix scaled = Matrix::uninitialized(n, outputs);  // gradient of o
    std::vector<double>& sums = scale_parts[static_cast<std::size_t>(b)];
    if (scale_wanted) sums.assign(static_cast<std::size_t>(outputs), 0.0);
    for (std::int64_t r = 0; r < n; ++r) {
      const float* in = g.row(first + r);
      float* out = scaled.view().row(r);
      if (scale_wanted) {
        const float* o = trace.o.view().row(first + r);
        for (std::int64_t i = 0; i < outputs; ++i)
          sums[static_cast<std::size_t>(i)] += static_cast<double>(in[i]) * static_cast<double>(o[i]);
      }
      for (std::int64_t i = 0; i < outputs; ++i) out[i] = in[i] * factor[static_cast<std::size_t>(i)];
    }
    RangeSums& range_sums = range_parts[static_cast<std::size_t>(b)];
    if (range.enable && range.manage_output_clipping)
      for (std::int64_t r = first; r < last; ++r)
        range_sums.clipped_outputs += trace.clipped[static_cast<std::size_t>(r)];

    Matrix dz;
    if (dx_wanted) dz = Matrix(n, lines);
    Matrix product_part;
    if (dx_wanted) product_part = Matrix::uninitialized(n, lines);
    for (std::size_t p = 0; p < passes; ++p) {
      PassGradients& d = gradients[p];
      const MatrixView plain = part(d.plain);
      if (!physical) {
        const auto constant = static_cast<float>(io.out_scale);
        transform(scaled.view(), plain, [&](float v) { return v * constant; });
        if (mask_outputs) {
          const float bound = 0.999F * constant * product.output_bound();
          for (std::int64_t r = 0; r < n; ++r)
            for (std::int64_t i = 0; i < outputs; ++i)
              if (std::fabs(trace.o(first + r, i)) >= bound) plain(r, i) = 0.0F;
        }
        if (dx_wanted) kernels::multiply(tile.transposed, plain, dz.view());
        continue;
      }
      const PhaseTrace& phase = trace.phases[p];
      const bool drops = phase.drop.rows() > 0;
      const bool varies = phase.variance.rows() > 0;
      for (std::int64_t r = 0; r < n; ++r) {
        const float* s = scaled.view().row(r);
        float* e = plain.row(r);
        const float* slope = phase.slope.view().row(first + r);
        for (std::int64_t i = 0; i < outputs; ++i) e[i] = s[i] * slope[i];
        if (drops) {
          const float* c = phase.drop.view().row(first + r);
          const float* q = phase.current.view().row(first + r);
          float* far = d.far.view().row(first + r);
          float* current = d.current.view().row(first + r);
          for (std::int64_t i = 0; i < outputs; ++i) {
            far[i] = e[i] * c[i];
            current[i] = e[i] * q[i];
            e[i] -= far[i];
          }
        }
        if (varies) {
          const float* v = phase.variance.view().row(first + r);
          float* h = d.variance.view().row(first + r);
          for (std::int64_t i = 0; i < outputs; ++i) h[i] = s[i] * v[i];
        }
      }
      if (!dx_wanted) continue;
      // The negative pass of POS_NEG_* sees lines below zero, the positive pass the others.
      const bool signs =
          io.mv_type == AnalogMVType::POS_NEG_SEPARATE || io.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
      const kernels::PackedMatrix& transposed = p == 0 && tile.negative ? *tile.negative : tile.transposed;
      const ConstMatrixView z = part_of(phase.z);
      const ConstMatrixView z_negative = part_of(trace.phases[0].z);
      const float share = trace.z_share[p];
      const auto add = [&](auto&& term) {
        for (std::int64_t r = 0; r < n; ++r) {
          float* to = dz.view().row(r);
          const float* from = product_part.view().row(r);
          const float* lines_in = z.row(r);
          const float* sign = z_negative.row(r);
          for (std::int64_t k = 0; k < lines; ++k) {
            const bool here = !signs || (sign[k] < 0.0F) == (p == 0);
            if (here) to[k] += share * term(from[k], lines_in[k], k);
          }
        }
      };
      if (passes == 1 && !drops && !varies) {
        kernels::multiply(transposed, plain, dz.view());
      } else {
        kernels::multiply(transposed, plain, product_part.view());
        add([](float v, float, std::int64_t) { return v; });
      }
      if (drops) {
        kernels::multiply(transposed, part_of(d.far), product_part.view());
        add([&](float v, float, std::int64_t k) { return v * near[static_cast<std::size_t>(k)]; });
        kernels::multiply_magnitudes(transposed, part_of(d.current), product_part.view());
        add([](float v, float line, std::int64_t) { return line > 0.0F ? v : (line < 0.0F ? -v : 0.0F); });
      }
      if (varies) {
        if (io.w_noise_type == WeightNoiseType::PCM_READ) {
          kernels::multiply_magnitudes(transposed, part_of(d.variance), product_part.view());
        } else {
          for (std::int64_t r = 0; r < n; ++r) {
            float sum = 0.0F;
            for (const float h : d.variance.view().row_span(first + r)) sum += h;
            std::fill_n(product_part.view().row(r), lines, sum);
          }
        }
        add([](float v, float line, std::int64_t) { return 2.0F * line * v; });
      }
      if (phase.slope_sum.rows() > 0) {
        for (std::int64_t r = 0; r < n; ++r) {
          float sum = 0.0F;
          for (std::int64_t i = 0; i < outputs; ++i) sum += scaled(r, i) * phase.slope_sum(first + r, i);
          std::fill_n(product_part.view().row(r), lines, sum);
        }
        add([](float v, float, std::int64_t) { return v; });
      }
    }
    if (ranged.rows() > 0) {
      for (std::int64_t r = 0; r < n; ++r) {
        const float* in = x.row(first + r);
        float* to = ranged.view().row(first + r);
        for (std::int64_t k = 0; k < x.cols; ++k)
          to[k] = range.enable ? std::min(std::max(in[k], -r_now), r_now) / r_now : in[k];
        if (a.analog_bias) to[x.cols] = 1.0F;
      }
    }
    if (!dx_wanted) return;
    const ConstMatrixView inputs_here = x.rows_from(first, n);
    if (physical)
      product.dac_backward(inputs_here, r_now, part_of(trace.phases[0].z), trace.scale.data() + first, dz.view());
    const bool sum_up = at_place.first_output > 0;  // tiles of the same inputs
    for (std::int64_t r = 0; r < n; ++r) {
      float* d = dz.view().row(r);
      if (range.enable) range_backward(inputs_here.row(r), d, x.cols, r_now, exact(), d, range_sums);
      if (call.dx.rows == 0) continue;
      float* to = call.dx.row(first + r) + at_place.first_input;
      if (sum_up) {
        for (std::int64_t k = 0; k < x.cols; ++k) to[k] += d[k];
      } else {
        std::copy_n(d, x.cols, to);
      }
    }
  });
  if (scale_wanted) add_to(tile.scale_sums, scale_parts);
  for (const RangeSums& sums : range_parts) tile.range += sums;

  // Gradient of the tile weights: sums of outer products.
  const std::int64_t spans = static_cast<std::int64_t>(tile.weight_sums.size());
  const auto outer = [&](const Matrix& e, ConstMatrixView z, std::vector<Matrix>& sums) {
    if (spans == 1) {
      kernels::add_outer_products(e.view(), z, sums[0].view(), call.parallel);
      return;
    }
    parallel_for(call.parallel, spans, [&](std::int64_t s) {
      const std::int64_t first = rows * s / spans;
      const std::int64_t count = rows * (s + 1) / spans - first;
      kernels::add_outer_products(e.view().rows_from(first, count), z.rows_from(first, count),
                                  sums[static_cast<std::size_t>(s)].view());
    });
  };
  Matrix work;
  const auto derived = [&](ConstMatrixView z, auto&& f) {
    if (work.rows() != rows) work = Matrix::uninitialized(rows, lines);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < lines; ++k) work(r, k) = f(z(r, k), k);
    return std::as_const(work).view();
  };
  for (std::size_t p = 0; p < passes; ++p) {
    const PassGradients& d = gradients[p];
    const ConstMatrixView z = is_linear(t)        ? x
                              : ranged.rows() > 0 ? std::as_const(ranged).view()
                                                  : trace.phases[p].z.view();
    const bool negative = p == 0 && !tile.negative_sums.empty();
    std::vector<Matrix>& sums = negative ? tile.negative_sums : tile.weight_sums;
    std::vector<Matrix>& magnitudes = negative ? tile.negative_magnitude_sums : tile.magnitude_sums;
    outer(d.plain, z, sums);
    if (d.far.rows() > 0) {
      outer(d.far, derived(z, [&](float v, std::int64_t k) { return v * near[static_cast<std::size_t>(k)]; }), sums);
      outer(d.current, derived(z, [](float v, std::int64_t) { return std::fabs(v); }), magnitudes);
    }
    if (d.variance.rows() > 0 && io.w_noise_type == WeightNoiseType::PCM_READ)
      outer(d.variance, derived(z, [](float v, std::int64_t) { return v * v; }), magnitudes);
  }
}

void LearningLayer::Impl::finish_sums(std::int64_t vectors) {
  AnalogLayer::Impl& a = analog();
  const InputRangeParameter& range = rpu().pre_post.input_range;
  const bool learned = learning_ranges();
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    LearningTile& tile = tiles[t];
    const LayerTile& place = a.tiles[t];
    const TileState& state = a.state.tiles[t];
    const TilePlace& at_place = place.place;
    const auto combine = [](std::vector<Matrix>& sums) {
      for (std::size_t s = 1; s < sums.size(); ++s)
        for (std::size_t i = 0; i < sums[0].values().size(); ++i) sums[0].values()[i] += sums[s].values()[i];
    };
    combine(tile.weight_sums);
    combine(tile.magnitude_sums);
    combine(tile.negative_sums);
    combine(tile.negative_magnitude_sums);
    const kernels::PackedMatrix& used = place.product.weights();
    const Matrix& k_factor = place.product.frozen().w_asymmetry;
    for (std::int64_t i = 0; i < at_place.outputs; ++i) {
      const float m = at(place.mapping_scale, static_cast<std::size_t>(i));
      for (std::int64_t k = 0; k < used.inputs(); ++k) {
        float d = tile.weight_sums[0](i, k);
        const auto sign_of = [](float w) { return w > 0.0F ? 1.0F : (w < 0.0F ? -1.0F : 0.0F); };
        if (!tile.magnitude_sums.empty()) d += sign_of(used(i, k)) * tile.magnitude_sums[0](i, k);
        if (!tile.negative_sums.empty()) {
          float other = tile.negative_sums[0](i, k);
          if (!tile.negative_magnitude_sums.empty())
            other += sign_of(used(i, k) * k_factor(i, k)) * tile.negative_magnitude_sums[0](i, k);
          d += k_factor(i, k) * other;
        }
        if (k < at_place.inputs)
          weight_gradient(at_place.first_output + i, at_place.first_input + k) += d / m;
        else
          bias_gradient[static_cast<std::size_t>(i)] += d / m;
      }
    }

    // Scales: y = o Q(S), S = r m s, or o (r m) s.
    std::vector<float> d_scale(tile.scale_sums.begin(), tile.scale_sums.end());  // of what multiplies o
    if (!place.quantized.values.empty()) {
      // Sums over outputs for a scale that all share.
      if (place.merged.size() == 1)
        d_scale = {static_cast<float>([&] {
          double sum = 0.0;
          for (const double v : tile.scale_sums) sum += v;
          return sum;
        }())};
      const quant::UniformQuantizer quantizer =
          periphery_quantizer(rpu().pre_post.periph_quant, place.merged, state.scale_quantizer, "scale");
      const auto n = static_cast<std::int64_t>(place.merged.size());
      const quant::ChannelLayout layout{1, quantizer.channels(), n / quantizer.channels()};
      if (learned) tile.scale_range.add(quantizer.range_gradient(layout, place.merged, d_scale));
      quantizer.backward(layout, place.merged, d_scale, d_scale);
    }
    double d_range = 0.0;
    for (std::size_t i = 0; i < d_scale.size(); ++i) {
      const float m = at(place.mapping_scale, i);
      const float s = at(state.output_scale, i);
      const float r = range.enable ? state.input_range : 1.0F;
      d_range += static_cast<double>(d_scale[i]) * static_cast<double>(m) * static_cast<double>(s);
      if (!state.output_scale.empty())
        tile.output_scale_gradient[state.output_scale.size() == 1 ? 0 : i] += d_scale[i] * r * m;
    }
    if (!range.enable) continue;
    const auto r = static_cast<double>(state.input_range);
    double gradient = tile.range.clipping;
    if (range.gradient_relative) gradient *= r * range.gradient_scale;
    if (range.manage_output_clipping) {
      const double unclipped = 1.0 - static_cast<double>(tile.range.clipped_outputs) /
                                         static_cast<double>(vectors * place.product.outputs());
      if (unclipped < range.output_min_percentage) gradient -= (1.0 - unclipped) * r;
    }
    const double inside = static_cast<double>(tile.range.inside) / static_cast<double>(vectors * at_place.inputs);
    if (range.decay > 0.0 && inside > range.input_min_percentage) gradient += range.decay * r;
    // A perfect product behind an exact scale cancels what the division by r contributes.
    if (exact() && needs_outputs(static_cast<std::int64_t>(t)) &&
        (!place.product.perfect() || !place.quantized.values.empty()))
      gradient += d_range - tile.range.ordinary / r;
    tile.input_range_gradient += static_cast<float>(gradient);
  }
  if (a.bias.empty()) return;
  std::vector<float> d_bias(bias_sums.begin(), bias_sums.end());
  if (!a.quantized_bias.values.empty()) {
    const quant::UniformQuantizer quantizer =
        periphery_quantizer(rpu().pre_post.periph_quant, a.bias, a.state.bias_quantizer, "bias");
    const auto n = static_cast<std::int64_t>(a.bias.size());
    const quant::ChannelLayout layout{1, quantizer.channels(), n / quantizer.channels()};
    if (learned) bias_range.add(quantizer.range_gradient(layout, a.bias, d_bias));
    quantizer.backward(layout, a.bias, d_bias, d_bias);
  }
  for (std::size_t i = 0; i < d_bias.size(); ++i) bias_gradient[i] += d_bias[i];
}

}  // namespace tessera::tile
