#include "tessera/spec/layers.hpp"

#include <algorithm>

#include "cost_tables.hpp"
#include "names.hpp"
#include "rpu_table.hpp"
#include "tessera/spec/glob.hpp"
#include "tessera/tile/crossbar_engine.hpp"

namespace tessera::spec {

namespace {

bool applies(const LayerRule& rule, const LayerName& layer) {
  return (!rule.match || glob_matches(*rule.match, layer.name)) && (!rule.op || glob_matches(*rule.op, layer.op));
}

/// Resolves layers of one configuration and collects the problems.
class Resolver {
 public:
  explicit Resolver(const RunConfig& config) : config_(config), table_(rpu_config_keys()) {}

  LayerConfig resolve(const LayerName& layer) {
    LayerConfig result{!layer.product, config_.rpu_config};
    if (config_.cost) result.hardware = config_.cost->hardware;
    std::vector<std::size_t> used;
    for (std::size_t i = 0; i < config_.layers.size(); ++i) {
      const LayerRule& rule = config_.layers[i];
      if (!applies(rule, layer)) continue;
      if (rule.analog) result.analog = *rule.analog;
      if (result.hardware && !rule.cost.is_null()) {
        hardware_keys().read(rule.cost, fmt::format("layers.{}.cost", i), *result.hardware, report_);
        check_hardware(layer, *result.hardware, rule, i);
      }
      if (rule.rpu_config.is_null()) continue;
      table_.read(rule.rpu_config, fmt::format("layers.{}.rpu_config", i), result.rpu_config, report_);
      used.push_back(i);
    }
    if (result.analog && !used.empty() && report_.problems().empty()) check(layer, result.rpu_config, used);
    // Arrays of crossbars are the tiles of their layer for all who ask.
    result.rpu_config.tile.mapping = tile::crossbar_mapping(result.rpu_config.tile);
    return result;
  }

  /// Every pattern of a rule must match a layer on its own, and all together too.
  void expect_matches(const std::vector<LayerName>& layers) {
    std::vector<std::string> names;
    std::vector<std::string> ops;
    for (const LayerName& layer : layers) {
      names.push_back(layer.name);
      ops.push_back(layer.op);
    }
    const auto holds = [&](const LayerRule& rule, const LayerName& layer) {
      return applies(rule, layer) && (!layer.product || rule.analog || asks_for_product(config_, layer));
    };
    for (std::size_t i = 0; i < config_.layers.size(); ++i) {
      const LayerRule& rule = config_.layers[i];
      if (std::any_of(layers.begin(), layers.end(), [&](const LayerName& layer) { return holds(rule, layer); }))
        continue;
      const auto product =
          std::find_if(layers.begin(), layers.end(), [&](const LayerName& layer) { return applies(rule, layer); });
      if (product != layers.end()) {
        report_.problem(rule.position, fmt::format("layers.{}", i),
                        fmt::format("matches only products of two activations ('{}'), which are digital unless a rule "
                                    "says analog: true",
                                    product->name));
        continue;
      }
      const auto matches_any = [](const std::optional<std::string>& pattern, const std::vector<std::string>& words) {
        return !pattern ||
               std::any_of(words.begin(), words.end(), [&](const std::string& w) { return glob_matches(*pattern, w); });
      };
      const std::string key = fmt::format("layers.{}", i);
      if (!matches_any(rule.match, names))
        report_.problem(rule.position, key + ".match", matches_nothing(*rule.match, "layer", names));
      else if (!matches_any(rule.op, ops))
        report_.problem(rule.position, key + ".op", matches_nothing(*rule.op, "operator type", ops));
      else
        report_.problem(rule.position, key,
                        fmt::format("no layer '{}' has the operator type '{}'", *rule.match, *rule.op));
    }
  }

  const config::Report& report() const { return report_; }

 private:
  void check_hardware(const LayerName& layer, const cost::HardwareParameters& hardware, const LayerRule& rule,
                      std::size_t index) {
    try {
      cost::validate(hardware);
    } catch (const ConfigError& error) {
      for (const Problem& problem : error.problems())
        report_.problem(config::locate(rule.cost, problem.key), fmt::format("layers.{}.cost.{}", index, problem.key),
                        fmt::format("{} (layer '{}')", problem.message, layer.name));
    }
  }

