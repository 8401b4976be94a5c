#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/nn/executor.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/tile/analog_layer.hpp"

/// A network whose weighted layers sit on analog tiles: one programmed chip.
namespace tessera::sim {

/// Stands in for one product of a weighted layer; counts what happens in it.
class AnalogOperator;

/// One chip: for each layer of an executor either analog tiles or nothing (the layer stays digital float32).
/// Random addresses: layer l and part p (a group of a convolution, say) of chip `repeat` draw from
/// random::Address{seed, layer = p * 65536 + l, tile, repeat}.
class AnalogNetwork {
 public:
  /// Builds every analog layer: maps, packs, draws what is frozen per chip. ConfigError and InputError name the layer.
  AnalogNetwork(const nn::Executor& executor, const LayerResolver& resolve, std::uint64_t seed, std::uint32_t repeat);
  ~AnalogNetwork();
  AnalogNetwork(AnalogNetwork&&) noexcept;
  AnalogNetwork& operator=(AnalogNetwork&&) noexcept;

  bool is_analog(std::size_t layer) const { return !operators_[layer].empty(); }
  /// For Executor::run.
  const nn::LinearOverrides& overrides() const { return overrides_; }
  /// For Executor::apply_linear; empty for a digital layer.
  const std::vector<const nn::LinearOperator*>& operators(std::size_t layer) const { return overrides_[layer]; }
  /// The tiles of one part of an analog layer.
  const tile::AnalogLayer& part(std::size_t layer, std::size_t part) const;
  std::size_t part_count(std::size_t layer) const { return operators_[layer].size(); }

  /// Whether passes from now on are counted in statistics(). Not to be changed while a pass runs.
  void count_statistics(bool count);
  /// Sum over the parts of what was counted.
  tile::LayerStatistics statistics(std::size_t layer) const;

  /// Bytes held by all tiles.
  std::int64_t bytes() const;

 private:
  std::vector<std::vector<std::unique_ptr<AnalogOperator>>> operators_;
  nn::LinearOverrides overrides_;
};

}  // namespace tessera::sim
