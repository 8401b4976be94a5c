// Does digital low precision do to a network what its configuration says: grids, precedence, exclusions, the same bits
// however the work is cut, and errors for what is not there?
#include "tessera/sim/quantized_network.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "tessera/io/onnx_import.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {
namespace {

using testing::HasSubstr;

/// fc1 (6 -> 16), Relu, fc2 (16 -> 10, weight stored [in, out]).
nn::Executor small_network() {
  nn::Graph graph;
  graph.name = "small";
  const auto values = [](Shape shape, double phase) {
    Tensor tensor(std::move(shape));
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data()[i] = static_cast<float>(std::sin(phase + 1.7 * static_cast<double>(i)));
    return tensor;
  };
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, 6}, .batched = true});
  const nn::ValueId w1 = graph.add_value("w1", values({16, 6}, 0.3)), b1 = graph.add_value("b1", values({16}, 0.9)),
                    w2 = graph.add_value("w2", values({16, 10}, 1.1)), h = graph.add_value("h"),
                    r = graph.add_value("r"), y = graph.add_value("y");
  graph.nodes.push_back({"fc1", "Gemm", {x, w1, b1}, {h}, {{"transB", std::int64_t{1}}}});
  graph.nodes.push_back({"relu", "Relu", {h}, {r}, {}});
  graph.nodes.push_back({"fc2", "MatMul", {r, w2}, {y}, {}});
  graph.outputs = {y};
  nn::validate(graph);
  return nn::Executor(std::move(graph));
}

io::DataSet small_data(std::int64_t samples = 90) {
  Tensor inputs({samples, 6});
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs.data()[i] = static_cast<float>(std::cos(0.4 + 2.3 * static_cast<double>(i)));
  for (std::int64_t s = 0; s < samples; ++s) labels.push_back(static_cast<std::int32_t>(s % 10));
  return io::DataSet(std::move(inputs), std::move(labels));
}

LayerParameters digital(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.analog = false;
  return layer;
}

quant::QuantizationConfig bits(int activation, int weight, bool per_channel = false) {
  quant::QuantizationConfig config;
  config.activation_quant.n_bits = activation;
  config.activation_quant.symmetric = false;
  config.weight_quant.n_bits = weight;
  config.weight_quant.per_channel = per_channel;
  return config;
}

QuantizationParameters everywhere(int activation, int weight, bool per_channel = false) {
  QuantizationParameters parameters;
  parameters.map.default_qconfig = bits(activation, weight, per_channel);
  parameters.append_default_conversions = true;
  return parameters;
}

Tensor outputs(const QuantizationParameters& parameters, std::int64_t batch = 90, int threads = 1,
               const LayerResolver& resolve = digital) {
  const nn::Executor reference = small_network();
  const io::DataSet data = small_data();
  const QuantizedNetwork network(reference, parameters, resolve, data, 3, {threads});
  Tensor all({data.size(), 10});
  for (std::int64_t first = 0; first < data.size(); first += batch) {
    const std::int64_t count = std::min(batch, data.size() - first);
    const Tensor part =
        network.executor().run(data.read(first, count, {1}), {.first_sample = static_cast<std::uint64_t>(first),
                                                              .parallel = {threads},
                                                              .overrides = &network.accumulators(),
                                                              .observer = {}});
    std::copy_n(part.data(), part.size(), all.data() + first * 10);
  }
  return all;
}

std::size_t distinct(std::span<const float> values) {
  return std::set<float>(values.begin(), values.end()).size();
}

bool same(const Tensor& a, const Tensor& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin(), b.values().end());
}

TEST(QuantizedNetwork, NothingAskedNothingChanged) {
  const io::DataSet data = small_data();
  const Tensor plain = small_network().run(data.read(0, 90, {1}));
  EXPECT_TRUE(same(outputs({}), plain));
  EXPECT_FALSE(same(outputs(everywhere(8, 0)), plain));
  EXPECT_FALSE(same(outputs(everywhere(0, 8)), plain));
}

