#pragma once
#include <string>
#include <vector>

#include "tessera/sim/run_parameters.hpp"
#include "tessera/spec/run_config.hpp"

/// What each layer of a network is simulated as, from `rpu_config` and the rules of `layers:`.
namespace tessera::spec {

struct LayerName {
  std::string name;
  std::string op;  ///< operator type
};

struct LayerConfig {
  bool analog = true;
  RpuConfig rpu_config;

  bool operator==(const LayerConfig&) const = default;
};

/// One entry per layer: the global `rpu_config`, then every matching rule read over it in order. Throws ConfigError
/// with positions for every pattern that matches no layer (with the nearest name) and for every layer whose combination
/// of rules has no meaning.
std::vector<LayerConfig> resolve_layers(const RunConfig& config, const std::vector<LayerName>& layers);

/// The same for one layer; patterns without a match go unnoticed.
LayerConfig resolve_layer(const RunConfig& config, const LayerName& layer);

/// resolve_layer() in the form that module sim takes.
sim::LayerResolver layer_resolver(const RunConfig& config);

}  // namespace tessera::spec
