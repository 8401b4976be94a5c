#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/config/node.hpp"

/// Reads YAML into nodes. Everything that can be wrong with a text is a ConfigError with file, line and column: broken
/// syntax, bytes that are not UTF-8 text, duplicate keys, a second document, tags, and whatever exceeds the limits.
namespace tessera::config {

/// No sane configuration comes near these; they stop hostile ones. Aliases count with all they repeat.
struct Limits {
  std::size_t bytes = 8U << 20U;
  std::size_t nodes = 200'000;
  int depth = 64;
  int files = 64;  ///< `base:` files of one configuration
};

/// One YAML document. Aliases (`*name`) are copies of what they name; `<<` merges one map or a list of maps below the
/// keys beside it (the first of the list wins). An empty document is null.
Node parse(std::string_view text, const Source& source, const Limits& limits = {});

/// Reads a file and merges it over its `base:` (one path, or a list in which later files win), each relative to the
/// file that names it and with bases of its own; `base` itself is removed. A file that is its own base, directly or
/// through others, is an error. The result is a map; an empty file is an empty map.
Node load(const std::string& path, const Limits& limits = {});

/// As load(), for text that is not in a file; its `base:` is relative to source.directory.
Node load_text(std::string_view text, const Source& source, const Limits& limits = {});

/// Applies "a.b.c=value" in order, with set_path(); the value is YAML. Positions of the values are "--set".
/// Throws UsageError for text without a key or '='; ConfigError for a value that is not YAML or a path that leads
/// nowhere.
void apply_overrides(Node& root, const std::vector<std::string>& overrides,
                     const std::vector<std::string>& rule_lists = {});

}  // namespace tessera::config
