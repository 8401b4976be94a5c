#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tessera/io/onnx_import.hpp"
#include "tessera/kernels/product.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/random/stream.hpp"

// The float32 network: images per second, and what share of the bare packed product's rate its multiplications reach
// ("of_product"; the product is a 2304 x 144 x 32 one in cache, timed in the same run with the same threads). Networks
// are those of TESSERA_DATA_DIR (default: ../shared/data); absent ones are skipped.
namespace {

using namespace tessera;

std::string data_folder() {
  const char* given = std::getenv("TESSERA_DATA_DIR");
  return given != nullptr ? given : "../shared/data";
}

Tensor random_tensor(Shape shape) {
  Tensor result(std::move(shape));
  random::fill_normal(random::Stream({}, random::Purpose::test), 0, 0, result.values());
  return result;
}

double multiplications_per_sample(const nn::Executor& executor) {
  double count = 0.0;
  for (std::size_t l = 0; l < executor.layers().size(); ++l)
    for (const nn::LinearPart& part : executor.layers()[l].parts)
      count += static_cast<double>(executor.vectors_per_sample(l)) * static_cast<double>(part.weight.rows()) *
               static_cast<double>(part.weight.cols());
  return count;
}

/// Multiplications per second of the product alone.
double product_rate(Parallel parallel) {
  constexpr std::int64_t rows = 2304, inputs = 144, outputs = 32;
  const Tensor w = random_tensor({outputs, inputs}), x = random_tensor({rows, inputs});
  const kernels::PackedMatrix weight(ConstMatrixView(w.data(), outputs, inputs));
  Matrix y(rows, outputs);
  double best = 0.0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    kernels::multiply(weight, {x.data(), rows, inputs}, y.view(), parallel);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(rows * inputs * outputs) / time.count());
  }
  return best;
}

void network(benchmark::State& state, const std::string& file) {
  const std::string path = data_folder() + "/" + file;
  if (!std::filesystem::exists(path)) {
    state.SkipWithError("the network is not there");
    return;
  }
  nn::Graph graph = io::import_onnx(path, {});
  if (state.range(2) != 0) nn::fold_batchnorm(graph);
  const nn::Executor executor(std::move(graph));
  const Parallel parallel{static_cast<int>(state.range(0))};
  const std::int64_t batch = state.range(1);
  const Tensor x = random_tensor(nn::input_shapes(executor.graph(), batch)[0]);
  const double rate = product_rate(parallel);
  for (auto _ : state) benchmark::DoNotOptimize(executor.run(x, {.parallel = parallel}));
  const auto images = static_cast<double>(state.iterations() * batch);
  state.counters["images/s"] = benchmark::Counter(images, benchmark::Counter::kIsRate);
  state.counters["of_product"] =
      benchmark::Counter(images * multiplications_per_sample(executor) / rate, benchmark::Counter::kIsRate);
}

void conditions(benchmark::internal::Benchmark* b) {
  b->ArgNames({"threads", "batch", "folded"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int threads : {1, Parallel::all().threads})
    for (const int batch : {1, 128}) b->Args({threads, batch, 1});
  b->Args({1, 128, 0});
}

BENCHMARK_CAPTURE(network, lenet5, "mnist/lenet5-relu.onnx")->Apply(conditions);
BENCHMARK_CAPTURE(network, mlp128, "mnist/mlp128.onnx")->Apply(conditions);
BENCHMARK_CAPTURE(network, resnet20, "cifar10/resnet20.onnx")->Apply(conditions);

}  // namespace
