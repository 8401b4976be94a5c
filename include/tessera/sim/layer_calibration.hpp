#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/io/model_file.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/sim/run_parameters.hpp"
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

/// One layer, found on tiles that the layer must have when the ranges are used.
struct LayerCalibration {
  std::optional<CalibrationType> type;  ///< none: learned in training
  /// True: the ranges were found for a layer with an input range and without noise management, whatever its
  /// configuration said; using them makes the layer one.
  bool forced = false;
  std::vector<PartCalibration> parts;

  // What the calibration saw of the layer, for inspection only; NaN: not measured.
  double input_clip_fraction = unknown;  ///< of the inputs, outside the found ranges
  double output_peak = unknown;          ///< largest |output of a tile| before the ADC, as if out_bound were infinite
  double adc_saturation_fraction = unknown;  ///< of the ADC conversions, beyond out_bound

  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
};

/// By name of a layer.
using NetworkCalibration = std::map<std::string, std::shared_ptr<const LayerCalibration>>;

/// The form in which a model file keeps it (docs/formats/model.md).
io::LayerNumbers to_numbers(const nn::LinearLayer& layer, const LayerCalibration& calibration);
/// InputError, naming the layer, for numbers that to_numbers() cannot have written.
LayerCalibration from_numbers(const nn::LinearLayer& layer, const io::LayerNumbers& numbers);

/// All of a model file's. Entries of nodes that are no weighted layers, or that hold no tiles, are left out.
NetworkCalibration read_calibration(const std::vector<nn::LinearLayer>& layers,
                                    const std::map<std::string, io::LayerNumbers>& numbers);

/// `resolve` with the calibration of each layer; for forced ones with input ranges on and noise management off.
LayerResolver with_calibration(LayerResolver resolve, NetworkCalibration calibration);

/// InputError unless the layer's part has exactly the tiles that the calibration was made for.
void expect_same_tiles(const PartCalibration& calibration, const std::vector<tile::TilePlace>& places);

}  // namespace tessera::sim
