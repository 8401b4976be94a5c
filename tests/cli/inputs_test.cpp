// Do networks of several inputs, and with states, give what ONNX Runtime gives, whatever the batch size and threads, and
// is what does not fit refused with names and shapes? Networks and data: tests/data/inputs/make_inputs.py.
#include <gmock/gmock.h>

#include <cmath>

#include "cli/command_fixture.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"
#include "tessera/results/search_record.hpp"

namespace tessera::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

class InputsTest : public CommandTest {
 protected:
  static std::string given(const std::string& name) { return TESSERA_SOURCE_DIR + "/tests/data/inputs/" + name; }

  std::string encoder(const std::string& more = "") const {
    return write("encoder.yaml", fmt::format(R"(
model: {{file: {0}encoder.onnx, outputs: [logits, last_hidden_state]}}
data:
  format: npy
  inputs:
    input_ids: {0}encoder_input_ids.npy
    attention_mask: {{file: {0}encoder_attention_mask.npy}}
    token_type_ids: {0}encoder_token_type_ids.npy
  labels: {0}encoder_logits.npy
output: {{record: {{outputs: true}}}}
{1}
)",
                                             given(""), more));
  }
  std::string detector(const std::string& more = "") const {
    return write("detector.yaml", fmt::format(R"(
model: {{file: {0}detector.onnx, state: {{stateN: state}}}}
data:
  format: npy
  inputs: {{input: {0}detector_frames.npy, sr: {{constant: 16000}}}}
  labels: {0}detector_y.npy
  sequence: {{length: 4}}
{1}
)",
                                              given(""), more));
  }
  std::string enhancer(const std::string& more = "") const {
    return write("enhancer.yaml", fmt::format(R"(
model:
  file: {0}enhancer.onnx
  state: {{conv_cache_out: conv_cache, gru_cache_out: gru_cache, mean_cache_out: {{input: mean_cache}}}}
data: {{format: npy, inputs: {{frame: {0}enhancer_frames.npy}}, labels: {0}enhancer_y.npy, sequence: {{length: 5}}}}
output: {{record: {{tensors: ['*'], outputs: true}}}}
{1}
)",
                                              given(""), more));
  }

  CommandResult run(const std::string& config, const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"run", config, "-o", path(output)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_command(arguments);
  }
  std::vector<double> values(const std::string& file, const std::string& name) const {
    return results::Reader(path(file)).read(name).values;
  }
  void expect_refused(const std::string& config, const std::vector<std::string>& sets,
                      const testing::Matcher<const std::string&>& text) const {
    std::vector<std::string> arguments;
    for (const std::string& set : sets) arguments.insert(arguments.end(), {"--set", set});
    const CommandResult result = run(config, "refused.h5", arguments);
    EXPECT_EQ(result.code, 3) << fmt::format("{}", fmt::join(sets, " ")) << result.err;
    EXPECT_THAT(result.err, text);
    EXPECT_FALSE(std::filesystem::exists(path("refused.h5")));
  }
};

constexpr const char* perfect = "rpu_config: {forward: {is_perfect: true}}";
constexpr const char* noisy = "rpu_config: {forward: {out_noise: 0.1, w_noise_type: ADDITIVE_CONSTANT, w_noise: 0.02}}";

TEST_F(InputsTest, AnEncoderOfThreeInputsGivesWhatTheReferenceGives) {
  const CommandResult result = run(encoder(perfect), "r.h5");
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* mse : {"/mse", "/reference/mse"}) EXPECT_LT(values("r.h5", mse).at(0), 1e-11) << mse;
  const auto& expect_equal = [&](const std::string& name, const std::string& file) {
    const Tensor expected = io::read_npy(given(file));
    const std::vector<double> seen = values("r.h5", name);
    ASSERT_EQ(std::ssize(seen), expected.size()) << name;
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_NEAR(seen[i], expected.values()[i], 1e-5) << name << i;
  };
  expect_equal("/outputs/logits/output_float32", "encoder_logits.npy");
  expect_equal("/outputs/last_hidden_state/output", "encoder_hidden.npy");
  EXPECT_EQ(results::Reader(path("r.h5")).read("/outputs/last_hidden_state/output").shape, (Shape{1, 1, 9, 6, 8}));
  EXPECT_THAT(results::check_schema(h5::File::open(path("r.h5"))), IsEmpty());
}

