// Does the command explain itself, and does it tell usage mistakes from everything else?
#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "cli/command_fixture.hpp"
#include "cli/progress_bar.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"

namespace tessera::cli {
namespace {

using testing::HasSubstr;

TEST(HelpTest, EveryCommandHasHelp) {
  // The commands are those that the program lists itself: two spaces, a name, two spaces or more.
  std::vector<std::string> commands;
  std::istringstream lines(run_command({"help"}).out);
  const std::regex listed("^  ([a-z]+)  +[A-Z].*");
  std::smatch match;
  for (std::string line; std::getline(lines, line);)
    if (std::regex_match(line, match, listed)) commands.push_back(match[1]);
  EXPECT_THAT(commands,
              testing::IsSupersetOf({"run", "calibrate", "inspect", "config", "schema", "import", "data", "help",
                                     "sweep", "merge", "train", "search", "doctor", "report", "cost"}));
  for (const std::string& command : commands) {
    const CommandResult flag = run_command({command, "--help"});
    EXPECT_EQ(flag.code, 0) << command;
    EXPECT_THAT(flag.out, HasSubstr("Usage")) << command;
    EXPECT_THAT(flag.out, HasSubstr(" " + command)) << "the usage names the command";
    const CommandResult word = run_command({"help", command});
    EXPECT_EQ(word.code, 0) << command << word.err;
    EXPECT_THAT(word.out, HasSubstr(command));
  }
}

TEST(HelpTest, PresetsAreListed) {
  const CommandResult result = run_command({"help", "presets"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("StandardHWATrainingPreset"));
}

TEST(HelpTest, UsageMistakesExitWithTwo) {
  EXPECT_EQ(run_command({}).code, 2);
  EXPECT_EQ(run_command({"frobnicate"}).code, 2);
  EXPECT_EQ(run_command({"run"}).code, 2);
  EXPECT_EQ(run_command({"run", "a.yaml", "--threads", "0"}).code, 2);
  EXPECT_EQ(run_command({"run", "a.yaml", "--treads", "2"}).code, 2);
  const CommandResult topic = run_command({"help", "prests"});
  EXPECT_EQ(topic.code, 2);
  EXPECT_THAT(topic.err, HasSubstr("did you mean 'presets'"));
}

TEST(HelpTest, VersionIsPrinted) {
  const CommandResult result = run_command({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("tessera 0.1.0"));
}

TEST(TextTableTest, ColumnsAlign) {
  TextTable table;
  table.add_column("layer", TextTable::Align::left);
  table.add_column("σ");
  table.add_row({"conv1", "1.25"});
  table.add_row({"fc", "10"});
  EXPECT_EQ(table.text(), "  layer      σ\n  -----   ----\n  conv1   1.25\n  fc        10\n");
}

TEST(FormatTest, NumbersForPeople) {
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(-1234), "-1,234");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_percent(0.98125), "98.12 %");
  EXPECT_EQ(format_decibel(std::numeric_limits<double>::infinity()), "exact");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(125), "2 min 05 s");
  EXPECT_EQ(format_duration(3720), "1 h 02 min");
}

TEST(ProgressBarTest, SaysRateAndTimeLeft) {
  const std::string line = ProgressBar::line(500, 2000, "images", 5.0);
  EXPECT_THAT(line, HasSubstr("25 %"));
  EXPECT_THAT(line, HasSubstr("100 images/s"));
  EXPECT_THAT(line, HasSubstr("15 s left"));
}

TEST(ProgressBarTest, DrawsNothingWhereThereIsNoTerminal) {
  std::ostringstream stream;
  {
    ProgressBar bar(stream, false);
    bar.update(1, 2, "images");
  }
  EXPECT_EQ(stream.str(), "");
}

}  // namespace
}  // namespace tessera::cli
