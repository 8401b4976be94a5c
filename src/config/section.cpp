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

std::string unknown_key(const std::string& key, const std::vector<detail::SectionRow>& rows) {
  std::vector<std::string> legal;
  std::vector<KeyInfo> infos;
  for (const detail::SectionRow& row : rows) {
    infos.push_back(row.info);
    if (row.info.unused_because.empty()) legal.push_back(row.info.name);
  }
  const std::string near = nearest_word(key, legal);
  if (!near.empty()) return fmt::format("unknown key '{}'; did you mean '{}'?", key, near);
  const std::string below = find_below(infos, key);
  if (!below.empty()) return fmt::format("unknown key '{}'; did you mean '{}'?", key, below);
  if (legal.empty()) return fmt::format("unknown key '{}'; there are no keys here", key);
  return fmt::format("unknown key '{}'; the keys here are {}", key, fmt::join(legal, ", "));
}

}  // namespace

bool detail::match_rows(const Node& node, const std::string& key, const std::vector<SectionRow>& rows, Report& report,
                        std::vector<const Node::Entry*>& entries) {
  entries.assign(rows.size(), nullptr);
  if (!node.is_map()) {
    report.problem(node.position, key, fmt::format("expected a map, got {}", describe(node)));
    return false;
  }
  for (const Node::Entry& entry : node.entries) {
    const auto has_name = [&](const std::string& name) {
      return [&](const SectionRow& row) {
        return row.info.name == name || std::find(row.aliases.begin(), row.aliases.end(), name) != row.aliases.end();
      };
    };
    auto row = std::find_if(rows.begin(), rows.end(), has_name(entry.key));
    if (row == rows.end()) row = std::find_if(rows.begin(), rows.end(), has_name(without_underscore(entry.key)));
    const std::string full_key = child_key(key, entry.key);
    if (row == rows.end()) {
      report.problem(entry.position, full_key, unknown_key(without_underscore(entry.key), rows));
      continue;
    }
    const Node::Entry*& taken = entries[static_cast<std::size_t>(row - rows.begin())];
    if (taken == nullptr)
      taken = &entry;
    else
      report.problem(entry.position, full_key, fmt::format("means the same as '{}', which is also given", taken->key));
  }
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].info.required && entries[i] == nullptr)
      report.problem(node.position, key, fmt::format("missing key '{}' ({})", rows[i].info.name, rows[i].info.help));
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
