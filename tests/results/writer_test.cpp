// Is every number of a run found again, at its named place, and is a file either whole or absent?
#include "tessera/results/writer.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "h5/temporary_directory.hpp"
#include "results/sample_run.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::results {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

class ResultWriter : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "results.h5";
};

TEST_F(ResultWriter, ARunIsReadBack) {
  const Header header = sample::run_header();
  sample::write_file(path_, header);
  const Reader reader(path_);
  EXPECT_EQ(reader.seed(), header.seed);
  EXPECT_EQ(reader.rng_layout(), 1U);
  EXPECT_EQ(reader.task_id(), header.task_id);
  EXPECT_EQ(reader.command(), header.command);
  EXPECT_EQ(reader.created_utc(), header.created_utc);
  EXPECT_EQ(reader.config_text(), header.config_text);
  EXPECT_EQ(reader.resolved_text(), header.resolved_text);
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.version_note(), "");
  const auto axes = reader.axes();
  ASSERT_EQ(axes.size(), 2U);
  EXPECT_EQ(axes[0].name, "time");
  EXPECT_EQ(axes[0].units, "s");
  EXPECT_EQ(std::get<std::vector<double>>(axes[0].values), header.times);
  const auto layers = reader.layers();
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[1].name, "block/fc");
  EXPECT_EQ(layers[1].group, "/layers/block.fc");
  EXPECT_FALSE(layers[1].analog);
  EXPECT_EQ(layers[0].inputs, 9);

  const NamedArray accuracy = reader.read("/accuracy");
  EXPECT_THAT(accuracy.dims, ElementsAre("time", "repeat"));
  EXPECT_THAT(accuracy.values, ElementsAre(0.0, 1e-4, 10e-4, 11e-4));
  EXPECT_THAT(reader.read("/correct").values, Each(5));
  EXPECT_THAT(reader.read("/reference/accuracy").values, ElementsAre(0.75));
  EXPECT_THAT(reader.read("/layers/conv1/sqnr_db").values, ElementsAre(20, 21, 30, 31));
  EXPECT_THAT(reader.read("/layers/conv1/adc_effective_bits").values, Each(6.25));
  EXPECT_TRUE(std::isinf(reader.read("/layers/block.fc/sqnr_db").values[3]));
  EXPECT_FALSE(reader.has("/layers/block.fc/sqnr_db_isolated"));
  EXPECT_FALSE(reader.has("/layers/block.fc/input_range"));
  EXPECT_THAT(reader.read("/predictions").values[3 * 7 + 4], 1);
  EXPECT_THAT(reader.read("/layers/conv1/periphery_scale_code").values, ElementsAre(2, 4, 6, 9, 2, 4, 6, 9));
  EXPECT_THAT(reader.read("/layers/conv1/mapping_scale").values, Each(0.5));
  EXPECT_THAT(reader.read("/layers/conv1/tile_inputs").values, ElementsAre(5, 4));
  EXPECT_THAT(reader.read("/layers/conv1/bias_code").values, ElementsAre(0, 1, 1, 2));
  EXPECT_THAT(reader.read("/layers/conv1/input_range").values, Each(2.5));

  EXPECT_THAT(reader.read("/program").values, ElementsAre(0, 1));
  EXPECT_THAT(reader.read("/read").values, ElementsAre(0, 0));
  const NamedArray alpha = reader.read("/layers/conv1/alpha");
  EXPECT_THAT(alpha.dims, ElementsAre("time", "repeat", "tile"));
  EXPECT_THAT(alpha.values, ElementsAre(1, 1, 1, 1, 2, 2, 2, 2));
  EXPECT_EQ(reader.read("/layers/conv1/alpha_column").shape, (Shape{2, 2, 8}));
  EXPECT_THAT(reader.read("/layers/conv1/weight_sqnr_db").values, ElementsAre(40, 41, 50, 51));
  EXPECT_THAT(reader.read("/layers/conv1/programming_error_mean").values, ElementsAre(0, 0.25));
  EXPECT_THAT(reader.read("/layers/conv1/conductance_max").values, ElementsAre(25));
  const NamedArray histogram = reader.read("/layers/conv1/conductance_histogram");
  EXPECT_THAT(histogram.dims, ElementsAre("repeat", "conductance"));
  EXPECT_EQ(histogram.values[static_cast<std::size_t>(conductance_bins)], 4);
  EXPECT_FALSE(reader.has("/layers/block.fc/alpha"));

  const NamedArray output = reader.read("/layers/conv1/output");
  EXPECT_THAT(output.dims, ElementsAre("time", "repeat", "sample", "channel", "height", "width"));
  EXPECT_EQ(output.shape, (Shape{2, 2, 7, 4, 3, 2}));
  for (std::int64_t point = 0; point < 4; ++point) {
    for (std::int64_t e = 0; e < 7 * 24; ++e) {
      ASSERT_EQ(output.values[static_cast<std::size_t>(point * 168 + e)],
                sample::output_value({{}, point / 2, point % 2}, 0, e));
    }
  }
  EXPECT_EQ(reader.read("/runtime/threads").values[0], 2);
}

