#include <algorithm>
#include <cmath>

#include "tessera/kernels/outer_product.hpp"
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

// Gradients at a pass of the tile for all vectors of the block: [vectors, outputs] each.
struct PassGradients {
  Matrix plain;     // of sum W z
  Matrix far;       // of sum W z (1 - k/n)^2
  Matrix current;   // of sum |W| |z|
  Matrix variance;  // of sum |W| z^2
};

float sign_of(float v) {
  return v > 0.0F ? 1.0F : (v < 0.0F ? -1.0F : 0.0F);
}

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
        passes_(physical_ ? trace_.phases.size() : 1) {
    const std::vector<float>& late = place_.late_scale;
    for (std::size_t i = 0; i < static_cast<std::size_t>(outputs_); ++i)
      factor_.push_back(factor_at(place_.scale, i) * factor_at(late, i));
    if (range_.enable) r_now_ = layer.analog().state.tiles[static_cast<std::size_t>(t)].input_range;
    if (physical_ && io_.ir_drop > 0.0) near_ = product_.near_factors();
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
  void make_room() {
    gradients_.resize(passes_);
    for (std::size_t p = 0; p < passes_; ++p) {
      PassGradients& d = gradients_[p];
      d.plain = Matrix::uninitialized(rows_, outputs_);
      if (!physical_) continue;
      if (trace_.phases[p].drop.rows() > 0) {
        d.far = Matrix::uninitialized(rows_, outputs_);
        d.current = Matrix::uninitialized(rows_, outputs_);
      }
      if (trace_.phases[p].variance.rows() > 0) d.variance = Matrix::uninitialized(rows_, outputs_);
    }
    // What the transposed product multiplies: straight-through sees the lines, perfect_product the ranged input.
    if (!physical_ && !product_.perfect()) ranged_ = Matrix::uninitialized(rows_, lines_);
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
      if (dx_wanted_) kernels::multiply(tile_.transposed, gradients_[0].plain.view().rows_from(first, n), dz.view());
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
    const MatrixView plain = gradients_[0].plain.view().rows_from(first, n);
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

  void pass_gradients(std::size_t p, std::int64_t first, std::int64_t n, const Matrix& scaled) {
    PassGradients& d = gradients_[p];
    const PhaseTrace& phase = trace_.phases[p];
    const bool drops = phase.drop.rows() > 0;
    const bool varies = phase.variance.rows() > 0;
    for (std::int64_t r = 0; r < n; ++r) {
      const float* s = scaled.view().row(r);
      float* e = d.plain.view().row(first + r);
      const float* slope = phase.slope.view().row(first + r);
      for (std::int64_t i = 0; i < outputs_; ++i) e[i] = s[i] * slope[i];
      if (drops) {
        const float* c = phase.drop.view().row(first + r);
        const float* q = phase.current.view().row(first + r);
        float* far = d.far.view().row(first + r);
        float* current = d.current.view().row(first + r);
        for (std::int64_t i = 0; i < outputs_; ++i) {
          far[i] = e[i] * c[i];
          current[i] = e[i] * q[i];
          e[i] -= far[i];
        }
      }
      if (varies) {
        const float* v = phase.variance.view().row(first + r);
        float* h = d.variance.view().row(first + r);
        for (std::int64_t i = 0; i < outputs_; ++i) h[i] = s[i] * v[i];
      }
    }
  }

  // Adds what a pass gives to the gradient dz of the lines; `part` is work space.
  void line_gradients(std::size_t p, std::int64_t first, std::int64_t n, const Matrix& scaled, Matrix& dz,
                      Matrix& part) const {
    const PassGradients& d = gradients_[p];
    const PhaseTrace& phase = trace_.phases[p];
    const kernels::PackedMatrix& transposed = p == 0 && tile_.negative ? *tile_.negative : tile_.transposed;
    const auto rows = [&](const Matrix& m) { return m.view().rows_from(first, n); };
    const bool drops = phase.drop.rows() > 0;
    const bool varies = phase.variance.rows() > 0;
    if (passes_ == 1) {
      kernels::multiply(transposed, rows(d.plain), dz.view());
    } else {
      kernels::multiply(transposed, rows(d.plain), part.view());
      add(p, first, part, dz, [](float v, float, std::int64_t) { return v; });
    }
    if (drops) {
      const float* near = near_.data();
      kernels::multiply(transposed, rows(d.far), part.view());
      add(p, first, part, dz, [near](float v, float, std::int64_t k) { return v * near[k]; });
      kernels::multiply_magnitudes(transposed, rows(d.current), part.view());
      add(p, first, part, dz, [](float v, float line, std::int64_t) { return sign_of(line) * v; });
    }
    if (varies) {
      if (io_.w_noise_type == WeightNoiseType::PCM_READ)
        kernels::multiply_magnitudes(transposed, rows(d.variance), part.view());
      else
        spread(part, n, [&](std::int64_t r, std::int64_t i) { return d.variance(first + r, i); });
      add(p, first, part, dz, [](float v, float line, std::int64_t) { return 2.0F * line * v; });
    }
    if (phase.slope_sum.rows() > 0) {
      spread(part, n, [&](std::int64_t r, std::int64_t i) { return scaled(r, i) * phase.slope_sum(first + r, i); });
      add(p, first, part, dz, [](float v, float, std::int64_t) { return v; });
    }
  }

  // Every line of vector r gets the sum over outputs of term(r, i).
  template <class Term>
  void spread(Matrix& part, std::int64_t n, Term&& term) const {
    for (std::int64_t r = 0; r < n; ++r) {
      float sum = 0.0F;
      for (std::int64_t i = 0; i < outputs_; ++i) sum += term(r, i);
      std::fill_n(part.view().row(r), lines_, sum);
    }
  }

  // dz += share term(part, line), where the pass sees the line: with separate signs, the first pass sees those below
  // zero, the second the others.
  template <class Term>
  void add(std::size_t p, std::int64_t first, const Matrix& part, Matrix& dz, Term&& term) const {
    const bool signs =
        io_.mv_type == AnalogMVType::POS_NEG_SEPARATE || io_.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
    const float share = trace_.z_share[p];
    for (std::int64_t r = 0; r < dz.rows(); ++r) {
      float* const to = dz.view().row(r);
      const float* const from = part.view().row(r);
      const float* const line = trace_.phases[p].z.view().row(first + r);
      if (!signs) {
        for (std::int64_t k = 0; k < lines_; ++k) to[k] += share * term(from[k], line[k], k);
        continue;
      }
      const float* const sign = trace_.phases[0].z.view().row(first + r);
      for (std::int64_t k = 0; k < lines_; ++k)
        if ((sign[k] < 0.0F) == (p == 0)) to[k] += share * term(from[k], line[k], k);
    }
  }

  void range_inputs(std::int64_t first, std::int64_t n) {
    for (std::int64_t r = first; r < first + n; ++r) {
      const float* in = x_.row(r);
      float* to = ranged_.view().row(r);
      for (std::int64_t k = 0; k < x_.cols; ++k)
        to[k] = range_.enable ? std::min(std::max(in[k], -r_now_), r_now_) / r_now_ : in[k];
      if (layer_.analog().analog_bias) to[x_.cols] = 1.0F;
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
      if (call_.dx.rows == 0) continue;
      float* to = call_.dx.row(first + r) + place_.place.first_input;
      if (sum_up) {
        for (std::int64_t k = 0; k < x.cols; ++k) to[k] += d[k];
      } else {
        std::copy_n(d, x.cols, to);
      }
    }
  }

  // Gradient of the tile weights from one pass: sums of outer products.
  void weight_sums(std::size_t p) {
    const PassGradients& d = gradients_[p];
    const ConstMatrixView z = linear_              ? x_
                              : ranged_.rows() > 0 ? std::as_const(ranged_).view()
                                                   : trace_.phases[p].z.view();
    const bool negative = p == 0 && !tile_.negative_sums.empty();
    std::vector<Matrix>& sums = negative ? tile_.negative_sums : tile_.weight_sums;
    std::vector<Matrix>& magnitudes = negative ? tile_.negative_magnitude_sums : tile_.magnitude_sums;
    add_outer(d.plain, z, sums);
    if (d.far.rows() > 0) {
      const float* near = near_.data();
      add_outer(d.far, derived(z, [near](float v, std::int64_t k) { return v * near[k]; }), sums);
      add_outer(d.current, derived(z, [](float v, std::int64_t) { return std::fabs(v); }), magnitudes);
    }
    if (d.variance.rows() > 0 && io_.w_noise_type == WeightNoiseType::PCM_READ)
      add_outer(d.variance, derived(z, [](float v, std::int64_t) { return v * v; }), magnitudes);
  }

  void add_outer(const Matrix& e, ConstMatrixView z, std::vector<Matrix>& sums) const {
    const std::int64_t spans = std::ssize(tile_.weight_sums);
    if (spans == 1) return kernels::add_outer_products(e.view(), z, sums[0].view(), call_.parallel);
    parallel_for(call_.parallel, spans, [&](std::int64_t s) {
      const std::int64_t first = rows_ * s / spans;
      const std::int64_t count = rows_ * (s + 1) / spans - first;
      kernels::add_outer_products(e.view().rows_from(first, count), z.rows_from(first, count),
                                  sums[static_cast<std::size_t>(s)].view());
    });
  }

  template <class Function>
  ConstMatrixView derived(ConstMatrixView z, Function&& f) {
    if (work_.rows() != rows_) work_ = Matrix::uninitialized(rows_, lines_);
    for (std::int64_t r = 0; r < rows_; ++r) {
      const float* from = z.row(r);
      float* to = work_.view().row(r);
      for (std::int64_t k = 0; k < lines_; ++k) to[k] = f(from[k], k);
    }
    return std::as_const(work_).view();
  }

  Impl& layer_;
  const BlockCall& call_;
  const LayerTile& place_;
  LearningTile& tile_;
  const AnalogProduct& product_;
  const IOParameters& io_;
  const InputRangeParameter& range_;
  const ProductTrace& trace_;
  MatrixView g_;       // of y, behind the tile's own activation quantizer
  ConstMatrixView x_;  // of this tile
  std::int64_t rows_, outputs_, lines_;
  bool physical_, linear_, scale_wanted_, dx_wanted_;
  std::size_t passes_;
  float r_now_ = 0.0F;
  std::vector<float> factor_;  // what multiplies the product's output
  std::vector<float> near_;
  std::vector<PassGradients> gradients_;
  Matrix ranged_, work_;
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
