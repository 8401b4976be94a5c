#include "bound_input.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::nn {

namespace {

/// Complete shape of input i for a batch of one sample (per_sample), the given batch, or as given (no batch).
Shape bound_shape(const Graph& graph, std::size_t i, const Shape& given, bool batched, const std::string& name) {
  const Shape& wanted = graph.inputs[i].shape;
  const auto text = [&] {
    std::vector<std::string> extents;
    for (const std::int64_t extent : wanted) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
    return fmt::format("{}", fmt::join(extents, "x"));
  };
  const auto fits = [](const Shape& have, std::size_t from, const Shape& want, std::size_t want_from) {
    if (have.size() - from != want.size() - want_from) return false;
    for (std::size_t d = 0; from + d < have.size(); ++d)
      if (want[want_from + d] >= 0 && want[want_from + d] != have[from + d]) return false;
    return true;
  };
  if (!batched) {
    require<InputError>(fits(given, 0, wanted, 0), "input '{}' takes {}, got {}", name, text(), to_string(given));
    return given;
  }
  require<InputError>(!given.empty(), "input '{}' takes {}, got a scalar", name, text());
  // A fixed first extent other than 1 belongs to the sample.
  const bool leading = wanted.empty() || (wanted[0] > 1 && graph.batch == BatchMode::per_sample);
  const std::size_t skip = leading ? 0 : 1;
  Shape result(wanted.begin() + static_cast<std::ptrdiff_t>(skip), wanted.end());
  if (fits(given, 1, wanted, skip)) {
    result.assign(given.begin() + 1, given.end());
  } else {
    // Samples of another shape with as many elements: an image for a network that takes flat vectors, say.
    const Shape sample(given.begin() + 1, given.end());
    const bool known = std::ranges::all_of(result, [](std::int64_t extent) { return extent >= 0; });
    require<InputError>(known && element_count(result) == element_count(sample), "input '{}' takes {}, got {}", name,
                        text(), to_string(given));
  }
  if (!leading) result.insert(result.begin(), graph.batch == BatchMode::per_sample ? 1 : given[0]);
  return result;
}

}  // namespace

std::vector<BoundInput> bind_inputs(const Graph& graph, std::span<const Tensor> inputs, std::int64_t& batch) {
  require<InputError>(inputs.size() == graph.inputs.size(), "{} tensors given for {} inputs", inputs.size(),
                      graph.inputs.size());
  batch = -1;
  std::vector<BoundInput> bound(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const GraphInput& input = graph.inputs[i];
    const std::string& name = graph.values[static_cast<std::size_t>(input.value)].name;
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

std::vector<Shape> shapes_of(const std::vector<BoundInput>& bound, std::int64_t batch, bool replace) {
  std::vector<Shape> shapes;
  for (const BoundInput& input : bound) {
    shapes.push_back(input.shape);
    if (replace && input.batched) shapes.back()[0] = batch;
  }
  return shapes;
}

}  // namespace tessera::nn
