#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tessera/core/error.hpp"

/// What the fuzz targets share.
namespace tessera::fuzz {

/// Runs `work`; errors that a user can be told of are fine, anything else ends the process and thus is a finding.
template <class Work>
void expect_result_or_error(Work&& work) {
  try {
    work();
  } catch (const ConfigError&) {
  } catch (const InputError&) {
  } catch (const RunError&) {
  }
}

/// A file with the given bytes, in memory where the system has such a folder; one per process, gone at its end.
class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name) {
    const std::filesystem::path memory = "/dev/shm";
    const std::filesystem::path folder =
        std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
    path_ = (folder / ("tessera_fuzz_" + std::to_string(getpid()) + "_" + name)).string();
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& write(const std::uint8_t* data, std::size_t size) {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    return path_;
  }

 private:
  std::string path_;
};

}  // namespace tessera::fuzz
