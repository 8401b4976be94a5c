#include "run_tables.hpp"

#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Range;
using config::Section;
using config::Type;

Type<sim::StateParameters> state_parameters() {
  using P = sim::StateParameters;
  const Type<std::string> word = config::text();
  const Type<P> table = Section<P>("StateParameters", "Which input an output is fed back to. A name alone is `input`.")
                            .field("input", &P::input, {.help = "name of the input", .required = true})
                            .field("initial", &P::initial, config::path_or_null(),
                                   {.help = ".npy file of its value for the first sample of a sequence; null: zeros"});
  auto info = std::make_shared<config::TypeInfo>(*table.info);
  info->scalar_allowed = true;
  info->element = word.info;
  return {info,
          [table, word](const config::Node& node, const std::string& key, P& value, config::Report& report) {
            if (node.is_scalar()) {
              value = {};
              word.read(node, key, value.input, report);
            } else {
              table.read(node, key, value, report);
            }
          },
          table};
}

Type<sim::RecordParameters> record_parameters() {
  using P = sim::RecordParameters;
  return Section<P>("RecordParameters", "What goes into the result file beyond accuracy and loss.")
      .field("statistics", &P::statistics, {.help = "per layer: error against float32, clipping, saturation"})
      .field("tensors", &P::tensors, config::one_or_list(config::text()),
             {.help = "patterns of layer names whose output is stored for every sample"})
      .field("predictions", &P::predictions, {.help = "the predicted class of every sample"})
      .field("outputs", &P::outputs,
             {.help = "the network's outputs (of model.outputs) for every sample, in float32 too"});
}

/// A number of chips, or a map with the number of reads besides.
Type<sim::EvaluationParameters> repeat_counts() {
  using P = sim::EvaluationParameters;
  const Type<int> chips = config::integer<int>(Range::between(1.0, 1e6));
  const Type<P> table =
      Section<P>("RepeatParameters", "How many chips, and how often each is read. A number alone is `program`.")
          .field("program", &P::repeats, chips, {.help = "independently programmed chips, each with its own noise"})
          .field("read", &P::read_repeats,
                 {.range = Range::between(1.0, 10000.0),
                  .help = "independent reads and passes of every chip at every time"});
  auto info = std::make_shared<config::TypeInfo>(*table.info);
  info->scalar_allowed = true;
  info->element = chips.info;
  return {info,
          [table, chips](const config::Node& node, const std::string& key, P& value, config::Report& report) {
            if (!node.is_scalar()) return table.read(node, key, value, report);
            chips.read(node, key, value.repeats, report);
            value.read_repeats = 1;
          },
          table};
}

}  // namespace

Type<sim::ModelParameters> model_parameters() {
  using P = sim::ModelParameters;
  return Section<P>("ModelParameters", "Which network, and how it is prepared.")
      .field("file", &P::file, config::path(), {.help = ".onnx, or .h5 written by tessera", .required = true})
      .field("output", &P::output,
             {.help = "name of the network's output that is evaluated, of several; empty: the first"})
      .field("outputs", &P::outputs,
             {.help = "names of outputs that are kept; the first is evaluated, output.record.outputs stores all of "
                      "them; [\"*\"]: all; []: the one of `output`"})
      .field("state", &P::state, config::map_of(state_parameters()),
             {.help = "outputs that are fed back to an input for the next sample of a sequence: {h_out: h_in}"})
      .field("fold_batchnorm", &P::fold_batchnorm,
             {.help = "fold batch normalization into the weights of the layer before it; false: digital"})
      .field("dequantize", &P::dequantize,
             {.help = "ONNX: integer layers (QLinearConv, MatMulInteger, ...) as the float32 layers between quantizers "
                      "that they stand for, which go on tiles; false: executed exactly, digitally"})
      .field("use_calibration", &P::use_calibration,
             {.help = "apply the input ranges and quantizer ranges that a calibrated or trained .h5 holds"});
}

Type<sim::EvaluationParameters> evaluation_parameters() {
  using P = sim::EvaluationParameters;
  return Section<P>("EvaluationParameters", "How often and when the programmed network is evaluated.")
      .group("repeats", repeat_counts())
      .field("times", &P::times,
             {.unit = "s", .range = Range::at_least(0.0), .help = "after programming; []: right after programming"})
      .field(
          "chips", &P::chips, config::path_or_null(),
          {.help = "model file with programmed chips (from output.chips) to evaluate; null: new ones are programmed"})
      .field("task", &P::task,
             choice<sim::Task>({{"automatic", sim::Task::automatic},
                                {"classification", sim::Task::classification},
                                {"regression", sim::Task::regression},
                                {"anomaly", sim::Task::anomaly},
                                {"language_model", sim::Task::language_model},
                                {"agreement", sim::Task::agreement}}),
             {.help = "outputs are compared with integer labels; with real labels; with the inputs (an autoencoder); "
                      "with the next tokens; with float32. automatic: by the labels' type, agreement without labels"})
      .field("normal_labels", &P::normal_labels, {.help = "anomaly: labels of samples that are no anomalies"})
      .field("ignore_index", &P::ignore_index, config::optional(config::integer<int>()),
             {.help = "label of positions that do not count, as in torch's cross entropy (-100, 255); null: all count"})
      .field("class_axis", &P::class_axis, config::optional(config::integer<int>()),
             {.help = "axis of a sample's output that counts classes, 0 or -1; null: the one that fits the labels"});
}

