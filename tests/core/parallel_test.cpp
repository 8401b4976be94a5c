// Question: does every index run once, for any thread count, with exceptions and nesting, and the same answer?
#include "tessera/core/parallel.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tessera {
namespace {

int pause() {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return 1;
}

std::size_t threads_of_long_loop() {
  std::mutex mutex;
  std::set<std::thread::id> ids;
  parallel_for({2}, 4, [&](std::int64_t) {
    pause();
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  return ids.size();
}

class EveryThreadCount : public testing::TestWithParam<int> {
 protected:
  Parallel parallel() const { return {GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Parallel, EveryThreadCount, testing::Values(0, 1, 2, 3, 8));

TEST_P(EveryThreadCount, RunsEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
    parallel_for(parallel(), count, [&](std::int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
    for (const auto& r : runs) ASSERT_EQ(r.load(), 1);
  }
}

TEST_P(EveryThreadCount, BlocksCoverTheRangeWithFixedBorders) {
  for (const std::int64_t count : {0, 1, 99, 100, 101, 1000}) {
    std::vector<std::pair<std::int64_t, std::int64_t>> borders(static_cast<std::size_t>((count + 99) / 100));
    parallel_for_blocks(parallel(), count, 100, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
      borders.at(static_cast<std::size_t>(block)) = {begin, end};
    });
    std::int64_t next = 0;
    for (const auto& [begin, end] : borders) {
      EXPECT_EQ(begin, next);
      EXPECT_GT(end, begin);
      next = end;
    }
    EXPECT_EQ(next, count);
  }
}

TEST_P(EveryThreadCount, ThrowsTheExceptionOfTheSmallestIndex) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    try {
      parallel_for(parallel(), 100, [](std::int64_t i) {
        if (i % 10 == 3) throw std::runtime_error(std::to_string(i));
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      ASSERT_STREQ(error.what(), "3");
    }
  }
}

TEST_P(EveryThreadCount, NestedCallsRunAndThrow) {
  std::vector<std::int64_t> sums(20);
  parallel_for(parallel(), 20, [&](std::int64_t i) {
    std::int64_t sum = 0;  // safe without atomics only because the inner loop is serial
    parallel_for(parallel(), 100, [&](std::int64_t j) { sum += i * j; });
    sums[static_cast<std::size_t>(i)] = sum;
  });
  for (std::int64_t i = 0; i < 20; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)], i * 4950);
  EXPECT_THROW(parallel_for(parallel(), 4,
                            [&](std::int64_t) {
                              parallel_for(parallel(), 4, [](std::int64_t) { throw std::logic_error("inner"); });
                            }),
               std::logic_error);
}

TEST_P(EveryThreadCount, SumsCombinedInIndexOrderAreBitIdentical) {
  const auto sum = [](Parallel threads) {
    std::vector<double> parts(123);
    parallel_for_blocks(threads, 12299, 100, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
      double part = 0.0;
      for (std::int64_t i = begin; i < end; ++i) part += 1.0 / static_cast<double>(i + 1);
      parts[static_cast<std::size_t>(block)] = part;
    });
    return std::accumulate(parts.begin(), parts.end(), 0.0);
  };
  EXPECT_EQ(sum(parallel()), sum({1}));
}

TEST(Parallel, ThreadsReallyRunAtOnceAfterAnException) {
  EXPECT_THROW(parallel_for({2}, 2, [](std::int64_t) { throw std::runtime_error("x"); }), std::runtime_error);
  // A loop that was long before is shared; a busy machine may need some attempts.
  for (int attempt = 0; attempt < 100; ++attempt)
    if (threads_of_long_loop() == 2) return;
  FAIL() << "no second thread ever came";
}

TEST(Parallel, ShortLoopsStayWithTheirThread) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::set<std::thread::id> ids;  // safe without a lock only because no second thread comes
    parallel_for({8}, 16, [&](std::int64_t) { ids.insert(std::this_thread::get_id()); });
    ASSERT_EQ(ids.size(), 1U);
  }
}

TEST(Parallel, LoopsOfSeveralThreadsShareTheHelpers) {
  std::vector<std::thread> callers;
  std::vector<std::int64_t> sums(4);
  for (std::size_t c = 0; c < sums.size(); ++c)
    callers.emplace_back([&sums, c] {
      for (int round = 0; round < 200; ++round) {
        std::atomic<std::int64_t> sum{0};
        parallel_for({3}, 40, [&](std::int64_t i) {
          std::int64_t part = 0;
          for (std::int64_t k = 0; k < 2000; ++k) part += (i * k) % 7;
          sum += part;
        });
        sums[c] = sum;
      }
    });
  for (std::thread& caller : callers) caller.join();
  for (const std::int64_t sum : sums) EXPECT_EQ(sum, sums.front());
}

#ifndef __SANITIZE_THREAD__  // which ends a forked process that starts threads
TEST(Parallel, WorksInAForkedProcess) {
  threads_of_long_loop();
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> ran{0};
    for (int round = 0; round < 3; ++round) parallel_for({2}, 4, [&](std::int64_t) { ran += pause(); });
    _exit(ran == 12 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

TEST(Parallel, AllIsAtLeastOneThread) {
  EXPECT_GE(Parallel::all().threads, 1);
}

TEST(Parallel, TakesConstAndMutableBodies) {
  int calls = 0;
  const auto constant = [&calls](std::int64_t) { ++calls; };
  parallel_for({1}, 3, constant);
  parallel_for({1}, 3, [&calls](std::int64_t) mutable { ++calls; });
  EXPECT_EQ(calls, 6);
}

}  // namespace
}  // namespace tessera
