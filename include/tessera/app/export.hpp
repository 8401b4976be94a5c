#pragma once
#include <cstdint>
#include <string>
#include <vector>

/// What a hardware designer loads into a test bench (docs/formats/codes.md).
namespace tessera::app {

struct CodeExportOptions {
  std::string directory;      ///< made if it is not there
  std::int64_t samples = 1;   ///< first samples of the data that go through the network; at least 1
  std::int64_t vectors = 64;  ///< of each part, the first that are written; at least 1
};

struct CodeExport {
  std::vector<std::string> layers;   ///< that were written
  std::vector<std::string> skipped;  ///< "layer 'x': why"
  std::int64_t files = 0;
};

}  // namespace tessera::app
