// Does an estimator of an activation range see each batch once, as one tensor, wherever ranges are estimated: in a run,
// in a calibration, in training?
#include <gtest/gtest.h>

#include <cmath>

#include "nn/network.hpp"
#include "sim/analog_trainable.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/calibrate.hpp"

namespace tessera::sim {
namespace {

using nn::test::Network;
using nn::test::random_tensor;
using tile::RangeEstimator;

constexpr std::int64_t batch_size = 64;

LayerResolver quantized(tile::ActivationQuantConfig config, int max_input_size = 512) {
  return [=](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.is_perfect = true;
    layer.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
    layer.rpu.mapping.max_input_size = max_input_size;
    layer.rpu.act_quant_config = config;
    return layer;
  };
}

std::vector<Tensor> batches_of(const Tensor& all) {
  std::vector<Tensor> batches;
  const std::int64_t each = all.size() / all.dim(0);
  for (std::int64_t first = 0; first < all.dim(0); first += batch_size) {
    Shape shape = all.shape();
    shape[0] = std::min(batch_size, all.dim(0) - first);
    const float* begin = all.data() + first * each;
    batches.emplace_back(shape, std::span(begin, static_cast<std::size_t>(shape[0] * each)));
  }
  return batches;
}

using State = quant::UniformQuantizerState;

/// The state of the last quantizer of a part's layer: of the array, or of its only tile.
State last_of(const tile::LayerState& state) {
  return state.tiles.size() > 1 ? state.output_quantizer : state.tiles.front().output_quantizer;
}

/// Estimated as a run does.
tile::LayerState by_run(const nn::Executor& executor, const Tensor& data, const LayerResolver& resolve,
                        std::size_t part = 0) {
  ProgrammedChip chip(executor, resolve, {1, 0, {}});
  EXPECT_TRUE(chip.needs_activation_ranges());
  chip.estimate_activation_ranges(executor, batches_of(data));
  return chip.layer(0, part).state();
}

tile::LayerState by_calibration(const nn::Executor& executor, const Tensor& data, const LayerResolver& resolve) {
  const io::DataSet set(data);
  // Ranges of inputs that clip nothing change nothing on a perfect tile.
  InputCalibration parameters;
  parameters.type = CalibrationType::MAX;
  parameters.batch_size = batch_size;
  const CalibrationResult result =
      calibrate({.executor = executor, .data = set, .seed = 1, .parameters = parameters, .resolve = resolve}, {2}, {});
  return result.layers.begin()->second->parts.front().state;
}

tile::LayerState by_training(const nn::Graph& graph, const Tensor& data, const LayerResolver& resolve) {
  nn::TrainingNetwork network(graph, {}, 1);
  const nn::LinearLayer& layer = network.layers()[0];
  auto trainable = std::make_shared<AnalogTrainable>(
      layer.name,
      tile::LearningLayer(resolve("", "").rpu, layer.parts[0].weight.matrix().view(), layer.parts[0].bias, {.seed = 1}),
      std::nullopt);
  network.replace(0, 0, trainable);
  std::uint64_t step = 0;
  for (const Tensor& batch : batches_of(data)) network.forward(batch, step++, {2});
  return trainable->layer().state();
}

/// Two channels; the convolution returns its input.
nn::Graph identity_convolution(std::int64_t kernel, std::int64_t size) {
  Tensor weight({2, 2, kernel, kernel});
  const std::int64_t middle = kernel * kernel / 2;
  for (std::int64_t c = 0; c < 2; ++c) weight.data()[(c * 2 + c) * kernel * kernel + middle] = 1.0F;
  Network net;
  const nn::ValueId x = net.input({-1, 2, size, size});
  const std::int64_t pad = kernel / 2;
  net.output(net.node("Conv", {x, net.constant(std::move(weight))}, {{"pads", std::vector<std::int64_t>(4, pad)}}));
  return net.graph;
}

/// 128 images whose first channel rises from -1 to 1 over the images, with one pixel of 100 in the first.
Tensor ramp(std::int64_t size) {
  Tensor images({128, 2, size, size});
  for (std::int64_t i = 0; i < 128; ++i)
    for (std::int64_t p = 0; p < size * size; ++p)
      images.data()[i * 2 * size * size + p] = static_cast<float>(-1.0 + 2.0 * static_cast<double>(i) / 127.0);
  images.data()[0] = 100.0F;
  return images;
}

/// Two batches of 64: maxima 100 and 1, so 0.9 * 100 + 0.1 * 1 = 90.1, whatever the number of positions or the window.
/// aihwkit 1.1.0 gives 90.1 for each of these sizes (AnalogConv2d, QuantizedTorchInferenceRPUConfig).
TEST(ActivationRange, AConvolutionIsSeenBatchByBatch) {
  const LayerResolver resolve = quantized({.n_bits = 8});
  for (const std::int64_t kernel : {1, 3})
    for (const std::int64_t size : {16, 8, 3}) {
      const nn::Graph graph = identity_convolution(kernel, size);
      const nn::Executor executor(graph);
      const Tensor images = ramp(size);
      const std::string where = fmt::format("kernel {}, {}x{}", kernel, size, size);
      const float expected = 90.1F / 127.0F;
      EXPECT_NEAR(last_of(by_run(executor, images, resolve)).delta.at(0), expected, 1e-5F) << where;
      EXPECT_NEAR(last_of(by_calibration(executor, images, resolve)).delta.at(0), expected, 1e-5F) << where;
      EXPECT_NEAR(last_of(by_training(graph, images, resolve)).delta.at(0), expected, 1e-5F) << where;
    }
}

/// 130 images of 2 x 8 x 8 (batches of 64, 64 and 2), x_i = sin(0.4 + 1.7 i) (1 + image / 64); a 3x3 convolution to 3
/// channels with weights sin(0.3 + 1.7 i).
nn::Graph wave_convolution() {
  Tensor weight({3, 2, 3, 3});
  for (std::int64_t i = 0; i < weight.size(); ++i)
    weight.data()[i] = static_cast<float>(std::sin(0.3 + 1.7 * static_cast<double>(i)));
  Network net;
  const nn::ValueId x = net.input({-1, 2, 8, 8});
  net.output(net.node("Conv",
                      {x, net.constant(std::move(weight)), net.constant(nn::test::tensor({3}, {0.5F, -0.25F, 0.125F}))},
                      {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}}));
  return net.graph;
}
Tensor wave_images() {
  Tensor images({130, 2, 8, 8});
  for (std::int64_t i = 0; i < images.size(); ++i)
    images.data()[i] =
        static_cast<float>(std::sin(0.4 + 1.7 * static_cast<double>(i)) * (1.0 + static_cast<double>(i / 128) / 64.0));
  return images;
}

struct Golden {
  const char* name;
  tile::ActivationQuantConfig config;
  double delta, zero_float;
  double tolerance;
};

/// aihwkit 1.1.0: a QuantizationManager of 4 bits in training mode that is given the outputs of the three batches one
/// after the other, each as a tensor of (images * positions) x 3 (torch 2.10.0).
std::vector<Golden> goldens() {
  const auto config = [](bool symmetric, RangeEstimator estimator, bool golden_section = false) {
    return tile::ActivationQuantConfig{.n_bits = 4,
                                       .symmetric = symmetric,
                                       .range_estimator = estimator,
                                       .num_candidates = 50,
                                       .golden_section = golden_section};
  };
  tile::ActivationQuantConfig percentile = config(true, RangeEstimator::current_minmax);
  percentile.percentile = 1.0;
  tile::ActivationQuantConfig asymmetric_percentile = percentile;
  asymmetric_percentile.symmetric = false;
  return {
      {"current_minmax", config(true, RangeEstimator::current_minmax), 1.63754332, 0.0, 1e-5},
      {"current_minmax, percentile", percentile, 1.63754332, 0.0, 1e-5},
      {"allminmax", config(true, RangeEstimator::allminmax), 1.65960634, 0.0, 1e-5},
      {"running_minmax", config(true, RangeEstimator::running_minmax), 1.2166456, 0.0, 1e-5},
      {"MSE, grid", config(true, RangeEstimator::MSE), 1.1156801, 0.0, 1e-5},
      {"MSE, golden section", config(true, RangeEstimator::MSE, true), 1.18689311, 0.0, 1e-4},
      {"cross_entropy, grid", config(true, RangeEstimator::cross_entropy), 0.878301442, 0.0, 1e-5},
      {"current_minmax, asymmetric", config(false, RangeEstimator::current_minmax), 1.49292386, 7.32191086, 1e-5},
      {"percentile, asymmetric", asymmetric_percentile, 1.39347124, 6.7739234, 1e-5},
      {"allminmax, asymmetric", config(false, RangeEstimator::allminmax), 1.50321996, 7.27175999, 1e-5},
      {"running_minmax, asymmetric", config(false, RangeEstimator::running_minmax), 1.09477818, 7.22078085, 1e-5},
      {"MSE, grid, asymmetric", config(false, RangeEstimator::MSE), 1.06795824, 7.22042942, 1e-5},
      {"cross_entropy, grid, asymmetric", config(false, RangeEstimator::cross_entropy), 0.908369362, 6.5, 1e-5},
  };
}

TEST(ActivationRange, EveryEstimatorFindsWhatThePeerFinds) {
  const nn::Graph graph = wave_convolution();
  const nn::Executor executor(graph);
  const Tensor images = wave_images();
  for (const Golden& golden : goldens()) {
    const LayerResolver resolve = quantized(golden.config);
    for (const tile::LayerState& state : {by_run(executor, images, resolve), by_calibration(executor, images, resolve),
                                          by_training(graph, images, resolve)}) {
      const State found = last_of(state);
      EXPECT_NEAR(found.delta.at(0), golden.delta, golden.tolerance * golden.delta) << golden.name;
      const double zero = golden.config.symmetric ? 0.0 : static_cast<double>(found.zero_float.at(0));
      EXPECT_NEAR(zero, golden.zero_float, golden.tolerance * golden.zero_float) << golden.name;
    }
  }
}

/// What an estimator that sees each batch once makes of values: the running average of extremes.
State running(const std::vector<std::vector<float>>& batches, int bits) {
  quant::RangeEstimator estimator(
      {.estimator = quant::RangeEstimators::running_minmax, .params = quant::RunningMinMaxEstimatorParams{}});
  quant::UniformQuantizer quantizer({.n_bits = bits});
  for (const std::vector<float>& values : batches) {
    const quant::Range& range = estimator.estimate({static_cast<std::int64_t>(values.size())}, values);
    quantizer.set_quant_range(range.min, range.max);
  }
  return quantizer.state();
}

/// A 3x3 convolution over two tiles of one channel each: ranges of the partial sums, and of the sum of what is left of
/// them.
TEST(ActivationRange, PartialSumsOfTilesHaveRangesOfWholeBatches) {
  const nn::Graph graph = wave_convolution();
  const nn::Executor executor(graph);
  const Tensor images = wave_images();
  const tile::LayerState found = by_run(executor, images, quantized({.n_bits = 6}, 9));
  ASSERT_EQ(found.tiles.size(), 2U);
  const Tensor& weight = *graph.tensor(graph.nodes[0].inputs[1]);
  std::vector<quant::UniformQuantizer> quantizers;
  quant::RangeEstimator of_sum(
      {.estimator = quant::RangeEstimators::running_minmax, .params = quant::RunningMinMaxEstimatorParams{}});
  std::vector<quant::RangeEstimator> of_tile(2, of_sum);
  quantizers.assign(3, quant::UniformQuantizer({.n_bits = 6}));
  const float bias[3] = {0.5F, -0.25F, 0.125F};
  for (const Tensor& batch : batches_of(images)) {
    const std::int64_t rows = batch.dim(0) * 64;
    std::vector<float> sum(static_cast<std::size_t>(rows * 3), 0.0F);
    for (std::size_t c = 0; c < 2; ++c) {
      std::vector<float> part(sum.size(), 0.0F);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t o = 0; o < 3; ++o) {
          double total = 0.0;
          for (std::int64_t k = 0; k < 9; ++k) {
            const std::int64_t y = r % 64 / 8 + k / 3 - 1, x = r % 8 + k % 3 - 1;
            if (y < 0 || y >= 8 || x < 0 || x >= 8) continue;
            total += static_cast<double>(batch.data()[((r / 64) * 2 + static_cast<std::int64_t>(c)) * 64 + y * 8 + x]) *
                     static_cast<double>(weight.data()[(o * 2 + static_cast<std::int64_t>(c)) * 9 + k]);
          }
          part[static_cast<std::size_t>(r * 3 + o)] = static_cast<float>(total);
        }
      const quant::Range& range = of_tile[c].estimate({rows, 3}, part);
      quantizers[c].set_quant_range(range.min, range.max);
      quantizers[c].forward(part, part);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
    }
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += bias[i % 3];
    const quant::Range& range = of_sum.estimate({rows, 3}, sum);
    quantizers[2].set_quant_range(range.min, range.max);
  }
  for (std::size_t c = 0; c < 2; ++c)
    EXPECT_NEAR(found.tiles[c].output_quantizer.delta.at(0), quantizers[c].delta().at(0), 1e-5F) << c;
  // A value on a tie of a partial sum may move by a step.
  EXPECT_NEAR(found.output_quantizer.delta.at(0), quantizers[2].delta().at(0), quantizers[0].delta().at(0) / 31.0F);
}

