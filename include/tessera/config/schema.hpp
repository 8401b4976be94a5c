#pragma once
#include <string>

#include "tessera/config/type.hpp"

/// What the key tables say, for editors and for people.
namespace tessera::config {

/// JSON Schema (draft 2020-12) of a configuration; every section is a definition under `$defs`. `extra_keys` are legal
/// at the top though no table lists them ("base").
std::string json_schema(const TypeInfo& root, const std::string& title, const std::vector<KeyInfo>& extra_keys = {});

/// One Markdown table per section, in the order in which they are met: key, type, default, unit, meaning.
std::string markdown_tables(const TypeInfo& root);

}  // namespace tessera::config
