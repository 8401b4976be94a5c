// Does a configuration file become one struct, and does its resolved text reproduce it?
#include "tessera/spec/run_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"

namespace tessera::spec {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string minimal = "model: {file: m.onnx}\ndata: {format: glyphs}\n";

const std::string complete =
    "name: mnist-cnn\n"
    "seed: 7\n"
    "model: {file: ../nets/mnist.onnx, fold_batchnorm: true}\n"
    "data:\n"
    "  format: idx\n"
    "  inputs: images.gz\n"
    "  labels: /abs/labels.gz\n"
    "  scale: 0.00392156862745098\n"
    "  mean: 0.1307\n"
    "  std: [0.3081]\n"
    "  limit: 1000\n"
    "  batch_size: 64\n"
    "rpu_config:\n"
    "  forward: {inp_res: 254, out_noise: 0.04, noise_management: AbsMax}\n"
    "  pre_post: {periph_quant: {n_bits: 8}}\n"
    "  act_quant_config: {n_bits: 8}\n"
    "  backward: {is_perfect: true}\n"
    "layers:\n"
    "  - {match: conv1, analog: false}\n"
    "  - match: \"fc*\"\n"
    "    rpu_config: {pre_post: {periph_quant: {n_bits: 6}}, act_quant_config: null}\n"
    "  - {op: Conv, rpu_config: {preset: StandardIOParameters, forward: {_bound_management: NONE}, update: {x: 1}}}\n"
    "evaluation: {repeats: 5}\n"
    "output: {file: out/r.h5, record: {tensors: fc2, predictions: true}}\n";

RunConfig read_text(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return read_run_config_text(text, "run.yaml", "/data/configs", overrides);
}

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of_text(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { read_text(text, overrides); });
}

TEST(RunConfig, MinimalHasTheDefaults) {
  RunConfig expected;
  expected.name = "run";
  expected.model.file = "/data/configs/m.onnx";
  expected.data.format = io::DataFormat::glyphs;
  EXPECT_EQ(read_text(minimal), expected);
}

TEST(RunConfig, EveryValueArrives) {
  config::Report report;
  const RunConfig config = read_run_config_text(complete, "run.yaml", "/data/configs", {}, &report);
  EXPECT_EQ(config.name, "mnist-cnn");
  EXPECT_EQ(config.seed, 7U);
  EXPECT_EQ(config.model, (sim::ModelParameters{.file = "/data/nets/mnist.onnx", .fold_batchnorm = true}));
  EXPECT_EQ(config.data.inputs, std::vector<std::string>{"/data/configs/images.gz"});
  EXPECT_EQ(config.data.labels, "/abs/labels.gz");
  EXPECT_EQ(config.data.scale, 0.00392156862745098);
  EXPECT_EQ(config.data.mean, std::vector<double>{0.1307});
  EXPECT_EQ(config.data.limit, 1000);
  EXPECT_EQ(config.rpu_config.tile.forward.out_noise, 0.04);
  EXPECT_EQ(config.rpu_config.tile.act_quant_config->n_bits, 8);
  ASSERT_EQ(config.layers.size(), 3U);
  EXPECT_EQ(config.layers[0].match, "conv1");
  EXPECT_EQ(config.layers[0].analog, false);
  EXPECT_EQ(config.layers[2].op, "Conv");
  EXPECT_EQ(config.evaluation.repeats, 5);
  EXPECT_EQ(config.output.file, "/data/configs/out/r.h5");
  EXPECT_EQ(config.output.record.tensors, std::vector<std::string>{"fc2"});
  EXPECT_EQ(unused_note(report), "no effect: layers.2.rpu_config.update, rpu_config.backward (training only)");
}

TEST(RunConfig, KeysOfAnotherChoiceAreReported) {
  const auto note = [](const std::string& more) {
    config::Report report;
    read_run_config_text("model: {file: m.onnx}\ndata: {format: npy, inputs: x.npy}\n" + more, "run.yaml", "/data", {},
                         &report);
    return unused_note(report);
  };
  EXPECT_EQ(note("calibration: {type: MAX, quantile: 0.9}\n"), "no effect: calibration.quantile (type is MAX)");
  EXPECT_EQ(note("calibration: {type: CACHE_QUANTILE, quantile: 0.9}\n"), "");
  EXPECT_EQ(note("calibration: {type: MAX, quantile: 0.99995}\n"), "") << "the default";
  EXPECT_EQ(
      note("training: {data: {format: npy, inputs: x.npy, glyphs: {seed: 3}}, digital_epochs: 1, optimizer: {type: "
           "sgd, beta1: 0.5}, schedule: {type: cosine, gamma: 0.5}}\n"),
      "no effect: training.data.glyphs (format is npy); training.schedule.gamma (type is cosine); "
      "training.optimizer.beta1 (type is sgd)");
  EXPECT_EQ(note("rpu_config: {drift_from: weights, drift_compensation: {type: PerColumnDriftCompensation}}\n"),
            "no effect: rpu_config.drift_compensation, rpu_config.drift_from (without a noise_model nothing is "
            "programmed or drifts)");
  EXPECT_EQ(
      note("spiking: {neurons: {state_quant: {multiplier: 0.5}, spike_grad: {slope: 3.0}}}\n"),
      "no effect: spiking.neurons.spike_grad.slope (type is atan); spiking.neurons.state_quant.multiplier (uniform is "
      "true)");
  const RunConfig config = read_run_config_text(
      "model: {file: m.onnx}\ndata: {format: npy, inputs: x.npy}\ntraining: {data: {format: npy, inputs: x.npy}, "
      "digital_epochs: 1}\nspiking: {}\ncalibration: {}\n");
  config::Report report;
  read_run_config_text(resolved_text(config), "resolved.yaml", "", {}, &report);
  EXPECT_EQ(unused_note(report), "") << "a resolved configuration gives every key";
}

