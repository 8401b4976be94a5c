#include "tessera/config/section.hpp"

#include <algorithm>

namespace tessera::config {

namespace {

std::string without_underscore(const std::string& key) {
  return key.size() > 1 && key[0] == '_' ? key.substr(1) : key;
}

/// "forward.inp_res" if one of the tables below has the key.
std::string find_below(const std::vector<KeyInfo>& keys, const std::string& key) {
  for (const KeyInfo& row : keys) {
    if (row.name == key) return key;
    const std::string below = find_below(row.type->keys, key);
    if (!below.empty()) return row.name + "." + below;
  }
  return {};
}

std::string unknown_key(const std::string& key, const std::vector<KeyInfo>& rows) {
  std::vector<std::string> legal;
  for (const KeyInfo& row : rows)
    if (row.unused_because.empty()) legal.push_back(row.name);
  const std::string near = nearest_word(key, legal);
  if (!near.empty()) return fmt::format("unknown key '{}'; did you mean '{}'?", key, near);
  const std::string below = find_below(rows, key);
  if (!below.empty()) return fmt::format("unknown key '{}'; did you mean '{}'?", key, below);
  if (legal.empty()) return fmt::format("unknown key '{}'; there are no keys here", key);
  return fmt::format("unknown key '{}'; the keys here are {}", key, fmt::join(legal, ", "));
}

}  // namespace

bool detail::match_rows(const Node& node, const std::string& key, const std::vector<KeyInfo>& rows, Report& report,
                        std::vector<const Node::Entry*>& entries) {
  entries.assign(rows.size(), nullptr);
  if (!node.is_map()) {
    report.problem(node.position, key, fmt::format("expected a map, got {}", describe(node)));
    return false;
  }
  for (const Node::Entry& entry : node.entries) {
    const std::string bare = without_underscore(entry.key);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const KeyInfo& r) { return r.name == entry.key; });
    if (row == rows.end())
      row = std::find_if(rows.begin(), rows.end(), [&](const KeyInfo& r) { return r.name == bare; });
    const std::string full_key = child_key(key, entry.key);
    if (row == rows.end()) {
      report.problem(entry.position, full_key, unknown_key(bare, rows));
      continue;
    }
    const Node::Entry*& taken = entries[static_cast<std::size_t>(row - rows.begin())];
    if (taken == nullptr)
      taken = &entry;
    else
      report.problem(entry.position, full_key, fmt::format("means the same as '{}', which is also given", taken->key));
  }
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].required && entries[i] == nullptr)
      report.problem(node.position, key, fmt::format("missing key '{}' ({})", rows[i].name, rows[i].help));
  return true;
}

std::string detail::child_key(const std::string& key, const std::string& name) {
  return key.empty() ? name : key + "." + name;
}

void detail::run_check(const Node& node, const std::string& key, Report& report, const std::function<void()>& check) {
  try {
    check();
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems())
      report.problem(locate(node, problem.key), problem.key.empty() ? key : child_key(key, problem.key),
                     problem.message);
  }
}

}  // namespace tessera::config
