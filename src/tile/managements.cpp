#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tile/analog_product.hpp"
#include "tile/blocks.hpp"

// Noise and bound management: with what scale every vector passes the tile, and which are repeated with another.
namespace tessera::tile {
namespace {

constexpr float assumed_largest_weight = 0.6F;  // of ABS_MAX_NP_SUM

float largest_of(std::span<const float> x) {
  float largest = 0.0F;
  for (const float v : x) largest = std::max(largest, std::fabs(v));
  return largest;
}

}  // namespace

// Noise-management scale of every vector (reference section 4.3). A zero vector under a scale taken from the vector has
// a = 0: what comes out is scaled by 0. MAX without a positive entry leaves the vector unscaled.
void AnalogProduct::initial_scales(const Block& block, ProductScratch& s) const {
  const std::int64_t rows = block.x.rows;
  float* a = sized(s.a, rows);
  std::fill(a, a + rows, 1.0F);
  float* g = sized(s.g, rows);
  std::fill(g, g + rows, 1.0F);
  const auto threshold = static_cast<float>(io_->nm_thres);
  const auto limited = [&](float v) { return threshold > 0.0F ? std::min(v, threshold) : v; };
  const auto ranged = [&](float v) {
    return block.range > 0.0F ? std::min(std::max(v, -block.range), block.range) / block.range : v;
  };
  const NoiseManagementType type = io_->noise_management;
  if (!scales_by_vector()) {
    std::fill(a, a + rows, constant_amplitude());
    return;
  }
  float* largest = sized(s.largest, rows);
  kernels::row_abs_max(block.x, {largest, static_cast<std::size_t>(rows)});
  for (std::int64_t r = 0; r < rows; ++r) {
    require<RunError>(!std::isnan(largest[r]),
                      "vector {} at the input of an analog tile holds a value that is not finite",
                      block.call.first_vector + static_cast<std::uint64_t>(r));
    const float peak = ranged(largest[r]);
    switch (type) {
      case NoiseManagementType::ABS_MAX:
        a[r] = limited(peak);
        break;
      case NoiseManagementType::MAX: {
        const float* x = block.x.row(r);
        const float highest = limited(ranged(*std::max_element(x, x + block.x.cols)));
        a[r] = peak == 0.0F ? 0.0F : (highest > 0.0F ? highest : 1.0F);
        break;
      }
      case NoiseManagementType::AVERAGE_ABS_MAX:
        a[r] = peak == 0.0F ? 0.0F : (block.call.average > 0.0F ? block.call.average : peak);
        break;
      default:
        a[r] = np_sum_scale(block, r, peak);
    }
    if (a[r] <= 0.0F && io_->inp_noise > 0.0) a[r] = 1.0F;
  }
}

// a = 1 / c of every vector in its first round under NONE and CONSTANT.
float AnalogProduct::constant_amplitude() const {
  const auto threshold = static_cast<float>(io_->nm_thres);
  const bool scaled = io_->noise_management == NoiseManagementType::CONSTANT && threshold > 0.0F;
  return scaled ? threshold : 1.0F;
}

float AnalogProduct::np_sum_scale(const Block& block, std::int64_t row, float largest) const {
  const auto threshold = static_cast<float>(io_->nm_thres);
  const float peak = threshold > 0.0F ? std::min(largest, threshold) : largest;
  float positive = 0.0F;
  float negative = 0.0F;
  const float* x = block.x.row(row);
  for (std::int64_t j = 0; j < block.x.cols; ++j) {
    positive += std::max(x[j], 0.0F);
    negative += std::max(-x[j], 0.0F);
  }
  const float bound = std::isfinite(adc_.bound) ? adc_.bound : 1.0F;
  float wanted = std::max(positive, negative) * assumed_largest_weight / bound;
  if (dac_.step > 0.0F) wanted = std::min(wanted, peak * static_cast<float>(io_->max_bm_res) / dac_.step);
  return std::max(peak, wanted);
}

// c and out_scale / c of the pending vectors.
void AnalogProduct::scale_pending(Block& block, ProductScratch& s) const {
  block.pending = static_cast<std::int64_t>(s.pending.size());
  const std::int64_t n = block.pending;
  const auto out_scale = static_cast<float>(io_->out_scale);
  float* scale = sized(s.scale, n);
  float* unscale = sized(s.unscale, n);
  if (block.contiguous && !scales_by_vector()) {
    const float c = 1.0F / constant_amplitude();
    block.scaled = c != 1.0F;
    block.unscaled = out_scale / c != 1.0F;
    if (block.scaled) std::fill(scale, scale + n, c);
    if (block.unscaled) std::fill(unscale, unscale + n, out_scale / c);
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const auto r = static_cast<std::size_t>(s.pending[static_cast<std::size_t>(i)]);
    const bool silent = s.a[r] <= 0.0F;
    scale[i] = silent ? 1.0F : 1.0F / s.a[r] / s.g[r];
    unscale[i] = silent ? 0.0F : out_scale / scale[i];
    block.scaled = block.scaled || scale[i] != 1.0F;
    block.unscaled = block.unscaled || unscale[i] != 1.0F;
  }
}

// Bound management (reference section 4.7): which of the pending vectors are repeated, and with what scale.
std::vector<std::int64_t> AnalogProduct::failed(const Block& block, std::uint32_t round, ProductScratch& s) const {
  std::vector<std::int64_t> next;
  if (!managed_bounds()) return next;
  LayerStatistics* statistics = block.call.statistics;
  const bool worst_case = io_->bound_management == BoundManagementType::ITERATIVE_WORST_CASE && round == 0 &&
                          io_->noise_management != NoiseManagementType::ABS_MAX_NP_SUM &&
                          io_->noise_management != NoiseManagementType::NONE;
  const auto most = static_cast<float>(io_->max_bm_factor);
  const float finest = dac_.step > 0.0F ? static_cast<float>(io_->max_bm_res) / dac_.step : INFINITY;
  for (std::size_t i = 0; i < s.pending.size(); ++i) {
    const std::int64_t row = s.pending[i];
    const auto r = static_cast<std::size_t>(row);
    const bool clipped = s.above[i] > 0 || (s.below[i] > 0 && io_->bm_test_negative_bound);
    const bool exhausted = s.g[r] > most || s.g[r] > finest;
    if (clipped && !exhausted && s.a[r] > 0.0F) {
      if (worst_case) {
        s.a[r] = np_sum_scale(block, row, largest_of(block.x.row_span(row)));
      } else {
        s.g[r] *= 2.0F;
      }
      next.push_back(row);
    } else if (statistics != nullptr) {
      statistics->adc_saturated += s.above[i] + s.below[i];
      statistics->adc_peak = std::max(statistics->adc_peak, s.peaks[i]);
      if (clipped) ++statistics->bound_management_failed;
    }
  }
  return next;
}

}  // namespace tessera::tile
