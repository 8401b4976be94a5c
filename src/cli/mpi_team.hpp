#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "tessera/sim/sweep.hpp"

namespace tessera::cli {

/// The ranks of `mpirun -n N tessera ...`; one rank where the process was started without mpirun or built without MPI.
/// The only place that knows MPI. At most one object per process: MPI cannot be started again.
class MpiTeam {
 public:
  /// Starts MPI if a launcher (mpirun, srun --mpi) started this process. UsageError if one did and MPI was not built
  /// in.
  MpiTeam();
  ~MpiTeam();
  MpiTeam(const MpiTeam&) = delete;
  MpiTeam& operator=(const MpiTeam&) = delete;

  int rank() const;
  int ranks() const;
  /// Rank 0 leads, hands out tasks one by one to whoever asks next, and works itself between.
  sim::SweepTeam team();
  /// Whether every rank is ready to go on; call once on each. A rank that is not ready may throw afterwards; it should
  /// be silent if rank 0 has the same trouble and says so.
  enum class Agreement { all_ready, leader_failed, other_failed };
  Agreement agree(bool ready) const;
  /// Ends all ranks with this exit code, if there are others: a rank that failed would leave them waiting.
  void abort_if_many(int exit_code) const;

 private:
  struct Ranks;
  std::unique_ptr<Ranks> ranks_;
};

}  // namespace tessera::cli
