#pragma once
#include <cstddef>
#include <vector>

#include "tessera/nn/graph.hpp"

/// Private: the activation functions of LSTM, GRU and RNN gates, by their ONNX names.
namespace tessera::nn {

/// An activation function of a gate with its derivative; alpha and beta as ONNX defines them for it.
struct GateFunction {
  enum class Kind {
    sigmoid,
    tanh,
    relu,
    softsign,
    softplus,
    leaky_relu,
    thresholded_relu,
    elu,
    affine,
    scaled_tanh,
    hard_sigmoid
  } kind = Kind::tanh;
  float alpha = 0.0F, beta = 0.0F;

  float operator()(float x) const;
  float derivative(float x) const;
};

/// Those of one direction, in ONNX order (LSTM: i o f, candidate, output; GRU: z r, candidate; RNN: one). InputError
/// for an unknown name (any case is good) or a wrong number of them.
std::vector<GateFunction> gate_functions(const Node& node, std::size_t direction);

}  // namespace tessera::nn
