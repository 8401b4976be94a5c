#include "support/source_dir.hpp"

namespace tessera::test_paths {

const std::string& source_dir() {
  static const std::string path = TESSERA_SOURCE_PATH;
  return path;
}

const std::string& binary_dir() {
  static const std::string path = TESSERA_BINARY_PATH;
  return path;
}

}  // namespace tessera::test_paths