TEST(QuantizedNetwork, OutputsTakeAtMostTwoToTheBitsValues) {
  for (const int n : {2, 3, 4, 6}) {
    const std::size_t levels = distinct(outputs(everywhere(n, 0)).values());
    EXPECT_LE(levels, std::size_t{1} << n);
    EXPECT_GT(levels, std::size_t{1} << (n - 1));
  }
  EXPECT_GT(distinct(outputs(everywhere(0, 4)).values()), std::size_t{256});  // weights alone leave many
}

TEST(QuantizedNetwork, InstancesGoOverTypesAndExclusionsOverBoth) {
  QuantizationParameters parameters = everywhere(8, 8);
  parameters.map.instance_qconfig_map["fc2"] = {.quantized_module = "", .module_qconfig = bits(3, 0)};
  EXPECT_LE(distinct(outputs(parameters).values()), 8U);
  parameters.map.instance_qconfig_map = {{"fc1", {.quantized_module = "", .module_qconfig = bits(3, 0)}}};
  EXPECT_GT(distinct(outputs(parameters).values()), 8U);
  parameters.map.excluded_modules = {"fc2"};
  EXPECT_GT(distinct(outputs(parameters).values()), 256U);
}

TEST(QuantizedNetwork, InputsAreQuantizedInFrontOfOneLayer) {
  QuantizationParameters parameters;
  quant::ActivationQuantConfig two;
  two.n_bits = 2;
  two.symmetric = false;
  parameters.map.input_activation_qconfig_map["fc1"] = two;
  const nn::Executor reference = small_network();
  const io::DataSet data = small_data();
  const QuantizedNetwork network(reference, parameters, digital, data, 0, {1});
  std::size_t seen = 0;
  static_cast<void>(network.executor().run(data.read(0, 90, {1}), {.observer = [&](const nn::LinearRecord& record) {
                                             if (record.layer == 0) seen = distinct(record.input.values.values());
                                           }}));
  EXPECT_LE(seen, 4U);
  EXPECT_GT(seen, 1U);
}

TEST(QuantizedNetwork, AnObserverSeesTheQuantizedOutputOfALayer) {
  const nn::Executor reference = small_network();
  const io::DataSet data = small_data();
  const QuantizedNetwork network(reference, everywhere(3, 0), digital, data, 0, {1});
  std::vector<std::size_t> levels, order;
  static_cast<void>(network.executor().run(data.read(0, 90, {1}), {.observer = [&](const nn::LinearRecord& record) {
                                             order.push_back(record.layer);
                                             levels.push_back(distinct(record.output.values.values()));
                                           }}));
  EXPECT_THAT(order, testing::ElementsAre(0U, 1U));
  EXPECT_THAT(levels, testing::Each(testing::Le(8U)));
}

TEST(QuantizedNetwork, PerChannelMeansPerOutputHoweverTheWeightIsStored) {
  const nn::Executor reference = small_network();
  const io::DataSet data = small_data();
  const QuantizedNetwork network(reference, everywhere(0, 2, true), digital, data, 0, {1});
  for (const nn::LinearLayer& layer : network.executor().layers()) {
    std::set<float> all;
    for (std::int64_t o = 0; o < layer.parts[0].weight.rows(); ++o) {
      std::set<float> row;
      for (std::int64_t k = 0; k < layer.parts[0].weight.cols(); ++k) row.insert(layer.parts[0].weight(o, k));
      EXPECT_LE(row.size(), 4U) << layer.name;
      all.insert(row.begin(), row.end());
    }
    EXPECT_GT(all.size(), 4U) << layer.name;
  }
}

