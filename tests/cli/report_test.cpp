// Does `tessera report` write what it says, all or nothing, and refuse what is no result file?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"

namespace tessera::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ReportCommand : public CommandTest {
 protected:
  std::string results(const std::string& name) {
    const CommandResult run =
        run_command({"run", config("quickstart.yaml"), "-o", path(name), "--limit", "40", "--quiet"});
    EXPECT_EQ(run.code, 0) << run.err;
    return path(name);
  }
  static std::string text(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream content;
    content << stream.rdbuf();
    return content.str();
  }
};

TEST_F(ReportCommand, WritesPageMarkdownAndTables) {
  const std::string file = results("a.h5");
  const CommandResult result =
      run_command({"report", file, "-o", path("r.html"), "--md", path("r.md"), "--csv", path("tables")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, IsEmpty());
  EXPECT_THAT(result.out, HasSubstr("r.html"));
  EXPECT_THAT(files(), ElementsAre("a.h5", "r.html", "r.md", "tables"));
  EXPECT_THAT(text(path("r.html")), HasSubstr("conv1"));
  EXPECT_THAT(text(path("r.html")), HasSubstr("<svg"));
  EXPECT_THAT(text(path("r.md")), HasSubstr("conv1"));
  EXPECT_THAT(text(path("tables/layers.csv")), HasSubstr("conv1,Conv"));
  EXPECT_THAT(text(path("tables/accuracy.csv")), HasSubstr("accuracy"));
}

TEST_F(ReportCommand, SeveralFilesGoIntoOnePage) {
  const std::string a = results("a.h5"), b = results("b.h5");
  const CommandResult result = run_command({"report", a, b, "-o", path("r.html"), "--csv", path("tables")});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(text(path("r.html")), HasSubstr("Comparison"));
  EXPECT_TRUE(std::filesystem::exists(path("tables/comparison.csv")));
  EXPECT_TRUE(std::filesystem::exists(path("tables/2-b-layers.csv")));
}

TEST_F(ReportCommand, ASearchShowsItsFrontBesideARun) {
  const std::string run = results("a.h5");
  const std::string search = write("search.yaml", "base: " + config("quickstart.yaml") +
                                                      "\nsearch: {keys: [rpu_config.forward.out_res], bits: [3, 5], "
                                                      "budget: 5}\n");
  ASSERT_EQ(run_command({"search", search, "-o", path("found.yaml"), "--limit", "40", "--quiet"}).code, 0);
  const CommandResult result =
      run_command({"report", path("found.h5"), run, "-o", path("r.html"), "--csv", path("tables")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(text(path("r.html")), HasSubstr("Pareto front"));
  EXPECT_THAT(text(path("r.html")), HasSubstr("Accuracy against bits x columns"));
  EXPECT_THAT(text(path("r.html")), HasSubstr("SQNR alone by layer and bits of rpu_config.forward.out_res"));
  EXPECT_THAT(text(path("r.html")), Not(HasSubstr("http")));
  EXPECT_THAT(text(path("tables/0-found-search-points.csv")), HasSubstr("as given"));
}

TEST_F(ReportCommand, BadInputIsRefusedAndLeavesNothing) {
  const std::string page = path("r.html");
  const std::vector<std::string> bad{path("absent.h5"), write("text.h5", "no HDF5"), model("glyphs_cnn.onnx"),
                                     path("")};
  for (const std::string& file : bad) {
    const CommandResult result = run_command({"report", file, "-o", page});
    EXPECT_EQ(result.code, 3) << file << "\n" << result.err;
    EXPECT_FALSE(std::filesystem::exists(page));
  }
  EXPECT_THAT(files(), ElementsAre("text.h5"));
  const std::string good = results("good.h5");
  EXPECT_EQ(run_command({"report", good, path("text.h5"), "-o", page}).code, 3);
  EXPECT_FALSE(std::filesystem::exists(page));
}

TEST_F(ReportCommand, UnwritableOutputLeavesNothing) {
  const std::string file = results("a.h5");
  write("occupied", "a file, no folder");
  EXPECT_EQ(run_command({"report", file, "-o", path("absent/r.html")}).code, 4);
  EXPECT_EQ(run_command({"report", file, "-o", path("r.html"), "--md", path("absent/r.md")}).code, 4);
  EXPECT_EQ(run_command({"report", file, "-o", path("r.html"), "--csv", path("occupied")}).code, 4);
  EXPECT_EQ(run_command({"report", file, "-o", path("r.html"), "--csv", path("absent/deeper")}).code, 4);
  EXPECT_THAT(files(), ElementsAre("a.h5", "occupied"));
}

TEST_F(ReportCommand, UsageIsChecked) {
  const std::string file = results("a.h5");
  const std::string before = text(file);
  EXPECT_EQ(run_command({"report", "-o", path("r.html")}).code, 2);
  EXPECT_EQ(run_command({"report", file}).code, 2);
  EXPECT_EQ(run_command({"report", file, "-o", file}).code, 2);
  EXPECT_EQ(run_command({"report", file, "-o", path("r"), "--md", path("r")}).code, 2);
  EXPECT_EQ(text(file), before);
  EXPECT_THAT(files(), ElementsAre("a.h5"));
}

}  // namespace
}  // namespace tessera::cli
