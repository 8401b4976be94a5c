#pragma once
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tessera/tile/effects.hpp"
#include "tessera/tile/learning.hpp"
#include "tile/test_layers.hpp"

/// A learning layer's pass written out in double precision, value by value, to be differentiated by differences.
namespace tessera::tile::testing {

inline constexpr std::int64_t inputs = 11;
inline constexpr std::int64_t outputs = 6;
inline constexpr std::int64_t vectors = 9;

// Everything the pass depends on that can be differentiated.
struct Point {
  std::vector<double> w;
  std::vector<double> b;
  std::vector<double> x;
  std::vector<double> r;      // per tile
  std::vector<double> s;      // per tile and output of it
  std::vector<double> delta;  // of the scales' quantizer, per tile; then of the bias
  // Of activation quantizers: of every tile where there are several, then of the sum. Zero points: asymmetric only.
  std::vector<double> step;
  std::vector<double> zero;
};

// Rounding q(v) = step rint(v / step): at the first pass the constants q(v) - v are noted, later passes add them.
class Rounding {
 public:
  void rewind() { next_ = 0; }
  double operator()(double v, double step) {
    if (step <= 0.0) return v;
    if (next_ == constants_.size()) constants_.push_back(step * std::rint(v / step) - v);
    return v + constants_[next_++];
  }
  // Clipping keeps the side on which a value was.
  double clip(double v, double bound) {
    if (next_ == constants_.size()) constants_.push_back(v > bound ? 1.0 : (v < -bound ? -1.0 : 0.0));
    const double side = constants_[next_++];
    return side > 0.0 ? bound : (side < 0.0 ? -bound : v);
  }
  // What a forward pass computes from data but passes no gradient on to.
  double constant(double v) {
    if (next_ == constants_.size()) constants_.push_back(v);
    return constants_[next_++];
  }

 private:
  std::vector<double> constants_;
  std::size_t next_ = 0;
};

inline double converter_step(double bound, double res) {
  if (bound <= 0.0 || res <= 0.0) return 0.0;
  return 2.0 * bound * (res > 1.0 ? 1.0 / res : res);
}

class Model {
 public:
  Model(const LearningLayer& layer, std::uint64_t seed) : layer_(layer), analog_(layer.analog_layer()), seed_(seed) {}

  int clipped_activations = 0;  // in the last run

  std::vector<double> run(const Point& p) {
    rounding_.rewind();
    clipped_activations = 0;
    const RpuParameters& rpu = layer_.parameters();
    const bool quantized = rpu.pre_post.periph_quant.n_bits > 0;
    std::vector<double> y(static_cast<std::size_t>(vectors * outputs), 0.0);
    for (std::int64_t t = 0; t < analog_.tile_count(); ++t) {
      const TilePlace at = analog_.place(t);
      const std::vector<float> m = analog_.tile_report(t).mapping_scale;
      for (std::int64_t v = 0; v < vectors; ++v) {
        const std::vector<double> o = product(p, t, v);
        const bool own = !p.step.empty() && analog_.tile_count() > 1;
        for (std::int64_t i = 0; i < at.outputs; ++i) {
          double scale = m.empty() ? 1.0 : static_cast<double>(m[m.size() == 1 ? 0 : static_cast<std::size_t>(i)]);
          if (rpu.pre_post.input_range.enable) scale *= p.r[static_cast<std::size_t>(t)];
          if (!p.s.empty()) scale *= p.s[static_cast<std::size_t>(t * outputs + i)];
          if (quantized) scale = quantize(scale, p.delta[static_cast<std::size_t>(t)], false);
          const double result = o[static_cast<std::size_t>(i)] * scale;
          y[static_cast<std::size_t>(v * outputs + at.first_output + i)] +=
              own ? activation(p, static_cast<std::size_t>(t), result) : result;
        }
      }
    }
    for (std::int64_t v = 0; v < vectors; ++v)
      for (std::int64_t i = 0; i < outputs; ++i) {
        const double b = analog_bias() ? 0.0 : p.b[static_cast<std::size_t>(i)];
        double& sum = y[static_cast<std::size_t>(v * outputs + i)];
        sum += quantized ? quantize(b, p.delta.back(), true) : b;
        if (!p.step.empty()) sum = activation(p, p.step.size() - 1, sum);
      }
    return y;
  }

 private:
  bool analog_bias() const { return !layer_.parameters().mapping.digital_bias && analog_.tile_count() == 1; }

