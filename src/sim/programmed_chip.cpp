#include <algorithm>

#include "sim/part_address.hpp"
#include "sim/programmed_chip.hpp"
#include "sim/rescaled_sum.hpp"
#include "tessera/core/memory.hpp"
#include "tessera/sim/chip_file.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/tile/crossbar_engine.hpp"
#include "tessera/tile/modifier.hpp"

namespace tessera::sim {

namespace {

constexpr std::uint32_t baseline_event = ProgrammedChip::first_readout_event;
constexpr std::uint32_t readout_event = baseline_event + 1;

/// What drift compensation reads from a tile: its bare product for one unit vector per line. `number` tells reads with
/// the same event apart.
std::vector<double> read_out(const tile::AnalogLayer& layer, std::int64_t t, std::int64_t inputs,
                             const device::DriftCompensation& compensation, std::uint32_t event, std::uint32_t number,
                             Parallel parallel) {
  Matrix identity(inputs, inputs);
  for (std::int64_t i = 0; i < inputs; ++i) identity(i, i) = 1.0F;
  Matrix output(inputs, layer.place(t).outputs);
  const std::uint64_t first_vector = std::uint64_t{number} * static_cast<std::uint64_t>(inputs);
  layer.read_out(t, identity.view(), output.view(), {first_vector, parallel, nullptr, event});
  return device::readout_values(compensation, output.view(), layer.target_tile_weights(t).view());
}

/// With modifier.enable_during_test what the modifier makes of the weights of tile t: one draw for each chip and read.
Matrix weights_in_use(const tile::AnalogLayer& layer, std::int64_t t, Matrix weights, std::uint32_t event) {
  const tile::WeightModifierParameter& modifier = layer.parameters().modifier;
  if (!modifier.enable_during_test || modifier.type == tile::WeightModifierType::NONE) return weights;
  random::Address address = layer.address();
  address.tile = static_cast<std::uint32_t>(t);
  return tile::modified_weights(modifier, weights.view(), random::Stream(address, random::Purpose::weight_modifier),
                                event);
}

/// The part of a tile of `lines` lines: one for an analog bias stands behind the inputs, in the tile and in the map.
std::optional<device::FaultMap> part_of(const device::FaultMap* map, const tile::TilePlace& place, std::int64_t lines) {
  if (map == nullptr) return std::nullopt;
  return map->part(place.first_output, place.outputs, place.first_input, lines);
}

/// A map of the cells per weight of crossbars, laid out as device_targets() lays out cells: array below array, each with
/// a sound line in front where it has a unit column.
std::optional<device::FaultMap> on_devices(const tile::RpuParameters& rpu, std::optional<device::FaultMap> map) {
  if (!map || !rpu.crossbar) return map;
  const std::int64_t lines = map->outputs + (rpu.crossbar->has_unit_column() ? 1 : 0);
  device::FaultMap cells{1, map->devices * lines, map->inputs, {}};
  for (std::int64_t array = 0; array < map->devices; ++array) {
    cells.faults.resize(cells.faults.size() + static_cast<std::size_t>((lines - map->outputs) * map->inputs),
                        device::Fault::none);
    const auto from = map->faults.begin() + array * map->outputs * map->inputs;
    cells.faults.insert(cells.faults.end(), from, from + map->outputs * map->inputs);
  }
  return cells;
}

/// Refuses to begin with converters that have no range, naming all layers.
void expect_calibrated_converters(const std::vector<std::string>& layers) {
  if (layers.empty()) return;
  throw ConfigError("rpu_config.crossbar.xbar.adc.mvm.calibrated_range",
                    fmt::format("the converters of {} have no range: neither the configuration nor the model file has "
                                "one; run tessera calibrate and use the model it writes, give one pair per weight "
                                "slice, or choose adc_range_option: MAX",
                                fmt::join(layers, ", ")));
}

}  // namespace

ProgrammedChip::Part ProgrammedChip::programmed_part(const std::string& name, const nn::LinearPart& source,
                                                     const std::shared_ptr<const LayerParameters>& shared,
                                                     std::size_t p, const random::Address& address,
                                                     const device::FaultMap* map, const ChipRequest& request) {
  const LayerParameters& parameters = *shared;
  const PartCalibration* const found = parameters.calibration ? &parameters.calibration->parts.at(p) : nullptr;
  if (found != nullptr)
    expect_same_tiles(
        *found, tile::place_tiles(source.weight.rows(), source.weight.cols(), tile::crossbar_mapping(parameters.rpu)));
  Part part{name,
            std::make_shared<tile::AnalogLayer>(std::shared_ptr<const tile::RpuParameters>(shared, &parameters.rpu),
                                                source.weight.matrix().view(), source.bias, address,
                                                tile::EngineFactory(), found != nullptr ? &found->state : nullptr),
            nullptr};
  tile::AnalogLayer& layer = *part.layer;
  if (source.weight.rows() * source.weight.cols() * static_cast<std::int64_t>(sizeof(float)) >= large_copy_bytes)
    give_back_freed();
  part.retention = parameters.retention;
  if (parameters.written_device) part.written = {shared, &*parameters.written_device};
  if (parameters.rpu.modifier.enable_during_test) tile::validate_learning(parameters.rpu);
  if (!parameters.device) {
    for (std::int64_t t = 0; t < layer.tile_count() && parameters.rpu.modifier.enable_during_test; ++t)
      layer.set_tile_weights(t, weights_in_use(layer, t, layer.target_tile_weights(t), 0).view());
    return part;
  }
  const std::shared_ptr<const device::DeviceParameters> device(shared, &*parameters.device);
  Devices devices{device, parameters.drift_compensation, {}, {}, map != nullptr};
  for (std::int64_t t = 0; t < layer.tile_count(); ++t) {
    random::Address chip = address;
    chip.tile = static_cast<std::uint32_t>(t);
    const SharedMatrix target = layer.device_targets(t);
    const std::optional<device::FaultMap> faults =
        on_devices(parameters.rpu, part_of(map, layer.place(t), target.cols()));
    const device::FaultMap* const tile_map = faults ? &*faults : nullptr;
    const bool stored = request.stored != nullptr && !request.stored->empty();
    devices.tiles.push_back(
        stored ? request.stored->state(name, chip.tile, request.repeat, *device, target.matrix(), tile_map)
               : device::program(*device, target, chip, request.parallel, tile_map));
    Matrix programmed = device::programmed_weights(*device, devices.tiles.back(), request.parallel);
    layer.set_devices(t, weights_in_use(layer, t, std::move(programmed), 0).view(), devices.tiles.back().target);
    if (!devices.compensation) continue;
    devices.baseline.push_back(
        device::uses_exact_reference(*devices.compensation)
            ? device::exact_readout_values(*devices.compensation, layer.target_tile_weights(t).view())
            : read_out(layer, t, target.cols(), *devices.compensation, baseline_event, 0, request.parallel));
  }
  part.devices = std::make_shared<const Devices>(std::move(devices));
  return part;
}

ProgrammedChip::ProgrammedChip(const nn::Executor& executor, const LayerResolver& resolve, const ChipRequest& request) {
  const std::vector<nn::LinearLayer>& layers = executor.layers();
  require<InputError>(layers.size() < most_layers, "the network has {} weighted layers; at most {} can be addressed",
                      layers.size(), most_layers - 1);
  FaultMaps own_faults;
  if (request.faults == nullptr) own_faults = read_fault_maps(executor, resolve);
  const FaultMaps& faults = request.faults != nullptr ? *request.faults : own_faults;
  layers_.resize(layers.size());
  std::vector<std::string> without_range;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const nn::LinearLayer& source = layers[l];
    const std::string& op = executor.graph().nodes[static_cast<std::size_t>(source.node)].op;
    const auto shared = std::make_shared<const LayerParameters>(resolve(source.name, op));
    const LayerParameters& parameters = *shared;
    if (!parameters.analog) continue;
    const ProgrammedChip* const like = request.like.empty() ? nullptr : request.like[l];
    for (std::size_t p = 0; p < source.parts.size(); ++p) {
      const std::string name = source.part_name(p);
      layers_[l].push_back(with_layer_name(name, [&] {
        if (like == nullptr) {
          const device::FaultMap* const map = faults.at(l).at(p).devices > 0 ? &faults[l][p] : nullptr;
          return programmed_part(name, source.parts[p], shared, p, part_address(request.seed, l, p, request.repeat),
                                 map, request);
        }
        Part part = like->layers_.at(l).at(p);
        part.own_layer().set_periphery_quantization(parameters.rpu.pre_post.periph_quant);
        if (parameters.calibration) part.own_layer().set_state(parameters.calibration->parts.at(p).state);
        return part;
      }));
      if (!layers_[l].back().layer->converters_calibrated()) without_range.push_back("'" + name + "'");
    }
  }
  expect_calibrated_converters(without_range);
  links_ = layer_links(executor.graph(), executor.layers(), layer_parameters(executor, resolve));
  for (std::size_t l = 0; l < layers_.size(); ++l)
    for (Part& part : layers_[l])
      if (links_[l].fixed_point)
        with_layer_name(part.name,
                        [&] { part.own_layer().set_output_code(links_[l].fused_relu, links_[l].output_signed); });
  connect_codes(executor.graph());
}

