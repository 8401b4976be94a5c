#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tessera/nn/graph.hpp"

/// State that a network carries from call to call: streaming speech, voice activity detection, decoders.
namespace tessera::nn {

/// Output `output` is input `input` of the next sample.
struct StateLink {
  std::string output;
  std::string input;
  std::optional<Tensor> initial = {};  ///< for the first sample of a sequence; none: zeros
};

/// Makes these outputs and inputs Graph::states. The graph is then evaluated one sample at a time: what is batched has
/// a batch of one, or none where its first extent is fixed above 1 (the input is then one whole sample). Free extents
/// of the state inputs are those of `initial`, else 1. State inputs become the last inputs. ConfigError (key
/// model.state), with names and shapes, where an input or output does not exist or occurs twice, and where an initial
/// state does not fit.
void carry_states(Graph& graph, const std::vector<StateLink>& links);

/// Checks that what is fed back fits: output and input of each state have the same shape but for extents of 1.
/// InputError with names and shapes. `infos` are the values' shapes for one sample.
struct ValueInfo;
void check_states(const Graph& graph, const std::vector<ValueInfo>& infos);

}  // namespace tessera::nn
