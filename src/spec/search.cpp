#include "tessera/spec/search.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "axis_values.hpp"
#include "rpu_table.hpp"
#include "search_keys.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/config/section.hpp"
#include "tessera/core/error.hpp"
#include "tessera/spec/glob.hpp"

namespace tessera::spec {

using config::Node;

Node rung_node(const std::string& key, double value, const config::Position& position) {
  Node node = value == std::round(value) ? Node::integer(static_cast<std::int64_t>(value)) : Node::real(value);
  node.position = position;
  Node root = Node::map();
  config::set_path(root, key.substr(rpu_prefix.size()), std::move(node));
  return root;
}

std::string exact_pattern(const std::string& name) {
  std::string pattern;
  for (const char c : name)
    pattern += c == '*' || c == '?' || c == '[' ? std::string("[") + c + "]" : std::string(1, c);
  return pattern;
}

namespace {

/// Bits behind the point, of which there may be none; for other keys 0 is "off".
bool counts_fraction(const std::string& key) {
  return key.ends_with(".fraction_bits");
}

[[noreturn]] void fail(const config::Position& position, const std::string& key, const std::string& message) {
  throw ConfigError({Problem{position.file(), position.line, position.column, key, message}});
}

bool is_resolution(const std::string& key) {
  return key.ends_with("inp_res") || key.ends_with("out_res");
}

/// Widths of the fixed-point periphery, by the sections that hold them.
bool is_fixed_point_width(const std::string& section, const std::string& key) {
  if (section == "ScaleFormat" || section == "BiasFormat" || section == "AddFormat") return key == "fraction_bits";
  return (section == "AccumulatorFormat" || section == "OutputFormat") && key == "bits";
}

/// Every key of rpu_config that is a bit width or a resolution.
void add_keys(const config::TypeInfo& info, const std::string& path, std::vector<std::string>& keys) {
  for (const config::KeyInfo& key : info.keys) {
    if (!key.unused_because.empty()) continue;
    const std::string name = path + key.name;
    using Kind = config::TypeInfo::Kind;
    const bool of_crossbar = name.starts_with(rpu_prefix + "crossbar.") && key.name.ends_with("bits");
    if ((key.type->kind == Kind::integer || key.type->kind == Kind::real) &&
        (key.name == "n_bits" || key.name == "inp_res" || key.name == "out_res" || of_crossbar ||
         is_fixed_point_width(info.name, key.name)))
      keys.push_back(name);
    else if (key.type->kind == Kind::section)
      add_keys(*key.type, name + ".", keys);
  }
}

std::vector<std::string> searchable_keys() {
  std::vector<std::string> keys;
  add_keys(*rpu_config_keys().info, rpu_prefix, keys);
  return keys;
}

LayerRule rule_for(const std::string& layer, Node rpu_config) {
  LayerRule rule;
  rule.match = exact_pattern(layer);
  rule.rpu_config = std::move(rpu_config);
  return rule;
}

template <class T>
T read_value(const Node& node, const std::string& key, const config::Type<T>& type) {
  config::Report report;
  T value{};
  type.read(node, key, value, report);
  report.throw_if_any();
  return value;
}

SearchKey read_key(const Node& node, const SearchSection& section, std::size_t index) {
  const std::string where = fmt::format("search.keys.{}", index);
  Node bits = section.bits;
  Node levels;
  SearchKey key;
  key.position = node.position;
  if (node.is_map()) {
    for (const Node::Entry& entry : node.entries) {
      if (entry.key == "key")
        key.key = read_value(entry.value, where + ".key", config::text());
      else if (entry.key == "bits")
        bits = entry.value;
      else if (entry.key == "levels")
        levels = entry.value;
      else
        fail(entry.position, where, fmt::format("unknown key '{}'; there are key, bits, levels", entry.key));
    }
    if (node.find("bits") != nullptr && !levels.is_null()) fail(node.position, where, "takes bits or levels, not both");
  } else {
    key.key = read_value(node, where, config::text());
  }
  if (key.key == layers_key) {
    if (!levels.is_null() || (node.is_map() && node.find("bits") != nullptr))
      fail(node.position, where, "'analog' is digital or analog; it takes no bits or levels");
    key.rungs = {{0.0, 1.0}};
    return key;
  }
  std::vector<std::string> legal = searchable_keys();
  legal.push_back(layers_key);
  if (std::find(legal.begin(), legal.end(), key.key) == legal.end()) {
    const std::string near = nearest_word(key.key, legal);
    fail(node.position, where,
         fmt::format("'{}' is no bit width that can be searched; {}", key.key,
                     near.empty() ? fmt::format("there are {}", fmt::join(legal, ", "))
                                  : fmt::format("did you mean '{}'?", near)));
  }
  if (!levels.is_null() && !is_resolution(key.key))
    fail(levels.position, where + ".levels", "are for resolutions (inp_res, out_res); this key takes bits");
  const bool from_levels = !levels.is_null();
  const std::string value_key = where + (from_levels ? ".levels" : ".bits");
  for (const Node& item : axis_values(from_levels ? levels : bits, value_key)) {
    SearchRung rung;
    if (from_levels) {
      rung.value = read_value(item, value_key, config::real(config::Range::at_least(2.0)));
      rung.bits = bits_of(key.key, rung.value);
    } else {
      // One bit is no level at all (2^1 - 2), and one sign of a symmetric quantizer has no step.
      const double least = is_resolution(key.key) ? 2 : counts_fraction(key.key) ? 0 : 1;
      const double most = key.key.ends_with("accumulator.bits") ? 62 : 24;
      rung.bits = read_value(item, value_key, config::integer<int>(config::Range::between(least, most)));
      rung.value = value_with(key.key, rung.bits);
    }
    key.rungs.push_back(rung);
  }
  std::sort(key.rungs.begin(), key.rungs.end(),
            [](const SearchRung& a, const SearchRung& b) { return a.bits > b.bits; });
  for (std::size_t i = 1; i < key.rungs.size(); ++i)
    if (key.rungs[i].bits == key.rungs[i - 1].bits)
      fail(node.position, value_key, fmt::format("{} bits are there twice", key.rungs[i].bits));
  return key;
}

/// Every value of the key on every layer must be legal.
void try_values(const SearchPlan& plan, const SearchKey& key) {
  for (const SearchRung& rung : key.rungs) {
    RunConfig config = plan.config;
    Node partial = rung_node(key.key, rung.value, key.position);
    config.layers.push_back(rule_for("", partial));
    config.layers.back().match = "*";
    try {
      resolve_layer(config, {"any", "any"});
    } catch (const ConfigError& error) {
      fail(key.position, "search.keys",
           fmt::format("{} = {} is not possible: {}", key.key, rung.value, error.problems().front().message));
    }
  }
}

double configured_value(const LayerConfig& layer, const std::string& key) {
  const Node node = rpu_config_keys().write(layer.rpu_config);
  const Node* value = config::find_path(node, key.substr(rpu_prefix.size()));
  return value == nullptr || value->is_null() ? 0.0 : config::read(*value, config::real());
}

}  // namespace

double bits_of(const std::string& key, double value) {
  if (counts_fraction(key)) return value;
  if (value <= 0.0) return float_bits;
  if (!is_resolution(key)) return value;
  return std::log2((value < 1.0 ? 1.0 / value : value) + 2.0);
}

double value_with(const std::string& key, double bits) {
  return is_resolution(key) ? std::exp2(bits) - 2.0 : bits;
}

SearchPlan read_search(const std::string& path, const std::vector<std::string>& overrides, config::Report* report) {
  return read_search(load_run_document(path, overrides), report);
}

SearchPlan read_search(config::Node document, config::Report* report) {
  SearchPlan plan;
  plan.document = std::move(document);
  const RunConfig whole = read_run_config(plan.document, report);
  if (whole.search && !whole.cost && sim::is_hardware_cost(whole.search->parameters.cost))
    fail(config::locate(plan.document, "search.cost"), "search.cost",
         "energy, latency, area and edp need a `cost:` section that says what the hardware is built like");
  if (!whole.search)
    throw ConfigError({Problem{plan.document.position.file(), 0, 0, "search",
                               "the configuration has no search: section; see docs/guide/search.md"}});
  plan.section = *whole.search;
  plan.document.erase("search");
  plan.document.erase("sweep");
  plan.config = read_run_config(plan.document);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < plan.section.keys.size(); ++i) {
    plan.keys.push_back(read_key(plan.section.keys[i], plan.section, i));
    const SearchKey& key = plan.keys.back();
    if (!seen.insert(key.key).second) fail(key.position, "search.keys", fmt::format("'{}' is there twice", key.key));
    if (key.key != layers_key) try_values(plan, key);
  }
  if (plan.chooses_layers()) {
    if (plan.keys.size() > 1)
      fail(plan.keys.front().position, "search.keys",
           "'analog' is searched alone; search the bits of what was found afterwards");
    if (sim::is_hardware_cost(plan.section.parameters.cost) || !plan.section.tile_sizes.empty())
      fail(plan.keys.front().position, "search.keys",
           "'analog' makes the multiply-accumulates of digital layers few; it takes no other cost and no tile_sizes");
  }
  return plan;
}

