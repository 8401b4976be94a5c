#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

/// Threads that do not change the answer: work is cut into pieces whose borders do not depend on the thread count, each
/// piece writes only its own results, and whoever combines them does so in index order.
namespace tessera {

/// How many threads a computation may use. A value passed down; there is no global setting.
struct Parallel {
  int threads = 1;
  /// All processors this process may run on.
  static Parallel all();
};

namespace detail {
using TaskFunction = void (*)(void* context, std::int64_t index);
void run_tasks(Parallel parallel, std::int64_t count, TaskFunction function, void* context);
}  // namespace detail

/// Calls body(i) for i = 0..count-1 on up to parallel.threads threads, in any order. If bodies throw, all started ones
/// finish and the exception of the smallest index is rethrown. Calls from inside a body run serially.
template <class Body>
void parallel_for(Parallel parallel, std::int64_t count, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::run_tasks(
      parallel, count, [](void* context, std::int64_t index) { (*static_cast<Plain*>(context))(index); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

/// Cuts [0, count) into blocks of `block` (the last may be shorter) and calls body(block_index, begin, end) for each.
template <class Body>
void parallel_for_blocks(Parallel parallel, std::int64_t count, std::int64_t block, Body&& body) {
  parallel_for(parallel, (count + block - 1) / block,
               [&](std::int64_t b) { body(b, b * block, std::min(count, (b + 1) * block)); });
}

}  // namespace tessera
