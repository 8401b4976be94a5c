#include "bound_input.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/core/shapes_agree.hpp"

namespace tessera::nn {

namespace {

/// Complete shape of input i for the given batch, or as given (no batch).
Shape bound_shape(const Graph& graph, std::size_t i, const Shape& given, bool batched, const std::string& name) {
  const Shape& wanted = graph.inputs[i].shape;
  const auto text = [](std::span<const std::int64_t> shape) {
    std::vector<std::string> extents;
    for (const std::int64_t extent : shape) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
    return extents.empty() ? "scalars" : fmt::format("{}", fmt::join(extents, "x"));
  };
  const auto fits = [](std::span<const std::int64_t> have, std::span<const std::int64_t> want) {
    return std::ranges::equal(have, want, [](std::int64_t h, std::int64_t w) { return w < 0 || h == w; });
  };
  if (!batched) {
    require<InputError>(fits(given, wanted), "input '{}' takes {}, got {}", name, text(wanted), to_string(given));
    return given;
  }
  require<InputError>(!given.empty() && !wanted.empty(), "input '{}' takes a batch, got a scalar", name);
  const std::span<const std::int64_t> sample(given.begin() + 1, given.end()), want(wanted.begin() + 1, wanted.end());
  if (fits(sample, want)) return given;
  const bool known = std::ranges::all_of(want, [](std::int64_t extent) { return extent >= 0; });
  require<InputError>(known && shapes_agree({sample.begin(), sample.end()}, {want.begin(), want.end()}),
                      "input '{}' takes samples of {}, got {}", name, text(want), text(sample));
  Shape result = wanted;
  result[0] = given[0];
  return result;
}

}  // namespace

void BoundInput::refer_to(const Tensor& values) {
  floats = values.data();
  for (std::size_t i = 0; i < integers.size(); ++i) integers[i] = static_cast<std::int64_t>(floats[i]);
}

std::vector<BoundInput> bind_inputs(const Graph& graph, std::span<const Tensor> inputs, std::int64_t& batch) {
  require<InputError>(inputs.size() == graph.inputs.size(), "{} tensors given for {} inputs", inputs.size(),
                      graph.inputs.size());
  batch = -1;
  std::vector<BoundInput> bound(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const GraphInput& input = graph.inputs[i];
    const std::string& name = graph.name_of(input.value);
    BoundInput& b = bound[i];
    b.batched = graph.batch != BatchMode::none && input.batched;
    b.shape = bound_shape(graph, i, inputs[i].shape(), b.batched, name);
    b.floats = inputs[i].data();
    if (b.batched) {
      const std::int64_t count = inputs[i].dim(0);
      require<InputError>(batch < 0 || batch == count, "input '{}' holds {} samples, another input {}", name, count,
                          batch);
      batch = count;
      b.sample_size = count > 0 ? inputs[i].size() / count : 0;
    }
    if (input.type == ElementType::int64)
      for (const float x : inputs[i].values()) {
        require<InputError>(std::fabs(x) < 9.2e18F && x == std::trunc(x), "input '{}' takes integers, got {}", name, x);
        b.integers.push_back(static_cast<std::int64_t>(x));
      }
  }
  if (batch < 0) batch = 1;
  return bound;
}

std::vector<Shape> shapes_of(const std::vector<BoundInput>& bound, std::int64_t batch) {
  std::vector<Shape> shapes;
  for (const BoundInput& input : bound) {
    shapes.push_back(input.shape);
    if (input.batched) shapes.back()[0] = batch;
  }
  return shapes;
}

}  // namespace tessera::nn
