#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/programmed_chip.hpp"
#include "sim/row_collector.hpp"
#include "tessera/sim/calibrate.hpp"

namespace tessera::sim {

/// Passes through tiles draw their noise apart from every read of a chip.
inline constexpr std::uint32_t calibration_event = ProgrammedChip::first_readout_event - 1;

/// One part of a layer while its ranges are found. Tiles on the same inputs share what they see.
struct PartInProgress {
  tile::AnalogLayer tiles;
  std::vector<std::pair<std::int64_t, std::int64_t>> slices;
  std::vector<std::size_t> slice_of_tile;
  std::vector<std::unique_ptr<RowStatistics>> statistics;  ///< by slice
  std::unique_ptr<nn::LinearOperator> pass;                ///< tiles, or float32 for recurrent layers
  std::unique_ptr<RowCollector> collector;
};

struct LayerInProgress {
  std::vector<std::unique_ptr<PartInProgress>> parts;  ///< none: not calibrated
  std::vector<const nn::LinearOperator*> collectors;
  int most_updates = 0;
};

/// How the input ranges of a network are looked for.
struct RangeSearch {
  const CalibrationRequest& request;
  CalibrationPass pass = CalibrationPass::float32;
  bool forced = true;  ///< layers without an input range get one, too

  /// As configured.
  LayerParameters parameters_of(std::size_t layer) const {
    const nn::LinearLayer& of = request.executor.layers()[layer];
    return request.resolve(of.name, request.executor.graph().nodes[static_cast<std::size_t>(of.node)].op);
  }
};

/// The layer with its tiles and what collects their inputs; without parts if it is not to be calibrated.
LayerInProgress open_layer(const RangeSearch& search, std::size_t layer, const Environment& environment);

/// Takes a batch into the running mean of the moving types (quantization reference D.5).
void finish_batch(PartInProgress& part, const InputCalibration& parameters, int init_from_data);

/// The ranges after all batches; a warning, with the layer's `name`, for tiles that saw nothing.
PartCalibration found_ranges(const PartInProgress& part, const std::string& name, const Environment& environment);

/// Crossbars that convert nothing; what their converters would see stays the same.
LayerParameters without_converters(LayerParameters p);

}  // namespace tessera::sim
