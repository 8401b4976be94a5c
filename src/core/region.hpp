#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>

#include "tessera/core/parallel.hpp"

/// Private: the tasks of one parallel loop, taken one by one by whoever works on it.
namespace tessera::detail {

/// Does this thread work on a region? Loops inside one run serially.
bool inside_region();

class Region {
 public:
  Region(std::int64_t count, TaskFunction function, void* context)
      : count_(count), function_(function), context_(context) {}

  /// Runs tasks on this thread until none is left (true) or `nanoseconds` have passed.
  bool finish_alone(double nanoseconds);
  /// Takes and runs tasks until none is left; others may still run theirs. Never throws.
  void work();
  bool has_tasks() const { return next_.load(std::memory_order_relaxed) < count_; }

  /// For the thread that started the region, when all have left it:
  double nanoseconds_per_task() const { return static_cast<double>(busy_.load()) / static_cast<double>(count_); }
  /// Throws what the task of the smallest index threw, so that it does not depend on scheduling.
  void rethrow() const;

 private:
  void run(std::int64_t index);

  const std::int64_t count_;
  const TaskFunction function_;
  void* const context_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::int64_t> busy_{0};  // nanoseconds of all threads
  std::mutex mutex_;
  std::int64_t first_failure_ = std::numeric_limits<std::int64_t>::max();
  std::exception_ptr exception_;
};

}  // namespace tessera::detail
