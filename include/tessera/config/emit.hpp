#pragma once
#include <string>

#include "tessera/config/node.hpp"

/// Nodes to text. The YAML forms read back as an equal node.
namespace tessera::config {

/// Block style, two spaces, lists of scalars on one line, text quoted where it could be taken for something else.
std::string to_yaml(const Node& node);

/// One line of YAML flow style: "{a: 1, b: [x, y]}".
std::string to_flow(const Node& node);

/// JSON, indented by two spaces. Plain numbers and booleans are written as such (".5" becomes 0.5), all else as
/// strings.
std::string to_json(const Node& node);

}  // namespace tessera::config
