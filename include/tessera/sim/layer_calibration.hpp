#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/stored_ranges.hpp"
#include "tessera/tile/mapping.hpp"
#include "tessera/tile/state.hpp"

/// What calibration or training found about analog layers, and its way into model files and back onto tiles.
namespace tessera::sim {

/// How input ranges are found (calibrate.hpp). The numbers are stored in model files.
enum class CalibrationType { MAX = 1, CACHE_QUANTILE = 2, MOVING_QUANTILE = 3, MOVING_STD = 4, INIT_FROM_DATA = 5 };
const char* to_string(CalibrationType type);

/// The tiles of one part of a layer and their state.
struct PartCalibration {
  std::vector<tile::TilePlace> places;
  tile::LayerState state;
};

/// Under what ranges of the periphery were learned: the quantizer, and what makes the scales that it quantizes.
struct PeripheryLaw {
  tile::PeripheryQuantizationParameter quantizer;
  double weight_scaling_omega = 0.0;
  bool weight_scaling_columnwise = false;
};

/// What gave the mapping scales that a training kept.
struct MappingLaw {
  double weight_scaling_omega = 0.0;
  bool weight_scaling_columnwise = false;
};

/// Under what settings of crossbar converters were found: values of the keys below `rpu_config.crossbar` that decide
/// which currents they see (enumerators by number), and the bits of what is for one width only: optimal levels and ranges
/// of least error; 0 for others.
struct ConverterLawKey {
  const char* key;
  double value;
};
std::vector<ConverterLawKey> converter_law(const circuit::CrossbarParameters& parameters, bool for_one_width);

/// One layer, found on tiles that the layer must have when the ranges are used.
struct LayerCalibration {
  std::optional<CalibrationType> type;  ///< none: learned in training
  /// True: the ranges were found for a layer with an input range and without noise management, whatever its
  /// configuration said; using them makes the layer one.
  bool forced = false;
  std::vector<PartCalibration> parts;
  std::optional<RangeLaw> activation;      ///< of the activation ranges; none: there are none, or the file is older
  std::optional<PeripheryLaw> periphery;   ///< of learned ranges of the periphery; none: as above
  std::optional<MappingLaw> mapping = {};  ///< of kept mapping scales; none: there are none
  std::vector<double> converter_law = {};  ///< of settings of crossbar converters; empty: there are none
  bool input_range_found = true;           ///< false: training only passed the initial value on

  // What the calibration saw of the layer, for inspection only; NaN: not measured.
  double input_clip_fraction = unknown;  ///< of the inputs, outside the found ranges
  double output_peak = unknown;          ///< largest |output of a tile| before the ADC, as if out_bound were infinite
  double adc_saturation_fraction = unknown;  ///< of the ADC conversions, beyond out_bound

  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
};

/// Notes in the layer under what parameters its parts were found.
void set_laws(LayerCalibration& layer, const tile::RpuParameters& parameters);

/// By name of a layer.
using NetworkCalibration = std::map<std::string, std::shared_ptr<const LayerCalibration>>;

/// The form in which a model file keeps it (docs/formats/model.md).
io::LayerNumbers to_numbers(const nn::LinearLayer& layer, const LayerCalibration& calibration);
/// InputError, naming the layer, for numbers that to_numbers() cannot have written.
LayerCalibration from_numbers(const nn::LinearLayer& layer, const io::LayerNumbers& numbers);

/// All of a model file's. Entries of nodes that are no weighted layers, or that hold no tiles, are left out, and so are
/// ranges of the periphery that were not learned: they follow the scales and biases of the moment.
NetworkCalibration read_calibration(const std::vector<nn::LinearLayer>& layers,
                                    const std::map<std::string, io::LayerNumbers>& numbers);

/// For a calibration that finds the ranges of activations anew: without those of before, which then need not fit.
NetworkCalibration without_activation_ranges(const NetworkCalibration& calibration);
/// For a training that begins: without ranges of activations that were only estimated, of tiles and of digital
/// quantizers.
void forget_estimated_ranges(std::map<std::string, io::LayerNumbers>& numbers);

/// `resolve` with the calibration of each layer as it fits the layer's parameters (fitted_calibration, whose
/// ConfigError it throws); for forced ones with input ranges on and noise management off.
LayerResolver with_calibration(LayerResolver resolve, NetworkCalibration calibration);

/// The parameters of all layers. ConfigError with the problems of every one of them.
std::vector<LayerParameters> layer_parameters(const nn::Executor& executor, const LayerResolver& resolve);

/// Says in which layers a forced calibration stands in for the configuration.
void note_replaced(const nn::Executor& executor, const LayerResolver& resolve, const Environment& environment);

/// InputError unless the layer's part has exactly the tiles that the calibration was made for.
void expect_same_tiles(const PartCalibration& calibration, const std::vector<tile::TilePlace>& places);

}  // namespace tessera::sim
