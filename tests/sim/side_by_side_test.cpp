// Does a depthwise convolution give the same bits with its groups side by side as group by group, whatever the windows,
// threads and batches?
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/sim/analog_network.hpp"
#include "tessera/tile/presets.hpp"

namespace tessera::sim {
namespace {

Tensor waves(Shape shape, double phase) {
  Tensor tensor(std::move(shape));
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor.data()[i] = static_cast<float>(2.0 * std::sin(phase + 1.7 * static_cast<double>(i)));
  return tensor;
}

struct Windows {
  std::int64_t channels, height, width;
  std::vector<std::int64_t> kernel, strides, pads, dilations;
};

nn::Graph network(const Windows& w) {
  nn::Graph graph;
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back(
      {.value = x, .type = nn::ElementType::float32, .shape = {-1, w.channels, w.height, w.width}, .batched = true});
  const nn::ValueId weight = graph.add_value("w", waves({w.channels, 1, w.kernel[0], w.kernel[1]}, 0.3));
  const nn::ValueId bias = graph.add_value("b", waves({w.channels}, 0.9));
  const nn::ValueId h = graph.add_value("h"), y = graph.add_value("y");
  graph.nodes.push_back({.name = "conv",
                         .op = "Conv",
                         .inputs = {x, weight, bias},
                         .outputs = {h},
                         .attributes = {{"group", w.channels},
                                        {"kernel_shape", w.kernel},
                                        {"strides", w.strides},
                                        {"pads", w.pads},
                                        {"dilations", w.dilations}}});
  graph.nodes.push_back({.name = "relu", .op = "Relu", .inputs = {h}, .outputs = {y}, .attributes = {}});
  graph.outputs = {y};
  nn::validate(graph);
  return graph;
}

LayerParameters standard(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu = tile::preset("StandardHWATrainingPreset");
  layer.rpu.pre_post.input_range.init_value = 1.7;  // some inputs lie outside
  layer.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
  layer.drift_compensation = device::GlobalDriftCompensation{};
  return layer;
}

/// An operator that does nothing but its product.
class Alone final : public nn::LinearOperator {
 public:
  explicit Alone(const nn::LinearOperator& op) : op_(op) {}
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override {
    op_.forward(x, y, first_vector, parallel);
  }

 private:
  const nn::LinearOperator& op_;
};

Tensor some(const Tensor& images, std::int64_t first, std::int64_t count) {
  Shape shape = images.shape();
  shape[0] = count;
  Tensor part(shape);
  std::copy_n(images.data() + first * (images.size() / images.dim(0)), part.size(), part.data());
  return part;
}

TEST(SideBySide, GroupsOfADepthwiseConvolutionGiveTheirBitsAndCounts) {
  const std::vector<Windows> cases{{70, 9, 11, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
                                   {7, 10, 9, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
                                   {24, 8, 8, {3, 3}, {2, 1}, {0, 1, 1, 0}, {1, 1}},
                                   {16, 9, 12, {3, 2}, {1, 2}, {2, 0, 2, 1}, {2, 3}},
                                   {9, 5, 6, {1, 1}, {2, 2}, {0, 0, 0, 0}, {1, 1}},
                                   {33, 4, 3, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}},
                                   // More lines than are held at a time.
                                   {40, 40, 130, {3, 3}, {1, 2}, {1, 1, 1, 1}, {1, 1}}};
  for (const Windows& windows : cases) {
    SCOPED_TRACE(fmt::format("{} channels", windows.channels));
    const nn::Executor executor(network(windows));
    const ProgrammedChip chip(executor, standard, {.seed = 5});
    const Tensor images = waves({7, windows.channels, windows.height, windows.width}, 0.1);
    const auto run = [&](const Tensor& batch, std::int64_t first, int threads, const nn::LinearOverrides& overrides) {
      const nn::RunOptions options{
          .first_sample = 3 + static_cast<std::uint64_t>(first), .parallel = {threads}, .overrides = &overrides};
      return executor.run({&batch, 1}, options).at(0);
    };
    AnalogNetwork apart = chip.at(31536000.0, 0, {});
    nn::LinearOverrides groups(1);
    std::vector<Alone> alone;
    alone.reserve(apart.operators(0).size());
    for (const nn::LinearOperator* op : apart.operators(0)) groups[0].push_back(&alone.emplace_back(*op));
    const Tensor expected = run(images, 0, 1, groups);
    EXPECT_GT(apart.statistics(0).inputs_clipped, 0);

    for (const bool counted : {true, false})
      for (const int threads : {1, 2})
        for (const std::int64_t batch : {7, 2, 1}) {
          SCOPED_TRACE(fmt::format("{} threads, {} at a time", threads, batch));
          AnalogNetwork together = chip.at(31536000.0, 0, {});
          together.count_statistics(counted);
          ASSERT_NE(together.operators(0).front()->side_by_side(together.operators(0)), nullptr);
          for (std::int64_t first = 0; first < 7; first += batch) {
            const std::int64_t count = std::min<std::int64_t>(batch, 7 - first);
            const Tensor made = run(some(images, first, count), first, threads, together.overrides());
            const Tensor wanted = some(expected, first, count);
            ASSERT_EQ(made.shape(), wanted.shape());
            for (std::int64_t i = 0; i < made.size(); ++i) ASSERT_EQ(made.data()[i], wanted.data()[i]) << i;
          }
          if (counted) {
            EXPECT_EQ(together.statistics(0), apart.statistics(0));
          }
        }
  }
}

}  // namespace
}  // namespace tessera::sim
