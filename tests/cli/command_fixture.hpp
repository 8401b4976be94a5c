#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tessera/cli/command_line.hpp"

/// Runs commands inside the test process, in a scratch folder of their own.
namespace tessera::cli {

struct CommandResult {
  int code = 0;
  std::string out;
  std::string err;
};

inline CommandResult run_command(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = run_command_line(arguments, Console{out, err});
  return {code, out.str(), err.str()};
}

class CommandTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(info->test_suite_name()) + "_" + info->name();
    for (char& c : name) c = c == '/' ? '_' : c;
    name = testing::TempDir() + "tessera_" + name + "_XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return path(name);
  }
  /// Names of the files in the scratch folder, sorted.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  static std::string config(const std::string& name) { return TESSERA_SOURCE_DIR + "/configs/" + name; }
  static std::string model(const std::string& name) { return config("models/" + name); }
  /// A file of the optional real data, or "" where it is absent.
  static std::string real_data(const std::string& name) {
    const char* const folder = std::getenv("TESSERA_DATA_DIR");
    const std::string file =
        (folder != nullptr ? std::string(folder) : TESSERA_SOURCE_DIR + "/../shared/data") + "/" + name;
    return std::filesystem::exists(file) ? file : "";
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace tessera::cli
