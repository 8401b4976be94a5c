#include "tessera/config/schema.hpp"

#include <cmath>
#include <map>
#include <set>

#include "scalars.hpp"
#include "tessera/config/emit.hpp"

namespace tessera::config {

namespace {

Node reference(const std::string& name) {
  return Node::map({{"$ref", Node::text("#/$defs/" + name), {}}});
}

Node typed(const std::string& type) {
  return Node::map({{"type", Node::text(type), {}}});
}

void add_range(Node& schema, const Range& range) {
  if (std::isfinite(range.low)) schema.set(range.low_open ? "exclusiveMinimum" : "minimum", Node::real(range.low));
  if (std::isfinite(range.high)) schema.set(range.high_open ? "exclusiveMaximum" : "maximum", Node::real(range.high));
}

/// Collects the definitions that a type needs and returns its schema.
class SchemaWriter {
 public:
  Node definitions = Node::map();

  Node schema(const TypeInfo& info) {
    Node inner = not_null(info);
    if (!info.nullable) return inner;
    return Node::map({{"anyOf", Node::list({std::move(inner), typed("null")}), {}}});
  }

  Node object(const std::vector<KeyInfo>& keys, const std::string& help) {
    Node properties = Node::map();
    Node required = Node::list();
    for (const KeyInfo& key : keys) {
      Node property = schema(*key.type);
      const std::string unit = key.unit.empty() ? "" : " [" + key.unit + "]";
      const std::string description = key.unused_because.empty() ? key.help + unit : "unused: " + key.unused_because;
      if (!description.empty()) property.set("description", Node::text(description));
      if (key.default_value) property.set("default", *key.default_value);
      properties.set(key.name, std::move(property));
      if (key.required) required.items.push_back(Node::text(key.name));
    }
    Node result = typed("object");
    if (!help.empty()) result.set("description", Node::text(help));
    result.set("properties", std::move(properties));
    result.set("patternProperties", Node::map({{"^_", Node::map(), {}}}));
    result.set("additionalProperties", Node::boolean(false));
    if (!required.items.empty()) result.set("required", std::move(required));
    return result;
  }

 private:
  Node not_null(const TypeInfo& info) {
    switch (info.kind) {
      case TypeInfo::Kind::boolean:
        return typed("boolean");
      case TypeInfo::Kind::integer: {
        Node node = typed("integer");
        add_range(node, info.range);
        return node;
      }
      case TypeInfo::Kind::real: {
        Node node = typed("number");
        add_range(node, info.range);
        return node;
      }
      case TypeInfo::Kind::text:
        return Node::map({{"type", Node::list({Node::text("string"), Node::text("number")}), {}}});
      case TypeInfo::Kind::path:
        return typed("string");
      case TypeInfo::Kind::choice: {
        Node words = Node::list();
        for (const std::string& word : info.words) words.items.push_back(Node::text(word));
        for (const std::string& word : info.other_words) words.items.push_back(Node::text(word));
        return Node::map({{"enum", std::move(words), {}}});
      }
      case TypeInfo::Kind::list: {
        Node node = typed("array");
        node.set("items", schema(*info.element));
        if (info.min_size > 0) node.set("minItems", Node::integer(static_cast<std::int64_t>(info.min_size)));
        if (!info.scalar_allowed && !info.by_name) return node;
        Node choices = Node::list({std::move(node)});
        if (info.scalar_allowed) choices.items.insert(choices.items.begin(), schema(*info.element));
        if (info.by_name) {
          Node named = typed("object");
          named.set("additionalProperties", schema(*info.by_name));
          choices.items.push_back(std::move(named));
        }
        return Node::map({{"anyOf", std::move(choices), {}}});
      }
      case TypeInfo::Kind::map: {
        Node node = typed("object");
        node.set("additionalProperties", schema(*info.element));
        return node;
      }
      case TypeInfo::Kind::section:
        define(info.name, [&] { return object(info.keys, info.help); });
        if (!info.scalar_allowed) return reference(info.name);
        return Node::map({{"anyOf", Node::list({schema(*info.element), reference(info.name)}), {}}});
      case TypeInfo::Kind::variant:
        define(info.name, [&] { return variant(info); });
        return reference(info.name);
      case TypeInfo::Kind::anything:
        break;
    }
    return Node::map();
  }

  Node variant(const TypeInfo& info) {
    Node choices = Node::list();
    Node names = Node::list();
    for (const auto& [name, type] : info.alternatives) {
      names.items.push_back(Node::text(name));
      define(type->name,
             [&, &alternative_name = name, &section = *type] { return alternative(alternative_name, section); });
      choices.items.push_back(reference(type->name));
    }
    choices.items.push_back(Node::map({{"enum", std::move(names), {}}}));
    return Node::map({{"anyOf", std::move(choices), {}}, {"description", Node::text(info.help), {}}});
  }

