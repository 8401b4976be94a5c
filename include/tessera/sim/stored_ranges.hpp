#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/quant/quantization_manager.hpp"
#include "tessera/sim/run_parameters.hpp"

/// What a model file holds, used under a configuration that may differ from the one it was found under. A stored range
/// never overrides the configuration: it is used as it is, follows exactly, or is refused (table in
/// docs/formats/model.md).
namespace tessera::sim {

/// How the range of a quantizer was found.
struct RangeLaw {
  quant::UniformQuantizerParameters quantizer;
  quant::RangeEstimators estimator = quant::RangeEstimators::current_minmax;
  quant::RangeEstimatorParams params = {};
  bool operator==(const RangeLaw&) const = default;
};
RangeLaw range_law(const quant::QuantizationManagerParameters& manager);
RangeLaw range_law(const quant::QuantizationManager& manager);
/// "8 bits, symmetric, running_minmax"; without the estimator for a range that was learned.
std::string law_text(const RangeLaw& law, bool learned = false);

/// The form in which a model file keeps a law (docs/formats/model.md). InputError for numbers that this cannot have
/// written.
std::vector<double> to_numbers(const RangeLaw& law);
RangeLaw range_law(const std::vector<double>& numbers);

/// A stored range for the quantizer that is asked for.
struct FittedRange {
  std::optional<quant::UniformQuantizerState> state;  ///< none: refused
  std::string key;                                    ///< of the refusal, e.g. "n_bits", relative to the quantizer
  std::string reason;                                 ///< "was learned for 8 bits, symmetric; asked for: 4 bits, ..."
};

/// | range                                | other n_bits, symmetric     | other estimator or options |
/// |--------------------------------------|-----------------------------|----------------------------|
/// | of extremes or percentiles           | same bounds, the step follows | refused                  |
/// | of least error (MSE, cross_entropy)  | refused                     | refused                    |
/// | learned (no bounds are known)        | refused                     | used                       |
///
/// per_channel and the domain of the step are always refused. `found` is none for files that do not say it: refused,
/// unless there is no range.
FittedRange fitted_range(const quant::UniformQuantizerState& range, const std::optional<RangeLaw>& found,
                         const RangeLaw& asked);

/// A layer's stored state for the parameters that are asked for; the same object where nothing needs to follow.
/// ConfigError with all that does not fit, keys starting with "rpu_config", naming the layer, what is stored, what is
/// asked for and the way out.
std::shared_ptr<const LayerCalibration> fitted_calibration(const std::shared_ptr<const LayerCalibration>& stored,
                                                           const LayerParameters& asked, const std::string& layer);

}  // namespace tessera::sim
