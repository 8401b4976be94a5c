// Quantize-dequantize against a plain copy of the same array, timed alternately in one run: `of_copy` is copy time over
// quantizer time (medians), bytes_per_second counts one read and one write. Goals for arrays beyond the caches:
// uniform, fixed point and floating point to nearest at 0.7 of a copy or better, stochastic at 0.35.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tessera/quant/number_format.hpp"
#include "tessera/quant/state_quant.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

namespace {

using namespace tessera;         // NOLINT(google-build-using-namespace): a program of its own
using namespace tessera::quant;  // NOLINT(google-build-using-namespace)

using Operation = std::function<void(std::span<const float>, std::span<float>)>;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void against_copy(benchmark::State& state, const Operation& operation) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const std::size_t repeats = std::max<std::size_t>(1, (1u << 20) / count);
  AlignedVector<float> x(count), y(count);
  random::fill_normal(random::Stream({.seed = 1}, random::Purpose::test), 0, 0, x);
  std::fill(y.begin(), y.end(), 0.0f);
  operation(x, y);
  std::vector<double> copies, operations;
  for (auto _ : state) {
    auto start = std::chrono::steady_clock::now();
    for (std::size_t r = 0; r < repeats; ++r) {
      std::memcpy(y.data(), x.data(), count * sizeof(float));
      benchmark::ClobberMemory();
    }
    copies.push_back(seconds_since(start));
    start = std::chrono::steady_clock::now();
    for (std::size_t r = 0; r < repeats; ++r) {
      operation(x, y);
      benchmark::ClobberMemory();
    }
    operations.push_back(seconds_since(start));
    state.SetIterationTime(operations.back());
  }
  if (y[0] != y[0]) state.SkipWithError("NaN in the output");
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * repeats * count * 2 * sizeof(float)));
  state.counters["of_copy"] = median(copies) / median(operations);
}

UniformQuantizer uniform(QMethod method, int bits) {
  UniformQuantizer quantizer({.n_bits = bits, .method = method});
  quantizer.set_quant_range(-3.0f, 3.5f);
  return quantizer;
}

void add(const std::string& name, const Operation& operation) {
  benchmark::RegisterBenchmark(name.c_str(), [operation](benchmark::State& state) { against_copy(state, operation); })
      ->Arg(4096)
      ->Arg(1 << 25)
      ->UseManualTime();
}

void add_number(const std::string& name, const Number& number) {
  add(name + "/nearest", [number](std::span<const float> x, std::span<float> y) {
    quantize_nearest(number, {static_cast<std::int64_t>(x.size())}, x, y);
  });
  add(name + "/stochastic", [number](std::span<const float> x, std::span<float> y) {
    const random::Stream stream({.seed = 2}, random::Purpose::stochastic_rounding);
    quantize_stochastic(number, {static_cast<std::int64_t>(x.size())}, x, y, {stream, 0, 0});
  });
}

void register_all() {
  const UniformQuantizer symmetric = uniform(QMethod::symmetric_uniform, 8);
  const UniformQuantizer asymmetric = uniform(QMethod::asymmetric_uniform, 8);
  add("uniform_symmetric_8", [symmetric](std::span<const float> x, std::span<float> y) { symmetric.forward(x, y); });
  add("uniform_asymmetric_8", [asymmetric](std::span<const float> x, std::span<float> y) { asymmetric.forward(x, y); });
  add("uniform_to_integer_8",
      [symmetric](std::span<const float> x, std::span<float> y) { symmetric.to_integer_forward(x, y); });
  UniformQuantizer rows({.n_bits = 8, .axis = 0}), columns({.n_bits = 8, .axis = 1});
  rows.set_quant_range(std::vector<float>(64, -3.0f), std::vector<float>(64, 3.0f));
  columns.set_quant_range(std::vector<float>(64, -3.0f), std::vector<float>(64, 3.0f));
  add("uniform_per_row_8", [rows](std::span<const float> x, std::span<float> y) {
    rows.forward(Shape{64, static_cast<std::int64_t>(x.size()) / 64}, x, y);
  });
  add("uniform_per_column_8", [columns](std::span<const float> x, std::span<float> y) {
    columns.forward(Shape{static_cast<std::int64_t>(x.size()) / 64, 64}, x, y);
  });
  add_number("fixed_8_4", FixedPoint{8, 4});
  add_number("float_5_2", FloatingPoint{5, 2});
  add_number("block_8", BlockFloatingPoint{8, -1});
  for (const char* name : {"fp16", "bfloat16", "fp8_e4m3", "int8"}) add_number(name, named_number(name));
  for (const int bits : {4, 8}) {
    const StateQuant state(StateQuantParameters{.num_bits = bits});
    add("state_" + std::to_string(bits),
        [state](std::span<const float> x, std::span<float> y) { state.forward(x, y); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
