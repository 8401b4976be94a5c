#include "tessera/config/report.hpp"

#include <algorithm>
#include <tuple>

namespace tessera::config {

void Report::problem(const Position& at, std::string key, std::string message) {
  problems_.push_back({at.file(), at.line, at.column, std::move(key), std::move(message)});
}

void Report::unused(const std::string& key, const std::string& why) {
  unused_.emplace(key, why);
}

void Report::throw_if_any() const {
  if (problems_.empty()) return;
  constexpr std::size_t most = 50;
  std::vector<Problem> sorted = problems_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
  if (sorted.size() > most) {
    const std::size_t more = sorted.size() - most;
    sorted.resize(most);
    Problem rest;
    rest.message = fmt::format("... and {} more problems", more);
    sorted.push_back(rest);
  }
  throw ConfigError(std::move(sorted));
}

}  // namespace tessera::config
