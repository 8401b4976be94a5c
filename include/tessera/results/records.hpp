#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tessera/core/tensor.hpp"

/// What a result file holds, as plain values. The simulator fills them; Writer stores them (writer.hpp); the names in
/// the file, their units and dimensions are the table of schema.hpp.
namespace tessera::results {

inline constexpr double missing = std::numeric_limits<double>::quiet_NaN();

/// A named axis with coordinates: numbers, or text (enumerators, file names).
struct Axis {
  std::string name = {};       ///< a netCDF name: no '/', no control characters, no blank at either end
  std::string units = {};      ///< "1" if dimensionless
  std::string long_name = {};  ///< a swept axis: the configuration key
  std::variant<std::vector<double>, std::vector<std::string>> values = {};

  std::int64_t size() const {
    return std::visit([](const auto& list) { return static_cast<std::int64_t>(list.size()); }, values);
  }
  bool operator==(const Axis&) const = default;
};

/// What outputs were compared with.
enum class Task { none, classification, regression, anomaly, language_model, agreement };

/// One layer of the network, in network order.
struct LayerHeader {
  std::string name = {};
  std::string op = {};  ///< operator: Conv, Gemm, ...
  bool analog = false;
  std::int64_t inputs = 0;           ///< length of the vectors that its product takes
  std::int64_t outputs = 0;          ///< and gives
  Shape output_shape = {};           ///< of one sample
  bool record_output = false;        ///< store the output of every sample
  bool periphery_codes = false;      ///< its periphery is quantized
  bool fixed_point = false;          ///< its periphery computes with integers
  bool devices = false;              ///< it has a noise model: chips are programmed and followed over time
  bool compensation = false;         ///< drift compensation gives every tile a factor
  bool column_compensation = false;  ///< ... and every output of a tile its own
  std::int64_t weight_slices = 0;    ///< of crossbars: arrays of digits of its weights; 0: no crossbar
  std::int64_t array_outputs = 0, array_inputs = 0;  ///< of the largest array, where there are wires
  bool wires_compensated = false;                    ///< its cells make up for them
  std::int64_t max_tiles = 0;    ///< most tiles over all swept points; 0: as many as the first LayerHardware has
  std::int64_t max_columns = 0;  ///< most tile columns (outputs summed over tiles), likewise
};

/// An output of the network that is stored for every sample.
struct OutputHeader {
  std::string name = {};
  Shape shape = {};  ///< of one sample
  bool operator==(const OutputHeader&) const = default;
};

/// Spiking neurons in one place of the network.
struct PopulationHeader {
  std::string name = {};
  std::int64_t units = 0;  ///< per sample
  bool operator==(const PopulationHeader&) const = default;
};

/// What does not change while a run goes on.
struct Header {
  std::uint64_t seed = 0;
  std::uint32_t rng_layout = 0;
  std::string task_id = {};  ///< hash of everything that determines the results
  std::string command = {};  ///< what was asked for, without what cannot change a result (threads, batch size, output)
  std::string created_utc = {};    ///< "2024-05-01T12:00:00Z"; empty: now
  std::string config_text = {};    ///< configuration as given
  std::string resolved_text = {};  ///< every key with its value: reproduces the file

  std::vector<Axis> swept = {};           ///< one axis per swept key; none for a plain run
  std::vector<double> times{0.0};         ///< seconds after programming
  std::int64_t repeats = 1;               ///< programmed chips times reads of each
  std::int64_t reads = 1;                 ///< reads of each chip: repeat = program * reads + read
  std::int64_t samples = 0;               ///< of the data set, after any limit
  Shape positions = {};                   ///< of a sample that have a class each; empty: one class for each sample
  std::vector<std::int32_t> labels = {};  ///< of the samples' positions; empty: no labels, and then no accuracy
  std::vector<LayerHeader> layers = {};
  std::vector<OutputHeader> outputs = {};          ///< none: outputs are not stored
  std::vector<PopulationHeader> populations = {};  ///< none: no spiking neurons

  Task task = Task::classification;  ///< classification without labels is none
  bool top5 = false;                 ///< accuracy_top5 is given
  std::int64_t classes = 0;          ///< accuracy by class and confusion are given; 0: they are not
  bool statistics = true;            ///< errors and converter statistics by layer are given
  bool predictions = false;          ///< the predicted class of every sample is given
  bool hardware = true;              ///< tiles and their periphery are given
  bool isolated = false;             ///< only errors with float32 inputs: no pass through the whole network
  bool stopped = false;              ///< points have as many chips as they need: write_chips()

  /// Names of the parts of energies and areas and of the actions that points have costs of; none: no costs.
  std::vector<std::string> energy_components = {}, area_components = {}, actions = {};
  std::vector<std::string> coefficients = {};  ///< keys of the component table, of which costs at either end are kept
  std::string component_table = {};            ///< the coefficients in force, as CSV
  bool normalised_costs = false;               ///< efficiencies by bits are given (cost.weight_bits)
  bool costs() const { return !energy_components.empty(); }
};

/// Which point of the hypercube: an index along every swept axis, in their order, then time and repeat.
struct PointIndex {
  std::vector<std::int64_t> swept = {};
  std::int64_t time = 0;
  std::int64_t repeat = 0;

