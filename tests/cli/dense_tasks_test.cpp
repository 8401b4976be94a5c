// Are labels of positions, next tokens and outputs of the float32 network compared as NumPy compares them, in results,
// sweeps, search and doctor? Networks, data and expected numbers: tests/data/inputs/make_inputs.py.
#include <gmock/gmock.h>

#include <cmath>

#include "cli/command_fixture.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class DenseTasksTest : public CommandTest {
 protected:
  static std::string given(const std::string& name) { return TESSERA_SOURCE_DIR + "/tests/data/inputs/" + name; }

  std::string config_of(const std::string& network, const std::string& data, const std::string& more = "") const {
    return write(network + ".yaml", fmt::format("model: {{file: {0}{1}.onnx}}\ndata: {{format: npy, {2}}}\n{3}\n",
                                                given(""), network, data, more));
  }
  std::string tagger(const std::string& more = "") const {
    return config_of("tagger", fmt::format("inputs: {0}tagger_x.npy, labels: {0}tagger_labels.npy", given("")), more);
  }
  std::string decoder(const std::string& more = "") const {
    return config_of("decoder", fmt::format("inputs: {{input_ids: {0}decoder_ids.npy}}", given("")), more);
  }
  CommandResult run(const std::string& config, const std::string& output, std::vector<std::string> sets = {}) const {
    std::vector<std::string> arguments{"run", config, "-o", path(output)};
    for (std::string& set : sets) arguments.insert(arguments.end(), {"--set", std::move(set)});
    return run_command(arguments);
  }
  std::vector<double> values(const std::string& file, const std::string& name) const {
    return results::Reader(path(file)).read(name).values;
  }
  /// The case-th row of dense_expected.npy: loss, accuracy, count.
  void expect_scores(const std::string& file, std::size_t row) const {
    const Tensor expected = io::read_npy(given("dense_expected.npy"));
    const char* const names[] = {"loss", "accuracy", "count"};
    for (std::size_t i = 0; i < 3; ++i)
      for (const char* group : {"/", "/reference/"})
        EXPECT_NEAR(values(file, std::string(group) + names[i]).at(0), expected.values()[3 * row + i], 1e-5)
            << group << names[i];
    EXPECT_THAT(results::check_schema(h5::File::open(path(file))), IsEmpty());
  }
};

constexpr const char* perfect = "rpu_config: {forward: {is_perfect: true}}\n";
constexpr const char* noisy = "rpu_config: {forward: {out_noise: 0.3}}\n";

TEST_F(DenseTasksTest, EveryPositionHasALabel) {
  const std::string recorded = std::string(perfect) + "output: {record: {predictions: true}}\n";
  CommandResult result = run(tagger(recorded), "r.h5", {"evaluation.ignore_index=-100"});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_scores("r.h5", 0);
  EXPECT_EQ(results::Reader(path("r.h5")).read("/predictions").shape, (Shape{1, 1, 7, 4}));
  EXPECT_EQ(results::Reader(path("r.h5")).read("/label").shape, (Shape{7, 4}));
  // Classes first, as segmentation networks have them.
  const std::string images = fmt::format("inputs: {0}segmenter_x.npy, labels: {0}segmenter_labels.npy", given(""));
  result = run(config_of("segmenter", images, recorded), "r.h5", {"evaluation.ignore_index=255"});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_scores("r.h5", 1);
  EXPECT_THAT(results::Reader(path("r.h5")).read("/predictions").dims,
              testing::ElementsAre("time", "repeat", "sample", "row", "column"));
}

TEST_F(DenseTasksTest, TheNextTokenIsPredicted) {
  const std::string language = std::string(perfect) + "evaluation: {task: language_model}\n";
  CommandResult result = run(decoder(language), "r.h5");
  ASSERT_EQ(result.code, 0) << result.err;
  expect_scores("r.h5", 2);
  EXPECT_NEAR(values("r.h5", "/perplexity").at(0), std::exp(values("r.h5", "/loss").at(0)), 1e-9);
  EXPECT_EQ(values("r.h5", "/agreement").at(0), 1.0);
  EXPECT_LT(values("r.h5", "/kl_divergence").at(0), 1e-9);
  EXPECT_THAT(result.out, AllOf(HasSubstr("perplexity"), HasSubstr("next token"), HasSubstr("float32")));
  result =
      run(decoder(language), "r.h5", {"data.labels=" + given("decoder_labels.npy"), "evaluation.ignore_index=-100"});
  ASSERT_EQ(result.code, 0) << result.err;
  expect_scores("r.h5", 3);
}

