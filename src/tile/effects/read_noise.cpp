#include "tile/effects/read_noise.hpp"

#include <algorithm>
#include <cmath>

#include "tile/effects/law.hpp"

namespace tessera::tile {

void common_variance(ConstMatrixView z, MatrixView variance) {
  for (std::int64_t r = 0; r < z.rows; ++r) {
    double sum = 0.0;
    for (const float t : z.row_span(r)) sum += static_cast<double>(t) * static_cast<double>(t);
    std::fill_n(variance.row(r), variance.cols, static_cast<float>(sum));
  }
}

void add_read_noise(const Stage& stage, MatrixView v, PhaseTrace* record) {
  const auto scale = static_cast<float>(stage.io.w_noise);
  const ConstMatrixView variance = {stage.scratch.variance.data(), v.rows, v.cols};
  const float* xi = stage.normals(random::Purpose::weight_read_noise, v.cols, stage.scratch.draws);
  kernels::add_read_noise(v, variance, xi, scale);
  if (record == nullptr) return;
  record->variance = Matrix::uninitialized(v.rows, v.cols);
  for (std::size_t i = 0; i < record->variance.values().size(); ++i)
    record->variance.values()[i] = variance.data[i] > 0.0F ? 0.5F * scale * xi[i] / std::sqrt(variance.data[i]) : 0.0F;
}

void join_read_noise(const Stage& stage, kernels::AdcBlock& adc, PhaseTrace* record) {
  if (adc.noise == nullptr) adc.noise = stage.normals(random::Purpose::output_noise, adc.v.cols, stage.scratch.draws);
  adc.variance = stage.scratch.variance.data();
  adc.variance_factor = static_cast<float>(stage.io.w_noise * stage.io.w_noise);
  if (record == nullptr) return;
  record->variance = Matrix::uninitialized(adc.v.rows, adc.v.cols);
  for (std::int64_t r = 0; r < adc.v.rows; ++r)
    for (std::int64_t i = 0; i < adc.v.cols; ++i) {
      const std::int64_t at = r * adc.v.cols + i;
      const float std = adc.noise_stds != nullptr ? adc.noise_stds[i] : adc.noise_std;
      const float total = std * std + adc.variance_factor * adc.variance[at];
      record->variance(r, i) = total > 0.0F ? 0.5F * adc.variance_factor * adc.noise[at] / std::sqrt(total) : 0.0F;
    }
}

std::vector<Effect> read_noise() {
  return {{.name = "weight noise",
           .place = 50,
           .page = "tile_nonidealities.md",
           .law = "v_i += w_noise sqrt(sum_j |W_ij| z_j^2) xi_i",
           .keys = {key<&IOParameters::w_noise>("w_noise", non_negative, {0.05}),
                    key<&IOParameters::w_noise_type>("w_noise_type", {}, {1.0, 2.0})},
           .is_on = [](const AnalogParameters& p) { return has_read_noise(p.rpu.forward); },
           .leave_out =
               [](AnalogParameters& p) {
                 p.rpu.forward.w_noise = 0.0;
                 p.rpu.forward.w_noise_type = WeightNoiseType::NONE;
               },
           .note =
               [](const RpuParameters& p, EffectNotes& notes) {
                 const IOParameters &io = p.forward, &d = default_parameters.forward;
                 notes.unless(io.w_noise_type != WeightNoiseType::NONE, "forward.w_noise", io.w_noise, d.w_noise,
                              "w_noise_type is NONE");
                 notes.unless(io.w_noise > 0.0, "forward.w_noise_type", io.w_noise_type, d.w_noise_type,
                              "w_noise is 0");
               },
           .needs = analog_needs()}};
}

}  // namespace tessera::tile
