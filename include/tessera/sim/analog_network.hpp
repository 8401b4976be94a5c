#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/device/life_cycle.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/integer_chain.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/tile/analog_layer.hpp"

/// Networks whose weighted layers sit on analog tiles.
namespace tessera::sim {

/// Stands in for one product of a weighted layer; counts what happens in it.
class AnalogOperator;

/// Stands in for an Add of codes of different steps; counts its saturations.
class RescaledSum;

/// One chip as it is at one moment: for each layer of an executor either analog tiles or nothing (digital float32).
class AnalogNetwork {
 public:
  AnalogNetwork();
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
  /// Whether the activity of the DACs is counted with them.
  void count_activity(bool count);
  /// From now on the currents at the converters of a crossbar layer are counted by value, with histograms like these
  /// (one per weight slice).
  void observe_currents(std::size_t layer, const std::vector<circuit::CurrentHistogram>& histograms);
  /// Sum over the parts of what was counted.
  tile::LayerStatistics statistics(std::size_t layer) const;

  /// Bytes held by all tiles.
  std::int64_t bytes() const;

 private:
  friend class ProgrammedChip;
  std::vector<std::vector<std::unique_ptr<AnalogOperator>>> operators_;
  nn::LinearOverrides overrides_;
  struct Sum {
    std::size_t layer = 0;  ///< the first one behind it
    std::unique_ptr<RescaledSum> adds;
  };
  std::vector<Sum> sums_;
};

/// Stuck devices by layer and part; `devices` is 0 where no map is given.
using FaultMaps = std::vector<std::vector<device::FaultMap>>;

/// Reads the maps that LayerParameters::fault_map names: arrays (devices, outputs, inputs) of 0 (none), 1 (stuck at
/// zero), 2 (stuck at g_max), the outputs of a layer's parts one behind the other. An .npy file holds the map of one
/// layer, an HDF5 file a data set for each layer, called like it (or for each part, called like that). InputError,
/// naming layer and file, for a file that cannot be read or a map of the wrong shape.
FaultMaps read_fault_maps(const nn::Executor& executor, const LayerResolver& resolve);

class StoredChips;
class ProgrammedChip;

/// Which chip, and what of it is known already.
struct ChipRequest {
  std::uint64_t seed = 1;
  std::uint32_t repeat = 0;  ///< number of the chip
  Parallel parallel = {};
  const FaultMaps* faults = nullptr;  ///< those of read_fault_maps(); null: they are read
  /// By layer: null, or a chip of the same seed and repeat that differs in this layer in periph_quant at most, before
  /// any activation range was estimated: what it has is taken over. Empty: all null.
  std::span<const ProgrammedChip* const> like = {};
  const StoredChips* stored = nullptr;  ///< devices are as it has them, if it has any: nothing is programmed then
};

/// One programmed chip. Layer l and part p (a group of a convolution, say) of chip `repeat` draw from
/// random::Address{seed, layer = p * 65536 + l, tile, repeat}.
///
/// Passes use event `read` of the tiles' streams. Drift compensation reads tiles with the two events from 60000 on, so
/// `read` stays below: the baseline with the first; a later read-out with the second, its vectors numbered from
/// device::read_event(time, read) * lines on, so that no two share their noise.
class ProgrammedChip {
 public:
  static constexpr std::uint32_t first_readout_event = 60000;

  /// Maps, packs, programs, and draws what is frozen per chip. ConfigError and InputError name the layer.
  ProgrammedChip(const nn::Executor& executor, const LayerResolver& resolve, const ChipRequest& request = {});
  ~ProgrammedChip();
  ProgrammedChip(ProgrammedChip&&) noexcept;
  ProgrammedChip& operator=(ProgrammedChip&&) noexcept;

  /// The chip `time_s` seconds after programming as read number `read` finds it: drift, read noise and drift
  /// compensation. Without a time: right after programming. A pure function of its arguments.
  AnalogNetwork at(std::optional<double> time_s, std::uint32_t read, Parallel parallel) const;
  /// The same, taking over drifted weights: `like`[l] is null, or what at() gave with the same arguments for a chip
  /// that differs in layer l in periph_quant at most.
  AnalogNetwork at(std::optional<double> time_s, std::uint32_t read, Parallel parallel,
                   std::span<const AnalogNetwork* const> like) const;

  /// Whether any layer has an activation quantizer (act_quant_config) or a fixed-point output code without a range,
  /// which must be estimated before use.
  bool needs_activation_ranges() const;
  /// Whether any layer has a fixed-point periphery.
  bool has_output_codes() const;
  /// Estimates those ranges (quantization reference C.6): the network runs over the batches in float32 but for the
  /// layers in question, on one thread, so that the order of the vectors is fixed. An estimator sees each batch once,
  /// as one tensor: all positions of all images of a convolution, all matrices of a product of two activations; a
  /// recurrent layer, one time step at a time. Input ranges and periphery are used as they are.
  void estimate_activation_ranges(const nn::Executor& executor, std::span<const Tensor> batches);

  /// Whether the codes at the input of a layer are those of the layers in front, unconverted: pre_post.fixed_point.chain
  /// has set its input ranges. Else `broken` says why not (empty where no fixed-point periphery is).
  struct InputCodes {
    bool chained = false;
    std::vector<std::size_t> sources;  ///< layers whose codes they are, or are made of
    const CodeSum* sum = nullptr;      ///< what gives them, where codes of different steps were added
    std::string broken;
  };
  const InputCodes& input_codes(std::size_t layer) const { return input_codes_[layer]; }
  /// Adds that bring codes of different steps together, in the order of the graph's nodes.
  const std::vector<CodeSum>& code_sums() const { return code_sums_; }
  /// The layer with its surroundings, whether ranges are known or not.
  const LayerLink& link(std::size_t layer) const { return links_[layer]; }

  /// The tiles of a layer's part as they were programmed.
  const tile::AnalogLayer& layer(std::size_t layer, std::size_t part) const;

  /// Whether any layer has a device model, so that times matter.
  bool has_devices() const;
  /// What programming left in tile t of a layer's part; null without a device model.
  const device::ProgrammedState* programmed(std::size_t layer, std::size_t part, std::int64_t t) const;
  /// The device model of a layer's part; null without one.
  const device::DeviceParameters* devices(std::size_t layer, std::size_t part) const;
  /// Whether the faults of a layer's part were given by a map.
  bool has_fault_map(std::size_t layer, std::size_t part) const;
  /// Parts of a layer (none if it is digital) and tiles of a part.
  std::size_t part_count(std::size_t layer) const;
  std::int64_t tile_count(std::size_t layer, std::size_t part) const;

 private:
  struct Devices;
  struct Part;
  /// One part of a layer on tiles of its own; `map`: its stuck devices, if they are given.
  static Part programmed_part(const std::string& name, const nn::LinearPart& source,
                              const std::shared_ptr<const LayerParameters>& shared, std::size_t p,
                              const random::Address& address, const device::FaultMap* map, const ChipRequest& request);
  /// One step for all parts of a layer, then the input ranges of the layers behind, once all ranges are known.
  void connect_codes(const nn::Graph& graph);
  std::vector<std::vector<Part>> layers_;
  std::vector<LayerLink> links_;
  std::vector<InputCodes> input_codes_;
  std::vector<CodeSum> code_sums_;
};

}  // namespace tessera::sim
