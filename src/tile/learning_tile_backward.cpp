#include <algorithm>
#include <cmath>

#include "tile/blocks.hpp"
#include "tile/learning_backward.hpp"

// Gradients of one tile for a block of vectors: backwards through the output stage, the passes of the product and the
// input range to dx, and the sums of outer products that are the gradient of the tile weights.
namespace tessera::tile {
namespace {

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

/// Gradients at a pass of the tile for all vectors of the block: [vectors, outputs] each.
struct PassGradients {
  MatrixView columns;   // of the engine's v
  MatrixView variance;  // of its variance (PCM_READ) or of sum z^2 (ADDITIVE_CONSTANT); no rows without read noise
  std::vector<MatrixView> record;

  PassGradients rows_from(std::int64_t first, std::int64_t n) const {
    const auto part = [&](const MatrixView& m) { return m.rows > 0 ? m.rows_from(first, n) : m; };
    PassGradients some{part(columns), part(variance), {}};
    for (const MatrixView& m : record) some.record.push_back(part(m));
    return some;
  }
};

}  // namespace

class LearningLayer::Impl::TileBackward {
 public:
  TileBackward(Impl& layer, std::int64_t t, const BlockCall& call, MatrixView g)
      : layer_(layer),
        call_(call),
        place_(layer.analog().tiles[static_cast<std::size_t>(t)]),
        tile_(layer.tile(t)),
        product_(place_.product),
        io_(product_.io()),
        range_(layer.rpu().pre_post.input_range),
        trace_(tile_.trace),
        g_(g),
        x_(call.x.cols_from(place_.place.first_input, place_.place.inputs)),
        rows_(call.x.rows),
        outputs_(product_.outputs()),
        lines_(product_.inputs()),
        physical_(layer.exact() && !product_.perfect()),
        linear_(layer.is_linear(t)),
        scale_wanted_(layer.needs_outputs(t)),
        dx_wanted_(call.dx.rows > 0 || range_.enable),
        passes_(physical_ ? trace_.phases.size() : 1),
        common_variance_(io_.w_noise > 0.0 && io_.w_noise_type == WeightNoiseType::ADDITIVE_CONSTANT) {
    const std::vector<float>& late = place_.late_scale;
    for (std::size_t i = 0; i < static_cast<std::size_t>(outputs_); ++i)
      factor_.push_back(factor_at(place_.scale, i) * factor_at(late, i));
    if (range_.enable) r_now_ = layer.analog().state.tiles[static_cast<std::size_t>(t)].input_range;
    bias_line_ = layer.analog().bias_line(t);
    bias_line_follows_range_ = bias_line_ > 0.0F && range_.enable && !layer.rpu().mapping.bias_line_as_input;
    make_room();
  }

  void run() {
    const std::int64_t task_rows = rows_per_task(lines_ + outputs_);
    const std::int64_t tasks = (rows_ + task_rows - 1) / task_rows;
    std::vector<std::vector<double>> scale_parts(static_cast<std::size_t>(tasks));
    std::vector<RangeSums> range_parts(static_cast<std::size_t>(tasks));
    parallel_for_blocks(call_.parallel, rows_, task_rows, [&](std::int64_t b, std::int64_t first, std::int64_t last) {
      vectors(first, last - first, scale_parts[static_cast<std::size_t>(b)], range_parts[static_cast<std::size_t>(b)]);
    });
    if (scale_wanted_) add_to(tile_.scale_sums, scale_parts);
    for (const RangeSums& sums : range_parts) tile_.range += sums;
    for (std::size_t p = 0; p < passes_; ++p) weight_sums(p);
  }

 private:
  // The gradients of a traced pass take the place of its derivatives.
  void make_room() {
    for (std::size_t p = 0; p < passes_ && physical_; ++p) {
      PhaseTrace& phase = trace_.phases[p];
      gradients_.push_back({phase.slope.view(), phase.variance.view(), {}});
      for (Matrix& m : phase.engine) gradients_.back().record.push_back(m.view());
    }
    if (physical_) return;
    plain_ = Matrix::uninitialized(rows_, outputs_);
    gradients_.push_back({plain_.view(), {}, {}});
    // What the transposed product multiplies: straight-through sees the lines, perfect_product the ranged input.
    if (!product_.perfect()) ranged_ = Matrix::uninitialized(rows_, lines_);
  }

