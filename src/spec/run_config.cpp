#include "tessera/spec/run_config.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "cost_tables.hpp"
#include "ineffective_keys.hpp"
#include "quantization_tables.hpp"
#include "rpu_table.hpp"
#include "run_tables.hpp"
#include "spiking_tables.hpp"
#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/config/schema.hpp"

namespace tessera::spec {

namespace {

using config::Node;
using config::Report;
using config::Section;
using config::Type;

const std::vector<std::string> rule_lists = {"layers"};

Type<LayerRule> layer_rule() {
  const Type<LayerRule> table =
      Section<LayerRule>("LayerRule",
                         "Applies to every layer that matches; `match` or `op` is given, or both. `*` is any run of "
                         "characters, `?` any one, `[ab]` one of a set.")
          .field("match", &LayerRule::match, {.help = "pattern for the layer's name"})
          .field("op", &LayerRule::op, {.help = "pattern for its operator type: Conv, Gemm, MatMul, ..."})
          .field("analog", &LayerRule::analog, {.help = "false: digital float32; null: as before"})
          .field("rpu_config", &LayerRule::rpu_config, config::anything(rpu_config_type().info),
                 {.help = "keys read over what is there for this layer"})
          .field("cost", &LayerRule::cost, config::anything(hardware_keys().info),
                 {.help = "keys of `cost:` read over what is there for this layer"});
  return {table.info,
          [table](const Node& node, const std::string& key, LayerRule& rule, Report& report) {
            const std::size_t before = report.problems().size();
            table.read(node, key, rule, report);
            rule.position = node.position;
            if (report.problems().size() == before && !rule.match && !rule.op)
              report.problem(node.position, key,
                             "a rule needs 'match' (a layer's name) or 'op' (its type); '*' is all");
          },
          [table](const LayerRule& rule) {
            Node node = table.write(rule);
            std::erase_if(node.entries, [](const Node::Entry& entry) { return entry.value.is_null(); });
            return node;
          }};
}

const config::KeyInfo* find_key(const config::TypeInfo& section, const std::string& name) {
  const auto found = std::find_if(section.keys.begin(), section.keys.end(),
                                  [&](const config::KeyInfo& key) { return key.name == name; });
  return found != section.keys.end() ? &*found : nullptr;
}

/// The keys of `partial` in their canonical spelling, with the values they have in `full`. Keys that tables read and do
/// not write (a preset, short forms) stay as they are, with paths made absolute; keys without effect go. Positions
/// stay.
Node canonical(const Node& partial, const Node& full, const config::TypeInfo& info) {
  if (!full.is_map() || partial.is_null() || (info.keys.empty() && info.alternatives.empty())) {
    Node value = full;
    value.position = partial.position;
    return value;
  }
  const config::TypeInfo* section = &info;
  for (const auto& [name, alternative] : info.alternatives)
    if (name == full.find("type")->scalar) section = alternative.get();
  Node result = Node::map();
  result.position = partial.position;
  if (partial.is_scalar()) result.set("type", *full.find("type"));  // a bare word chooses an alternative
  for (const Node::Entry& entry : partial.entries) {
    const config::KeyInfo* key = find_key(*section, entry.key);
    if (key == nullptr && entry.key.starts_with('_')) key = find_key(*section, entry.key.substr(1));
    if (key != nullptr && !key->unused_because.empty()) continue;
    const std::string& name = key != nullptr ? key->name : entry.key;
    const Node* value = full.find(name);
    Node made = entry.value;
    if (value != nullptr && key != nullptr)
      made = canonical(entry.value, *value, *key->type);
    else if (key != nullptr && key->type->kind == config::TypeInfo::Kind::path)
      made.scalar = config::read(entry.value, config::path());
    result.entries.push_back({name, std::move(made), entry.position});
  }
  return result;
}

/// Reads the partial configurations of the rules over the global one, each over those before it, and makes them
/// canonical.
void check_rules(RunConfig& config, Report& report) {
  for (std::size_t i = 0; i < config.layers.size(); ++i)
    if (const Node& partial = config.layers[i].rpu_config; !partial.is_null())
      refuse_without_product(partial, fmt::format("layers.{}.rpu_config", i), report);
  const auto check = [&](const auto& table, auto accumulated, Node LayerRule::*part, const char* name) {
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
      Node& partial = config.layers[i].*part;
      if (partial.is_null()) continue;
      const std::size_t before = report.problems().size();
      table.read(partial, fmt::format("layers.{}.{}", i, name), accumulated, report);
      if (report.problems().size() == before) partial = canonical(partial, table.write(accumulated), *table.info);
    }
  };
  check(rpu_config_keys(), config.rpu_config, &LayerRule::rpu_config, "rpu_config");
  const cost::HardwareParameters hardware = config.cost ? config.cost->hardware : cost::HardwareParameters{};
  check(hardware_keys(), hardware, &LayerRule::cost, "cost");
  if (config.cost) return;
  for (std::size_t i = 0; i < config.layers.size(); ++i)
    if (const Node& partial = config.layers[i].cost; !partial.is_null())
      report.problem(partial.position, fmt::format("layers.{}.cost", i),
                     "has no effect without a `cost:` section at the top; `cost: {}` counts with the default hardware");
}

/// Times at which the global noise model has no meaning, and what has none without any noise model.
void check_devices(const Node& root, const RunConfig& config, Report& report) {
  if (!report.problems().empty()) return;
  const std::vector<double>& times = config.evaluation.times;
  const std::vector<double> validation_times =
      config.training ? config.training->validation.times : std::vector<double>{};
  const auto check = [&](const std::function<void()>& function) {
    config::detail::run_check(root, {}, report, function);
  };
  if (config.rpu_config.noise_model) {
    check([&] { device::validate_times(*config.rpu_config.noise_model, times, "evaluation.times"); });
    check(
        [&] { device::validate_times(*config.rpu_config.noise_model, validation_times, "training.validation.times"); });
    return;
  }
  const auto has_model = [](const LayerRule& rule) {
    const Node* preset = rule.rpu_config.find("preset");
    const Node* model = rule.rpu_config.find("noise_model");
    return (preset != nullptr && !preset->is_null()) || (model != nullptr && !model->is_null());
  };
  if (std::any_of(config.layers.begin(), config.layers.end(), has_model)) return;
  // Defaults, which resolved configurations give, ask for nothing.
  const RpuConfig usual;
  const auto report_drift = [&](const char* key, bool differs) {
    const Node* given = config::find_path(root, key);
    if (differs && given != nullptr && !given->is_null())
      report.unused(key, "without a noise_model nothing is programmed or drifts");
  };
  report_drift("rpu_config.drift_compensation", config.rpu_config.drift_compensation != usual.drift_compensation);
  report_drift("rpu_config.drift_from", config.rpu_config.drift_from != usual.drift_from);
  const auto needs_model = [&](bool given, const char* key, const char* why) {
    if (given)
      check([&] {
        throw ConfigError(key,
                          fmt::format("{} without a noise_model; give rpu_config.noise_model, or leave it out", why));
      });
  };
  needs_model(!config.evaluation.chips.empty(), "evaluation.chips", "there are no devices on a chip");
  needs_model(!config.output.chips.empty(), "output.chips", "there are no devices to keep");
  needs_model(!times.empty(), "evaluation.times", "nothing is programmed and nothing drifts");
  needs_model(config.training && !validation_times.empty(), "training.validation.times",
              "nothing is programmed and nothing drifts");
  needs_model(config.rpu_config.faults != device::FaultParameters{} || !config.rpu_config.fault_map.empty(),
              "rpu_config.faults", "there are no devices that could be stuck");
  needs_model(config.rpu_config.program_and_verify.has_value(), "rpu_config.program_and_verify",
              "there are no devices to program");
}

void check_quantization(const Node& root, const RunConfig& config, Report& report) {
  if (!config.quantization || !report.problems().empty()) return;
  const sim::QuantizationParameters& parameters = *config.quantization;
  config::detail::run_check(root, {}, report, [&] { sim::validate(parameters); });
  const Node* section = root.find("quantization");
  const auto says_default = [&](const char* map) {
    const Node* entries = section != nullptr ? section->find(map) : nullptr;
    return entries != nullptr && std::ranges::any_of(entries->entries, [](const Node::Entry& entry) {
             return entry.value.is_scalar() && entry.value.scalar == "default";
           });
  };
  // A resolved configuration spells the default out where it is used.
  const auto uses_default = [&](const auto& map) {
    return std::ranges::any_of(
        map, [&](const auto& entry) { return entry.second.module_qconfig == parameters.map.default_qconfig; });
  };
  if (parameters.map.default_qconfig.enabled() && !parameters.append_default_conversions &&
      !says_default("module_qconfig_map") && !says_default("instance_qconfig_map") &&
      !uses_default(parameters.map.module_qconfig_map) && !uses_default(parameters.map.instance_qconfig_map))
    report.unused("quantization.default_qconfig",
                  "no entry says 'default'; append_default_conversions: true applies it to every layer type");
}

}  // namespace

