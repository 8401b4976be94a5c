// What do threads cost on a busy machine? Times short and long work on one thread and on all, first with idle
// processors, then beside one competing process per processor, which this program starts itself. The time on all
// threads divided by that on one: 1 or less is good, and on a busy machine it must stay below 1.3. Median of many
// rounds.
//   bin/busy_bench [ROUNDS]
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/analog_layer.hpp"
#include "tessera/tile/presets.hpp"

namespace tessera::bench {
namespace {

/// Processes that want all processors, for as long as it lives.
class Load {
 public:
  explicit Load(int processes) {
    for (int i = 0; i < processes; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        std::atomic<unsigned> count{0};
        for (;;) count.fetch_add(1, std::memory_order_relaxed);
      }
      children_.push_back(child);
    }
  }
  ~Load() {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

 private:
  std::vector<pid_t> children_;
};

struct Work {
  std::string name;
  std::function<void(Parallel)> run;
};

/// A layer of one tile, `calls` forward passes of `vectors` vectors each.
Work tile_work(const std::string& name, std::int64_t inputs, std::int64_t outputs, std::int64_t vectors, int calls) {
  Matrix weight(outputs, inputs);
  for (std::int64_t i = 0; i < outputs; ++i)
    for (std::int64_t k = 0; k < inputs; ++k) weight(i, k) = static_cast<float>((i * 7 + k * 3) % 11 - 5) / 5.0F;
  Matrix x(vectors, inputs);
  for (float& value : x.values()) value = 0.5F;
  auto layer = std::make_shared<tile::AnalogLayer>(tile::preset("StandardIOParameters"), weight.view(),
                                                   std::span<const float>(), random::Address{.seed = 1});
  auto y = std::make_shared<Matrix>(vectors, outputs);
  return {name, [layer, y, x = std::move(x), calls](Parallel parallel) {
            for (int call = 0; call < calls; ++call)
              layer->forward(x.view(), y->view(), {.parallel = parallel, .event = static_cast<std::uint32_t>(call)});
          }};
}

Tensor normal_tensor(Shape shape, std::uint32_t event) {
  Tensor tensor = Tensor::uninitialized(std::move(shape));
  random::fill_normal(random::Stream({.seed = 1}, random::Purpose::test), event, 0, tensor.values());
  for (float& value : tensor.values()) value *= 0.3F;
  return tensor;
}

/// An LSTM over sequences: many short products, one after the other.
Work recurrent_work(const std::string& name, std::int64_t steps, std::int64_t inputs, std::int64_t hidden,
                    std::int64_t samples, int calls) {
  nn::Graph graph;
  const nn::ValueId x = graph.add_value("x"), by_step = graph.add_value("by_step"), y = graph.add_value("y"),
                    last = graph.add_value("last"), w = graph.add_value("w", normal_tensor({1, 4 * hidden, inputs}, 1)),
                    r = graph.add_value("r", normal_tensor({1, 4 * hidden, hidden}, 2));
  graph.nodes = {{"by_step", "Transpose", {x}, {by_step}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}}},
                 {"lstm", "LSTM", {by_step, w, r}, {y, last}, {{"hidden_size", hidden}}}};
  graph.inputs = {{x, nn::ElementType::float32, {-1, steps, inputs}, true}};
  graph.outputs = {last};
  auto executor = std::make_shared<nn::Executor>(std::move(graph));
  return {name, [executor, batch = normal_tensor({samples, steps, inputs}, 3), calls](Parallel parallel) {
            for (int call = 0; call < calls; ++call) static_cast<void>(executor->run(batch, {.parallel = parallel}));
          }};
}

double seconds_of(const Work& work, Parallel parallel) {
  const auto start = std::chrono::steady_clock::now();
  work.run(parallel);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

void compare(const char* machine, const std::vector<Work>& works, int rounds) {
  for (const Work& work : works) {
    std::vector<double> one;
    std::vector<double> all;
    for (int round = 0; round < rounds; ++round) {
      one.push_back(seconds_of(work, {1}));
      all.push_back(seconds_of(work, Parallel::all()));
    }
    std::printf("%-5s  %-34s  %10.1f us  %10.1f us  %6.2f\n", machine, work.name.c_str(), 1e6 * median(one),
                1e6 * median(all), median(all) / median(one));
  }
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  using namespace tessera;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 51;
  const std::vector<bench::Work> works{
      bench::tile_work("27x16, 64 vectors, 100 calls", 27, 16, 64, 100),
      bench::tile_work("27x16, 4096 vectors", 27, 16, 4096, 1),
      bench::tile_work("256x256, 256 vectors", 256, 256, 256, 1),
      bench::tile_work("512x512, 2048 vectors", 512, 512, 2048, 1),
      bench::recurrent_work("LSTM 8 -> 16, 50 steps, 1 sample", 50, 8, 16, 1, 20),
      bench::recurrent_work("LSTM 64 -> 128, 50 steps, 64 samples", 50, 64, 128, 64, 1)};
  std::printf("%-5s  %-34s  %13s  %10s %d  %6s\n", "", "work", "one thread", "threads:", Parallel::all().threads,
              "ratio");
  bench::compare("idle", works, rounds);
  const bench::Load load(Parallel::all().threads);
  bench::compare("busy", works, rounds);
}
