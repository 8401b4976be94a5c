// Does digital low precision do to a network what its configuration says: grids, precedence, exclusions, the same bits
// however the work is cut, and errors for what is not there?
#include "tessera/sim/quantized_network.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "quantization_setup.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {
namespace {

using testing::HasSubstr;

/// fc1 (6 -> 16), Relu, fc2 (16 -> 10, weight stored [in, out]).
nn::Executor small_network() {
  nn::Graph graph;
  graph.name = "small";
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, 6}, .batched = true});
  const nn::ValueId w1 = graph.add_value("w1", waves({16, 6}, 0.3)), b1 = graph.add_value("b1", waves({16}, 0.9)),
                    w2 = graph.add_value("w2", waves({16, 10}, 1.1)), h = graph.add_value("h"),
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
    const Matrix weight = layer.parts[0].weight.matrix();
    for (std::int64_t o = 0; o < weight.rows(); ++o) {
      const std::span<const float> values = weight.view().row_span(o);
      const std::set<float> row(values.begin(), values.end());
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
  const Matrix weight = part.weight.matrix();
  for (std::int64_t s = 0; s < 5; ++s)
    for (std::int64_t o = 0; o < 16; ++o) {
      float sum = 0.0F;
      for (std::int64_t k = 0; k < 6; ++k) {
        const float next = sum + x.data()[s * 6 + k] * weight(o, k);
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
  EXPECT_LE(distinct(network.executor().layers()[1].parts[0].weight.matrix().values()), 4U);
  // A number format is that of the target weights.
  QuantizationParameters format;
  format.formats.default_formats.weight = quant::FixedPoint{3, 1};
  const QuantizedNetwork formatted(reference, format, first_analog, data, 0, {1});
  EXPECT_LE(distinct(formatted.executor().layers()[0].parts[0].weight.matrix().values()), 8U);
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
