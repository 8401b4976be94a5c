#pragma once
#include <string>
#include <vector>

namespace tessera::spec {

/// "'fcc' matches no layer; did you mean 'fc'?", or what there is if nothing is near.
std::string matches_nothing(const std::string& pattern, const std::string& what, std::vector<std::string> names);

}  // namespace tessera::spec