TEST(QuantizedNetwork, SameBitsForAnyThreadsAndBatches) {
  QuantizationParameters ranges = everywhere(5, 4, true);
  ranges.calibration = {.batches = 3, .batch_size = 20};
  QuantizationParameters blocks;
  blocks.formats.default_formats = {
      .weight = quant::BlockFloatingPoint{6, 0}, .activation = quant::BlockFloatingPoint{5, -1}, .accumulation = {}};
  QuantizationParameters stochastic;
  stochastic.formats.default_formats = {.weight = quant::FixedPoint{8, 5},
                                        .activation = quant::FixedPoint{8, 4},
                                        .accumulation = quant::FloatingPoint{5, 4},
                                        .rounding = quant::Rounding::stochastic};
  for (const QuantizationParameters& parameters : {ranges, blocks, stochastic}) {
    const Tensor once = outputs(parameters);
    for (const auto& [batch, threads] : std::vector<std::pair<std::int64_t, int>>{{1, 1}, {7, 2}, {64, 3}, {90, 4}})
      EXPECT_TRUE(same(outputs(parameters, batch, threads), once)) << batch << " " << threads;
  }
  QuantizationParameters other = ranges;
  other.calibration.batch_size = 1;  // the comparison can fail
  EXPECT_FALSE(same(outputs(other), outputs(ranges)));
}

TEST(QuantizedNetwork, AccumulationRoundsAfterEveryAddition) {
  QuantizationParameters parameters;
  const quant::Number number = quant::FloatingPoint{5, 3};
  parameters.formats.instances["fc1"] = {.weight = {}, .activation = {}, .accumulation = number};
  parameters.map.excluded_modules = {"fc2"};
  const nn::Executor reference = small_network();
  const io::DataSet data = small_data();
  const QuantizedNetwork network(reference, parameters, digital, data, 0, {1});
  Tensor seen;
  static_cast<void>(network.executor().run(
      data.read(0, 5, {1}), {.overrides = &network.accumulators(), .observer = [&](const nn::LinearRecord& record) {
                               if (record.layer == 0) seen = record.output.values;
                             }}));
  const Tensor x = data.read(0, 5, {1});
  const nn::LinearPart& part = reference.layers()[0].parts[0];
  for (std::int64_t s = 0; s < 5; ++s)
    for (std::int64_t o = 0; o < 16; ++o) {
      float sum = 0.0F;
      for (std::int64_t k = 0; k < 6; ++k) {
        const float next = sum + x.data()[s * 6 + k] * part.weight(o, k);
        quant::quantize_nearest(number, {1}, {&next, 1}, {&sum, 1});
      }
      EXPECT_EQ(seen.data()[s * 16 + o], sum + part.bias[static_cast<std::size_t>(o)]);
    }
}

TEST(QuantizedNetwork, AnalogLayersKeepTheirWeightsAndGetTheirActivationsQuantized) {
  const LayerResolver first_analog = [](const std::string& name, const std::string& op) {
    LayerParameters layer = digital(name, op);
    layer.analog = name == "fc1";
    return layer;
  };
  const nn::Executor reference = small_network();
  const io::DataSet data = small_data();
  const QuantizedNetwork network(reference, everywhere(4, 2), first_analog, data, 0, {1});
  const nn::Graph& graph = network.executor().graph();
  EXPECT_TRUE(
      same(*graph.tensor(graph.nodes[0].inputs[1]), *reference.graph().tensor(reference.graph().nodes[0].inputs[1])));
  EXPECT_THAT(network.notes(), testing::ElementsAre(HasSubstr("'fc1' is analog")));
  EXPECT_LE(distinct(network.executor().layers()[1].parts[0].weight.values()), 4U);
  // A number format is that of the target weights.
  QuantizationParameters format;
  format.formats.default_formats.weight = quant::FixedPoint{3, 1};
  const QuantizedNetwork formatted(reference, format, first_analog, data, 0, {1});
  EXPECT_LE(distinct(formatted.executor().layers()[0].parts[0].weight.values()), 8U);
}