TEST_F(ResultWriter, ASweepIsALabelledHypercube) {
  const Header header = sample::sweep_header();
  sample::write_file(path_, header);
  const Reader reader(path_);
  const auto axes = reader.axes();
  ASSERT_EQ(axes.size(), 4U);
  EXPECT_EQ(axes[0], header.swept[0]);
  EXPECT_EQ(axes[1], header.swept[1]);
  const NamedArray accuracy = reader.read("/accuracy");
  EXPECT_THAT(accuracy.dims, ElementsAre("n_bits", "w_noise_type", "time", "repeat"));
  EXPECT_EQ(accuracy.shape, (Shape{3, 2, 2, 2}));
  EXPECT_EQ(accuracy.values[((2 * 2 + 1) * 2 + 0) * 2 + 1], sample::number({{2, 1}, 0, 1}, 0) / 1e4);
  EXPECT_EQ(reader.read("/reference/accuracy").shape, (Shape{3, 2}));
  const NamedArray tiles = reader.read("/layers/conv1/tile_inputs");
  EXPECT_EQ(tiles.shape, (Shape{3, 2, 3}));
  EXPECT_EQ(tiles.values[1], 4);
  EXPECT_TRUE(std::isnan(tiles.values[2])) << "two of at most three tiles";
  EXPECT_EQ(reader.read("/layers/block.fc/output").shape, (Shape{3, 2, 2, 2, 7, 3}));
}

TEST_F(ResultWriter, MissingPointsAreFillValues) {
  sample::write_file(path_, sample::sweep_header(), 3, 1, 5);
  const Reader reader(path_);
  EXPECT_FALSE(reader.complete());
  const auto accuracy = reader.read("/accuracy").values;
  const auto finished = reader.read("/finished").values;
  const auto correct = reader.read("/correct").values;
  const auto outputs = reader.read("/layers/block.fc/output").values;
  ASSERT_EQ(accuracy.size(), 24U);
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(finished[i], i < 5 ? 1 : 0);
    EXPECT_EQ(std::isnan(accuracy[i]), i >= 5);
    EXPECT_EQ(std::isnan(correct[i]), i >= 5);
    EXPECT_EQ(std::isnan(outputs[i * 21]), i >= 5);
  }
  EXPECT_EQ(h5::File::open(path_).dataset("correct").attribute<std::int64_t>("_FillValue"), -1);
  EXPECT_THAT(check_schema(h5::File::open(path_)), IsEmpty());
}

/// How samples are cut into blocks and how long it took is not in the results.
TEST_F(ResultWriter, BatchesDoNotShow) {
  const Header header = sample::run_header();
  sample::write_file(path_, header, 3, 1.0);
  for (const std::int64_t batch : {1, 2, 7}) {
    const std::string other = directory_ / "other.h5";
    Header again = header;
    again.created_utc = "";
    sample::write_file(other, again, batch, 2.0);
    EXPECT_THAT(compare(path_, other), IsEmpty()) << batch;
    EXPECT_FALSE(compare(path_, other, {}).empty());
  }
}

TEST_F(ResultWriter, TheSameRunGivesTheSameBytes) {
  sample::write_file(path_, sample::sweep_header());
  sample::write_file(directory_ / "again.h5", sample::sweep_header());
  EXPECT_EQ(testing::read_bytes(path_), testing::read_bytes(directory_ / "again.h5"));
}

TEST_F(ResultWriter, WithoutLabelsStatisticsOrLayers) {
  Header header = sample::run_header();
  header.labels.clear();
  header.statistics = header.predictions = header.hardware = header.top5 = false;
  for (LayerHeader& layer : header.layers) layer.record_output = false;
  sample::write_file(path_, header);
  EXPECT_FALSE(Reader(path_).has("/accuracy"));
  EXPECT_THAT(check_schema(h5::File::open(path_)), IsEmpty());
  header.layers.clear();
  header.samples = 0;
  header.predictions = true;
  sample::write_file(path_, header);
  EXPECT_THAT(check_schema(h5::File::open(path_)), IsEmpty());
  EXPECT_TRUE(Reader(path_).layers().empty());
}