TEST_F(InputsTest, ConstantsTakeTheLengthThatTheOthersHave) {
  const CommandResult result =
      run(encoder(perfect), "r.h5",
          {"--set", "data.inputs.attention_mask=ones", "--set", "data.inputs.token_type_ids={constant: 0}", "--set",
           "data.labels=" + given("encoder_plain_logits.npy")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_LT(values("r.h5", "/mse").at(0), 1e-11);
  EXPECT_LT(values("r.h5", "/reference/mse").at(0), 1e-11);
}

TEST_F(InputsTest, NothingDependsOnBatchesOrThreads) {
  for (const std::string& config : {encoder(noisy), detector(noisy), enhancer(noisy)}) {
    ASSERT_EQ(run(config, "a.h5", {"--batch-size", "1", "--threads", "1"}).code, 0) << config;
    for (const char* batch : {"2", "5", "128"})
      for (const char* threads : {"1", "2"}) {
        ASSERT_EQ(run(config, "b.h5", {"--batch-size", batch, "--threads", threads}).code, 0) << config;
        EXPECT_THAT(results::compare(path("a.h5"), path("b.h5")), IsEmpty()) << config << " " << batch << threads;
      }
  }
}

TEST_F(InputsTest, StatesFollowTheSequence) {
  for (const std::string& config : {detector(perfect), enhancer(perfect)}) {
    const CommandResult result = run(config, "r.h5");
    ASSERT_EQ(result.code, 0) << result.err;
    for (const char* mse : {"/mse", "/reference/mse"}) EXPECT_LT(values("r.h5", mse).at(0), 1e-11) << config << mse;
  }
  // The other way round each frame would be the first of its sequence.
  ASSERT_EQ(run(enhancer(perfect), "alone.h5", {"--set", "data.sequence.length=1"}).code, 0);
  EXPECT_GT(values("alone.h5", "/reference/mse").at(0), 1e-4);
}

TEST_F(InputsTest, SequencesMayDifferInLengthAndBeginWithAState) {
  const std::string config = detector(perfect);
  const std::vector<std::string> ragged = {
      "--set", "data.sequence={lengths: " + given("detector_lengths.npy") + "}",
      "--set", "model.state.stateN={input: state, initial: " + given("detector_initial.npy") + "}",
      "--set", "data.inputs.sr={constant: 8000}",
      "--set", "data.labels=" + given("detector_ragged_y.npy")};
  const CommandResult result = run(config, "r.h5", ragged);
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* mse : {"/mse", "/reference/mse"}) EXPECT_LT(values("r.h5", mse).at(0), 1e-11) << mse;
}

TEST_F(InputsTest, NetworksWithStatesAreCalibratedAndDiagnosed) {
  const std::string range = "rpu_config: {pre_post: {input_range: {enable: true}}}";
  const CommandResult calibrated = run_command({"calibrate", enhancer(range), "-o", path("c.h5")});
  ASSERT_EQ(calibrated.code, 0) << calibrated.err;
  const CommandResult result = run(enhancer(range), "r.h5", {"--set", "model.file=" + path("c.h5")});
  EXPECT_EQ(result.code, 0) << result.err;
  const CommandResult doctor = run_command({"doctor", enhancer(range)});
  EXPECT_EQ(doctor.code, 0) << doctor.err;
  const CommandResult encoded = run_command({"calibrate", encoder(range), "-o", path("e.h5")});
  ASSERT_EQ(encoded.code, 0) << encoded.err;
  EXPECT_EQ(run(encoder(range), "r.h5", {"--set", "model.file=" + path("e.h5")}).code, 0);
}

TEST_F(InputsTest, WhatDoesNotFitIsRefusedWithNamesAndShapes) {
  const std::string bert = encoder(perfect);
  expect_refused(bert, {"data.inputs.attention_mask=" + given("encoder_short_mask.npy")},
                 AllOf(HasSubstr("attention_mask"), HasSubstr("'sequence'"), HasSubstr("4"), HasSubstr("6")));
  expect_refused(bert, {"data.inputs.token_type_ids=" + given("encoder_few_types.npy")},
                 AllOf(HasSubstr("token_type_ids"), HasSubstr("5 samples"), HasSubstr("9")));
  expect_refused(bert, {"data.inputs.token_types=zeros"},
                 AllOf(HasSubstr("'token_types'"), HasSubstr("input_ids, attention_mask, token_type_ids")));
  expect_refused(bert, {"data.inputs.types=" + given("encoder_token_type_ids.npy")},
                 AllOf(HasSubstr("data.inputs.types"), HasSubstr("input_ids (NxN)")));
  expect_refused(bert, {"data.inputs=" + given("encoder_input_ids.npy")},
                 AllOf(HasSubstr("3 inputs"), HasSubstr("token_type_ids"), HasSubstr("data.inputs")));
  expect_refused(bert, {"model.outputs=[logit]"}, AllOf(HasSubstr("'logit'"), HasSubstr("did you mean 'logits'")));
  const std::string vad = detector(perfect);
  expect_refused(vad, {"data.sequence=null"}, HasSubstr("data.sequence"));
  expect_refused(vad, {"data.sequence.length=5"}, AllOf(HasSubstr("12 samples"), HasSubstr("5")));
  expect_refused(vad, {"model.state={}"}, AllOf(HasSubstr("state"), HasSubstr("model.state")));
  expect_refused(vad, {"model.state={stateM: state}"}, AllOf(HasSubstr("'stateM'"), HasSubstr("stateN")));
  expect_refused(vad, {"model.state={stateN: estate}"}, AllOf(HasSubstr("'estate'"), HasSubstr("state (2xNx6)")));
  expect_refused(vad, {"model.state={output: state}"},
                 AllOf(HasSubstr("output 'output' of shape 1x1"), HasSubstr("input 'state', which takes 2x1x6")));
  expect_refused(vad, {"model.state.stateN={input: state, initial: " + given("detector_frames.npy") + "}"},
                 AllOf(HasSubstr("12x16"), HasSubstr("2xNx6")));
}

TEST_F(InputsTest, TheShippedSequenceNetworksRun) {
  const CommandResult streaming = run(CommandTest::config("streaming.yaml"), "r.h5", {});
  ASSERT_EQ(streaming.code, 0) << streaming.err;
  // 1,200 frames: as good as float32 within four standard deviations of chance, and far better than guessing.
  const double float32 = values("r.h5", "/reference/accuracy").at(0);
  EXPECT_GT(float32, 0.75);
  EXPECT_NEAR(values("r.h5", "/accuracy").at(0), float32, 4.0 * std::sqrt(2.0 * float32 * (1.0 - float32) / 1200.0));
  const CommandResult decoder = run(CommandTest::config("transformer.yaml"), "r.h5", {"--limit", "20"});
  ASSERT_EQ(decoder.code, 0) << decoder.err;
  EXPECT_LT(values("r.h5", "/perplexity").at(0), 6.5) << "13 tokens; the language allows about 5.7";
  EXPECT_TRUE(results::Reader(path("r.h5")).has("/layers/layers.0.query/sqnr_db")) << "modules name the layers";
  const CommandResult search =
      run_command({"search", CommandTest::config("transformer_search.yaml"), "-o", path("found.yaml"), "--limit", "20",
                   "--set", "search.budget=30", "--set", "evaluation.repeats=1", "--set", "search.front=3"});
  ASSERT_EQ(search.code, 0) << search.err;
  EXPECT_THAT(search.out,
              AllOf(HasSubstr("digital multiply-accumulates"), HasSubstr("analog"), HasSubstr("all digital")));
  EXPECT_EQ(run(path("found.yaml"), "r.h5", {"--limit", "20"}).code, 0);
}

TEST_F(InputsTest, ABudgetOfPerplexityDecidesWhichLayersAreAnalog) {
  const auto search = [&](const std::string& budget, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"search",  CommandTest::config("transformer_search_perplexity.yaml"),
                                   "-o",      path("found.yaml"),
                                   "--set",   "search.budget=" + budget,
                                   "--set",   "evaluation.repeats=2",
                                   "--set",   "search.front=3",
                                   "--limit", "40"};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words);
  };
  const CommandResult some = search("2");
  ASSERT_EQ(some.code, 0) << some.err;
  EXPECT_THAT(some.out,
              AllOf(HasSubstr("loss in % of the perplexity"), HasSubstr("(budget 2.00)"), HasSubstr("analog")));
  const results::SearchRecord record = results::read_search_record(path("found.h5"));
  EXPECT_EQ(record.measure, "perplexity");
  const results::SearchPointRecord& found = record.points[static_cast<std::size_t>(record.found)];
  EXPECT_GT(record.found, 0);
  EXPECT_LE(results::shown_loss(record, found.loss_bound), 2.0);
  // The perplexities are those that `run` gives for the found configuration.
  ASSERT_EQ(run(path("found.yaml"), "r.h5", {"--limit", "40", "--set", "evaluation.repeats=2"}).code, 0);
  const std::vector<double> perplexity = values("r.h5", "/perplexity");
  const std::vector<double> searched = record.accuracy(static_cast<std::size_t>(record.found));
  ASSERT_EQ(perplexity.size(), searched.size());
  for (std::size_t chip = 0; chip < searched.size(); ++chip)
    EXPECT_NEAR(results::shown_quality(record, searched[chip]), perplexity[chip], 1e-5 * perplexity[chip]);
  EXPECT_NEAR(results::shown_quality(record, record.reference_accuracy), values("r.h5", "/reference/perplexity").at(0),
              1e-9);
  const CommandResult report = run_command({"report", path("found.h5"), "-o", path("r.html")});
  EXPECT_EQ(report.code, 0) << report.err;
  const CommandResult other = search("2", {"--set", "evaluation.task=agreement"});
  EXPECT_EQ(other.code, 3);
  EXPECT_THAT(other.err, AllOf(HasSubstr("search.measure"), HasSubstr("language_model")));
}