namespace {

/// The choice of the tiles' size, behind all others.
void add_tile_sizes(const SearchPlan& plan, SearchSpace& space) {
  if (plan.section.tile_sizes.empty()) return;
  const tile::MappingParameter& mapping = plan.config.rpu_config.tile.mapping;
  sim::SearchKnob knob;
  knob.key = plan.keys.size();
  knob.whole_network = true;
  NamedKnob name{"network", "tile", {}};
  const auto add = [&](std::int64_t rows, std::vector<std::int64_t> tile) {
    knob.bits.push_back(static_cast<double>(rows));
    name.values.push_back(static_cast<double>(rows));
    name.tiles.push_back(std::move(tile));
  };
  add(mapping.max_input_size, {});
  for (const std::vector<std::int64_t>& tile : plan.section.tile_sizes) {
    if (tile.size() != 2)
      throw ConfigError("search.tile_sizes", "a size is a pair: rows and columns of a tile, e.g. [[256, 256]]");
    if (tile[0] != mapping.max_input_size || tile[1] != mapping.max_output_size) add(tile[0], tile);
  }
  if (knob.bits.size() < 2) return;
  space.knobs.push_back(std::move(knob));
  space.names.push_back(std::move(name));
}

}  // namespace

SearchSpace search_space(const SearchPlan& plan, const std::vector<LayerName>& layers) {
  std::vector<std::string> names;
  for (const LayerName& layer : layers) names.push_back(layer.name);
  const std::vector<bool> chosen = select_names(plan.section.layers, names, "search.layers");
  const std::vector<LayerConfig> configs = resolve_layers(plan.config, layers);
  SearchSpace space;
  std::vector<bool> used(plan.keys.size(), false);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (!chosen[l] || !configs[l].analog) continue;
    for (std::size_t k = 0; k < plan.keys.size(); ++k) {
      const SearchKey& key = plan.keys[k];
      if (key.key == layers_key) {
        used[k] = true;
        space.knobs.push_back({l, k, {1.0, 0.0}, 1.0});
        space.names.push_back({names[l], key.key, {0.0, 1.0}});
        continue;
      }
      const tile::RpuParameters& rpu = configs[l].rpu_config.tile;
      if (is_resolution(key.key) && (rpu.forward.is_perfect || rpu.crossbar)) continue;  // nothing reads it
      if (key.key.starts_with(rpu_prefix + "crossbar.") && !rpu.crossbar) continue;
      const double value = configured_value(configs[l], key.key);
      sim::SearchKnob knob{l, k, {bits_of(key.key, value)}, 1.0};
      NamedKnob name{names[l], key.key, {value}};
      for (const SearchRung& rung : key.rungs) {
        if (rung.bits >= knob.bits.front()) continue;
        knob.bits.push_back(rung.bits);
        name.values.push_back(rung.value);
      }
      if (knob.bits.size() < 2) continue;
      used[k] = true;
      space.knobs.push_back(std::move(knob));
      space.names.push_back(std::move(name));
    }
  }
  add_tile_sizes(plan, space);
  for (std::size_t k = 0; k < plan.keys.size(); ++k)
    if (!used[k])
      fail(plan.keys[k].position, "search.keys",
           plan.keys[k].key == layers_key
               ? std::string("'analog': no layer of search.layers is configured to be analog")
               : fmt::format(
                     "'{}': no analog layer of search.layers has more bits than those to try; configure the most "
                     "bits that you would accept, the search goes down from there",
                     plan.keys[k].key));
  return space;
}

RunConfig with_rungs(const SearchPlan& plan, const SearchSpace& space, const sim::SearchState& state) {
  RunConfig config = plan.config;
  for (std::size_t k = 0; k < state.size(); ++k) {
    const NamedKnob& name = space.names[k];
    if (name.key == layers_key) {
      if (state[k] != 0) continue;
      LayerRule digital;
      digital.match = exact_pattern(name.layer);
      digital.analog = false;
      config.layers.push_back(std::move(digital));
      continue;
    }
    if (state[k] == 0) continue;
    if (space.knobs[k].whole_network) {
      const std::vector<std::int64_t>& tile = name.tiles[static_cast<std::size_t>(state[k])];
      config.rpu_config.tile.mapping.max_input_size = static_cast<int>(tile[0]);
      config.rpu_config.tile.mapping.max_output_size = static_cast<int>(tile[1]);
      if (config.cost) config.cost->hardware.tile = tile;
      continue;
    }
    config.layers.push_back(
        rule_for(name.layer, rung_node(name.key, name.values[static_cast<std::size_t>(state[k])], {})));
  }
  return config;
}

}  // namespace tessera::spec
