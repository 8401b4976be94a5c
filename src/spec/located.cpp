#include "tessera/spec/located.hpp"

namespace tessera::spec {

ConfigError located(const ConfigError& error, const config::Node& document) {
  std::vector<Problem> problems = error.problems();
  for (Problem& problem : problems) {
    if (!problem.file.empty() || problem.line > 0) continue;
    const config::Position position = config::locate(document, problem.key);
    problem.file = position.file();
    problem.line = position.line;
    problem.column = position.column;
  }
  return ConfigError(std::move(problems));
}

}  // namespace tessera::spec