TEST(RunConfig, ResolvedTextReproducesTheConfiguration) {
  for (const std::string& text : {minimal, complete}) {
    const RunConfig config = read_text(text);
    const std::string resolved = resolved_text(config);
    EXPECT_EQ(read_run_config_text(resolved, "elsewhere.yaml", "/somewhere/else"), config) << resolved;
    EXPECT_EQ(resolved_text(read_run_config_text(resolved)), resolved) << "resolving twice changes nothing";
  }
  const std::string resolved = resolved_text(read_text(complete));
  EXPECT_THAT(resolved, HasSubstr("layers:\n  - match: conv1\n    analog: false\n"));
  EXPECT_THAT(
      resolved,
      HasSubstr(
          "    rpu_config:\n      preset: StandardIOParameters\n      forward:\n        bound_management: NONE\n"));
  EXPECT_THAT(resolved, HasSubstr("out_noise: 0.04\n"));
  EXPECT_THAT(resolved, Not(HasSubstr("backward")));
}

TEST(RunConfig, OverridesWin) {
  const RunConfig config = read_text(
      complete, {"rpu_config.forward.out_noise=0.02", "seed=9", "data.limit=10", "rpu_config.act_quant_config=null",
                 "layers.fc2.rpu_config.forward.out_res=62", "model.file=here.onnx"});
  EXPECT_EQ(config.rpu_config.tile.forward.out_noise, 0.02);
  EXPECT_EQ(config.seed, 9U);
  EXPECT_EQ(config.data.limit, 10);
  EXPECT_FALSE(config.rpu_config.tile.act_quant_config);
  ASSERT_EQ(config.layers.size(), 4U);
  EXPECT_EQ(config.layers[3].match, "fc2");
  EXPECT_EQ(config.model.file, (fs::current_path() / "here.onnx").string())
      << "paths of --set start at the working directory";
}

struct Mistake {
  std::string text;
  std::string message;
};

TEST(RunConfig, EveryMistakeHasItsMessage) {
  const Mistake mistakes[] = {
      {"data: {format: glyphs}\n", "run.yaml:1:1: missing key 'model' (the network)"},
      {"model: {}\ndata: {format: glyphs}\n",
       "run.yaml:1:8: model: missing key 'file' (.onnx, or .h5 written by tessera)"},
      {"", "run.yaml:1:1: missing key 'model' (the network)\nrun.yaml:1:1: missing key 'data' (what it sees)"},
      {"- a\n", "run.yaml:1:1: a configuration is a map, not a list"},
      {minimal + "sead: 1\n", "run.yaml:3:1: sead: unknown key 'sead'; did you mean 'seed'?"},
      {minimal + "learning: {epochs: 3}\n",
       "run.yaml:3:1: learning: unknown key 'learning'; the keys here are name, seed, model, data, rpu_config, layers, "
       "quantization, spiking, evaluation, output, cost, calibration, sweep, search, training"},
      {minimal + "out_noise: 0.1\n",
       "run.yaml:3:1: out_noise: unknown key 'out_noise'; did you mean 'rpu_config.forward.out_noise'?"},
      {minimal + "rpu_config: {forward: {out_noise: -1}}\n",
       "run.yaml:3:35: rpu_config.forward.out_noise: -1 is out of range (must be >= 0)"},
      {minimal + "rpu_config: {forward: {mv_type: SPLIT_MODE, inp_res: 7}}\n",
       "run.yaml:3:54: rpu_config.forward.inp_res: SPLIT_MODE sends integer input codes: 1/inp_res must be an even "
       "number "
       "from 2 to 65534 (n bits: 2^n - 2), not 7"},
      {minimal + "layers: [{analog: false}]\n",
       "run.yaml:3:10: layers.0: a rule needs 'match' (a layer's name) or 'op' (its type); '*' is all"},
      {minimal + "layers: [{match: fc, rpu_config: {forward: {out_nois: 1}}}]\n",
       "run.yaml:3:45: layers.0.rpu_config.forward.out_nois: unknown key 'out_nois'; did you mean 'out_noise'?"},
      {minimal + "layers: {fc: {analog: false}}\n", "run.yaml:3:9: layers: expected a list of LayerRule, got a map"},
      {minimal + "evaluation: {repeats: 0}\n",
       "run.yaml:3:23: evaluation.repeats: 0 is out of range (must be 1 to 1000000)"},
      {minimal + "evaluation: {times: [0, -1]}\n",
       "run.yaml:3:25: evaluation.times.1: -1 is out of range (must be >= 0)"},
      {"model: {file: m.onnx}\ndata: {format: idx}\n",
       "run.yaml:2:7: data.inputs: 0 files given; this format reads exactly one"},
      {"model: {file: m.onnx}\ndata: {format: glyphs, inputs: x}\n",
       "run.yaml:2:32: data.inputs: glyphs are generated, not read from a file; leave this out"},
      {"model: {file: m.onnx}\ndata: {format: glyphs, scale: 0}\n",
       "run.yaml:2:31: data.scale: 0 is not a number different from 0 that float32 holds"},
      {"model: {file: m.onnx}\ndata: {format: idz, inputs: x}\n",
       "run.yaml:2:16: data.format: unknown word 'idz'; did you mean 'idx'? (one of idx, cifar10, npy, hdf5, glyphs)"},
  };
  for (const Mistake& mistake : mistakes) EXPECT_EQ(error_of_text(mistake.text), mistake.message) << mistake.text;
  EXPECT_EQ(error_of_text(minimal, {"rpu_config.forward.out_nois=0.1"}),
            "--set: rpu_config.forward.out_nois: unknown key 'out_nois'; did you mean 'out_noise'?");
  EXPECT_EQ(error_of_text(minimal, {"seed=-1"}), "--set: seed: -1 is out of range (must be >= 0)");
}

