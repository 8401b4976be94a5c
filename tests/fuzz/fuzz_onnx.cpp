// Does every byte string either import as a network, which then compiles and runs, or end in an error?
#include <algorithm>
#include <span>
#include <vector>

#include "fuzz_target.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/executor.hpp"

namespace {

using tessera::Shape;
using tessera::Tensor;

/// A zero batch of one sample for every input; free extents become 2. Nothing where that would be large.
std::vector<Tensor> small_inputs(const tessera::nn::Graph& graph, std::vector<Shape>& sample_shapes) {
  constexpr std::int64_t largest = 1 << 16;
  std::vector<Tensor> inputs;
  for (const tessera::nn::GraphInput& input : graph.inputs) {
    Shape shape = input.shape;
    for (std::int64_t& extent : shape) extent = extent < 0 ? 2 : extent;
    const bool batched = input.batched && graph.batch != tessera::nn::BatchMode::none;
    if (batched && !shape.empty()) shape.front() = 1;
    std::int64_t size = 1;
    for (const std::int64_t extent : shape) size = extent > largest ? largest + 1 : size * extent;
    if (size > largest) return {};
    sample_shapes.emplace_back(shape.begin() + (batched && !shape.empty() ? 1 : 0), shape.end());
    inputs.emplace_back(shape);
  }
  return inputs;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tessera::fuzz::expect_result_or_error([&] {
    const std::span<const char> bytes(reinterpret_cast<const char*>(data), size);
    tessera::nn::Graph graph = tessera::io::import_onnx_bytes(bytes, "fuzz", "/nonexistent", {});
    tessera::nn::ExecutorOptions options;
    const std::vector<Tensor> inputs = small_inputs(graph, options.sample_shapes);
    if (inputs.size() != graph.inputs.size()) return;
    const tessera::nn::Executor executor(std::move(graph), std::move(options));
    for (const Shape& shape : executor.output_shapes(1))
      if (tessera::element_count(shape) > (1 << 20)) return;
    executor.run(inputs);
  });
  return 0;
}
