#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "tessera/config/node.hpp"

namespace tessera::config {

/// What reading found: problems, and keys that are legal but have no effect. Reading goes on after a problem, so that
/// one run shows them all.
class Report {
 public:
  void problem(const Position& at, std::string key, std::string message);
  void unused(const std::string& key, const std::string& why);

  const std::vector<Problem>& problems() const { return problems_; }
  /// Keys without effect, each once, with the reason: "rpu_config.backward" -> "training only".
  const std::map<std::string, std::string>& unused() const { return unused_; }
  /// Throws ConfigError with all problems, in the order of files, lines and columns; the tail of a very long list is
  /// counted and not shown.
  void throw_if_any() const;

 private:
  std::vector<Problem> problems_;
  std::map<std::string, std::string> unused_;
};

}  // namespace tessera::config
