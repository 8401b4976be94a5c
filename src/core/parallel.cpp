#include "tessera/core/parallel.hpp"

#include <sched.h>

#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#ifndef TESSERA_THREADS_STD
#include <omp.h>
#endif

namespace tessera {

namespace {

/// Keeps the exception with the smallest index, so that what is thrown does not depend on scheduling.
class FirstException {
 public:
  void capture(std::int64_t index) {
    const std::lock_guard lock(mutex_);
    if (index < index_) {
      index_ = index;
      exception_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::int64_t index_ = std::numeric_limits<std::int64_t>::max();
  std::exception_ptr exception_;
};

#ifdef TESSERA_THREADS_STD
thread_local bool inside_parallel_region = false;
#endif

bool nested() {
#ifdef TESSERA_THREADS_STD
  return inside_parallel_region;
#else
  return omp_in_parallel() != 0;
#endif
}

}  // namespace

Parallel Parallel::all() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return {std::max(1, CPU_COUNT(&set))};
  return {std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
}

void detail::run_tasks(Parallel parallel, std::int64_t count, TaskFunction function, void* context) {
  const int threads = static_cast<int>(std::min<std::int64_t>(parallel.threads, count));
  if (threads <= 1 || nested()) {
    for (std::int64_t i = 0; i < count; ++i) function(context, i);
    return;
  }
  FirstException first;
  const auto guarded = [&](std::int64_t i) {
    try {
      function(context, i);
    } catch (...) {
      first.capture(i);
    }
  };
#ifdef TESSERA_THREADS_STD
  std::atomic<std::int64_t> next{0};
  const auto work = [&] {
    inside_parallel_region = true;
    for (std::int64_t i = next++; i < count; i = next++) guarded(i);
    inside_parallel_region = false;
  };
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
#else
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) guarded(i);
#endif
  first.rethrow();
}

}  // namespace tessera
