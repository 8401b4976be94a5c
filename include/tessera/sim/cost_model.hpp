#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/cost/design.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/quantization_parameters.hpp"
#include "tessera/sim/run_parameters.hpp"

/// From a network and its configuration to the hardware that module cost counts.
namespace tessera::sim {

/// The hardware of the layer called `name` with operator type `op`.
using HardwareResolver = std::function<cost::HardwareParameters(const std::string& name, const std::string& op)>;

struct CostModel {
  cost::CostParameters parameters;
  HardwareResolver hardware;
  std::map<std::string, std::int64_t> copies = {};  ///< of layers that are built more than once
  std::int64_t steps = 1;                           ///< times that an inference runs the network (spiking neurons)
};

/// What was measured in one layer of one chip. Empty: as the component table assumes.
using LayerActivity = cost::MeasuredActivity;

/// A network as hardware.
struct CostDescription {
  cost::NetworkDesign design;  ///< prepared; layers are those of Executor::layers()
  cost::ComponentTable table;
};

/// What of a network does not depend on its configuration.
struct NetworkFacts {
  struct Layer {
    double vectors = 0.0;                   ///< of one inference
    double values = 0.0;                    ///< of the layer's input
    std::vector<std::size_t> readers = {};  ///< layers that read what this one makes, through whatever stands between
  };
  std::vector<Layer> layers;
};
NetworkFacts network_facts(const nn::Executor& executor);

/// Layers as `resolve` simulates them. `activity`: one entry per layer, or none: assumed. ConfigError with keys of
/// `cost:` (cost.dac.type, cost.assume.inp_bits) where a layer cannot be built.
CostDescription describe_cost(const nn::Executor& executor, const LayerResolver& resolve, const CostModel& model,
                              std::span<const LayerActivity> activity = {},
                              const QuantizationParameters* quantization = nullptr);
/// The same for many configurations of one network.
CostDescription describe_cost(const nn::Executor& executor, const NetworkFacts& facts, const LayerResolver& resolve,
                              const CostModel& model, std::span<const LayerActivity> activity = {},
                              const QuantizationParameters* quantization = nullptr);

/// What is not counted, with the number of values that it makes, and nodes beyond the technology table.
std::vector<std::string> cost_notes(const nn::Executor& executor, const CostModel& model);

/// Programming the network's chips once, and what of it falls on one inference: matrices that are written for every
/// inference, and with cost.inferences_per_programming the rest.
struct ProgrammingSummary {
  double energy_J = 0.0;
  double time_s = 0.0;
  double per_inference_J = 0.0;
};
/// `pulses`: mean per device, measured with program_and_verify; none: prog.pulses.
ProgrammingSummary programming_summary(const nn::Executor& executor, const CostDescription& cost,
                                       const CostModel& model, std::optional<double> pulses = std::nullopt);

/// Read-outs of all tiles for drift compensation, J per day: every line of a tile once for each of
/// cost.calibrations_per_day.
double calibration_energy_per_day_J(const CostDescription& cost, const CostModel& model);

}  // namespace tessera::sim
