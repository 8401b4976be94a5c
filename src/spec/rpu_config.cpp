#include "tessera/spec/rpu_config.hpp"

#include <algorithm>
#include "rpu_table.hpp"

#include "crossbar_tables.hpp"
#include "device_tables.hpp"
#include "tessera/config/document.hpp"
#include "tessera/config/section.hpp"
#include "tessera/tile/presets.hpp"
#include "tile_tables.hpp"

namespace tessera::spec {

namespace {

using config::Node;
using config::Report;

std::shared_ptr<const config::TypeInfo> preset_names() {
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::choice;
  info->words = tile::preset_names();
  info->nullable = true;
  return info;
}

void start_from_preset(const Node& node, const std::string& key, RpuConfig& config, Report& report) {
  if (node.is_null()) return;
  if (!node.is_scalar()) {
    report.problem(node.position, key, fmt::format("expected the name of a preset, got {}", describe(node)));
    return;
  }
  try {
    config = preset(node.scalar);
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) report.problem(node.position, key, problem.message);
  }
}

}  // namespace

namespace {

config::Type<RpuConfig> fault_keys() {
  const config::Range probability = config::Range::between(0.0, 1.0);
  return config::Section<RpuConfig>("FaultParameters", "Devices that neither take a value nor drift.")
      .field("stuck_at_zero_rate", [](auto& c) -> auto& { return c.faults.stuck_at_zero_rate; },
             config::real(probability), {.help = "probability per device"})
      .field("stuck_at_max_rate", [](auto& c) -> auto& { return c.faults.stuck_at_max_rate; },
             config::real(probability), {.help = "probability per device"})
      .field("map", &RpuConfig::fault_map, config::path_or_null(),
             {.help = "file that names the stuck devices instead: .npy for one layer, HDF5 with a data set for each; "
                      "docs/models/device_faults.md"});
}

config::Section<RpuConfig> rpu_config_table() {
  const std::string training = "training only";
  const std::string python = "chooses Python classes of the peer";
  return config::Section<RpuConfig>(
             "RpuConfig",
             "What an analog layer is simulated with. Names, enumerators and defaults are those of "
             "aihwkit; a dump of one of its inference configurations can stand here as it is.")
      .action("preset", preset_names(), {.help = "a named start; the keys beside it are read over it"},
              start_from_preset)
      .field(
          "forward", [](auto& c) -> auto& { return c.tile.forward; }, io_parameters())
      .field(
          "mapping", [](auto& c) -> auto& { return c.tile.mapping; }, mapping_parameter())
      .field(
          "pre_post", [](auto& c) -> auto& { return c.tile.pre_post; }, pre_post_parameter())
      .field("act_quant_config", [](auto& c) -> auto& { return c.tile.act_quant_config; },
             config::optional(activation_quant_config()), {.help = "quantizer of the layer's output; null: none"})
      .field(
          "modifier", [](auto& c) -> auto& { return c.tile.modifier; }, weight_modifier_parameter())
      .field(
          "clip", [](auto& c) -> auto& { return c.tile.clip; }, weight_clip_parameter())
      .field(
          "remap", [](auto& c) -> auto& { return c.tile.remap; }, weight_remap_parameter())
      .field("crossbar", [](auto& c) -> auto& { return c.tile.crossbar; }, crossbar_parameters(),
             {.help = "tiles as circuits with cells, wires and converters, in place of `forward`; null: off"})
      .field("noise_model", &RpuConfig::noise_model, config::optional(noise_model()),
             {.help = "devices (cells of a crossbar: g_max is a fully-on cell); null: nothing is programmed or drifts, "
                      "the target weights are used as they are"})
      .field("drift_compensation", &RpuConfig::drift_compensation, config::optional(drift_compensation()),
             {.help = "of programmed tiles; null: none"})
      .field("drift_from", &RpuConfig::drift_from, drift_from(),
             {.help = "devices: each device drifts (physical); weights: the peer's two-stage conversion"})
      .field("program_and_verify", &RpuConfig::program_and_verify, config::optional(program_and_verify()),
             {.help = "closed-loop programming; null: one pulse"})
      .field("written_retention", &RpuConfig::written_retention, config::optional(written_retention()),
             {.help = "leakage of what products of two activations (attention) write at run time; null: it stays"})
      .group("faults", fault_keys())
      .unused("backward", training)
      .unused("update", training)
      .unused("device", "training only; the weights of a pulsed device are not limited to its bounds")
      .unused("runtime", "data type and bindings of the peer; computations here are float32")
      .unused("tile_class", python)
      .unused("tile_array_class", python)
      .unused("simulator_tile_class", python);
}

}  // namespace

const config::Type<RpuConfig>& rpu_config_keys() {
  static const config::Type<RpuConfig> type = rpu_config_table();
  return type;
}

