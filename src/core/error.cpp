#include "tessera/core/error.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <numeric>

namespace tessera {

namespace {

std::string join_lines(const std::vector<Problem>& problems) {
  std::string text;
  for (const Problem& problem : problems) {
    if (!text.empty()) text += '\n';
    text += problem.text();
  }
  return text;
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  // Optimal string alignment: insert, delete, replace, and swap of neighbours each cost one.
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  std::iota(previous.begin(), previous.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

std::string Problem::text() const {
  std::string result;
  if (!file.empty()) result += file + ":";
  if (line > 0) result += fmt::format("{}:{}:", line, column);
  if (!result.empty()) result += ' ';
  if (!key.empty()) result += key + ": ";
  return result + message;
}

ConfigError::ConfigError(std::vector<Problem> problems) : Error(join_lines(problems)), problems_(std::move(problems)) {}

ConfigError::ConfigError(std::string key, std::string message)
    : ConfigError(std::vector<Problem>{{.file = {}, .key = std::move(key), .message = std::move(message)}}) {}

std::string nearest_word(const std::string& word, const std::vector<std::string>& legal) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : legal) {
    const std::size_t distance = edit_distance(lower(word), lower(candidate));
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

void detail::contract_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: contract violated: %s\n", file, line, expression);
  std::abort();
}

}  // namespace tessera
