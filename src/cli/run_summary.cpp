#include "cli/run_summary.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "cli/calibration_text.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/sim/recording.hpp"
#include "tessera/sim/variance.hpp"
#include "tessera/tile/mapping.hpp"

namespace tessera::cli {

namespace {

/// "2 of 392x10": how many tiles the layer takes, and the lines of the largest.
std::string tiles_text(const nn::LinearLayer& layer, const tile::MappingParameter& mapping) {
  std::size_t tiles = 0;
  tile::TilePlace largest;
  for (const nn::LinearPart& part : layer.parts) {
    const auto places = tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping);
    tiles += places.size();
    largest.inputs = std::max(largest.inputs, places.front().inputs);
    largest.outputs = std::max(largest.outputs, places.front().outputs);
  }
  return fmt::format("{} of {}x{}", tiles, largest.inputs, largest.outputs);
}

/// Means over all finished points of one layer.
struct LayerMeans {
  Moments cumulative, isolated, clipped, saturated, rounds;
};

/// `time`: over the points at that time only.
LayerMeans layer_means(const sim::EvaluationResult& result, std::size_t layer, std::optional<std::int64_t> time = {}) {
  LayerMeans means;
  for (const sim::PointResult& point : result.points) {
    if (time && point.index.time != *time) continue;
    const sim::LayerResult& seen = point.layers[layer];
    means.cumulative.add(seen.cumulative.sqnr_db());
    if (!seen.analog) continue;
    means.isolated.add(seen.isolated.sqnr_db());
    if (seen.counts.inputs > 0) means.clipped.add(seen.counts.input_clip_fraction());
    means.saturated.add(seen.counts.adc_saturation_fraction());
    means.rounds.add(seen.counts.mean_bound_management_rounds());
  }
  return means;
}

/// "1 s", "90 s", "1 h", "2 days", "1 year": a unit where it goes in evenly.
std::string duration(double seconds) {
  struct Unit {
    double seconds;
    const char* one;
    const char* many;
  };
  for (const Unit& unit :
       {Unit{365.0 * 86400.0, "year", "years"}, Unit{86400.0, "day", "days"}, Unit{3600.0, "h", "h"}})
    if (seconds >= unit.seconds && std::fmod(seconds, unit.seconds) == 0.0)
      return fmt::format("{} {}", seconds / unit.seconds, seconds == unit.seconds ? unit.one : unit.many);
  return fmt::format("{} s", seconds);
}

/// The times that have columns of their own: all of them, or the first, one between and the last of many.
std::vector<std::int64_t> shown_times(const sim::EvaluationParameters& evaluation) {
  const std::int64_t count = std::max<std::int64_t>(1, std::ssize(evaluation.times));
  std::vector<std::int64_t> shown;
  if (count > 3) return {0, count / 2, count - 1};
  for (std::int64_t time = 0; time < count; ++time) shown.push_back(time);
  return shown;
}

void print_layers(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  const std::vector<std::int64_t> times = shown_times(request.evaluation);
  const auto heading = [&](const char* what, std::int64_t time) {
    return times.size() == 1
               ? std::string(what)
               : fmt::format("{}, {}", what, duration(request.evaluation.times[static_cast<std::size_t>(time)]));
  };
  TextTable table;
  table.add_column("layer", TextTable::Align::left);
  table.add_column("kind", TextTable::Align::left);
  table.add_column("tiles (in x out)", TextTable::Align::left);
  for (const std::int64_t time : times) table.add_column(heading("SQNR dB", time));
  for (const std::int64_t time : times) table.add_column(heading("alone dB", time));
  table.add_column("clipped in");
  table.add_column("saturated out");
  for (std::size_t l = 0; l < request.executor.layers().size(); ++l) {
    const nn::LinearLayer& layer = request.executor.layers()[l];
    const std::string& op = request.executor.graph().nodes[static_cast<std::size_t>(layer.node)].op;
    const sim::LayerParameters parameters = request.resolve(layer.name, op);
    const bool analog = parameters.analog;
    std::vector<std::string> cells{layer.name, op, analog ? tiles_text(layer, parameters.rpu.mapping) : "digital"};
    std::vector<std::string> alone;
    for (const std::int64_t time : times) {
      const LayerMeans means = layer_means(result, l, time);
      cells.push_back(format_decibel(means.cumulative.mean()));
      alone.push_back(analog ? format_decibel(means.isolated.mean()) : "");
    }
    cells.insert(cells.end(), alone.begin(), alone.end());
    const LayerMeans means = layer_means(result, l);
    cells.push_back(analog ? format_percent(means.clipped.mean()) : "");
    cells.push_back(analog ? format_percent(means.saturated.mean()) : "");
    table.add_row(std::move(cells));
  }
  out << table.text();
  if (request.evaluation.times.size() > 1)
    out << fmt::format("  {}times after programming; clipped and saturated are means over all of them\n",
                       times.size() < request.evaluation.times.size()
                           ? fmt::format("{} of {} ", times.size(), request.evaluation.times.size())
                           : "");
  out << "\n";
}

/// How much the neurons of each population fire, over all points.
void print_populations(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  TextTable table;
  table.add_column("neurons", TextTable::Align::left);
  for (const char* heading : {"per sample", "spikes per sample", "firing rate", "silent"}) table.add_column(heading);
  std::size_t row = 0;
  for (const sim::Population& population : sim::spiking_populations(request.executor, *request.spiking)) {
    if (!population.emits_spikes) continue;
    sim::SpikeCounts all;
    for (const sim::PointResult& point : result.points) all += point.spikes.at(row);
    const results::PopulationPoint means = sim::population_point(all, population.units, request.spiking->steps);
    const double per_sample = static_cast<double>(all.spikes) / static_cast<double>(all.samples);
    table.add_row({population.name, format_count(population.units), fmt::format("{:.1f}", per_sample),
                   fmt::format("{:.4f}", means.firing_rate), format_percent(means.silent_fraction)});
    ++row;
  }
  if (row > 0) out << table.text() << "\n";
}

std::string time_text(const sim::EvaluationParameters& evaluation, std::int64_t time) {
  if (evaluation.times.empty()) return "analog";
  return fmt::format("analog, {} after programming", duration(evaluation.times[static_cast<std::size_t>(time)]));
}

/// Accuracy and loss of the finished points at one time, chip by chip; chips with missing reads are left out.
struct ScoresAtTime {
  std::vector<double> accuracy, loss;
  std::int64_t correct = 0, count = 0;
  double accuracy_top5 = 0.0;  ///< of the last one
};

ScoresAtTime scores_at(const sim::EvaluationResult& result, std::int64_t time, std::int64_t reads) {
  ScoresAtTime scores;
  for (const sim::PointResult& point : result.points) {
    if (point.index.time != time) continue;
    scores.accuracy.push_back(point.score.accuracy());
    scores.loss.push_back(point.score.loss());
    scores.correct += point.score.correct;
    scores.count += point.score.count;
    scores.accuracy_top5 = point.score.accuracy_top5();
  }
  const std::size_t whole = scores.accuracy.size() / static_cast<std::size_t>(reads) * static_cast<std::size_t>(reads);
  scores.accuracy.resize(whole);
  scores.loss.resize(whole);
  return scores;
}

std::string plus_minus(double value, double half_width) {
  return std::isnan(half_width) ? fmt::format("{:.4f}", value) : fmt::format("{:.4f} ± {:.4f}", value, half_width);
}

/// One line per time: the score, or, with several chips or reads, mean, interval and components of the spread.
void print_accuracy(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  const std::int64_t chips = request.evaluation.repeats;
  const std::int64_t reads = request.evaluation.read_repeats;
  const bool spread = chips * reads > 1;
  const bool parts = chips > 1 && reads > 1;
  TextTable table;
  table.add_column("", TextTable::Align::left);
  table.add_column("accuracy");
  if (spread)
    for (const char* heading : {"± (95 %)", "std"}) table.add_column(heading);
  if (parts)
    for (const char* heading : {"of chips", "of reads"}) table.add_column(heading);
  table.add_column("loss");
  if (!spread) table.add_column("correct");
  const bool top5 = !spread && result.reference.classes() > 5;
  if (top5) table.add_column("top-5");
  const std::int64_t times = std::max<std::int64_t>(1, std::ssize(request.evaluation.times));
  const auto fraction_text = [](std::int64_t correct, std::int64_t count) {
    return fmt::format("{}/{}", format_count(correct), format_count(count));
  };
  for (std::int64_t time = 0; time < times; ++time) {
    const ScoresAtTime scores = scores_at(result, time, reads);
    if (scores.accuracy.empty()) continue;
    const sim::VarianceComponents accuracy = sim::variance_components(scores.accuracy, reads);
    const sim::VarianceComponents loss = sim::variance_components(scores.loss, reads);
    std::vector<std::string> cells{time_text(request.evaluation, time), format_percent(accuracy.mean)};
    if (spread)
      for (const double value : {accuracy.confidence_95, accuracy.standard_deviation})
        cells.push_back(format_percent(value));
    if (parts)
      for (const double variance : {accuracy.chip_variance, accuracy.read_variance})
        cells.push_back(format_percent(std::sqrt(variance)));
    cells.push_back(plus_minus(loss.mean, loss.confidence_95));
    if (!spread) cells.push_back(fraction_text(scores.correct, scores.count));
    if (top5) cells.push_back(format_percent(scores.accuracy_top5));
    table.add_row(std::move(cells));
  }
  std::vector<std::string> reference{"float32", format_percent(result.reference.accuracy())};
  if (spread) reference.insert(reference.end(), parts ? 4 : 2, "");
  reference.push_back(fmt::format("{:.4f}", result.reference.loss()));
  if (!spread) reference.push_back(fraction_text(result.reference.correct, result.reference.count));
  if (top5) reference.push_back(format_percent(result.reference.accuracy_top5()));
  table.add_row(std::move(reference));
  out << table.text();
  if (!spread) return;
  out << "  over " << chips << (chips == 1 ? " programmed chip" : " programmed chips");
  if (reads > 1) out << ", each read " << reads << " times";
  out << ": mean, half its 95 % interval, standard deviation";
  if (parts) out << " and its parts from chip to chip and from read to read";
  out << "\n";
}

/// One line per time: mean squared error and, for anomalies with labels, the area under the ROC curve.
void print_errors(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  const bool auc = !result.reference.anomalous.empty();
  TextTable table;
  table.add_column("", TextTable::Align::left);
  table.add_column("mean squared error");
  if (auc) table.add_column("AUC");
  const auto mean_text = [](const Moments& values, int digits) {
    return std::isnan(values.confidence_95())
               ? fmt::format("{:.{}g}", values.mean(), digits)
               : fmt::format("{:.{}g} ± {:.2g}", values.mean(), digits, values.confidence_95());
  };
  const std::int64_t times = std::max<std::int64_t>(1, std::ssize(request.evaluation.times));
  const auto add_row = [&](const std::string& name, const Moments& mse, const Moments& area) {
    std::vector<std::string> cells{name, mean_text(mse, 5)};
    if (auc) cells.push_back(mean_text(area, 4));
    table.add_row(std::move(cells));
  };
  for (std::int64_t time = 0; time < times; ++time) {
    Moments mse, area;
    for (const sim::PointResult& point : result.points) {
      if (point.index.time != time) continue;
      mse.add(point.score.mse());
      if (auc) area.add(point.score.auc());
    }
    if (mse.count() > 0) add_row(time_text(request.evaluation, time), mse, area);
  }
  Moments mse, area;
  mse.add(result.reference.mse());
  if (auc) area.add(result.reference.auc());
  add_row("float32", mse, area);
  out << table.text();
}

/// One line per time: how outputs agree with those of the float32 network; of a language model with the next tokens,
/// too.
void print_agreement(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result,
                     bool language) {
  struct Column {
    const char* heading;
    std::string (*text)(double);
    double (*value)(const sim::TaskScore&);
  };
  const auto percent = [](double x) { return format_percent(x); };
  const auto plain = [](double x) { return fmt::format("{:.4f}", x); };
  const auto small = [](double x) { return fmt::format("{:.3g}", x); };
  std::vector<Column> columns;
  if (language)
    columns = {{"perplexity", plain, [](const sim::TaskScore& s) { return s.perplexity(); }},
               {"loss (nat)", plain, [](const sim::TaskScore& s) { return s.loss(); }},
               {"next token", percent, [](const sim::TaskScore& s) { return s.accuracy(); }}};
  for (const Column& column : {Column{"same top-1", percent, [](const sim::TaskScore& s) { return s.agreement(); }},
                               Column{"KL (nat)", small, [](const sim::TaskScore& s) { return s.divergence(); }},
                               Column{"cosine", plain, [](const sim::TaskScore& s) { return s.cosine(); }}})
    columns.push_back(column);
  TextTable table;
  table.add_column("", TextTable::Align::left);
  for (const Column& column : columns) table.add_column(column.heading);
  const std::int64_t times = std::max<std::int64_t>(1, std::ssize(request.evaluation.times));
  for (std::int64_t time = 0; time < times; ++time) {
    std::vector<std::string> cells{time_text(request.evaluation, time)};
    bool any = false;
    for (const Column& column : columns) {
      Moments values;
      for (const sim::PointResult& point : result.points)
        if (point.index.time == time) values.add(column.value(point.score));
      any |= values.count() > 0;
      const double spread = values.confidence_95();
      cells.push_back(column.text(values.mean()) + (std::isnan(spread) ? "" : " ± " + column.text(spread)));
    }
    if (any) table.add_row(std::move(cells));
  }
  if (language) {
    std::vector<std::string> cells{"float32"};
    for (std::size_t c = 0; c < columns.size(); ++c)
      cells.push_back(c < 3 ? columns[c].text(columns[c].value(result.reference)) : "");
    table.add_row(std::move(cells));
  } else {
    out << "  no labels: outputs against those of the float32 network\n";
  }
  out << table.text();
}

void print_scores(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  const sim::Task task = sim::task_of(request);
  switch (task) {
    case sim::Task::automatic:
      return;
    case sim::Task::agreement:
    case sim::Task::language_model:
      return print_agreement(out, request, result, task == sim::Task::language_model);
    case sim::Task::classification:
      return print_accuracy(out, request, result);
    case sim::Task::regression:
    case sim::Task::anomaly:
      return print_errors(out, request, result);
  }
}

sim::NetworkCalibration calibration_in_use(const sim::EvaluationRequest& request) {
  sim::NetworkCalibration used;
  for (const nn::LinearLayer& layer : request.executor.layers()) {
    const std::string& op = request.executor.graph().nodes[static_cast<std::size_t>(layer.node)].op;
    if (auto found = request.resolve(layer.name, op).calibration) used.emplace(layer.name, std::move(found));
  }
  return used;
}

std::string rate(std::int64_t samples, double seconds) {
  return seconds > 0.0 ? format_rate(static_cast<double>(samples) / seconds) + " samples/s" : "-";
}

}  // namespace

void print_run_summary(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result,
                       const std::string& name) {
  out << name << ": " << format_count(request.data.size()) << " samples of " << request.data.name() << "\n\n";
  if (const std::string ranges = calibration_summary(calibration_in_use(request)); !ranges.empty())
    out << "  ranges from the model file: " << ranges << "\n\n";
  if (request.quantization && !request.quantization->ranges.empty())
    out << "  ranges of digital quantizers from the model file\n\n";
  if (request.statistics && !result.points.empty()) print_layers(out, request, result);
  if (request.spiking && !result.points.empty()) print_populations(out, request, result);
  print_scores(out, request, result);
  out << "\n  speed: analog " << rate(result.analog_samples, result.analog_seconds);
  if (result.reference_samples > 0) out << ", float32 " << rate(result.reference_samples, result.reference_seconds);
  out << "\n";
}

}  // namespace tessera::cli
