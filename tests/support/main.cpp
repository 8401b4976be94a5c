// Runs the tests of a suite. With TESSERA_REQUIRE_ALL set, a test that skips itself fails: continuous integration has
// all that tests may ask for. Real data are the exception, which not every machine has.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/source_dir.hpp"

namespace {

bool has_real_data() {
  const char* const folder = std::getenv("TESSERA_DATA_DIR");
  return std::filesystem::exists(folder != nullptr ? std::string(folder) : TESSERA_SOURCE_DIR + "/../shared/data");
}

class NothingSkipped : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo& test) override {
    if (!test.result()->Skipped()) return;
    std::string reason;
    for (int i = 0; i < test.result()->total_part_count(); ++i)
      if (test.result()->GetTestPartResult(i).skipped()) reason += test.result()->GetTestPartResult(i).message();
    if (reason.find("TESSERA_DATA_DIR") != std::string::npos && !has_real_data()) return;
    if (reason.find("no part of continuous integration") != std::string::npos) return;
    ADD_FAILURE() << "skipped while TESSERA_REQUIRE_ALL is set: " << reason;
  }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  const char* const require_all = std::getenv("TESSERA_REQUIRE_ALL");
  if (require_all != nullptr && std::string(require_all) != "0")
    testing::UnitTest::GetInstance()->listeners().Append(new NothingSkipped);
  return RUN_ALL_TESTS();
}
