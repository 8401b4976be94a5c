// Wires of crossbars, as ratios to the plain product of the same shape in the same run.
//   bin/circuit_bench --benchmark_filter=effective_matrix
#include <benchmark/benchmark.h>

#include <cmath>

#include "gemm_yardstick.hpp"
#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/effective_matrix.hpp"
#include "tessera/circuit/ladder.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::bench {
namespace {

constexpr std::int64_t vectors = 256;

circuit::RealMatrix cells(std::int64_t outputs, std::int64_t inputs) {
  circuit::RealMatrix g(outputs, inputs);
  const random::Stream stream({.seed = 1}, random::Purpose::test);
  for (std::size_t c = 0; c < g.values().size(); ++c)
    g.values()[c] = 1e-6 * std::pow(100.0, static_cast<double>(random::uniform(stream, 0, c)));
  return g;
}

Matrix inputs(std::int64_t n, std::uint32_t event) {
  Matrix x(vectors, n);
  random::fill_uniform(random::Stream({.seed = 1}, random::Purpose::test), event, 0, x.values());
  for (float& v : x.values()) v = 2.0F * v - 1.0F;
  return x;
}

// vectors_worth: for how many vectors of the plain product M is the price.
void effective_matrix(benchmark::State& state, std::int64_t n, int threads) {
  const circuit::RealMatrix g = cells(n, n);
  const Matrix x = inputs(n, 1);
  const Matrix weight = circuit::rounded(g.view());
  GemmYardstick yardstick(weight.view(), x.view(), threads);
  const circuit::Wires wires{.row_ohm = 1.0, .column_ohm = 1.0};
  Shortest shortest;
  for (auto _ : state) {
    yardstick.measure();
    state.SetIterationTime(
        shortest.time([&] { benchmark::DoNotOptimize(circuit::effective_matrix({g.view()}, wires, {threads})); }));
  }
  state.counters["ms"] = 1e3 * shortest.seconds;
  state.counters["vectors_worth"] = shortest.seconds / (yardstick.best_seconds() / static_cast<double>(vectors));
  state.counters["gflops"] = 29e-9 * std::pow(static_cast<double>(n), 3) / shortest.seconds;
}

// ratio: a vector through the gated array, half of its rows active, over the plain product; in double precision (the
// definition) or float32 (networks).
template <class T>
void gated_ladder(benchmark::State& state, std::int64_t n) {
  const circuit::RealMatrix g = cells(n, n);
  const Matrix x = inputs(n, 2);
  const Matrix weight = circuit::rounded(g.view());
  GemmYardstick yardstick(weight.view(), x.view(), 1);
  circuit::RealMatrix gates(vectors, n);
  for (std::size_t c = 0; c < gates.values().size(); ++c) gates.values()[c] = x.values()[c] > 0.0F ? 1.0 : 0.0;
  const Matrix single = circuit::rounded(gates.view());
  Matrix out(vectors, n);
  const circuit::GatedArray array({g.view()}, {.row_ohm = 1.0, .column_ohm = 1.0, .current_from_input = false});
  Shortest shortest;
  for (auto _ : state) {
    yardstick.measure();
    state.SetIterationTime(shortest.time([&] {
      if constexpr (std::is_same_v<T, float>)
        array.add_currents(single.view(), 1.0F, out.view());
      else
        benchmark::DoNotOptimize(array.currents(gates.view()));
    }));
  }
  state.counters["us_per_vector"] = 1e6 * shortest.seconds / static_cast<double>(vectors);
  state.counters["ratio"] = shortest.seconds / yardstick.best_seconds();
}

// ratio: a vector through a programmed tile with wires (pairs, no converters) over the plain product; gated tiles take
// bits one by one, here of 4-bit inputs (three slices of magnitude, two signs).
void core_tile(benchmark::State& state, bool gated, bool interleaved, double noise) {
  constexpr std::int64_t n = 256;
  circuit::CrossbarParameters p;
  p.device.Rmin = 1e4;
  p.device.Rmax = 1e6;
  p.core.balanced.interleaved_posneg = interleaved;
  p.array.parasitics = {.enable = true, .Rp_row = 1.0, .Rp_col = 1.0, .current_from_input = !gated};
  if (gated) p.dac = {.model = circuit::DacModel::SignMagnitudeDAC, .bits = 4, .input_bitslicing = true};
  if (noise > 0.0) p.device.read_noise = {true, circuit::ErrorModel::NormalProportionalDevice, noise};
  circuit::RealMatrix w(n, n);
  const Matrix draw = inputs(n, 3), x = inputs(n, 4);
  for (std::size_t c = 0; c < w.values().size(); ++c) w.values()[c] = static_cast<double>(draw.values()[c]);
  const Matrix weight = circuit::rounded(w.view());
  GemmYardstick yardstick(weight.view(), x.view(), 1);
  const circuit::CoreTile tile(p, circuit::program_cells(p, w.view(), {}), {}, {}, circuit::Precision::single);
  const std::int64_t count = gated && noise > 0.0 ? 8 : vectors;
  Matrix y(count, n);
  Shortest shortest;
  for (auto _ : state) {
    yardstick.measure();
    state.SetIterationTime(shortest.time([&] { tile.multiply(x.view().rows_from(0, count), y.view(), {}); }));
  }
  const double vector = shortest.seconds / static_cast<double>(count);
  state.counters["us_per_vector"] = 1e6 * vector;
  state.counters["ratio"] = vector / (yardstick.best_seconds() / static_cast<double>(vectors));
}

constexpr auto gated_ladder_float = gated_ladder<float>;
constexpr auto gated_ladder_double = gated_ladder<double>;

BENCHMARK_CAPTURE(effective_matrix, 128, 128, 1)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(effective_matrix, 256, 256, 1)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(effective_matrix, 512, 512, 1)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(effective_matrix, 512_two_threads, 512, 2)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(gated_ladder_float, 128, 128)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(gated_ladder_float, 512, 512)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(gated_ladder_double, 512, 512)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(core_tile, wires, false, false, 0.0)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(core_tile, wires_read_noise, false, false, 0.05)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(core_tile, gated, true, false, 0.0)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(core_tile, gated_interleaved, true, true, 0.0)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(core_tile, gated_read_noise, true, false, 0.05)->UseManualTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tessera::bench