  // delta * (code): the code as a straight-through function of value / delta.
  double quantize(double value, double delta, bool is_signed) {
    const int bits = layer_.parameters().pre_post.periph_quant.n_bits;
    const double high = is_signed ? std::ldexp(1.0, bits - 1) - 1.0 : std::ldexp(1.0, bits) - 1.0;
    const double low = is_signed ? -std::ldexp(1.0, bits - 1) : 0.0;
    const double quotient = value / delta;
    const double rounded = rounding_(quotient, 1.0);
    const double code = rounding_.constant(std::rint(quotient));
    return delta * (code > high ? high : (code < low ? low : rounded));
  }

  // step (clip(rne(value / step) + z) - z), z = rne(zero).
  double activation(const Point& p, std::size_t i, double value) {
    const int bits = layer_.parameters().act_quant_config->n_bits;
    const double high = std::ldexp(1.0, p.zero.empty() ? bits - 1 : bits) - 1.0;
    const double low = p.zero.empty() ? -std::ldexp(1.0, bits - 1) : 0.0;
    const double z = p.zero.empty() ? 0.0 : rounding_(p.zero[i], 1.0);
    const double quotient = value / p.step[i];
    const double code = rounding_.constant(std::rint(quotient) + z);
    const double rounded = rounding_(quotient, 1.0) + z;
    if (code < low || code > high) ++clipped_activations;
    return p.step[i] * ((code > high ? high : (code < low ? low : rounded)) - z);
  }

  double draw(random::Purpose purpose, std::int64_t tile, std::int64_t element, std::uint32_t event = 0) const {
    random::Address address{.seed = seed_};
    address.tile = static_cast<std::uint32_t>(tile);
    return static_cast<double>(
        random::normal(random::Stream(address, purpose), event, static_cast<std::uint64_t>(element)));
  }

