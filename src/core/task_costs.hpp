#pragma once
#include <array>
#include <atomic>
#include <cstdint>

#include "tessera/core/parallel.hpp"

/// Private: how long the tasks of a loop took so far. Says which threads work, never what comes out.
namespace tessera::detail {

/// Waking a thread and waiting for it costs some 10 us on an idle machine, and a time slice on a busy one: loops that
/// one thread ends sooner than this are left to it.
constexpr double worth_waking_nanoseconds = 150e3;

class TaskCost {
 public:
  /// Nanoseconds of one task, 0 before the first.
  double nanoseconds() const { return nanoseconds_.load(std::memory_order_relaxed); }
  void update(double measured) {
    const double before = nanoseconds();
    nanoseconds_.store(before == 0.0 ? measured : 0.5 * (before + measured), std::memory_order_relaxed);
  }

 private:
  std::atomic<double> nanoseconds_{0.0};
};

/// The cost of this loop's tasks. Each loop in the source has a task function of its own; of two that share a place,
/// each sees the mean.
inline TaskCost& task_cost(TaskFunction function) {
  static std::array<TaskCost, 1024> costs;
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  return costs[(address >> 4) % costs.size()];
}

}  // namespace tessera::detail
