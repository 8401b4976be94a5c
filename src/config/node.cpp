#include "tessera/config/node.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "scalars.hpp"

namespace tessera::config {

namespace {

template <class NodeType>
NodeType* find_in(NodeType& node, std::string_view key) {
  for (auto& entry : node.entries)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

std::optional<std::size_t> as_index(const std::string& part) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error != std::errc() || end != part.data() + part.size()) return std::nullopt;
  return index;
}

bool types_differ(const Node& a, const Node& b) {
  const Node* type_a = a.find("type");
  const Node* type_b = b.find("type");
  return type_a != nullptr && type_b != nullptr && type_a->scalar != type_b->scalar;
}

/// Whether quotes change what a scalar is.
bool has_plain_meaning(const std::string& scalar) {
  static const std::vector<std::string> nulls = {"", "~", "null", "Null", "NULL"};
  return parse_real(scalar) || parse_boolean(scalar) || std::find(nulls.begin(), nulls.end(), scalar) != nulls.end();
}

std::string join(const std::vector<std::string>& parts, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i > 0 ? "." : "") + parts[i];
  return text;
}

[[noreturn]] void fail_path(const Node& value, const std::string& path, const std::string& message) {
  throw ConfigError({Problem{value.position.file(), value.position.line, value.position.column, path, message}});
}

}  // namespace

Node Node::null() {
  return {};
}

Node Node::plain(std::string scalar) {
  Node node;
  node.kind = Kind::scalar;
  node.scalar = std::move(scalar);
  return node;
}

Node Node::text(std::string value) {
  Node node = plain(std::move(value));
  node.quoted = true;
  return node;
}

Node Node::boolean(bool value) {
  return plain(value ? "true" : "false");
}

Node Node::integer(std::int64_t value) {
  return plain(std::to_string(value));
}

Node Node::real(double value) {
  return plain(format_real(value));
}

Node Node::list() {
  Node node;
  node.kind = Kind::list;
  return node;
}

Node Node::list(std::vector<Node> items) {
  Node node;
  node.kind = Kind::list;
  node.items = std::move(items);
  return node;
}

Node Node::map() {
  Node node;
  node.kind = Kind::map;
  return node;
}

Node Node::map(std::vector<Entry> entries) {
  Node node;
  node.kind = Kind::map;
  node.entries = std::move(entries);
  return node;
}

const Node* Node::find(std::string_view key) const {
  return find_in(*this, key);
}

Node* Node::find(std::string_view key) {
  return find_in(*this, key);
}

Node& Node::set(std::string_view key, Node value) {
  TESSERA_EXPECT(is_null() || is_map());
  kind = Kind::map;
  if (Node* existing = find(key)) {
    *existing = std::move(value);
    return *existing;
  }
  const Position position_of_key = value.position;
  return entries.emplace_back(Entry{std::string(key), std::move(value), position_of_key}).value;
}

void Node::erase(std::string_view key) {
  std::erase_if(entries, [&](const Entry& entry) { return entry.key == key; });
}

bool operator==(const Node& a, const Node& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Node::Kind::null:
      return true;
    case Node::Kind::scalar:
      return a.scalar == b.scalar && (a.quoted == b.quoted || !has_plain_meaning(a.scalar));
    case Node::Kind::list:
      return a.items == b.items;
    case Node::Kind::map:
      break;
  }
  return a.entries.size() == b.entries.size() &&
         std::all_of(a.entries.begin(), a.entries.end(), [&](const Node::Entry& entry) {
           const Node* other = b.find(entry.key);
           return other != nullptr && entry.value == *other;
         });
}

std::string format_real(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  std::string text = fmt::format("{}", value);
  if (text.find('.') != std::string::npos) return text;
  const std::size_t exponent = text.find('e');
  return text.insert(exponent == std::string::npos ? text.size() : exponent, ".0");
}

std::string describe(const Node& node) {
  constexpr std::size_t longest = 60;
  switch (node.kind) {
    case Node::Kind::null:
      return "null";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      return "a map";
    case Node::Kind::scalar:
      break;
  }
  const std::string shown = node.scalar.size() <= longest ? node.scalar : node.scalar.substr(0, longest) + "...";
  return (node.quoted ? "the text '" : "'") + shown + "'";
}