  std::vector<double> product(const Point& p, std::int64_t t, std::int64_t v) {
    const RpuParameters& rpu = layer_.parameters();
    const IOParameters& io = rpu.forward;
    const TilePlace at = analog_.place(t);
    const std::vector<float> m = analog_.tile_report(t).mapping_scale;
    const bool bias_line = analog_bias();
    const auto ends = static_cast<std::size_t>(at.inputs);
    const std::size_t n = ends + (bias_line ? 1 : 0);
    std::vector<double> u(n);
    if (bias_line) u[ends] = rpu.pre_post.input_range.enable ? 1.0 / p.r[static_cast<std::size_t>(t)] : 1.0;
    for (std::size_t k = 0; k < ends; ++k) {
      u[k] = p.x[static_cast<std::size_t>(v * inputs + at.first_input) + k];
      if (rpu.pre_post.input_range.enable) {
        const double r = p.r[static_cast<std::size_t>(t)];
        u[k] = rounding_.clip(u[k] / r, 1.0);
      }
    }
    std::vector<double> o(static_cast<std::size_t>(at.outputs));
    const auto weight = [&](std::int64_t i, std::size_t k) {
      const double scale = m.empty() ? 1.0 : static_cast<double>(m[m.size() == 1 ? 0 : static_cast<std::size_t>(i)]);
      if (k == ends) return p.b[static_cast<std::size_t>(i)] / scale;
      return p.w[static_cast<std::size_t>((at.first_output + i) * inputs + at.first_input) + k] / scale;
    };
    if (io.is_perfect) {
      for (std::int64_t i = 0; i < at.outputs; ++i)
        for (std::size_t k = 0; k < n; ++k) o[static_cast<std::size_t>(i)] += weight(i, k) * u[k];
      return o;
    }
    double largest = 0.0;
    for (const double value : u) largest = std::max(largest, std::fabs(value));
    double c = 1.0;
    if (io.noise_management == NoiseManagementType::ABS_MAX) c = rounding_.constant(1.0 / largest);
    const double step = converter_step(io.inp_bound, io.inp_res);
    std::vector<double> z(n);
    for (std::size_t k = 0; k < n; ++k) {
      z[k] = rounding_(u[k] * c, step);
      if (io.inp_bound > 0.0 && k < ends) z[k] = rounding_.clip(z[k], io.inp_bound);
      if (io.inp_noise > 0.0)
        z[k] += io.inp_noise *
                draw(random::Purpose::input_noise, t, v * static_cast<std::int64_t>(n) + static_cast<std::int64_t>(k));
      if (z[k] < 0.0) z[k] *= 1.0 - io.inp_asymmetry;
    }
    std::vector<std::vector<double>> passes{z};
    const bool digital = io.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
    const bool separate = digital || io.mv_type == AnalogMVType::POS_NEG_SEPARATE;
    if (separate) {
      passes.assign(2, z);
      for (std::size_t k = 0; k < n; ++k) {
        passes[0][k] = std::min(z[k], 0.0);
        passes[1][k] = std::max(z[k], 0.0);
      }
    }
    for (std::vector<double>& pass : passes)
      for (double& line : pass)
        for (const Effect& effect : effects())
          if (effect.line_reference != nullptr) line = effect.line_reference(io, line);
    const FrozenDraws& frozen = analog_.frozen(t);
    // Saturation, noise and ADC of one conversion.
    const auto convert = [&](std::int64_t i, double current, double together, std::uint32_t event) {
      for (const Effect& effect : effects())
        if (effect.column_reference != nullptr)
          current = effect.column_reference(io, frozen, static_cast<std::size_t>(i), current);
      if (io.out_noise > 0.0 || together > 0.0)
        current += std::sqrt(io.out_noise * io.out_noise + together) *
                   draw(random::Purpose::output_noise, t, v * at.outputs + i, event);
      current = rounding_(current, converter_step(io.out_bound, io.out_res));
      return io.out_bound > 0.0 ? rounding_.clip(current, io.out_bound) : current;
    };
    for (std::int64_t i = 0; i < at.outputs; ++i) {
      double current = 0.0;
      double together = 0.0;  // variance of read noise drawn with the output noise
      for (std::size_t pass = 0; pass < passes.size(); ++pass) {
        const bool negative = separate && pass == 0 && frozen.w_asymmetry.rows() > 0;
        double sum = 0.0;
        double magnitude = 0.0;
        double far = 0.0;
        double variance = 0.0;
        double plain = 0.0;
        for (std::size_t k = 0; k < n; ++k) {
          double w = weight(i, k);
          if (negative) w *= static_cast<double>(frozen.w_asymmetry(i, static_cast<std::int64_t>(k)));
          const double line = passes[pass][k];
          const double position = 1.0 - static_cast<double>(k) / static_cast<double>(n);
          sum += w * line;
          magnitude += std::fabs(w * line);
          far += w * line * (1.0 - position * position);
          variance += std::fabs(w) * line * line;
          plain += line;
        }
        if (io.ir_drop > 0.0) {
          const double a = static_cast<double>(n) / io.ir_drop_g_ratio * magnitude;
          sum -= io.ir_drop * a * (a * (0.05 * a - 0.2) + 0.5) * far;
        }
        if (!frozen.v_offset.empty()) {
          const auto offset = static_cast<double>(frozen.v_offset[static_cast<std::size_t>(i)]);
          const auto limited = [&](double value) { return value / (1.0 + io.r_series * std::fabs(value)); };
          const double reference = -io.v_offset_w_min * plain;
          if (io.v_offset_w_min == 0.0)
            sum = (1.0 - offset) * limited(sum);
          else if (io.r_series > 0.0)
            sum = (1.0 - offset) * limited(sum + reference) - (1.0 + offset) * limited(reference);
          else
            sum = (1.0 - offset) * sum - 2.0 * offset * reference;
        }
        if (io.w_noise > 0.0) {
          if (io.w_noise_type == WeightNoiseType::ADDITIVE_CONSTANT) {
            variance = 0.0;
            for (const double line : passes[pass]) variance += line * line;
          }
          if ((!separate || digital) && !frozen.saturates() && io.out_asymmetry == 0.0)
            together = io.w_noise * io.w_noise * variance;
          else
            sum += io.w_noise * std::sqrt(variance) *
                   draw(random::Purpose::weight_read_noise, t, v * at.outputs + i, static_cast<std::uint32_t>(pass));
        }
        current += digital ? convert(i, sum, together, static_cast<std::uint32_t>(pass)) : sum;
      }
      if (!digital) current = convert(i, current, together, 0);
      o[static_cast<std::size_t>(i)] = current * io.out_scale / c;
    }
    return o;
  }

  const LearningLayer& layer_;
  AnalogLayer analog_;
  std::uint64_t seed_;
  Rounding rounding_;
};

}  // namespace tessera::tile::testing
