#pragma once
#include <string>
#include <vector>

#include "tessera/sim/cost_model.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/spec/run_config.hpp"

/// What each layer of a network is simulated as, from `rpu_config` and the rules of `layers:`.
namespace tessera::spec {

struct LayerName {
  std::string name;
  std::string op;  ///< operator type
  /// A product of two activations, which is digital unless a rule says `analog: true`.
  bool product = false;
};

struct LayerConfig {
  bool analog = true;
  RpuConfig rpu_config;
  std::optional<cost::HardwareParameters> hardware = {};  ///< with a `cost:` section

  bool operator==(const LayerConfig&) const = default;
};

/// One entry per layer: the global `rpu_config`, then every matching rule read over it in order. Throws ConfigError
/// with positions for every pattern that matches no layer (with the nearest name), or nothing but products of two
/// activations that stay digital, and for every layer whose combination of rules has no meaning.
std::vector<LayerConfig> resolve_layers(const RunConfig& config, const std::vector<LayerName>& layers);

/// The same for one layer; patterns without a match go unnoticed.
LayerConfig resolve_layer(const RunConfig& config, const LayerName& layer);

/// Whether a rule puts this product of two activations on tiles: the last one that matches it and says `analog:`.
bool asks_for_product(const RunConfig& config, const LayerName& product);

/// resolve_layer() in the form that module sim takes. `products`: names of products of two activations; their devices
/// are programmed anew for every matrix, so that drift, its compensation and maps of stuck devices do not apply.
sim::LayerResolver layer_resolver(const RunConfig& config, const std::vector<std::string>& products = {});

/// The hardware of every layer; none without a `cost:` section. ConfigError with positions for patterns of cost.copies
/// that match no layer, or a digital one.
std::optional<sim::CostModel> cost_model(const RunConfig& config, const std::vector<LayerName>& layers);

}  // namespace tessera::spec
