#include "cli/mpi_team.hpp"

#include <cstdlib>
#include <vector>

#include "tessera/core/error.hpp"

#ifdef TESSERA_HAVE_MPI
#include <mpi.h>

#include <atomic>
#include <thread>
#endif

namespace tessera::cli {

namespace {

/// Variables that mpirun (Open MPI, MPICH, PMIx) sets in the processes it starts.
bool started_by_launcher() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_SIZE"})
    if (std::getenv(name) != nullptr) return true;
  return false;
}

}  // namespace

#ifdef TESSERA_HAVE_MPI

struct MpiTeam::Ranks {
  Ranks() {
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &thread_level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
  }
  ~Ranks() { MPI_Finalize(); }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  std::vector<std::int64_t> from_leader(std::vector<std::int64_t> values) const {
    auto count = static_cast<std::int64_t>(values.size());
    MPI_Bcast(&count, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    values.resize(static_cast<std::size_t>(count));
    MPI_Bcast(values.data(), static_cast<int>(count), MPI_INT64_T, 0, MPI_COMM_WORLD);
    return values;
  }

  void distribute(std::int64_t count, const std::function<bool(std::int64_t)>& run) const {
    if (rank == 0)
      lead(count, run);
    else
      follow(run);
    MPI_Barrier(MPI_COMM_WORLD);
  }

  /// Answers every request with the next number, and with -1 when there is none; each rank asks until it gets that or
  /// says that it stops.
  void lead(std::int64_t count, const std::function<bool(std::int64_t)>& run) const {
    std::atomic<std::int64_t> next{0};
    const auto take = [&] {
      const std::int64_t task = next++;
      return task < count ? task : std::int64_t{-1};
    };
    const auto serve = [&] {
      for (int asking = size - 1; asking > 0;) {
        int stops = 0;
        MPI_Status status;
        MPI_Recv(&stops, 1, MPI_INT, MPI_ANY_SOURCE, request_tag, MPI_COMM_WORLD, &status);
        const std::int64_t task = stops != 0 ? -1 : take();
        MPI_Send(&task, 1, MPI_INT64_T, status.MPI_SOURCE, task_tag, MPI_COMM_WORLD);
        asking -= task < 0 ? 1 : 0;
      }
    };
    if (thread_level < MPI_THREAD_MULTIPLE) {
      serve();  // this library lets only one thread talk: rank 0 hands out first, then takes what is left
    } else {
      std::thread server(serve);
      try {
        for (std::int64_t task = take(); task >= 0 && run(task);) task = take();
      } catch (...) {
        server.detach();  // the process ends all ranks
        throw;
      }
      server.join();
      return;
    }
    for (std::int64_t task = take(); task >= 0 && run(task);) task = take();
  }

  static void follow(const std::function<bool(std::int64_t)>& run) {
    for (int stops = 0;;) {
      MPI_Send(&stops, 1, MPI_INT, 0, request_tag, MPI_COMM_WORLD);
      std::int64_t task = -1;
      MPI_Recv(&task, 1, MPI_INT64_T, 0, task_tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (task < 0) return;
      stops = run(task) ? 0 : 1;
    }
  }

  static constexpr int request_tag = 1, task_tag = 2;
  int thread_level = 0, rank = 0, size = 1;
};

MpiTeam::MpiTeam() {
  if (started_by_launcher()) ranks_ = std::make_unique<Ranks>();
}

int MpiTeam::rank() const {
  return ranks_ ? ranks_->rank : 0;
}
int MpiTeam::ranks() const {
  return ranks_ ? ranks_->size : 1;
}

sim::SweepTeam MpiTeam::team() {
  sim::SweepTeam team;
  if (ranks() < 2) return team;
  team.leads = rank() == 0;
  team.from_leader = [this](std::vector<std::int64_t> values) { return ranks_->from_leader(std::move(values)); };
  team.distribute = [this](std::int64_t count, const std::function<bool(std::int64_t)>& run) {
    ranks_->distribute(count, run);
  };
  return team;
}

MpiTeam::Agreement MpiTeam::agree(bool ready) const {
  int mine = ready ? 1 : 0;
  int all = mine, leader = mine;
  if (ranks() > 1) {
    MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    MPI_Bcast(&leader, 1, MPI_INT, 0, MPI_COMM_WORLD);
  }
  return all != 0 ? Agreement::all_ready : leader == 0 ? Agreement::leader_failed : Agreement::other_failed;
}

void MpiTeam::abort_if_many(int exit_code) const {
  if (ranks() > 1) MPI_Abort(MPI_COMM_WORLD, exit_code);
}

#else

struct MpiTeam::Ranks {};

MpiTeam::MpiTeam() {
  const char* const size = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (started_by_launcher() && (size == nullptr || std::string(size) != "1"))
    throw UsageError(
        "started by mpirun, but this tessera was built without MPI: every rank would compute everything; build with "
        "-DTESSERA_USE_MPI=ON, or use --shard");
}

int MpiTeam::rank() const {
  return 0;
}
int MpiTeam::ranks() const {
  return 1;
}
sim::SweepTeam MpiTeam::team() {
  return {};
}
MpiTeam::Agreement MpiTeam::agree(bool ready) const {
  return ready ? Agreement::all_ready : Agreement::leader_failed;
}
void MpiTeam::abort_if_many(int) const {}

#endif

MpiTeam::~MpiTeam() = default;

}  // namespace tessera::cli