TEST(QuantizedNetwork, EightBitsAreAlmostFloatAndTwoAreNot) {
  nn::Graph graph = io::import_onnx(TESSERA_SOURCE_DIR + "/configs/models/glyphs_cnn.onnx", {});
  const nn::Executor executor(std::move(graph));
  io::DataParameters glyphs;
  glyphs.format = io::DataFormat::glyphs;
  glyphs.scale = 1.0 / 255.0;
  glyphs.limit = 400;
  const io::DataSet data(glyphs);
  const auto accuracy = [&](const QuantizationParameters& parameters) {
    EvaluationRequest request{
        .executor = executor, .data = data, .evaluation = {}, .resolve = digital, .record_output = {}};
    request.quantization = parameters;
    request.statistics = false;
    const EvaluationResult result = evaluate(request, {}, {2}, {});
    return std::pair{result.points.at(0).score.accuracy(), result.reference.accuracy()};
  };
  const auto [eight, reference] = accuracy(everywhere(8, 8, true));
  EXPECT_GT(reference, 0.9);
  // Two networks that are equally good differ by chance, on 400 samples of their own, by a standard deviation of
  // sqrt(2 p (1 - p) / 400); on the same samples by less. Four of them: a false alarm below 1 in 15,000.
  const double chance = 4.0 * std::sqrt(2.0 * reference * (1.0 - reference) / 400.0);
  EXPECT_NEAR(eight, reference, chance);
  EXPECT_LT(accuracy(everywhere(2, 2)).first, reference - chance);  // the control: two bits are seen to be worse
  QuantizationParameters fp8;
  fp8.formats.default_formats = {.weight = quant::named_number("fp8_e4m3_sat"),
                                 .activation = quant::named_number("fp8_e4m3_sat"),
                                 .accumulation = {}};
  EXPECT_NEAR(accuracy(fp8).first, reference, chance);
}

/// Sequences of three values through one recurrent layer, or images through a transposed convolution with two groups.
nn::Executor one_layer(const std::string& op, bool final_state = false) {
  nn::Graph graph;
  graph.name = op;
  const auto values = [](Shape shape, double phase) {
    Tensor tensor(std::move(shape));
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data()[i] = static_cast<float>(std::sin(phase + 1.7 * static_cast<double>(i)));
    return tensor;
  };
  const nn::ValueId x = graph.add_value("x");
  const bool transposed = op == "ConvTranspose";
  graph.inputs.push_back({.value = x,
                          .type = nn::ElementType::float32,
                          .shape = transposed ? Shape{-1, 4, 3, 3} : Shape{-1, 5, 3},
                          .batched = true});
  if (transposed) {
    const nn::ValueId w = graph.add_value("w", values({4, 3, 2, 2}, 0.3)), b = graph.add_value("b", values({6}, 0.1)),
                      y = graph.add_value("y");
    graph.nodes.push_back({"layer", op, {x, w, b}, {y}, {{"group", std::int64_t{2}}}});
    graph.outputs = {y};
  } else {
    const std::int64_t gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
    const std::vector<std::int64_t> swap{1, 0, 2};
    const nn::ValueId t = graph.add_value("t"), w = graph.add_value("w", values({1, gates * 4, 3}, 0.3)),
                      r = graph.add_value("r", values({1, gates * 4, 4}, 0.5)), y = graph.add_value("y"),
                      out = graph.add_value("out");
    graph.nodes.push_back({"swap", "Transpose", {x}, {t}, {{"perm", swap}}});
    graph.nodes.push_back(
        {"layer", op, {t, w, r}, final_state ? std::vector<nn::ValueId>{-1, y} : std::vector<nn::ValueId>{y}, {}});
    const std::vector<std::int64_t> back = final_state ? swap : std::vector<std::int64_t>{2, 0, 1, 3};
    graph.nodes.push_back({"back", "Transpose", {y}, {out}, {{"perm", back}}});
    graph.outputs = {out};
  }
  nn::validate(graph);
  return nn::Executor(std::move(graph));
}