/// Any kind of layer: the outputs of the float32 network, batch by batch, through the estimator.
void expect_whole_batches(const nn::Graph& graph, const Tensor& data, nn::ExecutorOptions options = {}) {
  const nn::Executor executor(graph, options);
  const LayerResolver resolve = quantized({.n_bits = 8});
  const std::size_t parts = executor.layers()[0].parts.size();
  for (std::size_t part = 0; part < parts; ++part) {
    std::vector<std::vector<float>> seen;
    for (const Tensor& batch : batches_of(data)) {
      executor.run(batch, {.first_sample = 0, .parallel = {}, .observer = [&](const nn::LinearRecord& record) {
                             const Tensor y = nn::to_natural(record.output);
                             // Parts divide the channels, or the heads: axis 1.
                             const std::int64_t each = y.size() / y.dim(0) / static_cast<std::int64_t>(parts);
                             std::vector<float>& values = seen.emplace_back();
                             for (std::int64_t n = 0; n < y.dim(0); ++n) {
                               const float* from =
                                   y.data() +
                                   (n * static_cast<std::int64_t>(parts) + static_cast<std::int64_t>(part)) * each;
                               values.insert(values.end(), from, from + each);
                             }
                           }});
    }
    const State found = last_of(by_run(executor, data, resolve, part)), expected = running(seen, 8);
    EXPECT_NEAR(found.delta.at(0), expected.delta.at(0), 1e-5F * expected.delta.at(0)) << part;
  }
}

