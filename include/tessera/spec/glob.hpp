#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tessera::spec {

/// Shell patterns over whole names: `*` is any run of characters, `?` any one character, `[abc]` and `[a-z]` one of a
/// set, `[!abc]` one outside it. Everything else stands for itself; case matters.
bool glob_matches(std::string_view pattern, std::string_view name);

/// For each name whether any pattern matches. Throws ConfigError under `key` for every pattern that matches none, with
/// the nearest name.
std::vector<bool> select_names(const std::vector<std::string>& patterns, const std::vector<std::string>& names,
                               const std::string& key);

}  // namespace tessera::spec
