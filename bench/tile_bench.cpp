// Forward passes of a tile as a ratio to the plain product of the same shape (lower is better; counter "ratio").
//   bin/tile_bench --benchmark_filter=512x512
#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "gemm_yardstick.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/analog_layer.hpp"
#include "tessera/tile/presets.hpp"

namespace tessera::bench {
namespace {

using tile::RpuParameters;

struct Shape {
  std::string name;
  std::int64_t inputs;
  std::int64_t outputs;
  std::int64_t vectors;
};

const std::vector<Shape> shapes{{"512x512_batch256", 512, 512, 256}, {"512x512_batch1", 512, 512, 1},
                                {"27x16_batch4096", 27, 16, 4096},   {"25x8_batch4096", 25, 8, 4096},
                                {"144x32_batch4096", 144, 32, 4096}, {"576x64_batch1024", 576, 64, 1024}};

struct Configuration {
  std::string name;
  std::function<RpuParameters()> parameters;
};

RpuParameters ideal() {
  RpuParameters p;
  p.forward.is_perfect = true;
  p.mapping.max_input_size = 0;
  p.mapping.max_output_size = 0;
  return p;
}

RpuParameters converters() {
  RpuParameters p = ideal();
  p.forward = tile::preset("StandardIOParameters").forward;
  p.forward.out_noise = 0.0;
  p.forward.noise_management = tile::NoiseManagementType::NONE;
  p.forward.bound_management = tile::BoundManagementType::NONE;
  return p;
}

RpuParameters output_noise() {
  RpuParameters p = converters();
  p.forward.out_noise = 0.04;
  return p;
}

// DAC, ADC, output noise, bounds, input range, quantized periphery.
RpuParameters hardware() {
  RpuParameters p = output_noise();
  p.pre_post.input_range.enable = true;
  p.pre_post.periph_quant.n_bits = 8;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  return p;
}

// The same with the periphery in integers.
RpuParameters fixed_point() {
  RpuParameters p = hardware();
  p.pre_post.periph_quant.n_bits = 0;
  p.pre_post.fixed_point.emplace().output.range = 100.0;
  return p;
}

RpuParameters dynamic_scale() {
  RpuParameters p = output_noise();
  p.forward.noise_management = tile::NoiseManagementType::ABS_MAX;
  return p;
}

RpuParameters bound_management(double bound) {
  RpuParameters p = dynamic_scale();
  p.forward.bound_management = tile::BoundManagementType::ITERATIVE;
  p.forward.out_bound = bound;
  return p;
}

RpuParameters pcm_read() {
  RpuParameters p = hardware();
  p.forward.w_noise = 0.0175;
  p.forward.w_noise_type = tile::WeightNoiseType::PCM_READ;
  return p;
}

RpuParameters ir_drop() {
  RpuParameters p = hardware();
  p.forward.ir_drop = 1.0;
  return p;
}

RpuParameters standard() {
  RpuParameters p = tile::preset("StandardHWATrainingPreset");
  p.mapping.max_input_size = 0;
  return p;
}

// Bounds chosen on 512x512 so that about 0 %, 1 % and 20 % of the vectors are repeated ("repeated" is printed).
const std::vector<Configuration> configurations{{"ideal", ideal},
                                                {"dac_adc", converters},
                                                {"output_noise", output_noise},
                                                {"hardware", hardware},
                                                {"fixed_point", fixed_point},
                                                {"abs_max", dynamic_scale},
                                                {"bound_management_0", [] { return bound_management(100.0); }},
                                                {"bound_management_1", [] { return bound_management(33.0); }},
                                                {"bound_management_20", [] { return bound_management(27.5); }},
                                                {"pcm_read", pcm_read},
                                                {"ir_drop", ir_drop},
                                                {"StandardHWATrainingPreset", standard}};

Matrix uniforms(std::int64_t rows, std::int64_t cols, std::uint32_t event, float scale) {
  Matrix m(rows, cols);
  random::fill_uniform(random::Stream({.seed = 1}, random::Purpose::test), event, 0, m.values());
  for (float& v : m.values()) v = (2.0F * v - 1.0F) * scale;
  return m;
}

void run(benchmark::State& state, const Shape& shape, const Configuration& configuration, int threads) {
  const Matrix weight = uniforms(shape.outputs, shape.inputs, 1, 1.0F);
  const Matrix x = uniforms(shape.vectors, shape.inputs, 2, 1.0F);
  const std::vector<float> bias(static_cast<std::size_t>(shape.outputs), 0.1F);
  const tile::AnalogLayer layer(configuration.parameters(), weight.view(), bias, {.seed = 1});
  GemmYardstick yardstick(weight.view(), x.view(), threads);
  Matrix y(shape.vectors, shape.outputs);
  Shortest shortest;
  tile::ForwardCall call;
  call.parallel.threads = threads;
  for (auto _ : state) {
    yardstick.measure();
    layer.forward(x.view(), y.view(), call);  // the yardstick has emptied the caches
    state.SetIterationTime(shortest.time([&] { layer.forward(x.view(), y.view(), call); }));
    benchmark::DoNotOptimize(y.data());
  }
  tile::LayerStatistics statistics;
  call.statistics = &statistics;
  layer.forward(x.view(), y.view(), call);
  const double work = 2.0 * static_cast<double>(shape.inputs * shape.outputs * shape.vectors);
  state.counters["ratio"] = shortest.seconds / yardstick.best_seconds();
  state.counters["us"] = shortest.seconds * 1e6;
  state.counters["gflops"] = work / shortest.seconds * 1e-9;
  state.counters["openblas"] = work / yardstick.openblas_seconds() * 1e-9;
  state.counters["eigen"] = work / yardstick.eigen_seconds() * 1e-9;
  state.counters["repeated"] = statistics.mean_bound_management_rounds() - 1.0;
}

const bool registered = [] {
  for (const Shape& shape : shapes)
    for (const Configuration& configuration : configurations)
      for (const int threads : {1, 2})
        benchmark::RegisterBenchmark(
            ("tile_forward_" + shape.name + "_" + configuration.name + "_threads" + std::to_string(threads)).c_str(),
            [&shape, &configuration, threads](benchmark::State& state) { run(state, shape, configuration, threads); })
            ->UseManualTime()
            ->Iterations(40)
            ->Unit(benchmark::kMicrosecond);
  return true;
}();

}  // namespace
}  // namespace tessera::bench
