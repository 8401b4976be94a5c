#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/h5/image.hpp"
#include "tessera/results/writer.hpp"
#include "tessera/sim/evaluate.hpp"

/// Many evaluations. Every chip of every point is kept in a file of its own until all are put together: a sweep that is
/// killed continues where it was, may be cut into shards, and may be worked on by several processes.
namespace tessera::sim {

/// Chips are evaluated until the mean accuracy of a point is known well enough.
struct StopParameters {
  double half_width = 0.1;  ///< of its 95 % interval over chips (Student's t), percentage points; > 0
  int max_repeats = 100;    ///< most chips; >= 2

  bool operator==(const StopParameters&) const = default;
};

/// Whether the chips' accuracies (fractions) suffice: at least two, and an interval of at most the given half width. A
/// rule looks at chips 0 .. n-1 for n = evaluation.repeats, then for one more at a time, so that it stops at the same
/// chip however the work was divided.
bool is_precise_enough(const StopParameters& stop, const std::vector<double>& accuracies);

/// One point of a sweep. `id` names everything that determines its chips: a file with this id is never computed again.
struct SweepJob {
  std::vector<std::int64_t> index;  ///< on the swept axes
  std::string id;                   ///< hash of the resolved configuration, but for evaluation.repeats
  std::string label;                ///< for messages: "n_bits=4, out_noise=0.1"
  std::string resolved_text;
  std::function<EvaluationRequest()> request;  ///< may load what it needs; cheap: it is called several times
  RecordParameters record;
};

/// How several processes that run the same sweep work on it together. Alone: as it is.
struct SweepTeam {
  bool leads = true;  ///< decides what is to be done; exactly one of them
  /// Gives what the leader has to all, at the same place in every process.
  std::function<std::vector<std::int64_t>(std::vector<std::int64_t>)> from_leader = {};
  /// Calls run(i) for tasks of 0 .. count-1 that no other process takes, until all are done or run() returns false;
  /// returns when every process is there.
  std::function<void(std::int64_t count, const std::function<bool(std::int64_t)>& run)> distribute = {};
};

/// Where the chips of a sweep are kept until they are put together: each a result file of its own, in a folder or in
/// memory. Copies share what is in memory.
class ChipStore {
 public:
  /// In memory.
  ChipStore() : images_(std::make_shared<std::map<std::string, h5::Image>>()) {}
  /// A folder, which is made if it is not there; seen by all processes.
  explicit ChipStore(std::string folder) : folder_(std::move(folder)) {}

  /// "" in memory.
  const std::string& folder() const { return folder_; }
  /// RunError where the folder cannot be made.
  void prepare() const;
  bool has(const std::string& name) const;
  results::Writer create(const std::string& name, results::Header header) const;
  /// What create() gave is complete.
  void keep(const std::string& name, results::Writer& writer) const;
  h5::File open(const std::string& name) const;
  /// Forgets all.
  void remove() const;

 private:
  std::string file(const std::string& name) const;
  std::string folder_;
  std::shared_ptr<std::map<std::string, h5::Image>> images_;
};

struct SweepOptions {
  ChipStore store;
  std::int64_t shard = 0, shards = 1;  ///< this one computes its part of the points, in their order
  /// Evaluate points together that share layers (evaluate_together); never changes a result.
  bool share = true;
  std::optional<StopParameters> stop = {};
  results::Header provenance = {};  ///< command, configuration as given
  SweepTeam team = {};
};

/// In points.
struct SweepSummary {
  std::int64_t computed = 0;
  std::int64_t reused = 0;   ///< finished before, or equal to another point
  std::int64_t missing = 0;  ///< left to other shards, or not reached
  std::int64_t chips = 0;    ///< evaluated by this process
  bool cancelled = false;
};

/// Where the chips of a sweep with this output are kept until they are put together: "<output>.points".
std::string points_folder(const std::string& output);

/// Computes what is not in the store yet. Points of the same id are computed once. Every chip is a result file of
/// its own, committed when it is finished; points that share layers are in flight together, one chip of each at a time.
SweepSummary run_sweep(const std::vector<SweepJob>& jobs, const SweepOptions& options, Parallel parallel,
                       const Environment& environment);

/// Images (samples of all chips, times and reads) of all points, but for further chips that a stop rule may want.
std::int64_t count_images(const std::vector<SweepJob>& jobs);
/// About how long run_sweep() takes for all of them: a few images through the first points.
double estimate_seconds(const std::vector<SweepJob>& jobs, bool share, Parallel parallel);

/// The header of the whole sweep: that of the points (described by one request each), joined, with the swept axes.
void describe_sweep(results::Header& header, const std::vector<SweepJob>& jobs,
                    const std::optional<StopParameters>& stop = std::nullopt);

/// Writes all chips that are in the store (and that a stop rule wants) to `writer`.
void collect_points(results::Writer& writer, const std::vector<SweepJob>& jobs, const SweepOptions& options);

}  // namespace tessera::sim
