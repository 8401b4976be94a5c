#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/results/writer.hpp"
#include "tessera/sim/evaluate.hpp"

/// Many evaluations, each kept in a file of its own until all are put together: a sweep that is killed continues where
/// it was, and may be cut into shards.
namespace tessera::sim {

/// One point of a sweep. `id` names everything that determines its result: a file with this id is never computed again.
struct SweepJob {
  std::vector<std::int64_t> index;  ///< on the swept axes
  std::string id;                   ///< hash of the resolved configuration
  std::string label;                ///< for messages: "n_bits=4, out_noise=0.1"
  std::string resolved_text;
  std::function<EvaluationRequest()> request;  ///< may load what it needs; cheap: it is called several times
  RecordParameters record;
};

struct SweepSummary {
  std::int64_t computed = 0;
  std::int64_t reused = 0;   ///< finished before
  std::int64_t missing = 0;  ///< left to other shards, or not reached
  bool cancelled = false;
};

/// Where the points of a sweep with this output are kept until they are put together: "<output>.points".
std::string points_folder(const std::string& output);

/// Computes the jobs i with i % shards == shard that have no file in the folder yet. Points of the same id are computed
/// once. Every point is a result file of its own, committed when it is finished: a killed process loses at most one.
SweepSummary run_sweep(const std::vector<SweepJob>& jobs, const std::string& folder, std::int64_t shard,
                       std::int64_t shards, const results::Header& provenance, Parallel parallel,
                       const Environment& environment);

/// The header of the whole sweep: that of the points (described by one request each), joined, with the swept axes.
void describe_sweep(results::Header& header, const std::vector<SweepJob>& jobs);

/// Writes all points that are in the folder to `writer`.
void collect_points(results::Writer& writer, const std::vector<SweepJob>& jobs, const std::string& folder);

}  // namespace tessera::sim
