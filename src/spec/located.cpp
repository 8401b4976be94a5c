#include "tessera/spec/located.hpp"

#include "tessera/spec/glob.hpp"

namespace tessera::spec {
namespace {

/// The layer that a message ends with: "... (layer 'NAME')"; "" if it names none.
std::string named_layer(const std::string& message) {
  constexpr std::string_view begin = "(layer '", end = "')";
  const std::size_t at = message.rfind(begin);
  const std::size_t last = at == std::string::npos ? at : message.find(end, at);
  return last == std::string::npos ? std::string() : message.substr(at + begin.size(), last - at - begin.size());
}

/// Whether a rule of `layers:` is for the layer, or for the one of which it is a part.
bool is_for(const config::Node& rule, const std::string& layer) {
  const config::Node* pattern = rule.find("match");
  return pattern == nullptr || glob_matches(pattern->scalar, layer) ||
         glob_matches(pattern->scalar, layer.substr(0, layer.rfind('.')));
}

/// Where the key is set for the layer that the problem names: by the last rule of `layers:` that sets it.
std::string key_in_force(const Problem& problem, const config::Node& document) {
  const config::Node* rules = document.find("layers");
  const std::string layer = named_layer(problem.message);
  if (rules == nullptr || !rules->is_list() || layer.empty() || !problem.key.starts_with("rpu_config."))
    return problem.key;
  for (std::size_t i = rules->items.size(); i-- > 0;)
    if (is_for(rules->items[i], layer) && config::find_path(rules->items[i], problem.key) != nullptr)
      return fmt::format("layers.{}.{}", i, problem.key);
  return problem.key;
}

}  // namespace

ConfigError located(const ConfigError& error, const config::Node& document) {
  std::vector<Problem> problems = error.problems();
  for (Problem& problem : problems) {
    if (!problem.file.empty() || problem.line > 0) continue;
    problem.key = key_in_force(problem, document);
    const config::Position position = config::locate(document, problem.key);
    problem.file = position.file();
    problem.line = position.line;
    problem.column = position.column;
  }
  return ConfigError(std::move(problems));
}

}  // namespace tessera::spec
