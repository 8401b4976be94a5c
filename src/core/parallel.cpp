#include "tessera/core/parallel.hpp"

#include <sched.h>

#include <algorithm>
#include <thread>

#include "core/region.hpp"
#include "core/task_costs.hpp"
#include "core/thread_pool.hpp"

namespace tessera {

Parallel Parallel::all() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return {std::max(1, CPU_COUNT(&set))};
  return {std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
}

void detail::run_tasks(Parallel parallel, std::int64_t count, TaskFunction function, void* context) {
  const int threads = static_cast<int>(std::min<std::int64_t>(parallel.threads, count));
  if (threads <= 1 || inside_region()) {
    for (std::int64_t i = 0; i < count; ++i) function(context, i);
    return;
  }
  Region region(count, function, context);
  // What the same loop cost before says whether it is worth waking others; where it is not, the first tasks tell.
  TaskCost& cost = task_cost(function);
  const bool long_before = cost.nanoseconds() * static_cast<double>(count) > worth_waking_nanoseconds;
  if (long_before || !region.finish_alone(worth_waking_nanoseconds)) {
    ThreadPool::Invitation invitation(ThreadPool::instance(), region, threads - 1);
    region.work();
  }
  cost.update(region.nanoseconds_per_task());
  region.rethrow();
}

}  // namespace tessera