  void vectors(std::int64_t first, std::int64_t n, std::vector<double>& scale_sums, RangeSums& range_sums) {
    const Matrix scaled = output_stage(first, n, scale_sums);
    if (range_.enable && range_.manage_output_clipping)
      for (std::int64_t r = first; r < first + n; ++r)
        range_sums.clipped_outputs += trace_.clipped[static_cast<std::size_t>(r)];
    Matrix dz, part;
    if (dx_wanted_) {
      dz = Matrix(n, lines_);
      part = Matrix::uninitialized(n, lines_);
    }
    if (physical_) {
      for (std::size_t p = 0; p < passes_; ++p) {
        pass_gradients(p, first, n, scaled);
        if (dx_wanted_) line_gradients(p, first, n, scaled, dz, part);
      }
    } else {
      plain_gradients(first, n, scaled);
      if (dx_wanted_) tile_.backward.engine->lines({}, plain_.view().rows_from(first, n), {}, {}, dz.view());
    }
    if (ranged_.rows() > 0) range_inputs(first, n);
    if (dx_wanted_) input_gradients(first, n, dz, range_sums);
  }

  // The gradient of o, and the sums for the scale.
  Matrix output_stage(std::int64_t first, std::int64_t n, std::vector<double>& sums) const {
    Matrix scaled = Matrix::uninitialized(n, outputs_);
    if (scale_wanted_) sums.assign(static_cast<std::size_t>(outputs_), 0.0);
    for (std::int64_t r = 0; r < n; ++r) {
      const float* in = g_.row(first + r);
      float* out = scaled.view().row(r);
      if (scale_wanted_) {
        const float* o = trace_.o.view().row(first + r);
        for (std::int64_t i = 0; i < outputs_; ++i)
          sums[static_cast<std::size_t>(i)] += static_cast<double>(in[i]) * static_cast<double>(o[i]);
      }
      for (std::int64_t i = 0; i < outputs_; ++i) out[i] = in[i] * factor_[static_cast<std::size_t>(i)];
    }
    return scaled;
  }

  // Without the physics: a product times out_scale.
  void plain_gradients(std::int64_t first, std::int64_t n, const Matrix& scaled) {
    const MatrixView plain = plain_.view().rows_from(first, n);
    const auto constant = static_cast<float>(io_.out_scale);
    for (std::int64_t r = 0; r < n; ++r)
      for (std::int64_t i = 0; i < outputs_; ++i) plain(r, i) = scaled(r, i) * constant;
    // Of the peer's compiled engine: outputs at their bound pass nothing where the bound refers to the static range.
    const bool mask = !layer_.exact() && !product_.perfect() && range_.enable &&
                      io_.noise_management == NoiseManagementType::NONE &&
                      io_.bound_management == BoundManagementType::NONE;
    if (!mask) return;
    const float bound = 0.999F * constant * product_.output_bound();
    for (std::int64_t r = 0; r < n; ++r)
      for (std::int64_t i = 0; i < outputs_; ++i)
        if (std::fabs(trace_.o(first + r, i)) >= bound) plain(r, i) = 0.0F;
  }

  void pass_gradients(std::size_t p, std::int64_t first, std::int64_t n, const Matrix& scaled) const {
    const PassGradients d = gradients_[p].rows_from(first, n);
    for (const MatrixView& m : {d.columns, d.variance})
      for (std::int64_t r = 0; r < m.rows; ++r) {
        const float* s = scaled.view().row(r);
        float* e = m.row(r);
        for (std::int64_t i = 0; i < outputs_; ++i) e[i] = s[i] * e[i];
      }
    engine(p).prepare(d.columns, d.record);
  }

  // Adds what a pass gives to the gradient dz of the lines; `part` is work space.
  void line_gradients(std::size_t p, std::int64_t first, std::int64_t n, const Matrix& scaled, Matrix& dz,
                      Matrix& part) const {
    const PassGradients d = gradients_[p].rows_from(first, n);
    const PhaseTrace& phase = trace_.phases[p];
    const ConstMatrixView z = phase.z.view().rows_from(first, n);
    Matrix& sum = passes_ == 1 ? dz : part;
    engine(p).lines(z, d.columns, engine_variance(d), d.record, sum.view());
    for (std::int64_t r = 0; r < n; ++r) {
      float* to = sum.view().row(r);
      if (common_variance_) {
        float variance = 0.0F;
        for (std::int64_t i = 0; i < outputs_; ++i) variance += d.variance(r, i);
        for (std::int64_t k = 0; k < lines_; ++k) to[k] += 2.0F * z(r, k) * variance;
      }
      if (phase.slope_sum.rows() > 0) {
        float all = 0.0F;
        for (std::int64_t i = 0; i < outputs_; ++i) all += scaled(r, i) * phase.slope_sum(first + r, i);
        for (std::int64_t k = 0; k < lines_; ++k) to[k] += all;
      }
      if (phase.line_slope.rows() > 0)
        for (std::int64_t k = 0; k < lines_; ++k) to[k] *= phase.line_slope(first + r, k);
    }
    if (passes_ > 1) add(p, first, part, dz);
  }

