#include "tessera/spec/rpu_config.hpp"

#include "rpu_table.hpp"
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
    config = RpuConfig{.tile = tile::preset(node.scalar)};
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) report.problem(node.position, key, problem.message);
  }
}

}  // namespace

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
      .unused("noise_model", "programming noise and drift are not simulated yet")
      .unused("drift_compensation", "programming noise and drift are not simulated yet")
      .unused("backward", training)
      .unused("update", training)
      .unused("device", training)
      .unused("clip", training)
      .unused("remap", training)
      .unused("modifier", training)
      .unused("runtime", "data type and bindings of the peer; computations here are float32")
      .unused("tile_class", python)
      .unused("tile_array_class", python)
      .unused("simulator_tile_class", python);
}

void validate(const RpuConfig& config) {
  tile::validate(config.tile);
}

config::Type<RpuConfig> rpu_config_type() {
  return rpu_config_table().check([](const RpuConfig& config) { validate(config); });
}

RpuConfig read_rpu_config(const Node& node, const RpuConfig& start, Report* report) {
  Report local;
  Report& used = report != nullptr ? *report : local;
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
