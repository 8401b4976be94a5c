#include "tessera/results/schema.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

#include "results/schema_cost.hpp"
#include "tessera/results/layer_statistics.hpp"

namespace tessera::results {
namespace {

using h5::ElementType;

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double no_count = -1;
constexpr double no_code = std::numeric_limits<std::int32_t>::min();
constexpr double no_wide_code = static_cast<double>(std::numeric_limits<std::int64_t>::min());

std::vector<Variable> make_variables() {
  const std::vector<Dim> point{Dim::swept, Dim::time, Dim::repeat};
  const std::vector<Dim> point_sample{Dim::swept, Dim::time, Dim::repeat, Dim::sample, Dim::position};
  const std::vector<Dim> by_class{Dim::swept, Dim::time, Dim::repeat, Dim::class_label};
  const std::vector<Dim> confusion{Dim::swept, Dim::time, Dim::repeat, Dim::class_label, Dim::predicted_class};
  const std::vector<Dim> per_swept{Dim::swept};
  const std::vector<Dim> per_chip{Dim::swept, Dim::repeat};
  const std::vector<Dim> point_tile{Dim::swept, Dim::time, Dim::repeat, Dim::tile};
  const std::vector<Dim> point_column{Dim::swept, Dim::time, Dim::repeat, Dim::tile_column};
  const std::vector<Dim> point_population{Dim::swept, Dim::time, Dim::repeat, Dim::population};
  const std::vector<Dim> per_tile{Dim::swept, Dim::tile};
  const std::vector<Dim> per_column{Dim::swept, Dim::tile_column};
  const std::vector<Dim> per_output{Dim::swept, Dim::output};
  constexpr auto f64 = ElementType::float64;
  constexpr auto f32 = ElementType::float32;
  constexpr auto i64 = ElementType::int64;
  constexpr auto i32 = ElementType::int32;
  constexpr auto u8 = ElementType::uint8;
  constexpr auto text = ElementType::string;
  constexpr std::string_view layer = "/layers/<layer>";
  using P = Presence;
  return {
      {"/", "finished", point, u8, "1", "1 where the point was evaluated", P::always},
      {"/", "accuracy", point, f64, "1", "fraction of samples whose largest output is the label", P::labels, no_number},
      {"/", "accuracy_top5", point, f64, "1", "fraction of samples whose label is among the five largest outputs",
       P::top5, no_number},
      {"/", "loss", point, f64, "nat", "mean cross entropy", P::labels, no_number},
      {"/", "perplexity", point, f64, "1", "exp(loss)", P::language, no_number},
      {"/", "agreement", point, f64, "1", "fraction of samples (positions) whose largest output is that of float32",
       P::agreement, no_number},
      {"/", "kl_divergence", point, f64, "nat", "mean KL divergence of the outputs' distribution from that of float32",
       P::agreement, no_number},
      {"/", "output_cosine", point, f64, "1", "mean cosine similarity of outputs to float32", P::agreement, no_number},
      {"/", "correct", point, i64, "1", "samples (positions) whose largest output is the label", P::labels, no_count},
      {"/", "count", point, i64, "1", "samples (positions) evaluated", P::scores, no_count},
      {"/", "class_accuracy", by_class, f64, "1", "accuracy on the samples of one class; missing where it has none",
       P::classes, no_number},
      {"/", "confusion", confusion, i64, "1", "samples of a class by predicted class", P::classes, no_count},
      {"/", "mse", point, f64, "1", "mean squared error of the outputs (anomaly: against the inputs)", P::errors,
       no_number},
      {"/", "auc", point, f64, "1", "area under the ROC curve of the error of a sample, for finding anomalies",
       P::anomalies, no_number},
      {"/", "predictions", point_sample, i32, "1", "predicted class", P::predictions, no_count},
      {"/", "label", {Dim::sample, Dim::position}, i32, "1", "true class", P::labelled_predictions},
      {"/",
       "sqnr_db_isolated",
       {Dim::swept, Dim::time, Dim::repeat, Dim::layer},
       f64,
       "dB",
       "signal to error power of each layer, fed with float32 inputs",
       P::isolated,
       no_number},
      {"/", "chips", per_swept, i32, "1", "chips after which the point's interval was small enough", P::stopped,
       no_count},
      {"/", "program", {Dim::repeat}, i32, "1", "independently programmed chip of the repeat", P::always},
      {"/", "read", {Dim::repeat}, i32, "1", "independent read of that chip", P::always},

      {"/reference", "accuracy", per_swept, f64, "1", "accuracy of the same network in float32", P::labels, no_number},
      {"/reference", "accuracy_top5", per_swept, f64, "1", "top-5 accuracy of the same network in float32", P::top5,
       no_number},
      {"/reference", "loss", per_swept, f64, "nat", "mean cross entropy in float32", P::labels, no_number},
      {"/reference", "perplexity", per_swept, f64, "1", "perplexity of the same network in float32", P::language,
       no_number},
      {"/reference", "correct", per_swept, i64, "1", "samples right in float32", P::labels, no_count},
      {"/reference", "count", per_swept, i64, "1", "samples evaluated in float32", P::scores, no_count},
      {"/reference",
       "class_accuracy",
       {Dim::swept, Dim::class_label},
       f64,
       "1",
       "accuracy by class in float32",
       P::classes,
       no_number},
      {"/reference",
       "confusion",
       {Dim::swept, Dim::class_label, Dim::predicted_class},
       i64,
       "1",
       "samples of a class by predicted class in float32",
       P::classes,
       no_count},
      {"/reference", "mse", per_swept, f64, "1", "mean squared error in float32", P::errors, no_number},
      {"/reference", "auc", per_swept, f64, "1", "area under the ROC curve in float32", P::anomalies, no_number},
      {"/reference",
       "predictions",
       {Dim::swept, Dim::sample, Dim::position},
       i32,
       "1",
       "predicted class in float32",
       P::predictions,
       no_count},

      {"/config", "text", {}, text, "1", "configuration as given", P::always},
      {"/config", "resolved", {}, text, "1", "configuration with every key; alone reproduces this file", P::always},

      {"/layers", "op", {Dim::layer}, text, "1", "operator", P::always},
      {"/layers", "analog", {Dim::layer}, u8, "1", "1 if the layer is on analog tiles", P::always},
      {"/layers", "inputs", {Dim::layer}, i64, "1", "length of the input vectors of the layer's product", P::always},
      {"/layers", "outputs", {Dim::layer}, i64, "1", "length of the output vectors of the layer's product", P::always},

      {layer, "crossbar_arrays", per_swept, i64, "1", "arrays of all tiles and weight slices, pairs counted twice",
       P::crossbar, no_count},
      {layer, "crossbar_converters", per_swept, i64, "1", "analog-to-digital converters, after sharing", P::crossbar,
       no_count},
      {layer, "ir_drop_db", per_swept, f64, "dB", "weights to the error that the wires alone make of them",
       P::crossbar_wires, no_number},
      {layer,
       "ir_drop_map",
       {Dim::swept, Dim::array_output, Dim::array_input},
       f32,
       "1",
       "fraction of the current of a place in the arrays that is lost in the wires",
       P::crossbar_wires,
       no_number},
      {layer, "compensation_before", per_swept, f64, "1",
       "root mean square of wanted minus effective conductances without compensation, fully-on cells",
       P::crossbar_compensation, no_number},
      {layer, "compensation_remaining", per_swept, f64, "1",
       "the same with the conductances found for `compensate: wires`", P::crossbar_compensation, no_number},
      {layer, "compensation_at_limit", per_swept, f64, "1", "fraction of these conductances at an end of their range",
       P::crossbar_compensation, no_number},
      {layer,
       "output",
       {Dim::swept, Dim::time, Dim::repeat, Dim::sample, Dim::feature},
       f32,
       "1",
       "output after the layer's periphery, before the activation function",
       P::tensors,
       no_number},

      {layer, "tile_rows", per_swept, i32, "1", "tiles along the inputs, of each part", P::hardware, no_count},
      {layer, "tile_columns", per_swept, i32, "1", "tiles along the outputs, of each part", P::hardware, no_count},
      {layer, "tile_part", per_tile, i32, "1", "product of the layer that the tile belongs to (group, gate)",
       P::hardware, no_count},
      {layer, "tile_row", per_tile, i32, "1", "place of the tile along the inputs", P::hardware, no_count},
      {layer, "tile_col", per_tile, i32, "1", "place of the tile along the outputs", P::hardware, no_count},
      {layer, "tile_first_input", per_tile, i64, "1", "first input of the tile", P::hardware, no_count},
      {layer, "tile_inputs", per_tile, i64, "1", "inputs (rows) of the tile", P::hardware, no_count},
      {layer, "tile_first_output", per_tile, i64, "1", "first output of the tile", P::hardware, no_count},
      {layer, "tile_outputs", per_tile, i64, "1", "outputs (columns) of the tile", P::hardware, no_count},
      {layer, "input_range", per_tile, f64, "1", "inputs are clipped to [-r, r]; missing: no input range", P::hardware,
       no_number},
      {layer, "column_tile", per_column, i32, "1", "tile that the column belongs to", P::hardware, no_count},
      {layer, "column_output", per_column, i64, "1", "output that the column contributes to", P::hardware, no_count},
      {layer, "mapping_scale", per_column, f32, "1", "weight of the network per weight of the tile", P::hardware,
       no_number},
      {layer, "periphery_scale_float", per_column, f32, "1", "merged affine scale before quantization", P::hardware,
       no_number},
      {layer, "periphery_scale", per_column, f32, "1", "merged affine scale as used", P::hardware, no_number},
      {layer, "periphery_scale_code", per_column, i32, "1", "integer code of the scale", P::periphery, no_code},
      {layer, "periphery_scale_step", per_column, f32, "1", "step of the scale's quantizer", P::periphery, no_number},
      {layer, "periphery_scale_zero_point", per_tile, i32, "1", "zero point of the scale's quantizer", P::periphery,
       no_code},
      {layer, "periphery_scale_sqnr_db", per_tile, f64, "dB", "scale to its quantization error: the cost of that alone",
       P::periphery, no_number},
      {layer, "fixed_point_scale_code", per_column, i64, "1", "stored multiplier M of the fixed-point periphery",
       P::fixed_point, no_count},
      {layer, "fixed_point_exponent", per_column, i32, "1", "exponent e of the stored multiplier", P::fixed_point,
       no_code},
      {layer, "fixed_point_bias_code", per_output, i64, "1", "stored bias B of the fixed-point periphery",
       P::fixed_point, no_wide_code},
      {layer, "fixed_point_output_step", per_swept, f64, "1", "what an output code stands for", P::fixed_point,
       no_number},
      {layer, "fixed_point_saturated_scales", per_swept, i64, "1", "multipliers that did not fit their format",
       P::fixed_point, no_count},
      {layer, "bias_float", per_output, f32, "1", "digital bias before quantization", P::hardware, no_number},
      {layer, "bias", per_output, f32, "1", "digital bias as used", P::hardware, no_number},
      {layer, "bias_code", per_output, i32, "1", "integer code of the bias", P::periphery, no_code},
      {layer, "bias_step", per_output, f32, "1", "step of the bias quantizer", P::periphery, no_number},
      {layer, "bias_zero_point", per_swept, i32, "1", "zero point of the bias quantizer", P::periphery, no_code},
      {layer, "bias_sqnr_db", per_swept, f64, "dB", "bias to its quantization error: the cost of that alone",
       P::periphery, no_number},

      {layer, "alpha", point_tile, f32, "1", "drift compensation factor of the tile, mean over its outputs",
       P::compensation, no_number},
      {layer, "alpha_column", point_column, f32, "1", "drift compensation factor of each output of the tiles",
       P::column_compensation, no_number},
      {layer, "weight_gain", point, f64, "1", "sum W W' / sum W^2 of target W and read W', before compensation",
       P::device_statistics, no_number},
      {layer, "weight_error", point, f64, "1", "root mean square of alpha W' - W; the tile's largest weight is about 1",
       P::device_statistics, no_number},
      {layer, "weight_sqnr_db", point, f64, "dB", "target weights to their error after compensation",
       P::device_statistics, no_number},
      {layer, "conductance_max", per_swept, f64, "uS", "upper end of the conductance range", P::devices, no_number},
      {layer, "programming_error_mean", per_chip, f64, "uS", "mean of programmed minus target conductance",
       P::device_statistics, no_number},
      {layer, "programming_error_std", per_chip, f64, "uS", "standard deviation of programmed minus target conductance",
       P::device_statistics, no_number},
      {layer, "programming_pulses", per_chip, f64, "1", "mean pulses per device; 1 without program_and_verify",
       P::device_statistics, no_number},
      {layer, "unconverged_fraction", per_chip, f64, "1", "fraction of devices that program_and_verify gave up",
       P::device_statistics, no_number},
      {layer, "stuck_fraction", per_chip, f64, "1", "fraction of devices that are stuck", P::device_statistics,
       no_number},
      {layer,
       "conductance_histogram",
       {Dim::swept, Dim::repeat, Dim::conductance},
       i64,
       "1",
       "devices by programmed conductance",
       P::device_statistics,
       no_count},
      {layer,
       "target_conductance_histogram",
       {Dim::swept, Dim::conductance},
       i64,
       "1",
       "devices by target conductance",
       P::device_statistics,
       no_count},

      {"/outputs/<output>",
       "output",
       {Dim::swept, Dim::time, Dim::repeat, Dim::sample, Dim::feature},
       f32,
       "1",
       "output of the network",
       P::outputs,
       no_number},
      {"/outputs/<output>",
       "output_float32",
       {Dim::swept, Dim::sample, Dim::feature},
       f32,
       "1",
       "output of the network in float32",
       P::outputs,
       no_number},

      {"/spiking", "units", {Dim::population}, i64, "1", "neurons per sample", P::spiking},
      {"/spiking", "spikes", point_population, i64, "1", "spikes of all samples, neurons and time steps", P::spiking,
       no_count},
      {"/spiking", "firing_rate", point_population, f64, "1", "spikes per neuron and time step", P::spiking, no_number},
      {"/spiking", "silent_fraction", point_population, f64, "1",
       "fraction of the neurons of all samples that never fire", P::spiking, no_number},

      {"/runtime", "wall_time", {}, f64, "s", "wall time of the run", P::always},
      {"/runtime", "reference_time", {}, f64, "s", "wall time of the float32 passes", P::always},
      {"/runtime", "analog_time", {}, f64, "s", "wall time of the analog passes", P::always},
      {"/runtime", "reference_samples", {}, i64, "1", "samples passed in float32", P::always},
      {"/runtime", "analog_samples", {}, i64, "1", "samples passed through analog networks", P::always},
      {"/runtime", "threads", {}, i32, "1", "threads", P::always},
      {"/runtime", "batch_size", {}, i64, "1", "samples per batch", P::always},
      {"/runtime", "peak_memory", {}, i64, "byte", "largest resident memory", P::always},
      {"/runtime", "command", {}, text, "1", "the command as typed", P::always},
      {"/runtime", "instruction_set", {}, text, "1", "instruction set of the kernels", P::always},
      {"/runtime", "host", {}, text, "1", "name of the machine", P::always},
  };
}

/// The rows of the tables of statistics.
std::vector<Variable> statistic_variables() {
  std::vector<Variable> rows;
  for (const LayerStatistic& row : layer_statistics())
    rows.push_back({"/layers/<layer>",
                    row.name,
                    {Dim::swept, Dim::time, Dim::repeat},
                    ElementType::float64,
                    row.units,
                    row.meaning,
                    row.presence,
                    no_number});
  for (const SliceStatistic& row : slice_statistics())
    rows.push_back({"/layers/<layer>",
                    row.name,
                    {Dim::swept, Dim::time, Dim::repeat, Dim::weight_slice},
                    ElementType::float64,
                    row.units,
                    row.meaning,
                    Presence::crossbar_statistics,
                    no_number});
  return rows;
}

}  // namespace

const std::vector<Variable>& variables() {
  static const std::vector<Variable> table = [] {
    std::vector<Variable> rows = make_variables();
    std::vector<Variable> statistics = statistic_variables();
    const auto layers = std::ranges::find(rows, statistics.front().group, &Variable::group);
    rows.insert(layers, std::make_move_iterator(statistics.begin()), std::make_move_iterator(statistics.end()));
    for (Variable& row : cost_variables()) rows.push_back(std::move(row));
    return rows;
  }();
  return table;
}

const Variable& variable(std::string_view group, std::string_view name) {
  for (const Variable& row : variables()) {
    if (row.group == group && row.name == name) return row;
  }
  throw InputError(fmt::format("there is no variable {} in {} of the result schema", name, group));
}

const std::vector<FileAttribute>& attributes() {
  static const std::vector<FileAttribute> table{
      {"/", "filetype", ElementType::string, "\"tessera-results\""},
      {"/", "schema_version", ElementType::string,
       "\"major.minor\" of this page; readers accept their own major and any minor"},
      {"/", "tessera_version", ElementType::string, "version of the program that wrote the file"},
      {"/", "created_utc", ElementType::string, "when the file was begun; never compared"},
      {"/", "seed", ElementType::uint64, "seed of every random effect"},
      {"/", "rng_layout", ElementType::uint32, "how random numbers are addressed"},
      {"/", "task_id", ElementType::string, "hash of everything that determines the results"},
      {"/", "command", ElementType::string, "the command, without options that cannot change a result"},
      {"/", "complete", ElementType::uint8, "1 if every point was evaluated, 0 if the run was stopped"},
      {"/", "swept", ElementType::string, "names of the swept axes, in order; absent for a plain run"},
      {"/outputs/<output>", "name", ElementType::string, "name of the output, where the group's name had to differ"},
      {"/layers/<layer>", "name", ElementType::string, "name of the layer, where the group's name had to differ"},
      {"/layers/<layer>", "index", ElementType::int32, "place of the layer in the network, from 0"},
      {"/layers/<layer>", "op", ElementType::string, "operator"},
      {"/layers/<layer>", "analog", ElementType::uint8, "1 if the layer is on analog tiles"},
  };
  return table;
}

}  // namespace tessera::results
