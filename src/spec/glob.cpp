#include "tessera/spec/glob.hpp"

#include <algorithm>

#include "names.hpp"
#include "tessera/core/error.hpp"

namespace tessera::spec {

namespace {

/// Matches the set that starts behind '[' and moves `pattern` behind its ']'; an unclosed '[' stands for itself.
bool matches_set(std::string_view& pattern, char c) {
  const std::size_t close = pattern.find(']', pattern.starts_with('!') ? 2 : 1);
  if (close == std::string_view::npos) return c == '[';
  std::string_view set = pattern.substr(0, close);
  pattern.remove_prefix(close + 1);
  const bool negated = set.starts_with('!');
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = found || (set[i] <= c && c <= set[i + 2]);
      i += 2;
    } else {
      found = found || set[i] == c;
    }
  }
  return found != negated;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view name) {
  // On a mismatch the last star takes one more character; earlier stars never need to be revisited.
  std::string_view after_star;
  std::string_view retry_name;
  bool has_star = false;
  while (true) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      after_star = pattern;
      retry_name = name;
      has_star = true;
      continue;
    }
    if (pattern.empty() && name.empty()) return true;
    bool matches = !pattern.empty() && !name.empty();
    if (matches) {
      const char wanted = pattern.front();
      pattern.remove_prefix(1);
      matches = wanted == '?' || (wanted == '[' ? matches_set(pattern, name.front()) : wanted == name.front());
      name.remove_prefix(1);
    }
    if (matches) continue;
    if (!has_star || retry_name.empty()) return false;
    retry_name.remove_prefix(1);
    name = retry_name;
    pattern = after_star;
  }
}

std::vector<bool> select_names(const std::vector<std::string>& patterns, const std::vector<std::string>& names,
                               const std::string& key) {
  std::vector<bool> selected(names.size(), false);
  std::vector<Problem> problems;
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!glob_matches(pattern, names[i])) continue;
      selected[i] = true;
      any = true;
    }
    if (any) continue;
    Problem problem;
    problem.key = key;
    problem.message = matches_nothing(pattern, "layer", names);
    problems.push_back(std::move(problem));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return selected;
}

std::string matches_nothing(const std::string& pattern, const std::string& what, std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty()) return fmt::format("'{}' matches no {}; this network has none", pattern, what);
  const std::string near = nearest_word(pattern, names);
  if (!near.empty()) return fmt::format("'{}' matches no {}; did you mean '{}'?", pattern, what, near);
  constexpr std::size_t most = 30;
  const std::size_t shown = std::min(names.size(), most);
  return fmt::format("'{}' matches no {}; there are {}{}", pattern, what,
                     fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     shown < names.size() ? ", ..." : "");
}

}  // namespace tessera::spec
