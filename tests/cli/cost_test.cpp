// Does the command count without data, do runs carry what was measured, and does a report show where it goes?
#include <gmock/gmock.h>

#include <cmath>

#include "cli/command_fixture.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CostTest : public CommandTest {
 protected:
  std::string with(const std::string& more) const {
    return write("cost.yaml", "base: " + config("quickstart.yaml") + "\ndata: {limit: 40}\n" + more);
  }
  static std::vector<std::string> schema_problems(const std::string& file) {
    return results::check_schema(h5::File::open(file));
  }
  static std::vector<double> values(const std::string& file, const std::string& variable) {
    return results::Reader(file).read(variable).values;
  }
};

TEST_F(CostTest, NeedsNoData) {
  const CommandResult result =
      run_command({"cost",
                   write("no_data.yaml", "base: " + config("quickstart.yaml") +
                                             "\ndata: {format: idx, inputs: nowhere.gz}\ncost: {}\n"),
                   "-o", path("cost.h5")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("conv1"), HasSubstr("row_lines"), HasSubstr("TOPS/W"), HasSubstr("mm2"),
                                HasSubstr("not counted: ")));
  EXPECT_THAT(schema_problems(path("cost.h5")), testing::IsEmpty());
  const std::vector<double> energy = values(path("cost.h5"), "/cost/energy");
  ASSERT_EQ(energy.size(), 1U);
  EXPECT_GT(energy[0], values(path("cost.h5"), "/cost/energy_low")[0]);
  EXPECT_LT(energy[0], values(path("cost.h5"), "/cost/energy_high")[0]);
  double sum = 0.0;
  for (const results::LayerInfo& layer : results::Reader(path("cost.h5")).layers())
    for (const double part : values(path("cost.h5"), layer.group + "/cost/energy")) sum += part;
  EXPECT_NEAR(sum / energy[0], 1.0, 1e-12);
}

TEST_F(CostTest, PrintsItsTable) {
  const CommandResult built_in = run_command({"cost", "--table"});
  ASSERT_EQ(built_in.code, 0) << built_in.err;
  EXPECT_THAT(built_in.out, AllOf(HasSubstr("`adc.sar.k1_fJ` | 80.2 | 207.7 | 478.6"), HasSubstr("MUR")));
  const CommandResult own = run_command({"cost", with("cost: {components: {adc.sar.k1_fJ: 99}}\n"), "--table"});
  EXPECT_THAT(own.out, HasSubstr("`adc.sar.k1_fJ` | 99 | 99 | 99"));
  EXPECT_EQ(run_command({"cost"}).code, 2);
}