  void check(const LayerName& layer, const RpuConfig& rpu_config, const std::vector<std::size_t>& used) {
    try {
      validate(rpu_config);
      if (rpu_config.noise_model)
        device::validate_times(*rpu_config.noise_model, config_.evaluation.times, "noise_model");
    } catch (const ConfigError& error) {
      for (const Problem& problem : error.problems()) {
        std::size_t rule = used.back();
        for (const std::size_t i : used)
          if (config::find_path(config_.layers[i].rpu_config, problem.key) != nullptr) rule = i;
        report_.problem(config::locate(config_.layers[rule].rpu_config, problem.key),
                        fmt::format("layers.{}.rpu_config.{}", rule, problem.key),
                        fmt::format("{} (layer '{}')", problem.message, layer.name));
      }
    }
  }

  const RunConfig& config_;
  const config::Type<RpuConfig>& table_;
  config::Report report_;
};

}  // namespace

std::vector<LayerConfig> resolve_layers(const RunConfig& config, const std::vector<LayerName>& layers) {
  Resolver resolver(config);
  resolver.expect_matches(layers);
  std::vector<LayerConfig> result;
  result.reserve(layers.size());
  for (const LayerName& layer : layers) result.push_back(resolver.resolve(layer));
  resolver.report().throw_if_any();
  return result;
}

LayerConfig resolve_layer(const RunConfig& config, const LayerName& layer) {
  Resolver resolver(config);
  LayerConfig result = resolver.resolve(layer);
  resolver.report().throw_if_any();
  return result;
}

bool asks_for_product(const RunConfig& config, const LayerName& product) {
  bool asked = false;
  for (const LayerRule& rule : config.layers)
    if (rule.analog && applies(rule, product)) asked = *rule.analog;
  return asked;
}

sim::LayerResolver layer_resolver(const RunConfig& config, const std::vector<std::string>& products) {
  return [config, products](const std::string& name, const std::string& op) {
    const bool product = std::find(products.begin(), products.end(), name) != products.end();
    const LayerConfig layer = resolve_layer(config, {name, op, product});
    sim::LayerParameters parameters{{.rpu = layer.rpu_config.tile,
                                     .device = device_parameters(layer.rpu_config),
                                     .drift_compensation = layer.rpu_config.drift_compensation,
                                     .fault_map = layer.rpu_config.fault_map},
                                    layer.analog};
    if (product) {
      parameters.retention = layer.rpu_config.written_retention;
      parameters.written_device = std::move(parameters.device);
      parameters.device.reset();
      parameters.drift_compensation.reset();
      parameters.fault_map.clear();
    }
    return parameters;
  };
}

std::optional<sim::CostModel> cost_model(const RunConfig& config, const std::vector<LayerName>& layers) {
  if (!config.cost) return std::nullopt;
  sim::CostModel model;
  model.parameters = *config.cost;
  model.hardware = [config](const std::string& name, const std::string& op) {
    return *resolve_layer(config, {name, op}).hardware;
  };
  if (config.spiking) model.steps = config.spiking->steps;
  std::vector<std::string> names;
  for (const LayerName& layer : layers) names.push_back(layer.name);
  std::vector<Problem> problems;
  for (const auto& [pattern, count] : config.cost->copies) {
    const std::string key = "cost.copies." + pattern;
    bool any = false;
    for (const LayerName& layer : layers) {
      if (!glob_matches(pattern, layer.name)) continue;
      any = true;
      if (resolve_layer(config, layer).analog)
        model.copies[layer.name] = count;
      else if (pattern == layer.name)
        problems.push_back({{}, 0, 0, key, fmt::format("layer '{}' is digital and has no tiles", layer.name)});
    }
    if (!any) problems.push_back({{}, 0, 0, key, matches_nothing(pattern, "layer", names)});
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return model;
}

}  // namespace tessera::spec
