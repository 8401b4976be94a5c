// Does doctor find the mechanism that was made to cost accuracy, and say what it found in every form?
#include <gmock/gmock.h>

#include "cli/command_fixture.hpp"
#include "tessera/core/error.hpp"
#include "tessera/results/diagnosis_record.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DoctorTest : public CommandTest {
 protected:
  std::string with(const std::string& rpu_config) const {
    return write("doctor.yaml", "base: " + config("quickstart.yaml") +
                                    "\ndata: {limit: 60}\nevaluation: {repeats: 2}\nrpu_config: " + rpu_config + "\n");
  }
};

TEST_F(DoctorTest, NamesWhatCostsMost) {
  const CommandResult noise = run_command({"doctor", with("{forward: {out_noise: 1.5}}"), "-o", path("found.md")});
  ASSERT_EQ(noise.code, 0) << noise.err;
  EXPECT_THAT(noise.out, AllOf(HasSubstr("Ideal equals float32: yes"), HasSubstr("Costs most alone: output noise")));
  std::ifstream file(path("found.md"));
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(page, AllOf(HasSubstr("| mechanism |"), HasSubstr("| output noise |"), HasSubstr("| fc2 |")));

  const CommandResult bits =
      run_command({"doctor", with("{forward: {out_noise: 0.0}, pre_post: {periph_quant: {n_bits: 2}}}")});
  ASSERT_EQ(bits.code, 0) << bits.err;
  EXPECT_THAT(bits.out, AllOf(HasSubstr("scale bits"), HasSubstr("bias bits"), Not(HasSubstr("output noise"))));
}

TEST_F(DoctorTest, WritesAFileThatReportShows) {
  const CommandResult result = run_command(
      {"doctor", with("{forward: {out_noise: 1.5}}"), "-o", path("found.md"), "-o", path("found.h5"), "--limit", "40"});
  ASSERT_EQ(result.code, 0) << result.err;
  const results::DiagnosisRecord record = results::read_diagnosis(path("found.h5"));
  ASSERT_GT(record.mechanisms.size(), 2U);
  EXPECT_EQ(record.mechanisms.front().name, "none");
  EXPECT_EQ(record.chips, 2);
  for (std::size_t m = 1; m < record.mechanisms.size(); ++m) {
    if (record.mechanisms[m].name != "output noise") continue;
    EXPECT_THAT(result.out, HasSubstr(fmt::format("{:+.2f}", 100.0 * record.cost_alone(m).mean)));
  }
  const CommandResult report = run_command({"report", path("found.h5"), "-o", path("r.html"), "--csv", path("tables")});
  ASSERT_EQ(report.code, 0) << report.err;
  std::ifstream page(path("r.html"));
  const std::string html{std::istreambuf_iterator<char>(page), {}};
  EXPECT_THAT(html, AllOf(HasSubstr("output noise"), HasSubstr("Accuracy by mechanism"),
                          HasSubstr("SQNR alone by layer and mechanism"), Not(HasSubstr("http"))));
  EXPECT_TRUE(std::filesystem::exists(path("tables/mechanisms.csv")));
}

TEST_F(DoctorTest, DevicesAndTimeAreMechanisms) {
  const CommandResult result = run_command(
      {"doctor", with("{noise_model: {type: PCMLikeNoiseModel}}"), "--set", "evaluation.times=[0, 31536000]"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("programming "), HasSubstr("programming and drift")));
}

TEST_F(DoctorTest, RefusesWhatRunRefuses) {
  EXPECT_EQ(run_command({"doctor", path("none.yaml")}).code, 3);
  EXPECT_EQ(run_command({"doctor", with("{forward: {out_nose: 1}}")}).code, 3);
  EXPECT_EQ(run_command({"doctor"}).code, 2);
}

}  // namespace
}  // namespace tessera::cli
