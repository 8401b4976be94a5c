#include <algorithm>
#include <map>
#include <set>

#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/recording.hpp"
#include "tessera/sim/sweep.hpp"
#include "tessera/tile/mapping.hpp"

/// The header of a sweep's file, from those of its points.
namespace tessera::sim {

namespace {

/// Tiles and tile columns of each layer of a request.
void widen_tiles(results::Header& header, const EvaluationRequest& request) {
  for (std::size_t l = 0; l < header.layers.size(); ++l) {
    const nn::LinearLayer& layer = request.executor.layers()[l];
    const std::string& op = request.executor.graph().nodes[static_cast<std::size_t>(layer.node)].op;
    const LayerParameters parameters = request.resolve(layer.name, op);
    if (!parameters.analog) continue;
    std::int64_t tiles = 0;
    std::int64_t columns = 0;
    for (const nn::LinearPart& part : layer.parts) {
      for (const tile::TilePlace& place :
           tile::place_tiles(part.weight.rows(), part.weight.cols(), parameters.rpu.mapping)) {
        ++tiles;
        columns += place.outputs;
      }
    }
    header.layers[l].max_tiles = std::max(header.layers[l].max_tiles, tiles);
    header.layers[l].max_columns = std::max(header.layers[l].max_columns, columns);
  }
}

void join(results::Header& header, const results::Header& point, const std::string& label) {
  const auto differ = [&](bool different, const char* what) {
    require<InputError>(!different, "what is swept changes {} (at {}); sweep it in separate files", what, label);
  };
  differ(point.times != header.times, "evaluation.times");
  differ(point.repeats != header.repeats, "evaluation.repeats");
  differ(point.samples != header.samples || point.labels != header.labels, "the data's samples");
  differ(point.task != header.task || point.classes != header.classes, "evaluation.task or the network's classes");
  differ(point.layers.size() != header.layers.size(), "the network's layers");
  for (std::size_t l = 0; l < point.layers.size(); ++l) {
    results::LayerHeader& whole = header.layers[l];
    const results::LayerHeader& part = point.layers[l];
    differ(part.name != whole.name || part.output_shape != whole.output_shape || part.inputs != whole.inputs,
           "the network's layers");
    whole.analog |= part.analog;
    whole.record_output |= part.record_output;
    whole.periphery_codes |= part.periphery_codes;
    whole.fixed_point |= part.fixed_point;
    whole.devices |= part.devices;
    whole.compensation |= part.compensation;
    whole.column_compensation |= part.column_compensation;
    whole.weight_slices = std::max(whole.weight_slices, part.weight_slices);
    whole.wires_compensated |= part.wires_compensated;
    whole.array_outputs = std::max(whole.array_outputs, part.array_outputs);
    whole.array_inputs = std::max(whole.array_inputs, part.array_inputs);
  }
  differ(point.populations != header.populations, "the spiking neurons");
  header.statistics |= point.statistics;
  header.predictions |= point.predictions;
}

/// The parameters of all layers of a point fit what the model file holds, and a forced calibration hides no difference
/// between points.
class PointCheck {
 public:
  void add(const SweepJob& job, const EvaluationRequest& request) {
    const auto& layers = request.executor.layers();
    std::vector<LayerParameters> parameters;
    try {
      parameters = layer_parameters(request.executor, request.resolve);
    } catch (const ConfigError& error) {
      for (const Problem& problem : error.problems()) add(problem, job.label);
      return;
    }
    for (std::size_t l = 0; l < layers.size(); ++l) {
      if (!parameters[l].calibration || !parameters[l].calibration->forced) continue;
      const ReplacedParameters asked = parameters[l].replaced.value_or(ReplacedParameters{});
      const ReplacedParameters& first = asked_.try_emplace(layers[l].name, asked).first->second;
      if (asked == first) continue;
      const char* key =
          asked.noise_management != first.noise_management ? "forward.noise_management" : "pre_post.input_range.enable";
      add({.file = {},
           .key = std::string("rpu_config.") + key,
           .message = fmt::format(
               "layer '{}': the input ranges that the model file holds were found for all layers "
               "(calibration.force_all_layers), so that {} changes nothing; set model.use_calibration: false, or "
               "calibrate with force_all_layers: false",
               layers[l].name, key)},
          job.label);
    }
  }
  void finish() {
    if (!problems_.empty()) throw ConfigError(std::move(problems_));
  }

 private:
  void add(Problem problem, const std::string& label) {
    if (!seen_.insert(problem.key + problem.message).second) return;
    if (!label.empty()) problem.message += fmt::format(" (at {})", label);
    problems_.push_back(std::move(problem));
  }

  std::map<std::string, ReplacedParameters> asked_;
  std::set<std::string> seen_;
  std::vector<Problem> problems_;
};

}  // namespace

void describe_sweep(results::Header& header, const std::vector<SweepJob>& jobs,
                    const std::optional<StopParameters>& stop) {
  PointCheck check;
  for (const SweepJob& job : jobs) check.add(job, job.request());
  check.finish();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const EvaluationRequest request = jobs[i].request();
    if (i == 0) {
      describe_run(header, request, jobs[i].record);
    } else {
      results::Header point;
      describe_run(point, request, jobs[i].record);
      join(header, point, jobs[i].label);
    }
    widen_tiles(header, request);
  }
  if (!stop) return;
  require<InputError>(header.task == results::Task::classification && !header.labels.empty(),
                      "sweep.stop looks at the accuracy: it needs labels, and an isolated sweep has none");
  header.stopped = true;
  header.repeats = stop->max_repeats * header.reads;
}

}  // namespace tessera::sim