TEST_F(InputsTest, RecurrentLayersAloneBeginWithTheStateOfTheFloat32Network) {
  const auto config = [&](const std::string& more) {
    return write("translator.yaml",
                 fmt::format("model: {{file: {0}translator.onnx}}\n"
                             "data: {{format: npy, inputs: {0}translator_x.npy, labels: {0}translator_y.npy}}\n{1}\n",
                             given(""), more));
  };
  const CommandResult exact = run(config(perfect), "r.h5");
  ASSERT_EQ(exact.code, 0) << exact.err;
  EXPECT_LT(values("r.h5", "/mse").at(0), 1e-11);
  for (const char* layer : {"encoder", "decoder"})
    EXPECT_GT(values("r.h5", fmt::format("/layers/{}/sqnr_db_isolated", layer)).at(0), 100.0) << layer;
  // With a wrong initial state the layer alone would be far off in the first steps; with noise it is off by that.
  const std::string range = "rpu_config: {forward: {out_noise: 0.01}, pre_post: {input_range: {enable: true}}}";
  ASSERT_EQ(run(config(range), "r.h5").code, 0);
  EXPECT_GT(values("r.h5", "/layers/decoder/sqnr_db_isolated").at(0), 15.0);
  const CommandResult calibrated = run_command({"calibrate", config(range), "-o", path("c.h5")});
  EXPECT_EQ(calibrated.code, 0) << calibrated.err;
  const CommandResult doctor = run_command({"doctor", config(range)});
  EXPECT_EQ(doctor.code, 0) << doctor.err;
  EXPECT_THAT(doctor.out, HasSubstr("Layers by what each alone costs at the output"));
}

