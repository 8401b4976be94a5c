#pragma once
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "network.hpp"
#include "tessera/nn/executor.hpp"

/// Networks of one operator, for tests.
namespace tessera::nn::test {

/// One node on one float input evaluated exactly as given.
inline Tensor evaluate(const std::string& op, const Tensor& x, std::map<std::string, Attribute> attributes = {},
                       std::vector<Constant> constants = {}) {
  Network net(BatchMode::none);
  std::vector<ValueId> inputs = {net.input(x.shape())};
  for (Constant& constant : constants) inputs.push_back(net.graph.add_value("c", std::move(constant)));
  net.output(net.node(op, inputs, std::move(attributes)));
  return Executor(net.graph).run(x);
}

inline Constant ints(std::vector<std::int64_t> values) {
  return IntTensor{{static_cast<std::int64_t>(values.size())}, values};
}

inline void expect_values(const Tensor& got, const Shape& shape, const std::vector<float>& values,
                          float tolerance = 1e-6F) {
  EXPECT_EQ(got.shape(), shape);
  ASSERT_EQ(static_cast<std::size_t>(got.size()), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(got.data()[i], values[i], tolerance) << i;
}

}  // namespace tessera::nn::test