  Node alternative(const std::string& name, const TypeInfo& info) {
    Node result = object(info.keys, info.help);
    Node properties = Node::map({{"type", Node::map({{"const", Node::text(name), {}}}), {}}});
    for (Node::Entry& entry : result.find("properties")->entries) properties.entries.push_back(std::move(entry));
    result.set("properties", std::move(properties));
    return result;
  }

  template <class Make>
  void define(const std::string& name, Make make) {
    if (definitions.find(name) != nullptr) return;
    definitions.set(name, Node::map());  // its place; sections may refer to each other
    Node made = make();
    *definitions.find(name) = std::move(made);
  }
};

/// Bars end a table's cell.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

std::string anchor(const TypeInfo& info) {
  return fmt::format("[{}](#{})", info.name, lower_case(info.name));
}

/// As type_text(), with sections as links.
std::string linked_type(const TypeInfo& info) {
  std::string text;
  switch (info.kind) {
    case TypeInfo::Kind::section:
    case TypeInfo::Kind::variant:
      text = (info.scalar_allowed ? linked_type(*info.element) + ", or " : "") + anchor(info);
      break;
    case TypeInfo::Kind::list:
      text =
          (info.scalar_allowed ? linked_type(*info.element) + ", or a " : "") + "list of " + linked_type(*info.element);
      if (info.by_name) text += ", or a map of names to " + linked_type(*info.by_name);
      break;
    case TypeInfo::Kind::map:
      text = "map of names to " + linked_type(*info.element);
      break;
    default:
      return type_text(info);
  }
  return info.nullable ? text + ", or null" : text;
}

class MarkdownWriter {
 public:
  std::string out;

  void section(const TypeInfo& info) {
    if (!seen_.insert(info.name).second) return;
    out += fmt::format("## {}\n\n", info.name);
    if (!info.help.empty()) out += info.help + "\n\n";
    if (info.kind == TypeInfo::Kind::variant) {
      out += "| `type` | is |\n|---|---|\n";
      for (const auto& [name, type] : info.alternatives)
        out += fmt::format("| [{}](#{}) | {} |\n", name, lower_case(type->name), cell(type->help));
      out += '\n';
      for (const auto& [name, type] : info.alternatives) section(*type);
      return;
    }
    table(info.keys);
    for (const KeyInfo& key : info.keys) below(*key.type);
  }

 private:
  void table(const std::vector<KeyInfo>& keys) {
    std::string rows;
    std::map<std::string, std::vector<std::string>> unused;
    for (const KeyInfo& key : keys) {
      if (!key.unused_because.empty()) {
        unused[key.unused_because].push_back(fmt::format("`{}`", key.name));
        continue;
      }
      const std::string shown = key.required        ? "required"
                                : key.default_value ? fmt::format("`{}`", to_flow(*key.default_value))
                                                    : "";
      rows += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.name, cell(linked_type(*key.type)), cell(shown),
                          cell(key.unit), cell(key.help));
    }
    out += rows.empty() ? "No keys.\n\n"
                        : "| key | type | default | unit | meaning |\n|---|---|---|---|---|\n" + rows + "\n";
    for (const auto& [why, names] : unused)
      out += fmt::format("Accepted without effect: {} ({}).\n\n", fmt::join(names, ", "), why);
  }

  void below(const TypeInfo& info) {
    if (info.kind == TypeInfo::Kind::section || info.kind == TypeInfo::Kind::variant) section(info);
    if (info.element) below(*info.element);
    if (info.by_name) below(*info.by_name);
  }

  std::set<std::string> seen_;
};

}  // namespace

std::string json_schema(const TypeInfo& root, const std::string& title, const std::vector<KeyInfo>& extra_keys) {
  SchemaWriter writer;
  std::vector<KeyInfo> keys = extra_keys;
  keys.insert(keys.end(), root.keys.begin(), root.keys.end());
  Node top = writer.object(keys, root.help);
  Node schema = Node::map();
  schema.set("$schema", Node::text("https://json-schema.org/draft/2020-12/schema"));
  schema.set("title", Node::text(title));
  for (Node::Entry& entry : top.entries) schema.entries.push_back(std::move(entry));
  schema.set("$defs", std::move(writer.definitions));
  return to_json(schema);
}

std::string markdown_tables(const TypeInfo& root) {
  MarkdownWriter writer;
  writer.section(root);
  return writer.out;
}

}  // namespace tessera::config