TEST_F(InputsTest, IntegerLayersGoOnTilesWhereThatIsSaid) {
  const std::string config = write(
      "quantized.yaml", fmt::format("model: {{file: {0}quantized.onnx}}\n"
                                    "data: {{format: npy, inputs: {0}quantized_x.npy, labels: {0}quantized_y.npy}}\n"
                                    "{1}\n",
                                    given(""), perfect));
  const CommandResult exact = run(config, "r.h5");
  ASSERT_EQ(exact.code, 0) << exact.err;
  EXPECT_THAT(exact.err, HasSubstr("no layer of this network is on tiles"));
  EXPECT_LT(values("r.h5", "/mse").at(0), 1e-11);
  const CommandResult tiles = run(config, "r.h5", {"--set", "model.dequantize=true"});
  ASSERT_EQ(tiles.code, 0) << tiles.err;
  EXPECT_LT(values("r.h5", "/mse").at(0), 1e-10);
  EXPECT_EQ(results::Reader(path("r.h5")).layers().size(), 1U);
}

TEST_F(InputsTest, InspectTakesTheShapesOfInputsByName) {
  const std::string file = given("encoder.onnx");
  const auto inspect = [&](std::vector<std::string> shapes) {
    std::vector<std::string> arguments{"inspect", file};
    for (std::string& shape : shapes) arguments.insert(arguments.end(), {"--shape", std::move(shape)});
    return run_command(arguments);
  };
  const CommandResult named = inspect({"token_type_ids=1x7", "input_ids=1x7", "attention_mask=1x7"});
  EXPECT_EQ(named.code, 0) << named.err;
  EXPECT_THAT(named.out, AllOf(HasSubstr("output 'last_hidden_state' 7x8"), HasSubstr("output 'logits' 3")));
  EXPECT_EQ(inspect({"7", "7", "7"}).out, named.out);
  const CommandResult unknown = inspect({"ids=1x7"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("ids"), HasSubstr("input_ids (NxN)")));
  EXPECT_EQ(inspect({"input_ids=1x7x2"}).code, 2);
  EXPECT_EQ(inspect({"input_ids=1x7", "input_ids=1x7"}).code, 2);
}

}  // namespace
}  // namespace tessera::cli
