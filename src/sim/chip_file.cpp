#include "tessera/sim/chip_file.hpp"

#include <algorithm>

namespace tessera::sim {

namespace {

constexpr const char* map_key = "faults.map";

bool equal(const Matrix& a, const Matrix& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::equal(a.values().begin(), a.values().end(), b.values().begin());
}

void expect_same_programming(const io::ChipTile& stored, const device::DeviceParameters& parameters,
                             const device::FaultMap* map) {
  std::vector<Problem> problems;
  const auto differ = [&](const std::string& key, const std::string& then, const std::string& now) {
    problems.push_back(
        {.file = {},
         .key = "rpu_config." + key,
         .message = fmt::format("the chips of evaluation.chips were programmed with {}, the "
                                "configuration has {}, which they cannot follow; set it back, or program "
                                "new ones: evaluation.chips: null",
                                then, now)});
  };
  std::map<std::string, std::string> asked = device::programming_law(parameters);
  std::map<std::string, std::string> known = stored.programmed_under;
  const bool had_map = known.contains(map_key);
  known.erase(map_key);
  if (map != nullptr || had_map)  // a map stands in for the rates
    for (const char* rate : {"faults.stuck_at_zero_rate", "faults.stuck_at_max_rate"}) {
      known.erase(rate);
      asked.erase(rate);
    }
  for (const auto& [key, value] : asked) {
    const auto then = known.find(key);
    if (!known.empty() && (then == known.end() || then->second != value))
      differ(key, then == known.end() ? "another kind of devices" : then->second, value);
  }
  for (const auto& [key, value] : known)
    if (!asked.contains(key)) differ(key, value, "nothing of the kind");
  std::vector<std::uint8_t> faults;
  if (map != nullptr)
    for (const device::Fault fault : map->faults) faults.push_back(static_cast<std::uint8_t>(fault));
  if (map != nullptr ? faults != stored.faults : had_map)
    differ("faults.map", had_map ? "a map of stuck devices" : "no such map", map != nullptr ? "another one" : "none");
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace

StoredChips::StoredChips(const std::string& path) : path_(path) {
  if (path.empty()) return;
  tiles_ = io::read_chips(path);
  require<InputError>(!tiles_.empty(), "'{}' holds no programmed chips; `output.chips` of a run writes them", path);
}

device::ProgrammedState StoredChips::state(const std::string& part, std::uint32_t tile, std::uint32_t repeat,
                                           const device::DeviceParameters& parameters, const Matrix& target,
                                           const device::FaultMap* map) const {
  const auto found = std::find_if(tiles_.begin(), tiles_.end(), [&](const io::ChipTile& stored) {
    return stored.part == part && stored.chip.tile == tile && stored.chip.repeat == repeat;
  });
  require<InputError>(found != tiles_.end(), "'{}' has no tile {} of '{}' on chip {}; fewer evaluation.repeats?", path_,
                      tile, part, repeat);
  require<InputError>(equal(found->target, target),
                      "tile {} of '{}' in '{}' was programmed for other weights; use the network, the mapping and the"
                      " layers of the run that wrote it",
                      tile, part, path_);
  const device::ConductanceConverter cells = device::converter(parameters.noise_model);
  require<InputError>(found->devices == device::device_count(cells) &&
                          device::make_conversion(cells, target.values()) ==
                              device::Conversion{found->uS_per_weight, found->weight_offset},
                      "tile {} of '{}' in '{}' was programmed on other devices; use the noise_model of the run that"
                      " wrote it",
                      tile, part, path_);
  device::ProgrammedState state;
  state.chip = found->chip;
  state.target = found->target;
  state.devices = found->devices;
  state.conversion = {found->uS_per_weight, found->weight_offset};
  state.conductances.assign(found->conductances.begin(), found->conductances.end());
  state.drift.assign(found->drift.begin(), found->drift.end());
  for (const std::uint8_t fault : found->faults) state.faults.push_back(static_cast<device::Fault>(fault));
  state.mean_pulses = found->mean_pulses;
  state.unconverged_fraction = found->unconverged_fraction;
  device::check_state(parameters, state);
  expect_same_programming(*found, parameters, map);
  return state;
}

io::ChipTile chip_tile(const ProgrammedChip& chip, std::size_t layer, std::size_t part, std::int64_t tile,
                       const std::string& part_name) {
  const device::ProgrammedState& state = *chip.programmed(layer, part, tile);
  io::ChipTile record;
  record.part = part_name;
  record.chip = state.chip;
  record.target = state.target.matrix();
  record.devices = state.devices;
  record.uS_per_weight = state.conversion.uS_per_weight;
  record.weight_offset = state.conversion.weight_offset;
  record.conductances.assign(state.conductances.begin(), state.conductances.end());
  record.drift.assign(state.drift.begin(), state.drift.end());
  for (const device::Fault fault : state.faults) record.faults.push_back(static_cast<std::uint8_t>(fault));
  record.mean_pulses = state.mean_pulses;
  record.unconverged_fraction = state.unconverged_fraction;
  record.programmed_under = device::programming_law(*chip.devices(layer, part));
  if (chip.has_fault_map(layer, part)) record.programmed_under[map_key] = "given";
  return record;
}

EvaluationSink storing_sink(EvaluationSink sink, io::ChipFileWriter& writer, const EvaluationRequest& request) {
  const auto& layers = request.executor.layers();
  sink.programmed = [&writer, &layers, next = std::move(sink.programmed)](std::int64_t program,
                                                                          const ProgrammedChip& chip) {
    if (next) next(program, chip);
    for (std::size_t l = 0; l < layers.size(); ++l)
      for (std::size_t p = 0; p < chip.part_count(l); ++p)
        for (std::int64_t t = 0; t < chip.tile_count(l, p) && chip.devices(l, p) != nullptr; ++t)
          writer.add(chip_tile(chip, l, p, t, layers[l].part_name(p)));
  };
  if (request.evaluation.times.empty()) return sink;
  const std::int64_t reads = request.evaluation.read_repeats;
  sink.begin = [&writer, &request, &layers, reads, next = std::move(sink.begin)](const PointIndex& point,
                                                                                 const AnalogNetwork& network) {
    if (next) next(point, network);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const std::string& op = request.executor.graph().nodes[static_cast<std::size_t>(layers[l].node)].op;
      if (!request.resolve(layers[l].name, op).device) continue;
      for (std::size_t p = 0; p < network.part_count(l); ++p) {
        const tile::AnalogLayer& part = network.part(l, p);
        for (std::int64_t t = 0; t < part.tile_count(); ++t)
          writer.add_drifted(layers[l].part_name(p), static_cast<std::uint32_t>(t),
                             static_cast<std::uint32_t>(point.repeat / reads), point.time, point.repeat % reads,
                             part.tile_weights(t).view());
      }
    }
  };
  return sink;
}

}  // namespace tessera::sim
