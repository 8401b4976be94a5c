#include "cli/run_summary.hpp"

#include <algorithm>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/statistics.hpp"
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

LayerMeans layer_means(const sim::EvaluationResult& result, std::size_t layer) {
  LayerMeans means;
  for (const sim::PointResult& point : result.points) {
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

void print_layers(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  TextTable table;
  table.add_column("layer", TextTable::Align::left);
  table.add_column("kind", TextTable::Align::left);
  table.add_column("tiles (in x out)", TextTable::Align::left);
  table.add_column("SQNR dB");
  table.add_column("alone dB");
  table.add_column("clipped in");
  table.add_column("saturated out");
  for (std::size_t l = 0; l < request.executor.layers().size(); ++l) {
    const nn::LinearLayer& layer = request.executor.layers()[l];
    const std::string& op = request.executor.graph().nodes[static_cast<std::size_t>(layer.node)].op;
    const sim::LayerParameters parameters = request.resolve(layer.name, op);
    const LayerMeans means = layer_means(result, l);
    const bool analog = parameters.analog;
    table.add_row({layer.name, op, analog ? tiles_text(layer, parameters.rpu.mapping) : "digital",
                   format_decibel(means.cumulative.mean()), analog ? format_decibel(means.isolated.mean()) : "",
                   analog ? format_percent(means.clipped.mean()) : "",
                   analog ? format_percent(means.saturated.mean()) : ""});
  }
  out << table.text() << "\n";
}

std::string time_text(const sim::EvaluationParameters& evaluation, std::int64_t time) {
  if (evaluation.times.empty()) return "analog";
  return fmt::format("analog, {} s after programming", evaluation.times[static_cast<std::size_t>(time)]);
}

/// One line per time: mean over the chips, with spread and interval where there are several.
void print_accuracy(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result) {
  if (!request.data.has_labels()) {
    out << "  no labels: no accuracy\n";
    return;
  }
  TextTable table;
  table.add_column("", TextTable::Align::left);
  table.add_column("accuracy");
  table.add_column("loss");
  table.add_column("correct");
  table.add_column("", TextTable::Align::left);
  const std::int64_t times = std::max<std::int64_t>(1, std::ssize(request.evaluation.times));
  for (std::int64_t time = 0; time < times; ++time) {
    Moments accuracy, loss;
    std::int64_t correct = 0, count = 0;
    for (const sim::PointResult& point : result.points) {
      if (point.index.time != time) continue;
      accuracy.add(point.score.accuracy());
      loss.add(point.score.loss());
      correct += point.score.correct;
      count += point.score.count;
    }
    if (accuracy.count() == 0) continue;
    std::string spread;
    if (accuracy.count() > 1)
      spread =
          fmt::format("± {} (95 %), standard deviation {}, {} chips or reads", format_percent(accuracy.confidence_95()),
                      format_percent(accuracy.standard_deviation()), accuracy.count());
    table.add_row({time_text(request.evaluation, time), format_percent(accuracy.mean()),
                   fmt::format("{:.4f}", loss.mean()), fmt::format("{}/{}", format_count(correct), format_count(count)),
                   spread});
  }
  table.add_row({"float32", format_percent(result.reference.accuracy()), fmt::format("{:.4f}", result.reference.loss()),
                 fmt::format("{}/{}", format_count(result.reference.correct), format_count(result.reference.count)),
                 ""});
  out << table.text();
}

std::string rate(std::int64_t samples, double seconds) {
  return seconds > 0.0 ? fmt::format("{} images/s",
                                     format_count(static_cast<std::int64_t>(static_cast<double>(samples) / seconds)))
                       : "-";
}

}  // namespace

void print_run_summary(std::ostream& out, const sim::EvaluationRequest& request, const sim::EvaluationResult& result,
                       const std::string& name) {
  out << name << ": " << format_count(request.data.size()) << " samples of " << request.data.name() << "\n\n";
  if (request.statistics && !result.points.empty()) print_layers(out, request, result);
  print_accuracy(out, request, result);
  out << "\n  speed: analog " << rate(result.analog_samples, result.analog_seconds);
  if (result.reference_samples > 0) out << ", float32 " << rate(result.reference_samples, result.reference_seconds);
  out << "\n";
}

}  // namespace tessera::cli
