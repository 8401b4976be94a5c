#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/loss.hpp"
#include "tessera/nn/optimizer.hpp"
#include "tessera/nn/training.hpp"
#include "tessera/random/stream.hpp"

// Training in float32: images per second of whole steps (forward, loss, backward, SGD with momentum). The network is
// that of TESSERA_DATA_DIR (default: ../shared/data). bench/peers/torch_training.py runs this beside PyTorch.
namespace {

using namespace tessera;

std::string data_folder() {
  const char* given = std::getenv("TESSERA_DATA_DIR");
  return given != nullptr ? given : "../shared/data";
}

void training(benchmark::State& state, const std::string& file) {
  const std::string path = data_folder() + "/" + file;
  if (!std::filesystem::exists(path)) {
    state.SkipWithError("the network is not there");
    return;
  }
  nn::TrainingNetwork network(io::import_onnx(path, {}));
  const Parallel parallel{static_cast<int>(state.range(0))};
  const std::int64_t batch = state.range(1);
  Tensor x({batch, 1, 28, 28});
  random::fill_uniform(random::Stream({}, random::Purpose::test), 0, 0, x.values());
  std::vector<std::int32_t> labels(static_cast<std::size_t>(batch));
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 10);
  const nn::LossInput input = nn::loss_input(network.graph());
  const nn::OptimizerParameters sgd{.type = nn::OptimizerType::sgd, .momentum = 0.9};
  nn::OptimizerState memory;
  std::uint64_t step = 0;
  for (auto _ : state) {
    network.zero_gradients();
    const nn::Loss loss = nn::softmax_cross_entropy(network.forward(x, step++, parallel), labels, input);
    network.backward(loss.d_output, parallel);
    std::vector<nn::OptimizedParameter> arrays;
    for (const nn::TrainedParameter& p : network.parameters()) arrays.push_back({p.value, p.gradient});
    nn::optimizer_step(sgd, 0.01, arrays, memory, parallel);
    network.updated();
  }
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * batch), benchmark::Counter::kIsRate);
}

void conditions(benchmark::internal::Benchmark* b) {
  b->ArgNames({"threads", "batch"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int threads : {1, 2})
    for (const int batch : {64, 128}) b->Args({threads, batch});
}

BENCHMARK_CAPTURE(training, lenet5, "mnist/lenet5-relu.onnx")->Apply(conditions);
BENCHMARK_CAPTURE(training, mlp128, "mnist/mlp128.onnx")->Apply(conditions);

}  // namespace