TEST_F(CostTest, RunsCarryWhatWasMeasuredAndNothingElseChanges) {
  const std::string counted = with("cost: {}\n");
  ASSERT_EQ(run_command({"run", counted, "-o", path("on.h5"), "--quiet"}).code, 0);
  ASSERT_EQ(run_command({"run", counted, "-o", path("off.h5"), "--quiet", "--set", "cost=null"}).code, 0);
  EXPECT_THAT(schema_problems(path("on.h5")), testing::IsEmpty());
  EXPECT_EQ(values(path("on.h5"), "/predictions"), values(path("off.h5"), "/predictions"));
  EXPECT_EQ(values(path("on.h5"), "/loss"), values(path("off.h5"), "/loss"));
  EXPECT_FALSE(results::Reader(path("off.h5")).has("/cost"));
  const double x = values(path("on.h5"), "/layers/conv1/cost/input_mean")[0];
  EXPECT_GT(x, 0.0);
  EXPECT_LT(x, 1.0);
  ASSERT_EQ(run_command({"run", counted, "-o", path("cut.h5"), "--quiet", "--threads", "1", "--batch-size", "7"}).code,
            0);
  EXPECT_EQ(values(path("cut.h5"), "/cost/energy"), values(path("on.h5"), "/cost/energy"));

  ASSERT_EQ(run_command({"report", path("on.h5"), "-o", path("report.html")}).code, 0);
  std::ifstream stream(path("report.html"), std::ios::binary);
  const std::string html{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_THAT(html, AllOf(HasSubstr("Energy, latency and area"), HasSubstr("energy by layer and component")));
}

TEST_F(CostTest, SweepsHaveAccuracyAndEnergyOnOneHypercube) {
  const std::string file =
      with("cost: {}\nsweep: {axes: {rpu_config.forward.out_res: [14, 254], cost.adc.columns: [4, 16]}}\n");
  const CommandResult result = run_command({"sweep", file, "-o", path("sweep.h5"), "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(schema_problems(path("sweep.h5")), testing::IsEmpty());
  const results::NamedArray energy = results::Reader(path("sweep.h5")).read("/cost/energy");
  EXPECT_EQ(energy.dims, results::Reader(path("sweep.h5")).read("/accuracy").dims);
  EXPECT_LT(energy.values[0], energy.values[2]);
  const std::vector<double> area = values(path("sweep.h5"), "/cost/area");
  EXPECT_GT(area[2], area[3]) << "converters that are shared by more columns take less area";
}

TEST_F(CostTest, PointsOfSweepsAreComparedWithCommonCoefficients) {
  const std::string file = with(
      "evaluation: {repeats: 2}\ncost: {weight_bits: 8}\nsweep: {axes: {rpu_config.forward.out_res: [254, 14]}}\n");
  ASSERT_EQ(run_command({"sweep", file, "-o", path("sweep.h5"), "--quiet"}).code, 0);
  EXPECT_THAT(schema_problems(path("sweep.h5")), testing::IsEmpty());
  const std::vector<double> ratio = values(path("sweep.h5"), "/cost/energy_relative");
  const std::vector<double> low = values(path("sweep.h5"), "/cost/energy_relative_low");
  const std::vector<double> high = values(path("sweep.h5"), "/cost/energy_relative_high");
  const std::vector<double> energy = values(path("sweep.h5"), "/cost/energy");
  const std::vector<double> energy_low = values(path("sweep.h5"), "/cost/energy_low");
  ASSERT_EQ(ratio.size(), 4U);  // two points of two chips
  EXPECT_EQ(std::vector<double>(ratio.begin(), ratio.begin() + 2), (std::vector<double>{1.0, 1.0}));
  EXPECT_EQ(std::vector<double>(low.begin(), low.begin() + 2), (std::vector<double>{1.0, 1.0}));
  for (const std::size_t chip : {2U, 3U}) {
    EXPECT_DOUBLE_EQ(ratio[chip], energy[chip] / energy[chip - 2]);
    EXPECT_LT(low[chip], ratio[chip]);
    EXPECT_GT(high[chip], ratio[chip]);
    EXPECT_LT(ratio[chip] - low[chip], 0.5 * (energy[chip] - energy_low[chip]) / energy[chip])
        << "coefficients in common cancel";
  }
  EXPECT_LT(values(path("sweep.h5"), "/cost/area_relative")[1], 1.0);
  // 8-bit inputs and weights: an operation of 8 x 8 bits is a raw one.
  const std::vector<double> raw = values(path("sweep.h5"), "/cost/tops_per_W");
  EXPECT_DOUBLE_EQ(values(path("sweep.h5"), "/cost/tops_per_W_8b")[0], raw[0]);
  EXPECT_DOUBLE_EQ(values(path("sweep.h5"), "/cost/tops_per_W_1b")[0], 64.0 * raw[0]);

  // In two shards and put together: the same.
  for (const char* shard : {"1/2", "2/2"})
    ASSERT_EQ(run_command({"sweep", file, "-o", path("parts.h5"), "--quiet", "--shard", shard}).code, 0);
  EXPECT_EQ(values(path("parts.h5"), "/cost/energy_relative_high"), high);
}

TEST_F(CostTest, CrossbarsAreCounted) {
  const CommandResult result = run_command({"cost", config("crossbar/isaac.yaml"), "--set", "cost.adc.columns=128"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("shift_add"), HasSubstr("TOPS/W")));
  const CommandResult gone =
      run_command({"cost", config("crossbar/gated.yaml"), "--set", "rpu_config.crossbar.xbar.adc.mvm.model=IdealADC"});
  EXPECT_EQ(gone.code, 3);
  EXPECT_THAT(gone.err, AllOf(HasSubstr("cost.assume.out_bits"), HasSubstr("xbar.adc.mvm")));
}

TEST_F(CostTest, ErrorsSayWhere) {
  const CommandResult unknown = run_command({"cost", with("cost: {components: {adc.sar.k1: 3}}\n")});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("cost.yaml:3:"), HasSubstr("adc.sar.k1_fJ")));
  const CommandResult copies = run_command({"cost", with("cost:\n  copies: {conv9: 2}\n")});
  EXPECT_EQ(copies.code, 3);
  EXPECT_THAT(copies.err, AllOf(HasSubstr("cost.yaml:4:"), HasSubstr("conv1")));
  const CommandResult off =
      run_command({"run", with("cost: {}\nrpu_config: {forward: {out_res: -1}}\n"), "-o", path("off.h5"), "--quiet"});
  EXPECT_EQ(off.code, 3) << off.err;
  EXPECT_THAT(off.err, HasSubstr("cost.assume.out_bits"));
}

TEST_F(CostTest, SearchTakesTheLeastEnergy) {
  const std::string own = write("search.yaml", "base: " + config("quickstart.yaml") +
                                                   "\ndata: {limit: 300}\ncost: {}\nsearch:\n  cost: energy\n  keys: "
                                                   "[{key: rpu_config.forward.inp_res, bits: [4, 6]}]\n  "
                                                   "columns_per_converter: [2, 8, 32]\n  budget: 5 %\n  front: 3\n");
  const CommandResult result = run_command({"search", own, "-o", path("found.yaml")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("energy (J)"), HasSubstr("common coefficients"), HasSubstr("columns")));
  const CommandResult without = run_command({"search", own, "-o", path("none.yaml"), "--quiet", "--set", "cost=null"});
  EXPECT_EQ(without.code, 3);
  EXPECT_THAT(without.err, HasSubstr("`cost:` section"));
}

}  // namespace
}  // namespace tessera::cli