ProgrammedChip::~ProgrammedChip() = default;
ProgrammedChip::ProgrammedChip(ProgrammedChip&&) noexcept = default;
ProgrammedChip& ProgrammedChip::operator=(ProgrammedChip&&) noexcept = default;

AnalogNetwork ProgrammedChip::at(std::optional<double> time_s, std::uint32_t read, Parallel parallel) const {
  return at(time_s, read, parallel, {});
}

AnalogNetwork ProgrammedChip::at(std::optional<double> time_s, std::uint32_t read, Parallel parallel,
                                 std::span<const AnalogNetwork* const> like) const {
  require<InputError>(read < first_readout_event, "read repetition {} is too large; at most {} can be addressed", read,
                      first_readout_event - 1);
  // The weights of a part at that time, in a layer of its own.
  const auto drifted = [&](const Part& part) {
    tile::AnalogLayer layer = *part.layer;
    const Devices& devices = *part.devices;
    for (std::size_t t = 0; t < devices.tiles.size(); ++t) {
      const auto tile = static_cast<std::int64_t>(t);
      Matrix weights = device::weights_at(*devices.parameters, devices.tiles[t], *time_s, read, parallel);
      layer.set_devices(tile,
                        weights_in_use(layer, tile, std::move(weights), device::read_event(*time_s, read)).view());
      if (!devices.compensation) continue;
      const std::vector<double> current = read_out(layer, tile, devices.tiles[t].inputs(), *devices.compensation,
                                                   readout_event, device::read_event(*time_s, read), parallel);
      layer.set_alpha(tile, device::compensation_factors(devices.baseline[t], current, layer.place(tile).outputs));
    }
    return layer;
  };
  AnalogNetwork network;
  network.operators_.resize(layers_.size());
  network.overrides_.resize(layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    for (std::size_t p = 0; p < layers_[l].size(); ++p) {
      const Part& part = layers_[l][p];
      std::shared_ptr<const tile::AnalogLayer> layer;
      if (!like.empty() && like[l] != nullptr) {
        layer = like[l]->operators_.at(l).at(p)->shared_layer();
        const tile::PeripheryQuantizationParameter& wanted = part.layer->parameters().pre_post.periph_quant;
        if (layer->parameters().pre_post.periph_quant != wanted) {
          auto changed = std::make_shared<tile::AnalogLayer>(*layer);
          changed->set_periphery_quantization(wanted);
          changed->set_state(part.layer->state());  // it may hold ranges of the quantizers
          layer = std::move(changed);
        }
      } else {
        layer = part.layer;
        if (time_s && part.devices) layer = std::make_shared<const tile::AnalogLayer>(drifted(part));
      }
      network.operators_[l].push_back(
          std::make_unique<AnalogOperator>(part.name, std::move(layer), read, part.written, part.retention));
      network.overrides_[l].push_back(network.operators_[l].back().get());
    }
  }
  for (const CodeSum& sum : code_sums_) {
    network.sums_.push_back({sum.layer, std::make_unique<RescaledSum>(sum)});
    network.overrides_.sums.resize(static_cast<std::size_t>(sum.node) + 1);
    network.overrides_.sums.back() = network.sums_.back().adds.get();
  }
  return network;
}

