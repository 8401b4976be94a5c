#include "sim/range_search.hpp"

#include <cmath>
#include <limits>

#include "sim/part_address.hpp"
#include "sim/written_layer.hpp"
#include "tessera/tile/crossbar_engine.hpp"

namespace tessera::sim {

namespace {

/// Passes vectors through tiles whose ranges change between batches.
class TileOperator final : public nn::LinearOperator, private nn::TakesWeights {
 public:
  explicit TileOperator(const tile::AnalogLayer& layer) : layer_(layer) {}
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override {
    layer_.forward(x, y, {first_vector, parallel, nullptr, calibration_event});
  }
  void multiply(ConstMatrixView weight, ConstMatrixView x, MatrixView y, std::uint64_t first_vector,
                std::uint64_t written, Parallel parallel) const override {
    written_layer(layer_, weight, nullptr, written).forward(x, y, {first_vector, parallel, nullptr, calibration_event});
  }
  const nn::TakesWeights* takes_weights() const override { return this; }

 private:
  const tile::AnalogLayer& layer_;
};

/// What training left, with the ranges that are to be found at their beginning.
tile::LayerState started_anew(const LayerParameters& parameters, std::size_t part, const nn::LinearPart& source,
                              double init_value) {
  const PartCalibration& known = parameters.calibration->parts.at(part);
  expect_same_tiles(
      known, tile::place_tiles(source.weight.rows(), source.weight.cols(), tile::crossbar_mapping(parameters.rpu)));
  tile::LayerState state = known.state;
  state.output_quantizer = {};
  state.converters.clear();
  state.output_range = 0.0F;
  for (tile::TileState& tile : state.tiles) {
    tile.scale_quantizer = {};  // of the scales that the old input ranges made
    tile.input_range = static_cast<float>(init_value);
    tile.input_range_updates = 0;
    tile.output_quantizer = {};
  }
  return state;
}

}  // namespace

LayerParameters without_converters(LayerParameters p) {
  if (!p.rpu.crossbar) return p;
  circuit::AdcParameters& adc = p.rpu.crossbar->adc;
  adc = {.adc_per_ibit = adc.adc_per_ibit};
  return p;
}

LayerInProgress open_layer(const RangeSearch& search, std::size_t l, const Environment& environment) {
  const CalibrationRequest& request = search.request;
  const InputCalibration& parameters = request.parameters;
  const nn::LinearLayer& layer = request.executor.layers()[l];
  LayerInProgress open;
  LayerParameters p = search.parameters_of(l);
  if (!p.analog || (!search.forced && !p.rpu.pre_post.input_range.enable)) return open;
  tile::InputRangeParameter& range = p.rpu.pre_post.input_range;
  if (search.forced) {
    range.enable = true;
    p.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
  }
  // Ranges of activation quantizers and output codes come later.
  p.rpu.act_quant_config.reset();
  p = without_converters(std::move(p));
  p.rpu.pre_post.fixed_point.reset();
  if (parameters.type == CalibrationType::MAX || parameters.type == CalibrationType::CACHE_QUANTILE)
    p.rpu.forward.is_perfect = true;
  open.most_updates = range.init_from_data;
  const double alpha = parameters.std_alpha.value_or(range.init_std_alpha);
  for (std::size_t i = 0; i < layer.parts.size(); ++i) {
    const nn::LinearPart& source = layer.parts[i];
    random::Address address = part_address(request.seed, l, i);
    auto part = std::make_unique<PartInProgress>();
    std::optional<tile::LayerState> known;
    if (p.calibration) known = started_anew(p, i, source, range.init_value);
    part->tiles =
        tile::AnalogLayer(p.rpu, source.weight.matrix().view(), source.bias, address, {}, known ? &*known : nullptr);
    if (p.calibration && i == 0 && !p.calibration->parts[0].state.tiles.front().scale_quantizer.delta.empty())
      environment.note(
          fmt::format("layer '{}': the learned range of its scales was for the input ranges of before; "
                      "it follows the new scales",
                      layer.name));
    std::vector<RowStatistics*> statistics;
    for (std::int64_t t = 0; t < part->tiles.tile_count(); ++t) {
      const tile::TilePlace place = part->tiles.place(t);
      const std::pair slice{place.first_input, place.inputs};
      if (part->slices.empty() || part->slices.back() != slice) {
        address.tile = static_cast<std::uint32_t>(part->slices.size());
        part->slices.push_back(slice);
        part->statistics.push_back(std::make_unique<RowStatistics>(parameters, alpha, address));
        statistics.push_back(part->statistics.back().get());
      }
      part->slice_of_tile.push_back(part->slices.size() - 1);
    }
    if (search.pass == CalibrationPass::tiles)
      part->pass = std::make_unique<TileOperator>(part->tiles);
    else if (layer.kind == nn::LinearKind::recurrent)
      part->pass = std::make_unique<FloatOperator>(source);
    // The state of a recurrent layer follows from its products; other layers only show their inputs.
    const bool recurrent = layer.kind == nn::LinearKind::recurrent;
    part->collector = std::make_unique<RowCollector>(statistics, part->slices, recurrent ? part->pass.get() : nullptr);
    open.collectors.push_back(part->collector.get());
    open.parts.push_back(std::move(part));
  }
  return open;
}

void finish_batch(PartInProgress& part, const InputCalibration& parameters, int init_from_data) {
  tile::LayerState state = part.tiles.state();
  bool changed = false;
  std::vector<std::optional<float>> values;
  for (const auto& statistics : part.statistics) values.push_back(statistics->finish_batch());
  for (std::size_t t = 0; t < state.tiles.size(); ++t) {
    const std::optional<float> value = values[part.slice_of_tile[t]];
    tile::TileState& tile = state.tiles[t];
    std::int64_t most = std::numeric_limits<std::int64_t>::max();
    if (parameters.type == CalibrationType::MOVING_STD) most = parameters.max_samples;
    if (parameters.type == CalibrationType::INIT_FROM_DATA) most = init_from_data;
    if (!value || tile.input_range_updates >= most) continue;
    const auto k = static_cast<float>(tile.input_range_updates);
    tile.input_range = std::fabs((tile.input_range * k + *value) / (k + 1.0F));
    ++tile.input_range_updates;
    changed = true;
  }
  if (changed) part.tiles.set_state(state);
}

PartCalibration found_ranges(const PartInProgress& part, const std::string& name, const Environment& environment) {
  PartCalibration found;
  found.state = part.tiles.state();
  bool undetermined = false;
  for (std::size_t t = 0; t < found.state.tiles.size(); ++t) {
    found.places.push_back(part.tiles.place(static_cast<std::int64_t>(t)));
    tile::TileState& tile = found.state.tiles[t];
    if (const auto range = part.statistics[part.slice_of_tile[t]]->range())
      tile.input_range = *range;
    else if (tile.input_range_updates == 0)
      undetermined = true;
  }
  if (undetermined)
    environment.warn(fmt::format(
        "layer '{}': some tile has seen no input from which a range follows; it keeps input_range.init_value", name));
  return found;
}

}  // namespace tessera::sim
