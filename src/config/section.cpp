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

Node write_row(const detail::Row& row, const void* value) {
  return row.type.write_any(row.type.how.get(), static_cast<const char*>(value) + row.offset);
}

}  // namespace

void detail::Rows::add(std::string_view name, const AnyType& type, std::size_t offset, const Key& key, bool written) {
  rows.push_back({.info = {.name = std::string(name),
                           .type = type.info,
                           .unit = std::string(key.unit),
                           .help = std::string(key.help),
                           .default_value = std::nullopt,
                           .required = key.required,
                           .unused_because = {}},
                  .type = type,
                  .offset = offset,
                  .written = written});
}

void detail::Rows::add_unused(std::string_view name, const std::string& why) {
  const auto read = [](const void* how, const Node&, const std::string& path, void*, Report& report) {
    report.unused(path, *static_cast<const std::string*>(how));
  };
  add(name, {std::make_shared<TypeInfo>(), std::make_shared<const std::string>(why), read, nullptr}, 0, {}, false);
  rows.back().info.unused_because = why;
}

void detail::Rows::add_group(std::string_view name, const AnyType& inner, const Key& key, bool nullable) {
  if (!nullable) return add(name, inner, 0, key);
  const auto read = [](const void* how, const Node& node, const std::string& path, void* value, Report& report) {
    const auto& type = *static_cast<const AnyType*>(how);
    if (!node.is_null()) type.read_any(type.how.get(), node, path, value, report);
  };
  const auto write = [](const void* how, const void* value) {
    const auto& type = *static_cast<const AnyType*>(how);
    return type.write_any(type.how.get(), value);
  };
  add(name, {detail::nullable(*inner.info), shared(inner), read, write}, 0, key);
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
      rows[i].type.read_any(rows[i].type.how.get(), entries[i]->value, child_key(key, rows[i].info.name),
                            static_cast<char*>(value) + rows[i].offset, report);
  if (check && report.problems().size() == before) run_check(node, key, report, [&] { check(value); });
}

Node detail::Rows::write(const void* value) const {
  Node node = Node::map();
  for (const Row& row : rows)
    if (row.written) node.entries.push_back({row.info.name, write_row(row, value), {}});
  return node;
}

detail::AnyType detail::Rows::type(const std::string& name, const std::string& help, const void* example) const {
  auto info = std::make_shared<TypeInfo>();
  info->kind = TypeInfo::Kind::section;
  info->name = name;
  info->help = help;
  for (const Row& row : rows) {
    KeyInfo key = row.info;
    const bool shows_own = key.type->kind == TypeInfo::Kind::section && !key.type->nullable;
    if (row.written && !shows_own && !key.required) key.default_value = write_row(row, example);
    info->keys.push_back(std::move(key));
  }
  return {std::move(info), std::make_shared<const Rows>(*this),
          [](const void* how, const Node& node, const std::string& key, void* value, Report& report) {
            static_cast<const Rows*>(how)->read(node, key, value, report);
          },
          [](const void* how, const void* value) { return static_cast<const Rows*>(how)->write(value); }};
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