namespace {

Type<RunConfig> make_run_config_type() {
  return Section<RunConfig>("Configuration", "The top of a file.")
      .field("name", &RunConfig::name, {.help = "of the run; \"\": the file's name without extension"})
      .field("seed", &RunConfig::seed, {.help = "of every random effect of the simulation"})
      .field("model", &RunConfig::model, model_parameters(), {.help = "the network", .required = true})
      .field("data", &RunConfig::data, data_parameters(), {.help = "what it sees", .required = true})
      .field("rpu_config", &RunConfig::rpu_config, rpu_config_type(), {.help = "every analog layer"})
      .field("layers", &RunConfig::layers, config::list(layer_rule()), {.help = "exceptions; later entries win"})
      .field("quantization", &RunConfig::quantization, config::optional(quantization_parameters()),
             {.help = "digital low precision; null: float32"})
      .field("spiking", &RunConfig::spiking, config::optional(spiking_parameters()),
             {.help = "spiking neurons over time; null: the network as it is"})
      .field("evaluation", &RunConfig::evaluation, evaluation_parameters(), {.help = "repeats and times"})
      .field("output", &RunConfig::output, output_parameters(), {.help = "what is written"})
      .field("cost", &RunConfig::cost, config::optional(cost_parameters()),
             {.help = "hardware, for energy, latency and area; null: nothing is counted"})
      .field("calibration", &RunConfig::calibration, config::optional(calibration_parameters()),
             {.help = "how ranges are found (tessera calibrate)"})
      .field("sweep", &RunConfig::sweep, config::optional(sweep_parameters()), {.help = "many runs (tessera sweep)"})
      .field("search", &RunConfig::search, config::optional(search_section()), {.help = "fewest bits (tessera search)"})
      .field("training", &RunConfig::training, config::optional(training_parameters()),
             {.help = "learning (tessera train)"});
}

}  // namespace