const tile::AnalogLayer& ProgrammedChip::layer(std::size_t layer, std::size_t part) const {
  return *layers_.at(layer).at(part).layer;
}

bool ProgrammedChip::has_devices() const {
  for (const auto& parts : layers_)
    for (const Part& part : parts)
      if (part.devices) return true;
  return false;
}

const device::ProgrammedState* ProgrammedChip::programmed(std::size_t layer, std::size_t part, std::int64_t t) const {
  const Part& found = layers_.at(layer).at(part);
  return found.devices ? &found.devices->tiles.at(static_cast<std::size_t>(t)) : nullptr;
}

const device::DeviceParameters* ProgrammedChip::devices(std::size_t layer, std::size_t part) const {
  const Part& found = layers_.at(layer).at(part);
  return found.devices ? found.devices->parameters.get() : nullptr;
}

bool ProgrammedChip::has_fault_map(std::size_t layer, std::size_t part) const {
  const Part& found = layers_.at(layer).at(part);
  return found.devices && found.devices->fault_map;
}

std::size_t ProgrammedChip::part_count(std::size_t layer) const {
  return layers_.at(layer).size();
}

std::int64_t ProgrammedChip::tile_count(std::size_t layer, std::size_t part) const {
  return layers_.at(layer).at(part).layer->tile_count();
}

}  // namespace tessera::sim