  // Of the pass p, with its own weights in the negative one.
  EngineBackward& engine(std::size_t p) const {
    const TileDerivatives& backward = tile_.backward;
    return physical_ && p == 0 && backward.negative ? *backward.negative : *backward.engine;
  }
  ConstMatrixView engine_variance(const PassGradients& d) const {
    return common_variance_ ? ConstMatrixView() : ConstMatrixView(d.variance);
  }

  // dz += share part, where the pass sees the line: with separate signs, the first pass sees those below zero, the
  // second the others.
  void add(std::size_t p, std::int64_t first, const Matrix& part, Matrix& dz) const {
    const bool signs =
        io_.mv_type == AnalogMVType::POS_NEG_SEPARATE || io_.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
    const float share = trace_.z_share[p];
    for (std::int64_t r = 0; r < dz.rows(); ++r) {
      float* const to = dz.view().row(r);
      const float* const from = part.view().row(r);
      const float* const sign = trace_.phases[0].z.view().row(first + r);
      for (std::int64_t k = 0; k < lines_; ++k)
        if (!signs || (sign[k] < 0.0F) == (p == 0)) to[k] += share * from[k];
    }
  }

  void range_inputs(std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) {
      const float* in = x_.row(r);
      float* to = ranged_.view().row(r);
      for (std::int64_t k = 0; k < x_.cols; ++k)
        to[k] = range_.enable ? std::min(std::max(in[k], -r_now_), r_now_) / r_now_ : in[k];
      if (layer_.analog().analog_bias) to[x_.cols] = bias_line_;
    }
  }

  void input_gradients(std::int64_t first, std::int64_t n, Matrix& dz, RangeSums& range_sums) const {
    const ConstMatrixView x = x_.rows_from(first, n);
    if (physical_)
      product_.dac_backward(x, r_now_, trace_.phases[0].z.view().rows_from(first, n), trace_.scale.data() + first,
                            dz.view());
    const bool sum_up = place_.place.first_output > 0;  // tiles of the same inputs
    for (std::int64_t r = 0; r < n; ++r) {
      float* d = dz.view().row(r);
      if (range_.enable) range_backward(x.row(r), d, x.cols, r_now_, layer_.exact(), d, range_sums);
      if (bias_line_follows_range_) {
        const float c = physical_ ? trace_.scale[static_cast<std::size_t>(first + r)] : 1.0F;
        range_sums.ordinary += static_cast<double>(d[x.cols] * c / r_now_);
      }
      if (call_.dx.rows == 0) continue;
      float* to = call_.dx.row(first + r) + place_.place.first_input;
      if (sum_up) {
        for (std::int64_t k = 0; k < x.cols; ++k) to[k] += d[k];
      } else {
        std::copy_n(d, x.cols, to);
      }
    }
  }

  // Gradient of the tile weights from one pass.
  void weight_sums(std::size_t p) {
    const PassGradients& d = gradients_[p];
    const ConstMatrixView z = linear_              ? x_
                              : ranged_.rows() > 0 ? std::as_const(ranged_).view()
                                                   : std::as_const(trace_).phases[p].z.view();
    engine(p).add_weights(z, d.columns, engine_variance(d), d.record, call_.parallel);
  }

  Impl& layer_;
  const BlockCall& call_;
  const LayerTile& place_;
  LearningTile& tile_;
  const AnalogProduct& product_;
  const IOParameters& io_;
  const InputRangeParameter& range_;
  ProductTrace& trace_;
  MatrixView g_;       // of y, behind the tile's own activation quantizer
  ConstMatrixView x_;  // of this tile
  std::int64_t rows_, outputs_, lines_;
  bool physical_, linear_, scale_wanted_, dx_wanted_;
  std::size_t passes_;
  float r_now_ = 0.0F;
  float bias_line_ = 0.0F;
  bool bias_line_follows_range_ = false;
  std::vector<float> factor_;  // what multiplies the product's output
  bool common_variance_;       // that of the read noise is the same for all outputs
  std::vector<PassGradients> gradients_;
  Matrix plain_, ranged_;
};

void LearningLayer::Impl::tile_backward(std::int64_t t, const BlockCall& call, MatrixView all) {
  LayerTile& place = analog().tiles[static_cast<std::size_t>(t)];
  LearningTile& tile = this->tile(t);
  Matrix own;
  MatrixView g = all.cols_from(place.place.first_output, place.place.outputs);
  if (analog().array() && place.output_quantizer) {
    own = Matrix(g);
    g = own.view();
    Matrix values = tile.trace.o;
    multiply_columns(values.view(), place.scale);
    multiply_columns(values.view(), place.late_scale);
    quantizer_backward(*place.output_quantizer, tile.output_range, values.view(), g);
  }
  TileBackward(*this, t, call, g).run();
}

}  // namespace tessera::tile
