#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/tile/statistics.hpp"

/// Input ranges and activation ranges from data, without training (reference section 12; quantization reference D.5).
namespace tessera::sim {

/// What the data pass through while ranges are found.
enum class CalibrationPass {
  float32,  ///< the float32 network: what a layer sees does not depend on ranges that are not found yet
  tiles     ///< analog tiles with the ranges found so far; without noise and converters for MAX and CACHE_QUANTILE
};

/// How ranges are found. X is what one tile sees of a batch, one row per vector, without rows that are all zero
/// (INIT_FROM_DATA keeps them); k counts batches from 0; sd divides by n - 1; quantiles interpolate linearly.
///
/// | type            | r                                                                                       |
/// |-----------------|-----------------------------------------------------------------------------------------|
/// | MAX             | max abs X over all batches                                                              |
/// | CACHE_QUANTILE  | quantile of the values of at most max_samples rows, a random choice from all rows       |
/// | MOVING_QUANTILE | v = quantile of X (quantile = 1: max abs X);       r <- (r k + v) / (k + 1) for v > 0   |
/// | MOVING_STD      | v = init_std_alpha sd(X), at most max_samples batches; r as above                       |
/// | INIT_FROM_DATA  | as MOVING_STD for at most init_from_data batches: what training begins with; only layers |
/// |                 | whose configuration has an input range, which otherwise stay as they are                |
///
/// Quantiles are of magnitudes, since the range is that of |x|; without `absolute_values` of signed values, as the peer
/// takes them: the larger ones of inputs that are mostly below zero are then cut off.
struct InputCalibration {
  CalibrationType type = CalibrationType::CACHE_QUANTILE;
  double quantile = 0.99995;                       ///< in (0, 1]
  bool absolute_values = true;                     ///< quantiles of |X|; false: of X, as the peer
  std::int64_t max_samples = 1000;                 ///< rows (CACHE_QUANTILE) or batches (MOVING_STD); >= 1
  std::optional<double> std_alpha = std::nullopt;  ///< instead of input_range.init_std_alpha; > 0
  /// True: every analog layer gets an input range and no noise management. False: layers without an input range are
  /// left alone; noise management is an error.
  bool force_all_layers = true;
  /// None: float32 for MAX and CACHE_QUANTILE, tiles for the others. The peer always takes tiles, so that clipping to
  /// init_value distorts what later layers see under MAX and CACHE_QUANTILE.
  std::optional<CalibrationPass> pass = std::nullopt;
  std::int64_t samples = 1024;   ///< the first of the data; 0: all
  std::int64_t batch_size = 64;  ///< of the moving types; >= 1. Not that of the run, which never changes a result

  /// How the ranges of crossbar converters without one (adc_range_option CALIBRATED) follow from the currents that they
  /// see; circuit::found_range.
  circuit::ConverterRangeType converter_range = circuit::ConverterRangeType::QUANTILE;
  double converter_quantile = 0.9999;  ///< of QUANTILE; in (0.5, 1]

  std::optional<io::DataParameters> data = std::nullopt;  ///< other data than those of the run

  bool operator==(const InputCalibration&) const = default;
};
/// ConfigError with every value out of range, keys relative to `calibration`.
void validate(const InputCalibration& parameters);

/// References must outlive the call.
struct CalibrationRequest {
  const nn::Executor& executor;
  const io::DataSet& data;
  std::uint64_t seed = 0;
  InputCalibration parameters;
  LayerResolver resolve;
};

struct CalibrationResult {
  NetworkCalibration layers;
  std::int64_t samples = 0;
};

/// Converters of crossbars: currents are those of the calibrated network whose crossbars convert nothing; one pass for
/// their extremes and one for histograms of `current_bins` bins between them, over all tiles of a layer, weight slice by
/// weight slice. `levels: optimal` are the Lloyd-Max levels of the same histograms.
inline constexpr std::size_t current_bins = 8192;

/// Passes the samples through the network, finds the ranges, then passes them once more for the ranges of activation
/// quantizers and once for clipping and saturation. Devices are not programmed: ranges belong to the network, not to a
/// chip. Rows for CACHE_QUANTILE are those with the smallest words of Purpose::calibration_sample, so they are a random
/// choice without replacement. Independent of threads.
///
/// ConfigError: parameters, noise management without force_all_layers (naming the layers). InputError: no analog layer,
/// data that do not fit. A range that the data do not determine (all inputs zero) stays at its initial value, with a
/// warning that names the layer. RunError when cancelled.
CalibrationResult calibrate(const CalibrationRequest& request, Parallel parallel, const Environment& environment);

}  // namespace tessera::sim