TEST_F(DenseTasksTest, WithoutLabelsOutputsAreComparedWithFloat32) {
  const std::string config = decoder(std::string(noisy) + "output: {record: {outputs: true, predictions: true}}\n");
  const CommandResult result = run(config, "r.h5");
  ASSERT_EQ(result.code, 0) << result.err;
  const std::vector<double> y = values("r.h5", "/outputs/logits/output");
  const std::vector<double> r = values("r.h5", "/outputs/logits/output_float32");
  constexpr std::size_t tokens = 12, rows = 9 * 6, each = 6 * tokens;
  double same = 0.0, divergence = 0.0, cosine = 0.0;
  for (std::size_t row = 0; row < rows; ++row) {
    const double *const a = y.data() + row * tokens, *const b = r.data() + row * tokens;
    same += std::max_element(a, a + tokens) - a == std::max_element(b, b + tokens) - b ? 1.0 : 0.0;
    double sum_a = 0.0, sum_b = 0.0;
    for (std::size_t c = 0; c < tokens; ++c) {
      sum_a += std::exp(a[c]);
      sum_b += std::exp(b[c]);
    }
    for (std::size_t c = 0; c < tokens; ++c) {
      const double p = std::exp(b[c]) / sum_b, q = std::exp(a[c]) / sum_a;
      divergence += p * std::log(p / q);
    }
  }
  for (std::size_t sample = 0; sample < 9; ++sample) {
    double product = 0.0, square_a = 0.0, square_b = 0.0;
    for (std::size_t i = sample * each; i < (sample + 1) * each; ++i) {
      product += y[i] * r[i];
      square_a += y[i] * y[i];
      square_b += r[i] * r[i];
    }
    cosine += product / std::sqrt(square_a * square_b);
  }
  EXPECT_LT(same, rows) << "the noise changes something";
  EXPECT_NEAR(values("r.h5", "/agreement").at(0), same / rows, 1e-12);
  EXPECT_NEAR(values("r.h5", "/kl_divergence").at(0), divergence / rows, 1e-6);
  EXPECT_NEAR(values("r.h5", "/output_cosine").at(0), cosine / 9.0, 1e-6);
  EXPECT_EQ(values("r.h5", "/count").at(0), static_cast<double>(rows));
  EXPECT_FALSE(results::Reader(path("r.h5")).has("/accuracy"));
  EXPECT_THAT(results::check_schema(h5::File::open(path("r.h5"))), IsEmpty());
  EXPECT_THAT(result.out, AllOf(HasSubstr("no labels"), HasSubstr("same top-1"), HasSubstr("KL")));
  for (const char* batch : {"1", "4"}) {
    ASSERT_EQ(run(config, "b.h5", {std::string("data.batch_size=") + batch}).code, 0);
    EXPECT_THAT(results::compare(path("r.h5"), path("b.h5")), IsEmpty()) << batch;
  }
}

TEST_F(DenseTasksTest, SweepsSearchAndDoctorGoByAgreement) {
  const std::string sweep = decoder(
      "evaluation: {repeats: 2}\nsweep: {axes: {rpu_config.forward.out_noise: [0.0, 0.5]}}\n"
      "rpu_config: {forward: {inp_res: 0, out_res: 0, out_bound: 0}}\n");
  const CommandResult swept = run_command({"sweep", sweep, "-o", path("s.h5")});
  ASSERT_EQ(swept.code, 0) << swept.err;
  EXPECT_THAT(swept.out, HasSubstr("agreement"));
  const std::vector<double> agreement = values("s.h5", "/agreement");
  EXPECT_EQ(agreement.at(0), 1.0);
  EXPECT_LT(agreement.at(2), 1.0);
  const CommandResult doctor = run_command({"doctor", decoder(noisy)});
  ASSERT_EQ(doctor.code, 0) << doctor.err;
  EXPECT_THAT(doctor.out, AllOf(HasSubstr("agreement with the classes of float32"), HasSubstr("output noise")));
  const std::string search = decoder(
      "rpu_config: {forward: {inp_res: 254, out_res: 254, out_noise: 0.0}}\n"
      "search: {keys: [rpu_config.forward.inp_res], bits: [3, 5], budget: 20, front: 3}\n");
  const CommandResult searched = run_command({"search", search, "-o", path("found.yaml")});
  EXPECT_EQ(searched.code, 0) << searched.err;
  const CommandResult report = run_command({"report", path("s.h5"), "-o", path("r.html")});
  EXPECT_EQ(report.code, 0) << report.err;
}

TEST_F(DenseTasksTest, LabelsThatDoNotBelongToTheOutputsAreRefused) {
  const auto refused = [&](const std::string& config, std::vector<std::string> sets,
                           const testing::Matcher<const std::string&>& text) {
    const CommandResult result = run(config, "r.h5", std::move(sets));
    EXPECT_EQ(result.code, 3) << result.err;
    EXPECT_THAT(result.err, text);
  };
  refused(tagger(perfect), {}, AllOf(HasSubstr("label of sample 1 is -100"), HasSubstr("evaluation.ignore_index")));
  refused(tagger(perfect), {"data.labels=" + given("decoder_labels.npy")},
          testing::AnyOf(HasSubstr("9 samples"), HasSubstr("9 labels")));
  refused(tagger(perfect), {"evaluation.class_axis=0", "evaluation.ignore_index=-100"}, HasSubstr("4x3"));
  refused(decoder(perfect), {"evaluation.task=classification"}, HasSubstr("needs integer labels"));
  refused(tagger(perfect), {"data.labels=null", "evaluation.task=language_model"}, HasSubstr("data.labels"));
}

}  // namespace
}  // namespace tessera::cli
