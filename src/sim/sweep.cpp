#include "tessera/sim/sweep.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "tessera/sim/recording.hpp"
#include "tessera/tile/mapping.hpp"

namespace tessera::sim {

namespace {

std::string point_file(const std::string& folder, const SweepJob& job) {
  return (std::filesystem::path(folder) / (job.id + ".h5")).string();
}

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
    whole.devices |= part.devices;
    whole.compensation |= part.compensation;
    whole.column_compensation |= part.column_compensation;
  }
  differ(point.populations != header.populations, "the spiking neurons");
  header.statistics |= point.statistics;
  header.predictions |= point.predictions;
}

/// Jobs of this shard whose result is not there yet, one per id.
std::vector<const SweepJob*> jobs_to_do(const std::vector<SweepJob>& jobs, const std::string& folder,
                                        std::int64_t shard, std::int64_t shards, SweepSummary& summary) {
  std::vector<const SweepJob*> todo;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (std::filesystem::exists(point_file(folder, jobs[i]))) {
      ++summary.reused;
    } else if (static_cast<std::int64_t>(i) % shards != shard) {
      ++summary.missing;
    } else if (seen.insert(jobs[i].id).second) {
      todo.push_back(&jobs[i]);
    } else {
      ++summary.reused;
    }
  }
  return todo;
}

}  // namespace

std::string points_folder(const std::string& output) {
  return output + ".points";
}

SweepSummary run_sweep(const std::vector<SweepJob>& jobs, const std::string& folder, std::int64_t shard,
                       std::int64_t shards, const results::Header& provenance, Parallel parallel,
                       const Environment& environment) {
  SweepSummary summary;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  require<RunError>(!error, "cannot create the folder {}: {}", folder, error.message());
  const std::vector<const SweepJob*> todo = jobs_to_do(jobs, folder, shard, shards, summary);
  std::map<std::pair<const nn::Executor*, const io::DataSet*>, TaskScore> references;
  for (std::size_t i = 0; i < todo.size(); ++i) {
    const SweepJob& job = *todo[i];
    EvaluationRequest request = job.request();
    const auto network_and_data = std::make_pair(&request.executor, &request.data);
    // The float32 network of a spiking run depends on its neurons.
    const bool score_only = !request.statistics && !job.record.predictions && !request.spiking;
    if (const auto known = references.find(network_and_data); score_only && known != references.end())
      request.known_reference = known->second;
    results::Header header = provenance;
    header.task_id = job.id;
    header.resolved_text = job.resolved_text;
    describe_run(header, request, job.record);
    results::Writer writer(point_file(folder, job), std::move(header));
    Environment inner = environment;
    if (environment.progress) {
      const auto before = static_cast<std::int64_t>(i);
      const std::int64_t all = std::ssize(todo);
      inner.progress = [&environment, before, all](std::int64_t done, std::int64_t total, const char* unit) {
        environment.progress(before * total + done, all * total, unit);
      };
    }
    try {
      const EvaluationResult result = evaluate(request, recording_sink(writer, request, {}, parallel), parallel, inner);
      if (!request.spiking) references.emplace(network_and_data, result.reference);
      if (!result.complete) {
        summary.cancelled = true;
        summary.missing += std::ssize(todo) - static_cast<std::int64_t>(i);
        return summary;
      }
    } catch (const RunError& failure) {
      throw RunError(fmt::format("at the sweep's point {}: {}", job.label, failure.what()));
    }
    writer.commit();
    ++summary.computed;
  }
  return summary;
}

void describe_sweep(results::Header& header, const std::vector<SweepJob>& jobs) {
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
}

void collect_points(results::Writer& writer, const std::vector<SweepJob>& jobs, const std::string& folder) {
  for (const SweepJob& job : jobs) {
    const std::string file = point_file(folder, job);
    if (std::filesystem::exists(file)) writer.copy_point(job.index, file);
  }
}

}  // namespace tessera::sim
