#include "tessera/config/emit.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "scalars.hpp"

namespace tessera::config {

namespace {

/// Text that no YAML reader takes for anything but text when it stands without quotes.
bool is_safe_plain(const std::string& text) {
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text[0])) == 0) return false;
  const auto is_safe = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '/' || c == '-';
  };
  if (!std::all_of(text.begin(), text.end(), is_safe)) return false;
  static const std::vector<std::string> taken = {"null", "true", "false", "yes", "no", "on",
                                                 "off",  "y",    "n",     "inf", "nan"};
  return std::find(taken.begin(), taken.end(), lower_case(text)) == taken.end();
}

std::string double_quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\t':
        result += "\\t";
        break;
      case '\r':
        result += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else
          result += c;
    }
  }
  return result + '"';
}

std::string scalar_text(const Node& node) {
  if (node.is_null()) return "null";
  if (!node.quoted && !node.scalar.empty() && (parse_real(node.scalar) || parse_boolean(node.scalar)))
    return node.scalar;
  return is_safe_plain(node.scalar) ? node.scalar : double_quoted(node.scalar);
}

std::string key_text(const std::string& key) {
  return is_safe_plain(key) ? key : double_quoted(key);
}

bool is_short_list(const Node& node) {
  return node.is_list() && std::all_of(node.items.begin(), node.items.end(), [](const Node& item) {
           return item.is_null() || item.is_scalar() || is_short_list(item);
         });
}

bool fits_on_the_line(const Node& node) {
  return node.is_null() || node.is_scalar() || is_short_list(node) || (node.is_map() && node.entries.empty());
}

void write_block(const Node& node, std::size_t indent, bool first_line_is_open, std::string& out) {
  const auto start_line = [&](bool first) {
    if (!(first && first_line_is_open)) out += std::string(indent, ' ');
  };
  bool first = true;
  if (node.is_map()) {
    for (const Node::Entry& entry : node.entries) {
      start_line(first);
      first = false;
      out += key_text(entry.key) + ":";
      if (fits_on_the_line(entry.value)) {
        out += fmt::format(" {}\n", to_flow(entry.value));
      } else {
        out += "\n";
        write_block(entry.value, indent + 2, false, out);
      }
    }
  } else {
    for (const Node& item : node.items) {
      start_line(first);
      first = false;
      out += "- ";
      if (fits_on_the_line(item))
        out += to_flow(item) + "\n";
      else
        write_block(item, indent + 2, true, out);
    }
  }
}

bool is_json_number(const std::string& text) {
  if (!parse_real(text) || text[0] == '+' || text.back() == '.') return false;
  const std::size_t digits = text[0] == '-' ? 1 : 0;
  if (std::isdigit(static_cast<unsigned char>(text[digits])) == 0 || text.find(".e") != std::string::npos) return false;
  return text[digits] != '0' || text.size() == digits + 1 ||
         std::isdigit(static_cast<unsigned char>(text[digits + 1])) == 0;
}

std::string json_scalar(const Node& node) {
  if (node.quoted) return double_quoted(node.scalar);
  if (const auto boolean = parse_boolean(node.scalar)) return *boolean ? "true" : "false";
  if (is_json_number(node.scalar)) return node.scalar;
  const auto number = parse_real(node.scalar);
  return number && !number->overflow && std::isfinite(number->value) ? format_real(number->value)
                                                                     : double_quoted(node.scalar);
}

void write_json(const Node& node, std::size_t indent, std::string& out) {
  const std::string pad(indent + 2, ' ');
  switch (node.kind) {
    case Node::Kind::null:
      out += "null";
      return;
    case Node::Kind::scalar: {
      out += json_scalar(node);
      return;
    }
    case Node::Kind::list: {
      out += "[";
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        out += i > 0 ? ", " : "";
        write_json(node.items[i], indent, out);
      }
      out += "]";
      return;
    }
    case Node::Kind::map:
      break;
  }
  if (node.entries.empty()) {
    out += "{}";
    return;
  }
  out += "{\n";
  for (std::size_t i = 0; i < node.entries.size(); ++i) {
    out += pad + double_quoted(node.entries[i].key) + ": ";
    write_json(node.entries[i].value, indent + 2, out);
    out += i + 1 < node.entries.size() ? ",\n" : "\n";
  }
  out += std::string(indent, ' ') + "}";
}

}  // namespace

std::string to_yaml(const Node& node) {
  if (fits_on_the_line(node)) return to_flow(node) + "\n";
  std::string out;
  write_block(node, 0, false, out);
  return out;
}

std::string to_flow(const Node& node) {
  std::string out;
  if (node.is_list()) {
    out = "[";
    for (std::size_t i = 0; i < node.items.size(); ++i) out += (i > 0 ? ", " : "") + to_flow(node.items[i]);
    return out + "]";
  }
  if (!node.is_map()) return scalar_text(node);
  out = "{";
  for (std::size_t i = 0; i < node.entries.size(); ++i)
    out += (i > 0 ? ", " : "") + key_text(node.entries[i].key) + ": " + to_flow(node.entries[i].value);
  return out + "}";
}

std::string to_json(const Node& node) {
  std::string out;
  write_json(node, 0, out);
  return out + "\n";
}

}  // namespace tessera::config
