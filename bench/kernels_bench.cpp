// The kernels alone: the packed product as a ratio to the plain product of the same shape, conversions per element.
//   bin/kernels_bench --benchmark_filter=product
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "gemm_yardstick.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/kernels/product.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::bench {
namespace {

Matrix uniforms(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  random::fill_uniform(random::Stream({.seed = 1}, random::Purpose::test), event, 0, m.values());
  for (float& v : m.values()) v = 2.0F * v - 1.0F;
  return m;
}

void product(benchmark::State& state, std::int64_t inputs, std::int64_t outputs, std::int64_t vectors) {
  const Matrix weight = uniforms(outputs, inputs, 1);
  const Matrix x = uniforms(vectors, inputs, 2);
  const kernels::PackedMatrix packed(weight.view());
  GemmYardstick yardstick(weight.view(), x.view(), 1);
  Matrix y(vectors, outputs);
  Shortest shortest;
  for (auto _ : state) {
    yardstick.measure();
    state.SetIterationTime(shortest.time([&] { kernels::multiply(packed, x.view(), y.view()); }));
    benchmark::DoNotOptimize(y.data());
  }
  const double work = 2.0 * static_cast<double>(inputs * outputs * vectors);
  state.counters["ratio"] = shortest.seconds / yardstick.best_seconds();
  state.counters["gflops"] = work / shortest.seconds * 1e-9;
}

void companions(benchmark::State& state, bool ir_drop, bool variance) {
  constexpr std::int64_t n = 512;
  constexpr std::int64_t vectors = 48;
  const Matrix weight = uniforms(n, n, 1);
  const Matrix x = uniforms(vectors, n, 2);
  const kernels::PackedMatrix packed(weight.view());
  Matrix y(vectors, n);
  Matrix spread(vectors, n);
  kernels::Companions c;
  c.ir_drop = ir_drop;
  c.n_over_g = 1e-3F;
  c.ir_drop_scale = 1.0F;
  c.magnitude = x.view();
  c.square = x.view();
  if (variance) c.variance = spread.view();
  Shortest plain;
  Shortest shortest;
  for (auto _ : state) {
    plain.time([&] { kernels::multiply(packed, x.view(), y.view()); });
    state.SetIterationTime(shortest.time([&] { kernels::multiply_with(c, packed, x.view(), y.view()); }));
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["products"] = shortest.seconds / plain.seconds;
}

void dac(benchmark::State& state, bool range, bool counted) {
  const Matrix x = uniforms(256, 512, 1);
  Matrix z(256, 512);
  kernels::ConversionCounts counts;
  kernels::DacBlock block;
  block.x = x.view();
  block.z = z.view();
  block.range = range ? 0.9F : 0.0F;
  block.converter = kernels::make_converter(1.0, 254.0);
  block.counts = counted ? &counts : nullptr;
  for (auto _ : state) benchmark::DoNotOptimize(kernels::convert_inputs(block));
  state.counters["ns_per_value"] =
      benchmark::Counter(256 * 512 * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void adc(benchmark::State& state, bool noise) {
  const Matrix v = uniforms(256, 512, 1);
  const Matrix draws = uniforms(256, 512, 2);
  Matrix y(256, 512);
  kernels::AdcBlock block;
  block.v = v.view();
  block.y = y.view();
  block.noise = noise ? draws.data() : nullptr;
  block.noise_std = 0.04F;
  block.converter = kernels::make_converter(0.9, 254.0);
  block.column_scale = draws.data();
  block.bias = draws.data();
  for (auto _ : state) {
    kernels::convert_outputs(block);
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["ns_per_value"] =
      benchmark::Counter(256 * 512 * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK_CAPTURE(product, 512x512_batch256, 512, 512, 256)->UseManualTime()->Iterations(40);
BENCHMARK_CAPTURE(product, 27x16_batch4096, 27, 16, 4096)->UseManualTime()->Iterations(40);
BENCHMARK_CAPTURE(product, 25x8_batch4096, 25, 8, 4096)->UseManualTime()->Iterations(40);
BENCHMARK_CAPTURE(product, 144x32_batch4096, 144, 32, 4096)->UseManualTime()->Iterations(40);
BENCHMARK_CAPTURE(product, 576x64_batch1024, 576, 64, 1024)->UseManualTime()->Iterations(40);
BENCHMARK_CAPTURE(companions, read_noise, false, true)->UseManualTime()->Iterations(100);
BENCHMARK_CAPTURE(companions, ir_drop, true, false)->UseManualTime()->Iterations(100);
BENCHMARK_CAPTURE(companions, ir_drop_and_read_noise, true, true)->UseManualTime()->Iterations(100);
BENCHMARK_CAPTURE(dac, plain, false, false);
BENCHMARK_CAPTURE(dac, input_range, true, false);
BENCHMARK_CAPTURE(dac, input_range_counted, true, true);
BENCHMARK_CAPTURE(adc, noise_free, false);
BENCHMARK_CAPTURE(adc, noisy, true);

}  // namespace
}  // namespace tessera::bench
