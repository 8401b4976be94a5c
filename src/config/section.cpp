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

std::string unknown_key(const std::string& key, const std::vector<detail::Row>& table) {
  std::vector<KeyInfo> rows;
  for (const detail::Row& row : table) rows.push_back(row.info);
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

KeyInfo detail::describe_row(std::string_view name, std::shared_ptr<const TypeInfo> type, const Key& key) {
  return {.name = std::string(name),
          .type = std::move(type),
          .unit = std::string(key.unit),
          .help = std::string(key.help),
          .default_value = std::nullopt,
          .required = key.required,
          .unused_because = {}};
}

void detail::Rows::read(const Node& node, const std::string& key, void* value, Report& report) const {
  const std::size_t before = report.problems().size();
  std::vector<const Node::Entry*> entries(rows.size(), nullptr);
  if (!node.is_map()) {
    report.problem(node.position, key, fmt::format("expected a map, got {}", config::describe(node)));
    return;
  }
  for (const Node::Entry& entry : node.entries) {
    const std::string bare = without_underscore(entry.key);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.info.name == entry.key; });
    if (row == rows.end())
      row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.info.name == bare; });
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
    if (rows[i].info.required && entries[i] == nullptr)
      report.problem(node.position, key, fmt::format("missing key '{}' ({})", rows[i].info.name, rows[i].info.help));
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (entries[i] != nullptr)
      rows[i].read(rows[i].how.get(), entries[i]->value, child_key(key, rows[i].info.name), value, report);
  if (check && report.problems().size() == before) run_check(node, key, report, [&] { check(value); });
}

Node detail::Rows::write(const void* value) const {
  Node node = Node::map();
  for (const Row& row : rows)
    if (row.write != nullptr) node.entries.push_back({row.info.name, row.write(row.how.get(), value), {}});
  return node;
}

std::shared_ptr<const TypeInfo> detail::Rows::describe(const std::string& name, const std::string& help,
                                                       const void* example) const {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::section;
  info->name = name;
  info->help = help;
  for (const Row& row : rows) {
    KeyInfo key = row.info;
    const bool shows_own = key.type->kind == TypeInfo::Kind::section && !key.type->nullable;
    if (row.write != nullptr && !shows_own && !key.required) key.default_value = row.write(row.how.get(), example);
    info->keys.push_back(std::move(key));
  }
  return info;
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