const Type<RunConfig>& run_config_type() {
  static const Type<RunConfig> type = make_run_config_type();
  return type;
}

RunConfig read_run_config(const Node& root, Report* report) {
  Report local;
  Report& used = report != nullptr ? *report : local;
  RunConfig config;
  run_config_type().read(root, {}, config, used);
  if (const Node* rpu = root.find("rpu_config")) refuse_without_product(*rpu, "rpu_config", used);
  check_rules(config, used);
  check_devices(root, config, used);
  check_quantization(root, config, used);
  if (config.spiking) config::detail::run_check(root, {}, used, [&] { sim::validate(*config.spiking); });
  used.throw_if_any();
  // Scale and bias of a fixed-point periphery take batch normalization over.
  if (const auto& fixed = config.rpu_config.tile.pre_post.fixed_point; fixed && fixed->fold_batch_normalization)
    config.model.fold_batchnorm = true;
  report_ineffective_keys(root, config, used);
  if (config.name.empty()) config.name = std::filesystem::path(root.position.file()).stem().string();
  return config;
}

Node load_run_document(const std::string& path, const std::vector<std::string>& overrides) {
  Node root = config::load(path);
  config::apply_overrides(root, overrides, rule_lists);
  return root;
}

Node load_run_document(const config::Source& source, std::string_view text, const std::vector<std::string>& overrides) {
  Node root = config::load_text(text, source);
  config::apply_overrides(root, overrides, rule_lists);
  return root;
}

RunConfig read_run_config(const std::string& path, const std::vector<std::string>& overrides, Report* report) {
  return read_run_config(load_run_document(path, overrides), report);
}

RunConfig read_run_config_text(std::string_view text, const std::string& name, const std::string& directory,
                               const std::vector<std::string>& overrides, Report* report) {
  return read_run_config(load_run_document({name, directory}, text, overrides), report);
}

std::string resolved_text(const RunConfig& config) {
  return config::to_yaml(run_config_type().write(config));
}

namespace {

/// Calls visit(node) for every path in what `info` describes.
void for_each_path(Node& node, const config::TypeInfo& info, const std::function<void(Node&)>& visit) {
  using Kind = config::TypeInfo::Kind;
  if (node.is_scalar()) {
    const bool path = info.kind == Kind::path || (info.element && info.element->kind == Kind::path);
    if (path && !node.is_null() && !node.scalar.empty()) visit(node);
    return;
  }
  if (info.element)
    for (Node& item : node.items) for_each_path(item, *info.element, visit);
  for (Node::Entry& entry : node.entries) {
    const config::TypeInfo* section = &info;
    for (const auto& [name, alternative] : info.alternatives)
      if (const Node* type = node.find("type"); type != nullptr && type->scalar == name) section = alternative.get();
    if (const config::KeyInfo* key = find_key(*section, entry.key))
      for_each_path(entry.value, *key->type, visit);
    else if (info.element && info.kind == Kind::map)
      for_each_path(entry.value, *info.element, visit);
    else if (info.by_name)
      for_each_path(entry.value, *info.by_name, visit);
  }
}

}  // namespace

std::string portable_text(const RunConfig& config, const std::function<std::string(const std::string&)>& content_of) {
  Node node = run_config_type().write(config);
  for_each_path(node, *run_config_type().info, [&](Node& path) { path.scalar = content_of(path.scalar); });
  return config::to_yaml(node);
}

Node with_paths_from(Node document, const std::string& folder) {
  const std::filesystem::path from = std::filesystem::absolute(folder.empty() ? "." : folder).lexically_normal();
  for_each_path(document, *run_config_type().info, [&](Node& path) {
    const std::filesystem::path target = std::filesystem::absolute(config::read(path, config::path()));
    path.scalar = target.lexically_normal().lexically_relative(from).string();
  });
  return document;
}

std::string unused_note(const Report& report) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const auto& [key, why] : report.unused()) by_reason[why].push_back(key);
  std::string note;
  for (const auto& [why, keys] : by_reason)
    note += fmt::format("{}{} ({})", note.empty() ? "no effect: " : "; ", fmt::join(keys, ", "), why);
  return note;
}

std::string configuration_schema() {
  const config::KeyInfo base{
      "base", config::one_or_list(config::path()).info, {}, "files that this one is merged over", {}, false, {}};
  return config::json_schema(*run_config_type().info, "tessera configuration", {base});
}

}  // namespace tessera::spec