namespace {

/// A noise model on the cells of a crossbar: one law for what becomes of a cell, and the core's way of splitting
/// weights.
void check_cells(const RpuConfig& config) {
  std::vector<Problem> problems;
  const circuit::CellParameters& cell = config.tile.crossbar->device;
  const auto refuse = [&](bool wrong, const std::string& key, const std::string& message) {
    if (wrong) problems.push_back({{}, 0, 0, key, message});
  };
  for (const auto& [error, name] :
       {std::pair{&cell.programming_error, "programming_error"}, std::pair{&cell.drift_error, "drift_error"}})
    refuse(error->active(), std::string("crossbar.xbar.device.") + name,
           "noise_model says what becomes of a programmed cell, too; leave one of them out");
  const device::ConductanceConverter split = device::converter(*config.noise_model);
  refuse(!std::holds_alternative<device::SinglePairConductanceConverter>(split) &&
             !std::holds_alternative<device::SingleDeviceConductanceConverter>(split),
         "noise_model.g_converter",
         "the crossbar's core splits weights over cells (crossbar.core.style, bit_sliced.num_slices); leave it out, or "
         "give g_max only");
  refuse(config.drift_from == device::DriftFrom::weights, "drift_from",
         "weights are converted anew by the peer's tiles; cells of a crossbar drift themselves: devices");
  refuse(config.tile.modifier.enable_during_test, "modifier.enable_during_test",
         "changes weights, which are not what the cells of a crossbar are programmed to; use noise_model alone");
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace

void validate(const RpuConfig& config) {
  std::vector<Problem> problems;
  const auto collect = [&](const auto& check) {
    try {
      check();
    } catch (const ConfigError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  collect([&] { tile::validate(config.tile); });
  if (const auto device = device_parameters(config)) collect([&] { device::validate(*device); });
  if (config.written_retention)
    collect([&] {
      try {
        device::validate(*config.written_retention);
      } catch (const ConfigError& error) {
        throw ConfigError("written_retention." + error.problems().front().key, error.problems().front().message);
      }
    });
  if (!config.fault_map.empty() && config.noise_model && config.drift_from == device::DriftFrom::weights)
    collect([] {
      throw ConfigError("faults.map", "has no meaning with drift_from: weights, which forgets the individual devices");
    });
  if (config.tile.crossbar && config.noise_model) collect([&] { check_cells(config); });
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

std::optional<device::DeviceParameters> device_parameters(const RpuConfig& config) {
  if (!config.noise_model) return std::nullopt;
  device::DeviceParameters parameters{*config.noise_model, config.drift_from, config.program_and_verify, config.faults};
  if (config.tile.crossbar) {
    // A fully-on cell is the highest conductance of the law.
    const double highest = device::g_max(device::converter(*config.noise_model));
    device::set_converter(parameters.noise_model, device::SingleDeviceConductanceConverter{
                                                      highest, config.tile.crossbar->device.g0() * highest, true});
  }
  return parameters;
}

RpuConfig preset(const std::string& name) {
  RpuConfig config;
  config.tile = tile::preset(name);
  const std::vector<std::string> with_devices = {"StandardHWATrainingPreset", "WebComposerInferenceRPUConfig"};
  if (std::find(with_devices.begin(), with_devices.end(), name) != with_devices.end())
    config.noise_model = device::PCMLikeNoiseModel{};
  return config;
}

const config::Type<RpuConfig>& rpu_config_type() {
  static const config::Type<RpuConfig> type =
      rpu_config_table().check([](const RpuConfig& config) { validate(config); });
  return type;
}

void refuse_without_product(const Node& node, const std::string& key, Report& report) {
  const Node* tile_class = node.find("tile_class");
  const Node* device = node.find("device");
  const bool floating = tile_class != nullptr && tile_class->scalar == "FloatingPointTile";
  const bool training = device != nullptr && !device->is_null();
  if ((!floating && !training) || node.find("forward") != nullptr || node.find("preset") != nullptr) return;
  const Node& at = training ? *device : *tile_class;
  report.problem(at.position, config::detail::child_key(key, training ? "device" : "tile_class"),
                 "this is the dump of a training configuration without `forward` (FloatingPointRPUConfig): its product "
                 "is perfect there and would get the default converters and noise here; add `preset: "
                 "FloatingPointPreset` or a `forward` section");
}

RpuConfig read_rpu_config(const Node& node, const RpuConfig& start, Report* report) {
  Report local;
  Report& used = report != nullptr ? *report : local;
  refuse_without_product(node, {}, used);
  RpuConfig config = start;
  rpu_config_type().read(node, {}, config, used);
  used.throw_if_any();
  return config;
}

RpuConfig read_rpu_config(std::string_view text, const std::string& name) {
  return read_rpu_config(config::load_text(text, {name, {}}));
}

tile::RpuParameters read_rpu_parameters(std::string_view text, const std::string& name) {
  return read_rpu_config(text, name).tile;
}

Node to_node(const RpuConfig& config) {
  return rpu_config_type().write(config);
}

}  // namespace tessera::spec