Type<sim::InputCalibration> calibration_parameters() {
  using P = sim::InputCalibration;
  using sim::CalibrationPass;
  using sim::CalibrationType;
  return Section<P>("InputCalibration",
                    "Input ranges and activation ranges from data (docs/guide/calibration.md); `tessera run` does not "
                    "look at it.")
      .field("type", &P::type,
             choice<CalibrationType>({{"MAX", CalibrationType::MAX},
                                      {"CACHE_QUANTILE", CalibrationType::CACHE_QUANTILE},
                                      {"MOVING_QUANTILE", CalibrationType::MOVING_QUANTILE},
                                      {"MOVING_STD", CalibrationType::MOVING_STD},
                                      {"INIT_FROM_DATA", CalibrationType::INIT_FROM_DATA}}),
             {.help = "largest input; quantile of cached rows; mean over batches of quantiles, or of multiples of the "
                      "standard deviation; the same as training begins with"})
      .field("quantile", &P::quantile,
             {.range = Range{0.0, 1.0, true, false},
              .help = "of CACHE_QUANTILE, "
                      "MOVING_QUANTILE"})
      .field("absolute_values", &P::absolute_values,
             {.help = "quantiles of magnitudes; false restores those of signed values, as aihwkit takes them"})
      .field("max_samples", &P::max_samples,
             {.range = Range::at_least(1.0), .help = "rows kept per tile by CACHE_QUANTILE, batches of MOVING_STD"})
      .field("std_alpha", &P::std_alpha, config::optional(config::real(Range::above(0.0))),
             {.help = "instead of input_range.init_std_alpha"})
      .field(
          "force_all_layers", &P::force_all_layers,
          {.help = "every analog layer gets an input range and no noise management; false: only those that have one"})
      .field("pass", &P::pass,
             config::optional(
                 choice<CalibrationPass>({{"float32", CalibrationPass::float32}, {"tiles", CalibrationPass::tiles}})),
             {.help = "what the data pass through; null: float32 for MAX and CACHE_QUANTILE, else tiles"})
      .field("samples", &P::samples, {.range = Range::at_least(0.0), .help = "the first of the data; 0: all"})
      .field("batch_size", &P::batch_size,
             {.unit = "samples", .range = Range::at_least(1.0), .help = "part of the result for the moving types"})
      .field("converter_range", &P::converter_range,
             choice<circuit::ConverterRangeType>({{"MAX", circuit::ConverterRangeType::MAX},
                                                  {"QUANTILE", circuit::ConverterRangeType::QUANTILE},
                                                  {"MSE", circuit::ConverterRangeType::MSE}}),
             {.help = "ranges of crossbar converters from the currents they see: extremes, quantiles, or least mean "
                      "squared error for the converter's bits"})
      .field("converter_quantile", &P::converter_quantile,
             {.range = Range{0.5, 1.0, true, false}, .help = "of converter_range QUANTILE, at both ends"})
      .field("data", &P::data, config::optional(data_parameters()), {.help = "null: the data of the run"});
}

namespace {

Type<sim::StopParameters> stop_parameters() {
  using P = sim::StopParameters;
  return Section<P>("StopParameters",
                    "Chips are added to a point, after evaluation.repeats (at least 2), until the 95 % interval of its "
                    "mean accuracy over chips is small enough at every time.")
      .field("half_width", &P::half_width,
             {.unit = "percentage points", .range = Range::above(0.0), .help = "half the width of the interval"})
      .field("max_repeats", &P::max_repeats, {.range = Range::between(2.0, 1e6), .help = "most chips of a point"});
}

}  // namespace

Type<SweepParameters> sweep_parameters() {
  using P = SweepParameters;
  return Section<P>("SweepParameters",
                    "Many runs from one file. Values of an axis: a list, {range: [first, last, step]}, "
                    "{linspace: [first, last, count]} or {logspace: [first, last, count]}.")
      .field("mode", &P::mode,
             choice<SweepMode>({{"grid", SweepMode::grid}, {"zip", SweepMode::zip}, {"list", SweepMode::list}}),
             {.help = "every combination; the axes together; the points as given"})
      .field("axes", &P::axes, config::map_of(config::anything()),
             {.help = "any configuration key, dotted, and its values"})
      .field("points", &P::points, config::list(config::anything()), {.help = "mode list: maps from keys to values"})
      .field(
          "isolated", &P::isolated,
          {.help = "each layer alone, fed with float32 inputs: its error at every value, at about the cost of one run"})
      .field("stop", &P::stop, config::optional(stop_parameters()),
             {.help = "as many chips as the accuracy needs; null: evaluation.repeats"});
}

