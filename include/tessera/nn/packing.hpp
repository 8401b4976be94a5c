#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/graph.hpp"

/// Networks of several inputs as networks of one.
namespace tessera::nn {

/// An input of the graph whose values lie in a packed sample from `offset` on.
struct PackedInput {
  std::size_t input = 0;  ///< index into Graph::inputs
  Shape sample = {};      ///< without the batch; every extent known
  std::int64_t offset = 0;
};

/// An input of the graph whose elements all have one value.
struct FilledInput {
  std::size_t input = 0;
  Shape sample = {};
  double value = 0.0;
};

/// Replaces all inputs but those of states by one called `name`, [N, size] float32: the values of the packed inputs
/// one after the other. Slice, Reshape and, for integers, Cast make the former inputs of it; values keep their names.
/// Every input is packed or filled, and one at least is packed. Inputs without a batch can only be filled.
void pack_inputs(Graph& graph, const std::vector<PackedInput>& packed, const std::vector<FilledInput>& filled,
                 std::int64_t size, const std::string& name = "inputs");

/// Makes an input without a batch the constant `value`, and folds what follows from it.
void fill_input(Graph& graph, std::size_t input, double value);

}  // namespace tessera::nn