  bool operator==(const PointIndex&) const = default;
};

/// How well outputs agree with labels, targets or inputs, as the task has it.
struct Score {
  double accuracy = missing;  ///< correct / count
  double loss = missing;      ///< mean cross entropy, nats
  std::int64_t correct = -1;
  std::int64_t count = -1;
  double accuracy_top5 = missing;
  double perplexity = missing;               ///< language model: exp(loss)
  double agreement = missing;                ///< fraction of outputs whose largest entry is that of float32
  double kl_divergence = missing;            ///< of the outputs' distribution from that of float32, nats
  double output_cosine = missing;            ///< of outputs and float32 outputs, mean over samples
  double mse = missing;                      ///< regression, anomaly
  double auc = missing;                      ///< anomaly with labels
  std::vector<double> class_accuracy = {};   ///< by class
  std::vector<std::int64_t> confusion = {};  ///< [label][predicted class]

  bool operator==(const Score&) const = default;
};

/// Agreement of a layer's output with float32.
struct ErrorNumbers {
  double sqnr_db = missing;
  double mse = missing;
  double cosine = missing;

  bool operator==(const ErrorNumbers&) const = default;
};

/// What the converters of a weight slice of a crossbar layer met.
struct SliceCounts {
  double saturation_fraction = missing;
  double codes_used = missing;                                 ///< codes that occurred over all codes
  double current_lowest = missing, current_highest = missing;  ///< in front of the converters
  bool operator==(const SliceCounts&) const = default;
};

/// What happened in one layer at one point. Digital layers have `cumulative` only.
struct LayerPoint {
  ErrorNumbers cumulative = {};  ///< the whole analog network against the float32 network
  ErrorNumbers isolated = {};    ///< this layer alone analog, fed with the float32 network's inputs
  double input_clip_fraction = missing;
  double dac_clip_fraction = missing;
  double adc_saturation_fraction = missing;
  double bound_management_rounds = missing;
  double bound_management_failed_fraction = missing;
  double dac_effective_bits = missing;
  double adc_effective_bits = missing;
  std::vector<SliceCounts> slices = {};    ///< of crossbars, least significant weight slice first
  double sum_overflow_fraction = missing;  ///< these five of a fixed-point periphery
  double output_overflow_fraction = missing;
  double add_saturation_fraction = missing;
  double product_effective_bits = missing;
  double sum_effective_bits = missing;
  double output_effective_bits = missing;

  bool operator==(const LayerPoint&) const = default;
};

/// What a population of spiking neurons did at one point.
struct PopulationPoint {
  std::int64_t spikes = -1;          ///< over all samples, neurons and time steps
  double firing_rate = missing;      ///< spikes per neuron and time step
  double silent_fraction = missing;  ///< of the neurons of all samples, those that never fired

  bool operator==(const PopulationPoint&) const = default;
};

/// Energy, latency and area of one layer during one inference.
struct LayerCostRecord {
  std::vector<double> energy = {};  ///< by Header::energy_components, J
  double energy_low = missing, energy_high = missing;
  std::vector<double> area = {};     ///< by Header::area_components, mm2
  std::vector<double> actions = {};  ///< by Header::actions
  double latency = missing;          ///< s
  double utilization = missing;      ///< used cells over built ones
  double input_mean = missing;       ///< x, d, g as they were measured; missing: assumed
  double bit_density = missing;
  double conductance_mean = missing;

  bool operator==(const LayerCostRecord&) const = default;
};

/// What one inference costs, with the interval that the component table leaves.
struct CostRecord {
  double energy = missing, energy_low = missing, energy_high = missing;   ///< J
  double latency = missing, latency_worst = missing, interval = missing;  ///< s
  double area = missing, area_low = missing, area_high = missing;         ///< mm2
  double operations = missing;                                            ///< 1 multiply-accumulate = 2
  double tops_per_W = missing, tops_per_W_low = missing, tops_per_W_high = missing;
  double tops_per_mm2 = missing, tops_per_mm2_low = missing, tops_per_mm2_high = missing;
  double tops_per_W_1b = missing, tops_per_W_8b = missing;      ///< with Header::normalised_costs
  double tops_per_mm2_1b = missing, tops_per_mm2_8b = missing;  ///< with Header::normalised_costs
  std::vector<double> energy_at_low = {}, energy_at_high = {};  ///< with one coefficient at an end, J
  std::vector<double> area_at_low = {}, area_at_high = {};      ///< with one coefficient at an end, mm2
  std::vector<LayerCostRecord> layers = {};                     ///< by Header::layers

  bool operator==(const CostRecord&) const = default;
};

/// A cost over that of the first point of a sweep, with common coefficients.
struct RelativeCost {
  double nominal = missing, low = missing, high = missing;