namespace {

/// Percentage points: a number, or a number with a percent sign.
Type<double> percentage(const Range& range) {
  const Type<double> number = config::real(range);
  return {number.info,
          [number](const config::Node& node, const std::string& key, double& value, config::Report& report) {
            config::Node plain = node;
            if (node.is_scalar() && node.scalar.ends_with('%')) {
              plain.quoted = false;
              plain.scalar.pop_back();
              while (plain.scalar.ends_with(' ')) plain.scalar.pop_back();
            }
            number.read(plain, key, value, report);
          },
          number};
}

}  // namespace

SearchSection::SearchSection() {
  bits = config::Node::map();
  bits.set("range", config::Node::list({config::Node::integer(2), config::Node::integer(8)}));
}

Type<SearchSection> search_section() {
  using S = SearchSection;
  const auto of = [](auto member) {
    return [member](auto& s) -> auto& {
      return s.parameters.*member;
    };
  };
  using P = sim::SearchParameters;
  return Section<S>("SearchSection",
                    "The fewest bits per layer within a budget of accuracy or perplexity (docs/guide/search.md). "
                    "Values are a list or "
                    "as in sweep.axes.")
      .field("keys", &S::keys, config::list(config::anything(), 1),
             {.help = "bit widths: keys of rpu_config that end with n_bits, inp_res or out_res, or maps {key, bits} or "
                      "{key, levels}; b bits are 2^b - 2 levels of a resolution. `analog` alone: which layers go on "
                      "tiles",
              .required = true})
      .field("bits", &S::bits, config::anything(),
             {.unit = "bits", .help = "tried for keys that name none, as far as they are below the configured ones"})
      .field("layers", &S::layers, config::one_or_list(config::text()), {.help = "patterns of layer names"})
      .field("budget", of(&P::budget), percentage(Range::between(0.0, 100.0)),
             {.unit = "percentage points",
              .help = "largest loss of accuracy against the configuration as given, or growth of its perplexity in %; "
                      "0.5 and 0.5 % are the same"})
      .field("measure", of(&P::measure),
             choice<sim::SearchMeasure>(
                 {{"accuracy", sim::SearchMeasure::accuracy}, {"perplexity", sim::SearchMeasure::perplexity}}),
             {.help = "what may be lost: accuracy or agreement, or with task: language_model the perplexity"})
      .field("confidence", of(&P::confidence), config::real(Range::between(0.5, 0.9999)),
             {.help = "of the one-sided paired test that the loss is within the budget"})
      .field("cost", of(&P::cost),
             choice<sim::SearchCost>({{"bits", sim::SearchCost::bits},
                                      {"columns", sim::SearchCost::columns},
                                      {"energy", sim::SearchCost::energy},
                                      {"latency", sim::SearchCost::latency},
                                      {"area", sim::SearchCost::area},
                                      {"edp", sim::SearchCost::edp}}),
             {.help = "what is to be small: bits summed over layers; bits times the columns of all tiles; what an "
                      "inference costs on the hardware of `cost:` (edp: energy times latency)"})
      .field("columns_per_converter", &S::columns_per_converter,
             config::list(config::integer<std::int64_t>(Range::between(1.0, 1e6))),
             {.help = "values of cost.adc.columns, of which every configuration takes what costs least; []: as "
                      "configured"})
      .field("tile_sizes", &S::tile_sizes,
             config::list(config::list(config::integer<std::int64_t>(Range::between(1.0, 1e6)), 2)),
             {.help = "pairs of rows and columns of tiles (mapping and cost.tile), tried on what was found; []: as "
                      "configured"})
      .field("front", of(&P::front), config::integer<int>(Range::between(1.0, 1e4)),
             {.help = "configurations between the given and the narrowest one that are evaluated first"})
      .field("max_points", of(&P::max_points), config::integer<int>(Range::between(2.0, 1e5)),
             {.help = "most configurations that are evaluated"})
      .field("holdout", of(&P::holdout), config::real(Range::between(0.0, 0.9)),
             {.help = "fraction of the samples, the last ones, that only confirm the result"});
}

Type<OutputParameters> output_parameters() {
  return Section<OutputParameters>("OutputParameters", "What is written.")
      .field("file", &OutputParameters::file, config::path_or_null(),
             {.help = "result file; -o of the command line wins"})
      .field("chips", &OutputParameters::chips, config::path_or_null(),
             {.help = "tessera run: model file for the programmed chips and the weights of every read; null: none"})
      .field("record", &OutputParameters::record, record_parameters());
}

}  // namespace tessera::spec
