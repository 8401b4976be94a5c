// Are the input ranges that calibration finds those of the peer, in every case of the golden file?
// Ranges are float32 of values that double sums and quantiles determine to far less than a float32 step, but behind the
// first layer products are summed in another order: 2e-6 relative.
#include <gtest/gtest.h>

#include "golden/json_cases.hpp"
#include "tessera/sim/calibrate.hpp"

namespace tessera::golden {
namespace {

using config::Node;

nn::Graph two_layers(const Node& root) {
  nn::Graph graph;
  graph.name = "golden";
  const nn::ValueId x = graph.add_value("x"), h = graph.add_value("h"), r = graph.add_value("r"),
                    y = graph.add_value("y");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, 5}, .batched = true});
  const auto dense = [&](const char* name, nn::ValueId in, const char* weight, const char* bias, nn::ValueId out) {
    const nn::ValueId w = graph.add_value(weight, array(at(root, weight))),
                      b = graph.add_value(bias, array(at(root, bias)));
    graph.nodes.push_back({.name = name,
                           .op = "Gemm",
                           .inputs = {in, w, b},
                           .outputs = {out},
                           .attributes = {{"transB", std::int64_t{1}}}});
  };
  dense("fc1", x, "W1", "b1", h);
  graph.nodes.push_back({.name = "relu", .op = "Relu", .inputs = {h}, .outputs = {r}, .attributes = {}});
  dense("fc2", r, "W2", "b2", y);
  graph.outputs = {y};
  return graph;
}

sim::CalibrationType type_of(const std::string& word) {
  if (word == "Max") return sim::CalibrationType::MAX;
  if (word == "CacheQuantile") return sim::CalibrationType::CACHE_QUANTILE;
  if (word == "MovingStd") return sim::CalibrationType::MOVING_STD;
  if (word == "MovingQuantile") return sim::CalibrationType::MOVING_QUANTILE;
  throw InputError("golden file has an unknown calibration type " + word);
}

TEST(CalibrationGolden, InputRangesAreThePeers) {
  const Node all = read_json("aihwkit_periphery.json");
  const Node& root = at(all, "input_range_calibration");
  const nn::Executor executor(two_layers(root));
  std::vector<float> inputs;
  for (const Node& batch : at(root, "batches").items) {
    const Tensor values = array(batch);
    ASSERT_EQ(values.shape(), (Shape{7, 5}));
    inputs.insert(inputs.end(), values.values().begin(), values.values().end());
  }
  const io::DataSet data(Tensor({static_cast<std::int64_t>(inputs.size()) / 5, 5}, inputs));
  int cases = 0;
  for (const Node& c : at(root, "cases").items) {
    const std::string id = at(c, "id").scalar;
    sim::LayerParameters layer;
    layer.rpu.forward.is_perfect = true;
    layer.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    const Node& start = at(c, "input_range_start");
    layer.rpu.pre_post.input_range.enable =
        at(start, "enable").scalar == "True" || at(start, "enable").scalar == "true";
    layer.rpu.pre_post.input_range.init_value = std::stod(at(start, "init_value").scalar);
    sim::InputCalibration parameters;
    parameters.type = type_of(at(c, "calibration_type").scalar);
    parameters.quantile = std::stod(at(c, "quantile").scalar);
    parameters.max_samples = std::stoll(at(c, "max_samples").scalar);
    parameters.pass = sim::CalibrationPass::tiles;
    parameters.absolute_values = false;  // quantiles there are of signed values
    parameters.batch_size = 7;
    const sim::CalibrationResult result =
        sim::calibrate({.executor = executor,
                        .data = data,
                        .seed = 1,
                        .parameters = parameters,
                        .resolve = [&](const std::string&, const std::string&) { return layer; }},
                       {}, {});
    const auto& ranges = at(c, "input_range_after").items;
    const auto& updates = at(c, "update_idx").items;
    for (std::size_t l = 0; l < 2; ++l) {
      const sim::LayerCalibration& found = *result.layers.at(l == 0 ? "fc1" : "fc2");
      const tile::TileState& tile = found.parts.at(0).state.tiles.at(0);
      const float expected = array(ranges[l]).values()[0];
      EXPECT_NEAR(tile.input_range, expected, 2e-6F * expected) << id << ", layer " << l + 1;
      EXPECT_EQ(tile.input_range_updates, std::stoll(updates[l].scalar)) << id << ", layer " << l + 1;
      EXPECT_EQ(found.type, parameters.type) << id;
    }
    ++cases;
  }
  EXPECT_EQ(cases, 16);
}

}  // namespace
}  // namespace tessera::golden