TEST(RunConfig, AllProblemsAtOnce) {
  EXPECT_EQ(error_of_text("model: {fil: m.onnx}\n"
                          "data: {format: idx, limit: many}\n"
                          "layers: [{match: a, rpu_config: {forward: {inp_res: x}}}]\n"
                          "seed: 1.5\n"),
            "run.yaml:1:8: model: missing key 'file' (.onnx, or .h5 written by tessera)\n"
            "run.yaml:1:9: model.fil: unknown key 'fil'; did you mean 'file'?\n"
            "run.yaml:2:28: data.limit: expected an integer, got 'many'\n"
            "run.yaml:3:53: layers.0.rpu_config.forward.inp_res: expected a number, got 'x'\n"
            "run.yaml:4:7: seed: expected an integer, got '1.5'");
}

TEST(RunConfig, BasesAndPathsOfFiles) {
  const fs::path directory = fs::path(TESSERA_BINARY_DIR) / "spec_test";
  fs::create_directories(directory / "common");
  std::ofstream(directory / "common/base.yaml")
      << "model: {file: m.onnx}\ndata: {format: npy, inputs: x.npy, labels: y.npy}\n"
      << "rpu_config: {act_quant_config: {n_bits: 8}}\n";
  std::ofstream(directory / "top.yaml")
      << "base: common/base.yaml\n"
      << "data: {inputs: z.npy, labels: null}\nrpu_config: {act_quant_config: null}\n";
  const RunConfig config = read_run_config((directory / "top.yaml").string());
  EXPECT_EQ(config.name, "top");
  EXPECT_EQ(config.model.file, (directory / "common/m.onnx").lexically_normal().string());
  EXPECT_EQ(config.data.inputs.at(0), (directory / "z.npy").lexically_normal().string());
  EXPECT_EQ(config.data.labels, "");
  EXPECT_FALSE(config.rpu_config.tile.act_quant_config);
  EXPECT_THAT(error_of([&] { read_run_config((directory / "none.yaml").string()); }),
              HasSubstr("none.yaml: cannot read the configuration (no such file)"));
}

TEST(RunConfig, DamagedFilesAreReadOrRefused) {
  const std::vector<std::string> words = {"null",
                                          "true",
                                          "-1",
                                          "1e999",
                                          "[]",
                                          "{}",
                                          "''",
                                          "~",
                                          "nan",
                                          "0",
                                          "forward",
                                          "type",
                                          "- x",
                                          "<<: *a",
                                          "&a",
                                          "99999999999999999999",
                                          "preset: IOParameters",
                                          "match"};
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int good = 0;
  int bad = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = complete;
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text.erase(at, 1 + below(8));
          break;
        case 1:
          text.insert(at, words[below(words.size())]);
          break;
        case 2:
          text.replace(at, std::min<std::size_t>(text.size() - at, 1 + below(4)), words[below(words.size())]);
          break;
        default:
          text.insert(below(text.size()), text.substr(at, 1 + below(30)));
          break;
      }
    }
    try {
      const RunConfig config = read_text(text);
      ASSERT_EQ(read_run_config_text(resolved_text(config)), config) << text;
      ++good;
    } catch (const ConfigError& error) {
      ASSERT_FALSE(error.problems().empty());
      ++bad;
    }
  }
  EXPECT_GT(good, 50);
  EXPECT_GT(bad, 1000);
}

}  // namespace
}  // namespace tessera::spec