namespace {

/// "_key" for "key" and the other way round.
std::string other_spelling(const std::string& key) {
  return key.size() > 1 && key[0] == '_' ? key.substr(1) : "_" + key;
}

}  // namespace

Node merged(Node base, const Node& over) {
  if (!base.is_map() || !over.is_map() || types_differ(base, over)) return over;
  base.entries.reserve(base.entries.size() + over.entries.size());  // keeps the views in `index` valid
  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < base.entries.size(); ++i) index.emplace(base.entries[i].key, i);
  for (const Node::Entry& entry : over.entries) {
    auto found = index.find(entry.key);
    if (found == index.end()) found = index.find(other_spelling(entry.key));
    if (found == index.end()) {
      base.entries.push_back(entry);
    } else {
      Node::Entry& target = base.entries[found->second];
      target.value = merged(std::move(target.value), entry.value);
      target.position = entry.position;
    }
  }
  base.position = over.position;
  return base;
}

namespace {

/// Follows `path` from `root` as far as it exists; what is left of it goes to `rest`.
const Node& follow(const Node& root, std::string_view path, std::string_view& rest) {
  const Node* node = &root;
  rest = path;
  while (!path.empty()) {
    const std::size_t dot = path.find('.');
    const std::string part(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
    const Node* next = nullptr;
    if (node->is_list()) {
      const auto index = as_index(part);
      if (index && *index < node->items.size()) next = &node->items[*index];
    } else {
      next = node->find(part);
      if (next == nullptr) next = node->find("_" + part);
    }
    if (next == nullptr) break;
    node = next;
    rest = path;
  }
  return *node;
}

}  // namespace

const Node* find_path(const Node& root, std::string_view path) {
  std::string_view rest;
  const Node& node = follow(root, path, rest);
  return rest.empty() ? &node : nullptr;
}

Position locate(const Node& root, std::string_view path) {
  std::string_view rest;
  return follow(root, path, rest).position;
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  bool has_quotes = false;
  for (const char c : path) {
    if (c == '"') {
      quoted = !quoted;
      has_quotes = true;
    } else if (c == '.' && !quoted) {
      require<UsageError>(!parts.back().empty() || has_quotes, "'{}' is not a key (a part between dots is empty)",
                          path);
      parts.emplace_back();
      has_quotes = false;
    } else {
      parts.back() += c;
    }
  }
  require<UsageError>(parts.size() <= 64, "'{}' is not a key (more than 64 parts)", path.substr(0, 60));
  require<UsageError>(!quoted, "'{}' is not a key (a double quote is not closed)", path);
  require<UsageError>(!parts.back().empty(), "'{}' is not a key (it ends before a name)", path);
  return parts;
}

void set_path(Node& root, const std::string& path, Node value, const std::vector<std::string>& rule_lists) {
  const std::vector<std::string> parts = split_path(path);
  Node* node = &root;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string here = join(parts, i);
    if (node->is_null() && std::find(rule_lists.begin(), rule_lists.end(), here) != rule_lists.end())
      *node = Node::list();
    if (node->is_list()) {
      if (const auto index = as_index(parts[i])) {
        if (*index >= node->items.size())
          fail_path(value, path,
                    fmt::format("'{}' has {} entries, there is no entry {}", here, node->items.size(), *index));
        node = &node->items[*index];
      } else {
        Node rule = Node::map();
        rule.position = value.position;
        Node match = Node::text(parts[i]);
        match.position = value.position;
        rule.set("match", std::move(match));
        node = &node->items.emplace_back(std::move(rule));
      }
      continue;
    }
    if (node->is_scalar()) fail_path(value, path, fmt::format("'{}' is {}, it has no keys", here, describe(*node)));
    Node* next = node->find(parts[i]);
    const bool last = i + 1 == parts.size();
    if (last && parts[i] == "type" && next != nullptr && next->scalar != value.scalar) {
      node->entries.clear();
      next = nullptr;
    }
    if (next == nullptr) {
      Node empty;
      empty.position = value.position;
      next = &node->set(parts[i], std::move(empty));
    }
    node = next;
  }
  *node = std::move(value);
}

}  // namespace tessera::config
