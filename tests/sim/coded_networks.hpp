#pragma once
#include "nn/network.hpp"
#include "tessera/sim/run_parameters.hpp"

/// Networks and tiles whose codes pass from layer to layer, for tests of the integer chain.
namespace tessera::sim::test {

inline LayerParameters coded() {
  LayerParameters layer;
  tile::RpuParameters& p = layer.rpu;
  p.forward.noise_management = tile::NoiseManagementType::NONE;
  p.forward.bound_management = tile::BoundManagementType::NONE;
  p.forward.inp_res = 254.0;
  p.forward.out_res = 254.0;
  p.forward.out_bound = 8.0;
  p.forward.out_noise = 0.02;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.max_input_size = 40;
  p.pre_post.input_range.enable = true;
  p.pre_post.fixed_point.emplace();
  return layer;
}

inline LayerResolver all_alike(LayerParameters layer) {
  return [layer](const std::string&, const std::string&) { return layer; };
}

// Two residual sums, of which the second adds codes of the first; the dense layer takes those of the second.
inline nn::Graph residual_network() {
  using nn::ValueId;
  using nn::test::random_tensor;
  nn::test::Network net;
  const std::map<std::string, nn::Attribute> padded{{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}};
  const auto conv = [&](ValueId x, std::int64_t channels, std::uint32_t seed, float size, const char* name) {
    return net.node("Conv", {x, net.constant(random_tensor({6, channels, 3, 3}, seed, size), "w")}, padded, name);
  };
  const ValueId x = net.node("Relu", {conv(net.input({-1, 2, 6, 6}), 2, 1, 0.4F, "stem")});
  const ValueId y = net.node("Relu", {net.node("Add", {conv(x, 6, 2, 0.2F, "a"), x}, {}, "first")});
  const ValueId z = net.node("Relu", {net.node("Add", {y, conv(y, 6, 3, 0.1F, "b")}, {}, "second")});
  net.output(net.node("Gemm", {net.node("Flatten", {z}), net.constant(random_tensor({4, 216}, 5, 0.2F), "w3")},
                      {{"transB", std::int64_t{1}}}, "fc"));
  return net.graph;
}

/// A residual sum of two layers on sequences of 5 tokens of 4 values. `sequence_first`: samples lie along the second axis
/// from the first layer on. `batch` > 0: of an export for so many samples.
inline nn::Graph residual_sequence(bool sequence_first, std::int64_t batch = -1) {
  using nn::ValueId;
  using nn::test::random_tensor;
  nn::test::Network net;
  const std::map<std::string, nn::Attribute> turn{{"perm", std::vector<std::int64_t>{1, 0, 2}}};
  const auto dense = [&](ValueId x, Shape shape, std::uint32_t seed, const char* name) {
    return net.node("MatMul", {x, net.constant(random_tensor(std::move(shape), seed, 0.4F), "w")}, {}, name);
  };
  ValueId x = net.input({batch, 5, 4});
  if (sequence_first) x = net.node("Transpose", {x}, turn);
  const ValueId a = net.node("Relu", {dense(x, {4, 6}, 1, "a")});
  const ValueId sum = net.node("Relu", {net.node("Add", {dense(a, {6, 6}, 2, "b"), a}, {}, "sum")});
  ValueId y = dense(sum, {6, 3}, 3, "c");
  if (sequence_first) y = net.node("Transpose", {y}, turn);
  net.output(y);
  return net.graph;
}

}  // namespace tessera::sim::test