io::DataSet data_for(const nn::Executor& network) {
  Shape shape = network.graph().inputs.front().shape;
  shape[0] = 20;
  Tensor inputs(std::move(shape));
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs.data()[i] = static_cast<float>(std::cos(0.4 + 2.3 * static_cast<double>(i)));
  return io::DataSet(std::move(inputs), {});
}

TEST(QuantizedNetwork, RecurrentAndTransposedLayersAreQuantizedToo) {
  for (const std::string op : {"LSTM", "GRU", "RNN", "ConvTranspose"}) {
    const nn::Executor reference = one_layer(op);
    const io::DataSet data = data_for(reference);
    const Tensor x = data.read(0, 20, {1});
    QuantizationParameters ranges;
    ranges.map.module_qconfig_map[op] = {.quantized_module = "", .module_qconfig = bits(4, 3, op != "ConvTranspose")};
    const QuantizedNetwork network(reference, ranges, digital, data, 0, {1});
    for (const nn::LinearPart& part : network.executor().layers()[0].parts)
      for (std::int64_t o = 0; o < part.weight.rows(); ++o) {
        const std::span<const float> row = part.weight.view().row_span(o);
        EXPECT_LE(distinct(row), 8U) << op;
      }
    const Tensor y = network.executor().run(x);
    EXPECT_LE(distinct(y.values()), 16U) << op;
    EXPECT_GT(distinct(y.values()), 4U) << op;

    // Sums in a format as wide as float32 are those of float32, in another order.
    QuantizationParameters wide;
    wide.formats.instances["layer"].accumulation = quant::FloatingPoint{8, 22};
    const QuantizedNetwork summed(reference, wide, digital, data, 0, {1});
    const Tensor same_sums = summed.executor().run(x, {.overrides = &summed.accumulators()});
    wide.formats.instances["layer"].accumulation = quant::FixedPoint{6, 2};
    const QuantizedNetwork narrow(reference, wide, digital, data, 0, {1});
    const Tensor few_sums = narrow.executor().run(x, {.overrides = &narrow.accumulators()});
    const Tensor exact = reference.run(x);
    double wide_error = 0.0, narrow_error = 0.0;
    for (std::int64_t i = 0; i < exact.size(); ++i) {
      wide_error = std::max(wide_error, std::abs(static_cast<double>(same_sums.data()[i] - exact.data()[i])));
      narrow_error = std::max(narrow_error, std::abs(static_cast<double>(few_sums.data()[i] - exact.data()[i])));
    }
    // A sum of at most 12 terms of a size up to 4 rounds by 12 * 4 * 2^-23 (half a last place, twice for two orders), and
    // passes three steps of the recurrence, none of which enlarges it by more than 4.
    EXPECT_LT(wide_error, 3 * 4 * 12 * 4 * std::pow(2.0, -23)) << op;
    EXPECT_GT(narrow_error, 0.25 / 16) << op << ": steps of 1/4 leave their mark";
  }
}

TEST(QuantizedNetwork, WeightsOfRecurrentLayersHaveBlocksByOutput) {
  const nn::Executor reference = one_layer("LSTM");
  const io::DataSet data = data_for(reference);
  QuantizationParameters parameters;
  parameters.formats.default_formats.weight = quant::BlockFloatingPoint{3, 0};
  const QuantizedNetwork network(reference, parameters, digital, data, 0, {1});
  const Matrix& before = reference.layers()[0].parts[0].weight;
  const Matrix& after = network.executor().layers()[0].parts[0].weight;
  for (std::int64_t o = 0; o < before.rows(); ++o) {
    Tensor row({before.cols()}, before.view().row_span(o));
    const Tensor expected = quant::quantize_nearest(quant::BlockFloatingPoint{3, -1}, row);
    EXPECT_TRUE(std::ranges::equal(expected.values(), after.view().row_span(o))) << o;
  }
}

