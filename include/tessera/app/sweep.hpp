#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/app/execution.hpp"
#include "tessera/app/result_file.hpp"
#include "tessera/results/records.hpp"
#include "tessera/sim/sweep.hpp"
#include "tessera/spec/sweep.hpp"

namespace tessera::app {

class Simulation;

struct SweepOptions {
  std::string file = {};               ///< result file; finished chips are kept beside it until all are there. "":
                                       ///< everything in memory
  std::int64_t shard = 0, shards = 1;  ///< compute only this part of the points, counted from 0
  bool share = true;                   ///< compute once what points have in common; never changes a result
  sim::SweepTeam team = {};            ///< other processes that work on the same sweep
};

struct SweepResult {
  sim::SweepSummary summary;  ///< `cancelled` and `missing` say what is not there
  ResultFile file;            ///< the hypercube (docs/formats/results.md); empty unless the team's leader
};

/// A sweep whose points were all checked, its networks and data loaded. Refers to the environment of its creation
/// while that goes on only.
class Sweep {
 public:
  Sweep(const Simulation& simulation, const Environment& environment);
  ~Sweep();
  Sweep(Sweep&&) noexcept;
  Sweep& operator=(Sweep&&) noexcept;

  const spec::SweepPlan& plan() const;
  const std::vector<sim::SweepJob>& jobs() const;
  /// Computes what the file's folder of chips does not have yet, and puts all together.
  SweepResult run(const SweepOptions& options, const Execution& execution) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

/// Puts the files of a sweep's shards together in `output`, which appears when it is complete. Returns how many points
/// are still missing. InputError if the files are not parts of one sweep.
std::int64_t merge(const std::vector<std::string>& shards, const std::string& output);

}  // namespace tessera::app