  bool operator==(const RelativeCost&) const = default;
};

struct Point {
  Score score = {};                               ///< all missing without labels
  std::vector<LayerPoint> layers = {};            ///< by Header::layers; empty without statistics
  std::vector<PopulationPoint> populations = {};  ///< by Header::populations
  std::optional<CostRecord> cost = {};            ///< with Header::costs()
};

/// One tile and its periphery. A vector is empty (none), has one value (for all outputs), or one per output of the
/// tile.
struct TileHardware {
  std::int32_t part = 0;    ///< which product of the layer: the group of a convolution, the gate of a cell
  std::int32_t row = 0;     ///< position in the grid of tiles, along the inputs
  std::int32_t column = 0;  ///< and along the outputs
  std::int64_t first_input = 0, inputs = 0;
  std::int64_t first_output = 0, outputs = 0;
  double input_range = missing;  ///< missing: off
  std::vector<float> mapping_scale = {};
  std::vector<float> scale = {};            ///< merged affine scale before quantization
  std::vector<float> quantized_scale = {};  ///< as used
  std::vector<float> scale_step = {};
  std::vector<std::int32_t> scale_codes = {};
  std::int32_t scale_zero_point = 0;
  double scale_sqnr_db = missing;                        ///< cost of quantizing the scale alone
  std::vector<std::int64_t> fixed_point_codes = {};      ///< stored multipliers; empty: no fixed-point periphery
  std::vector<std::int32_t> fixed_point_exponents = {};  ///< of them
};

/// The tiles of one layer and its bias.
struct LayerHardware {
  std::int32_t tile_rows = 0;     ///< tiles along the inputs, of each part
  std::int32_t tile_columns = 0;  ///< tiles along the outputs
  std::vector<TileHardware> tiles = {};
  std::vector<float> bias = {};            ///< digital bias; empty: none
  std::vector<float> quantized_bias = {};  ///< empty: none
  std::vector<float> bias_step = {};
  std::vector<std::int32_t> bias_codes = {};
  std::int32_t bias_zero_point = 0;
  double bias_sqnr_db = missing;

  // Of crossbars.
  std::int64_t arrays = 0;                  ///< of all tiles and weight slices, pairs counted twice
  std::int64_t converters = 0;              ///< analog-to-digital, after sharing
  double ir_drop_db = missing;              ///< weights to what the wires alone make of them
  double compensation_before = missing;     ///< rms difference of wanted and effective conductances without it
  double compensation_remaining = missing;  ///< and with it, in units of a fully-on cell
  double compensation_at_limit = missing;   ///< fraction of the cells at the ends of their range
  std::int64_t map_outputs = 0, map_inputs = 0;
  std::vector<float> ir_drop_map = {};  ///< [map_outputs, map_inputs]: lost over carried current, by place in an array
  std::vector<std::int64_t> fixed_point_bias = {};  ///< stored bias; empty: none
  double output_step = missing;                     ///< of the fixed-point output code
  std::int64_t saturated_scales = 0;                ///< multipliers that did not fit their format
};

/// Bins of conductance histograms over [0, g_max]; what lies beyond an end counts in the end bin.
inline constexpr std::int64_t conductance_bins = 50;

/// What programming one chip left in the devices of one layer.
struct LayerProgramming {
  double g_max = missing;                           ///< upper end of the conductance range, uS
  double error_mean = missing;                      ///< programmed minus target conductance over all devices, uS
  double error_std = missing;                       ///< its standard deviation, uS
  double pulses = missing;                          ///< mean per device
  double unconverged_fraction = missing;            ///< of the devices, after program_and_verify
  double stuck_fraction = missing;                  ///< of the devices
  std::vector<std::int64_t> histogram = {};         ///< devices by programmed conductance
  std::vector<std::int64_t> target_histogram = {};  ///< devices by target conductance

  bool operator==(const LayerProgramming&) const = default;
};

/// The weights of one layer as one read of a chip finds them, in tile units, against their targets W.
struct LayerWeights {
  double gain = missing;            ///< sum W W' / sum W^2 of the weights read, W'
  double error = missing;           ///< root mean square of alpha W' - W
  double sqnr_db = missing;         ///< 10 log10(sum W^2 / sum (alpha W' - W)^2)
  std::vector<float> alpha = {};    ///< drift compensation by tile: the mean over the tile's outputs
  std::vector<float> column_alpha;  ///< by output of every tile, with column_compensation

  bool operator==(const LayerWeights&) const = default;
};

/// How the run went. Never part of a comparison.
struct Runtime {
  double wall_seconds = missing;
  double reference_seconds = missing;
  double analog_seconds = missing;
  std::int64_t reference_samples = 0;
  std::int64_t analog_samples = 0;
  std::int32_t threads = 0;
  std::int64_t batch_size = 0;
  std::int64_t peak_memory_bytes = 0;
  std::string command = {};  ///< as typed
  std::string instruction_set = {};
  std::string host = {};
};

}  // namespace tessera::results