template <class F>
std::string error_of(F&& work) {
  try {
    work();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(QuantizedNetwork, EveryRangeEstimatorMayBeChosen) {
  std::set<float> results;
  for (const auto estimator :
       {quant::RangeEstimators::current_minmax, quant::RangeEstimators::allminmax,
        quant::RangeEstimators::running_minmax, quant::RangeEstimators::MSE, quant::RangeEstimators::cross_entropy}) {
    QuantizationParameters parameters = everywhere(3, 0);
    parameters.map.default_qconfig.activation_quant.set_range_estimator(estimator);
    parameters.calibration = {.batches = 4, .batch_size = 20};
    const Tensor once = outputs(parameters);
    EXPECT_LE(distinct(once.values()), 8U) << to_string(estimator);
    EXPECT_TRUE(same(outputs(parameters, 7, 3), once)) << to_string(estimator);
    results.insert(*std::ranges::max_element(once.values()));
  }
  EXPECT_GE(results.size(), 4U);  // they find different ranges
}

TEST(QuantizedNetwork, NamesTheTensorWhoseRangeCannotBeFound) {
  const nn::Executor reference = small_network();
  Tensor inputs({4, 6});
  std::ranges::fill(inputs.values(), 3e38F);
  const io::DataSet huge(std::move(inputs), {});
  std::string message;
  try {
    const QuantizedNetwork network(reference, everywhere(8, 0), digital, huge, 0, {1});
  } catch (const InputError& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("fc1"));
}

TEST(QuantizedNetwork, RefusesWhatIsNotThereOrHasNoMeaning) {
  QuantizationParameters parameters = everywhere(8, 8);
  parameters.map.instance_qconfig_map["fc3"] = {.quantized_module = "", .module_qconfig = bits(3, 0)};
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("'fc3'"));
  parameters = everywhere(8, 8);
  parameters.map.excluded_modules = {"relux"};
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("did you mean 'relu'"));
  parameters = everywhere(8, 8);
  parameters.formats.default_formats.activation = quant::FixedPoint{8, 4};
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("both"));
  parameters = everywhere(40, 0);
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("n_bits"));
  parameters = {};
  parameters.formats.module["Conv"] = {.weight = quant::FixedPoint{8, 4}, .activation = {}, .accumulation = {}};
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("no layer of type 'Conv'"));
  parameters = {};
  parameters.formats.instances["relu"] = {.weight = {}, .activation = {}, .accumulation = quant::FixedPoint{8, 4}};
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("partial sums"));
  parameters = {};
  parameters.map.module_qconfig_map["Linaer"] = {.quantized_module = "", .module_qconfig = bits(3, 0)};
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("did you mean 'Linear'"));
  parameters = everywhere(8, 8);
  parameters.map.input_activation_qconfig_map["fc3"].n_bits = 8;
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("input_activation_qconfig_map"));
  parameters = {};
  parameters.map.module_qconfig_map["LSTM"] = {.quantized_module = "", .module_qconfig = bits(8, 8)};
  const nn::Executor last_state = one_layer("LSTM", true);
  EXPECT_THAT(error_of([&] { QuantizedNetwork(last_state, parameters, digital, data_for(last_state), 0, {1}); }),
              HasSubstr("final state"));
  parameters.map.module_qconfig_map = {{"ConvTranspose", {.quantized_module = "", .module_qconfig = bits(0, 8, true)}}};
  const nn::Executor grouped = one_layer("ConvTranspose");
  EXPECT_THAT(error_of([&] { QuantizedNetwork(grouped, parameters, digital, data_for(grouped), 0, {1}); }),
              HasSubstr("groups"));
  parameters = everywhere(8, 8);
  parameters.calibration.batches = 0;
  EXPECT_THAT(error_of([&] { outputs(parameters); }), HasSubstr("calibration.batches"));
}

}  // namespace
}  // namespace tessera::sim