TEST(ActivationRange, GroupsTransposedConvolutionsAndProductsToo) {
  {
    Network net;  // 4 groups on images large enough for several blocks of rows
    const nn::ValueId x = net.input({-1, 8, 12, 12});
    net.output(net.node(
        "Relu", {net.node("Conv", {x, net.constant(random_tensor({8, 2, 3, 3}, 3))}, {{"group", std::int64_t{4}}})}));
    Tensor data = random_tensor({130, 8, 12, 12}, 4);
    data.data()[7] = 50.0F;
    expect_whole_batches(net.graph, data);
  }
  {
    Network net;  // the stride is the window: every output is one product
    const nn::ValueId x = net.input({-1, 4, 7, 7});
    net.output(net.node("ConvTranspose", {x, net.constant(random_tensor({4, 3, 2, 2}, 5))},
                        {{"strides", std::vector<std::int64_t>{2, 2}}}));
    Tensor data = random_tensor({130, 4, 7, 7}, 6);
    data.data()[7] = 50.0F;
    expect_whole_batches(net.graph, data);
  }
  {
    Network net;
    const nn::ValueId x = net.input({-1, 2, 6, 5});
    const nn::ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 1, 3, 2}}});
    net.output(net.node("MatMul", {x, t}, {}, "gram"));
    Tensor data = random_tensor({130, 2, 6, 5}, 7);
    data.data()[7] = 20.0F;
    expect_whole_batches(net.graph, data, {.sample_shapes = {}, .transforms = {}, .products = {"gram"}});
  }
}

/// Estimating ranges of activations leaves input ranges alone, and sees the inputs through them.
TEST(ActivationRange, InputRangesAreUsedAsTheyAre) {
  Network net;
  const nn::ValueId x = net.input({-1, 1});
  net.output(net.node("Gemm", {x, net.constant(nn::test::tensor({1, 1}, {1.0F}))}));
  const nn::Executor executor(net.graph);
  Tensor data({128, 1});
  for (std::int64_t i = 0; i < data.size(); ++i) data.data()[i] = static_cast<float>(i % 11) - 5.0F;
  const LayerResolver resolve = [](const std::string& name, const std::string& op) {
    LayerParameters layer = quantized({.n_bits = 8})(name, op);
    layer.rpu.pre_post.input_range.enable = true;
    layer.rpu.pre_post.input_range.init_value = 2.0;
    return layer;
  };
  const tile::LayerState found = by_run(executor, data, resolve);
  EXPECT_EQ(found.tiles[0].input_range, 2.0F);
  EXPECT_EQ(found.tiles[0].input_range_updates, 0);
  EXPECT_NEAR(last_of(found).delta.at(0), 2.0F / 127.0F, 1e-6F);
}

}  // namespace
}  // namespace tessera::sim