TEST_F(ResultWriter, NothingUnderTheNameBeforeCommit) {
  {
    Writer writer(path_, sample::run_header());
    sample::write(writer);
    EXPECT_FALSE(fs::exists(path_));
    EXPECT_EQ(writer.finished(), 4);
  }
  EXPECT_TRUE(fs::is_empty(fs::path(path_).parent_path()));
  EXPECT_THROW(Writer(directory_ / "none/results.h5", sample::run_header()), RunError);
}

TEST_F(ResultWriter, AKilledRunLeavesItsFinishedPoints) {
  const pid_t child = fork();
  if (child == 0) {
    Writer writer(path_, sample::sweep_header());
    sample::write(writer, 3, 9);
    sample::write_samples(writer, {{2, 1}, 1, 1}, 3);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  const Reader reader(partial_path(path_));
  EXPECT_FALSE(reader.complete());
  const auto finished = reader.read("/finished").values;
  EXPECT_EQ(std::count(finished.begin(), finished.end(), 1.0), 9);
  EXPECT_EQ(reader.read("/accuracy").values[8], sample::number({{1, 0}, 0, 0}, 0) / 1e4);
}

TEST_F(ResultWriter, RecordsThatDoNotFitAreRefused) {
  Header header = sample::sweep_header();
  Writer writer(path_, header);
  const Point point = sample::point({{0, 0}, 0, 0});
  EXPECT_THROW(writer.write_point({{0}, 0, 0}, point), RunError);
  EXPECT_THROW(writer.write_point({{0, 2}, 0, 0}, point), RunError);
  EXPECT_THROW(writer.write_point({{0, -1}, 0, 0}, point), RunError);
  EXPECT_THROW(writer.write_point({{0, 0}, 2, 0}, point), RunError);
  EXPECT_THROW(writer.write_point({{0, 0}, 0, 2}, point), RunError);
  EXPECT_THROW(writer.write_point({{0, 0}, 0, 0}, Point{point.score, {}}), RunError);
  EXPECT_THROW(writer.write_predictions({{0, 0}, 0, 0}, 6, std::vector<std::int32_t>(2)), RunError);
  EXPECT_THROW(writer.write_output({{0, 0}, 0, 0}, 0, 0, std::vector<float>(25)), RunError);
  EXPECT_THROW(writer.write_output({{0, 0}, 0, 0}, 2, 0, std::vector<float>(24)), RunError);
  EXPECT_THROW(writer.write_hardware({0, 0}, 0, sample::hardware(4)), RunError) << "more tiles than announced";
  EXPECT_THROW(writer.write_hardware({0, 0}, 0, LayerHardware{}), RunError);
  EXPECT_THROW(writer.write_hardware({0, 0}, 1, sample::hardware()), RunError) << "a digital layer";
  LayerHardware odd = sample::hardware();
  odd.tiles[0].scale_codes = {1, 2};
  EXPECT_THAT(
      [&] {
        writer.write_hardware({0, 0}, 0, odd);
      },
      ThrowsMessage<RunError>(HasSubstr("scale_codes has 2 values for 4 outputs")));
  EXPECT_EQ(writer.finished(), 0);
}

TEST_F(ResultWriter, HeadersThatMakeNoFileAreRefused) {
  const auto refused = [&](const std::function<void(Header&)>& change, const char* why) {
    Header header = sample::sweep_header();
    change(header);
    EXPECT_THAT([&] { Writer(path_, header); }, ThrowsMessage<RunError>(HasSubstr(why)));
    EXPECT_FALSE(fs::exists(partial_path(path_)));
  };
  refused([](Header& h) { h.swept[0].name = "a/b"; }, "'a/b' cannot name a swept axis");
  refused([](Header& h) { h.swept[0].name = ""; }, "cannot name a swept axis");
  refused([](Header& h) { h.swept[0].name = "accuracy"; }, "something else");
  refused([](Header& h) { h.swept[0].name = "time"; }, "something else");
  refused([](Header& h) { h.swept[0].name = "channel"; }, "something else");
  refused([](Header& h) { h.swept[0].name = h.swept[1].name; }, "something else");
  refused([](Header& h) { h.swept[0].values = std::vector<double>{}; }, "no values");
  refused([](Header& h) { h.times.clear(); }, "a time and a repeat");
  refused([](Header& h) { h.repeats = 0; }, "a time and a repeat");
  refused([](Header& h) { h.samples = -1; }, "-1 samples");
  refused([](Header& h) { h.labels.pop_back(); }, "6 labels do not fit 7 samples");
  refused([](Header& h) { h.layers[0].outputs = -4; }, "negative size");
  refused([](Header& h) { h.layers[0].max_columns = 0; }, "both max_tiles and max_columns");
  refused([](Header& h) { h.config_text = "\xff"; }, "not UTF-8");
}

}  // namespace
}  // namespace tessera::results
