// Programming and drifting a network of 25 million weights (one 5000 x 5000 tile stands for it), beside filling the
// same memory with Gaussians and with zeros. Goal: program + drift below 3 s on two cores.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>

#include "tessera/device/life_cycle.hpp"

namespace {

using namespace tessera;
using device::DeviceParameters;

constexpr std::int64_t side = 5000;
constexpr std::int64_t weight_count = side * side;

const Matrix& weights() {
  static const Matrix matrix = [] {
    Matrix w(side, side);
    for (std::size_t i = 0; i < w.values().size(); ++i) w.values()[i] = std::sin(static_cast<float>(i % 1000));
    return w;
  }();
  return matrix;
}

void set_rate(benchmark::State& state, double per_weight) {
  const double total = static_cast<double>(state.iterations()) * static_cast<double>(weight_count);
  state.counters["ns_per_weight"] =
      benchmark::Counter(total * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["gaussians_per_s"] = benchmark::Counter(total * per_weight, benchmark::Counter::kIsRate);
}

/// 2 devices: 2 programming draws and 2 exponents, then 2 read draws for each weight.
void program_and_drift(benchmark::State& state, const DeviceParameters& parameters, double draws_per_device) {
  const Parallel parallel{static_cast<int>(state.range(0))};
  const auto devices = static_cast<double>(device::device_count(device::converter(parameters.noise_model)));
  weights();
  for (auto _ : state) {
    const device::ProgrammedState chip = device::program(parameters, weights().view(), {.seed = 1}, parallel);
    const Matrix read = device::weights_at(parameters, chip, 86400.0, 0, parallel);
    benchmark::DoNotOptimize(read.data());
  }
  set_rate(state, draws_per_device * devices);
}

void pcm(benchmark::State& state) {
  program_and_drift(state, {.noise_model = device::PCMLikeNoiseModel{}}, 3);
}
void pcm_from_weights(benchmark::State& state) {
  program_and_drift(state, {.noise_model = device::PCMLikeNoiseModel{}, .drift_from = device::DriftFrom::weights}, 3);
}
void hermes(benchmark::State& state) {
  program_and_drift(state, {.noise_model = device::HermesNoiseModel{}}, 3);
}
void cmo(benchmark::State& state) {
  program_and_drift(state, {.noise_model = device::ReRamCMONoiseModel{}}, 3);
}
void pcm_write_verify(benchmark::State& state) {
  program_and_drift(state,
                    {.noise_model = device::PCMLikeNoiseModel{}, .program_and_verify = device::ProgramAndVerify{}}, 3);
}

void drift_only(benchmark::State& state) {
  const Parallel parallel{static_cast<int>(state.range(0))};
  const DeviceParameters parameters{.noise_model = device::PCMLikeNoiseModel{}};
  const device::ProgrammedState chip = device::program(parameters, weights().view(), {.seed = 1}, parallel);
  for (auto _ : state) benchmark::DoNotOptimize(device::weights_at(parameters, chip, 3600.0, 0, parallel).data());
  set_rate(state, 2);
}

/// The six Gaussians that a pair needs, and nothing else.
void six_gaussians(benchmark::State& state) {
  const Parallel parallel{static_cast<int>(state.range(0))};
  const random::Stream stream({.seed = 1}, random::Purpose::test);
  AlignedVector<float> out(static_cast<std::size_t>(weight_count));
  for (auto _ : state) {
    for (std::uint32_t event = 0; event < 6; ++event)
      parallel_for_blocks(parallel, weight_count, 8192, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        random::fill_normal(stream, event, static_cast<std::uint64_t>(begin),
                            {out.data() + begin, static_cast<std::size_t>(end - begin)});
      });
  }
  set_rate(state, 6);
}

/// Target, two conductances, two exponents and the result of a pair, set to zero.
void memory_set(benchmark::State& state) {
  const Parallel parallel{static_cast<int>(state.range(0))};
  for (auto _ : state) {
    AlignedVector<float> out(static_cast<std::size_t>(6 * weight_count));
    parallel_for_blocks(parallel, 6 * weight_count, 8192, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      std::memset(out.data() + begin, 0, static_cast<std::size_t>(end - begin) * sizeof(float));
    });
    benchmark::DoNotOptimize(out.data());
  }
  set_rate(state, 0);
}

}  // namespace

#define TESSERA_DEVICE_BENCH(name) \
  BENCHMARK(name)->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.5)
TESSERA_DEVICE_BENCH(pcm);
TESSERA_DEVICE_BENCH(pcm_from_weights);
TESSERA_DEVICE_BENCH(hermes);
TESSERA_DEVICE_BENCH(cmo);
TESSERA_DEVICE_BENCH(pcm_write_verify);
TESSERA_DEVICE_BENCH(drift_only);
TESSERA_DEVICE_BENCH(six_gaussians);
TESSERA_DEVICE_BENCH(memory_set);
