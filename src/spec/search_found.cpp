#include "tessera/spec/search.hpp"

#include <algorithm>

#include "search_keys.hpp"
#include "tessera/config/emit.hpp"

namespace tessera::spec {

using config::Node;

namespace {

std::string bits_text(double bits) {
  return bits == float_bits ? std::string("off") : fmt::format("{:.4g}", bits);
}

}  // namespace

std::string found_text(const SearchPlan& plan, const SearchSpace& space, const sim::SearchState& state,
                       const std::vector<std::string>& heading, const std::string& folder,
                       std::int64_t columns_per_converter) {
  Node document = with_paths_from(plan.document, folder);
  for (std::size_t k = 0; k < state.size(); ++k) {
    if (!space.knobs[k].whole_network || state[k] == 0) continue;
    const std::vector<std::int64_t>& tile = space.names[k].tiles[static_cast<std::size_t>(state[k])];
    config::set_path(document, "rpu_config.mapping.max_input_size", Node::integer(tile[0]));
    config::set_path(document, "rpu_config.mapping.max_output_size", Node::integer(tile[1]));
    if (plan.config.cost)
      config::set_path(document, "cost.tile", Node::list({Node::integer(tile[0]), Node::integer(tile[1])}));
  }
  if (columns_per_converter > 0) config::set_path(document, "cost.adc.columns", Node::integer(columns_per_converter));
  Node rules = Node::list();
  if (const Node* given = document.find("layers"); given != nullptr && given->is_list()) rules = *given;
  document.erase("layers");
  std::string text;
  for (const std::string& line : heading) text += line.empty() ? "#\n" : "# " + line + "\n";
  text += config::to_yaml(document);
  text += "layers:\n";
  for (const Node& rule : rules.items) text += "  - " + config::to_flow(rule) + "\n";
  for (std::size_t k = 0; k < state.size();) {
    if (space.knobs[k].whole_network) {
      ++k;
      continue;
    }
    const std::string& layer = space.names[k].layer;
    if (space.names[k].key == layers_key) {
      Node rule = Node::map();
      rule.set("match", Node::text(exact_pattern(layer)));
      rule.set("analog", Node::boolean(false));
      text += state[k] == 0 ? fmt::format("  - {}    # stays digital\n", config::to_flow(rule))
                            : fmt::format("  # {}: analog\n", layer);
      ++k;
      continue;
    }
    Node partial = Node::map();
    std::string comment;
    bool changed = false;
    for (; k < state.size() && space.names[k].layer == layer; ++k) {
      const auto rung = static_cast<std::size_t>(state[k]);
      const sim::SearchKnob& knob = space.knobs[k];
      const std::string& key = space.names[k].key;
      comment += fmt::format("{}{} {} -> {} bits", comment.empty() ? "" : ", ", key.substr(key.rfind('.') + 1),
                             bits_text(knob.bits[0]), bits_text(knob.bits[rung]));
      if (rung > 0) partial = config::merged(std::move(partial), rung_node(key, space.names[k].values[rung], {}));
      changed |= rung > 0;
    }
    if (changed) {
      Node rule = Node::map();
      rule.set("match", Node::text(exact_pattern(layer)));
      rule.set("rpu_config", std::move(partial));
      text += fmt::format("  - {}    # {}\n", config::to_flow(rule), comment);
    } else {
      text += fmt::format("  # {}: as given ({})\n", layer, comment);
    }
  }
  // Comments alone would make the key null.
  const int silent = plan.chooses_layers() ? 1 : 0;
  if (rules.items.empty() && std::all_of(state.begin(), state.end(), [&](int rung) { return rung == silent; })) {
    const std::size_t at = text.rfind("layers:\n");
    text.replace(at, 8, "layers: []\n");
  }
  return text;
}

}  // namespace tessera::spec
