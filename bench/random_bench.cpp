// Nanoseconds per random number of one core, beside memset of the same memory (L1-sized, and larger than the caches).
// Goal: a Gaussian costs 0.3 to 0.7 ns with AVX-512.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "tessera/random/stream.hpp"

namespace {

using tessera::random::Purpose;
using tessera::random::Stream;

const Stream stream({.seed = 1}, Purpose::test);

void set_rate(benchmark::State& state, std::size_t count) {
  const auto total = static_cast<double>(state.iterations()) * static_cast<double>(count);
  state.counters["ns_each"] =
      benchmark::Counter(total * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void normal(benchmark::State& state) {
  std::vector<float> out(static_cast<std::size_t>(state.range(0)));
  std::uint64_t first = 0;
  for (auto _ : state) {
    tessera::random::fill_normal(stream, 0, first, out);
    first += out.size();  // so that short fills start anywhere within a group
    benchmark::DoNotOptimize(out.data());
  }
  set_rate(state, out.size());
}

void uniform(benchmark::State& state) {
  std::vector<float> out(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    tessera::random::fill_uniform(stream, 0, 0, out);
    benchmark::DoNotOptimize(out.data());
  }
  set_rate(state, out.size());
}

void bits(benchmark::State& state) {
  std::vector<std::uint32_t> out(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    tessera::random::fill_bits(stream, 0, 0, out);
    benchmark::DoNotOptimize(out.data());
  }
  set_rate(state, out.size());
}

void memory_set(benchmark::State& state) {
  std::vector<float> out(static_cast<std::size_t>(state.range(0)));
  int value = 0;
  for (auto _ : state) {
    std::memset(out.data(), ++value & 1, out.size() * sizeof(float));
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  set_rate(state, out.size());
}

}  // namespace

BENCHMARK(normal)->Arg(1)->Arg(10)->Arg(27)->Arg(64)->Arg(512)->Arg(4096)->Arg(1 << 24);
BENCHMARK(uniform)->Arg(4096)->Arg(1 << 24);
BENCHMARK(bits)->Arg(4096)->Arg(1 << 24);
BENCHMARK(memory_set)->Arg(4096)->Arg(1 << 24);
