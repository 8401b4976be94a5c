#include "activation_product.hpp"

#include <algorithm>

#include "linear_call.hpp"
#include "operator.hpp"

namespace tessera::nn {

namespace {

Shape leading(const Shape& shape) {
  return {shape.begin(), shape.end() - 2};
}

/// Number of the matrix of an operand of leading extents `own` that belongs to matrix `index` of the result.
std::int64_t operand_matrix(std::int64_t index, const Shape& all, const Shape& own) {
  std::int64_t number = 0, stride = 1;
  for (std::size_t d = 0; d < all.size(); ++d) {
    const std::size_t axis = all.size() - 1 - d;
    const std::int64_t at = index % all[axis];
    index /= all[axis];
    if (d >= own.size()) continue;
    const std::int64_t extent = own[own.size() - 1 - d];
    number += (extent == 1 ? 0 : at) * stride;
    stride *= extent;
  }
  return number;
}

}  // namespace

LinearLayer product_layer(const Graph& graph, const std::string& name, const std::vector<ValueInfo>& infos,
                          const std::vector<SampleAxis>& axes) {
  const std::vector<std::string> known = activation_products(graph);
  require<InputError>(std::ranges::find(known, name) != known.end(), "'{}' is no product of two activations", name);
  const auto found = std::ranges::find_if(graph.nodes, [&](const Node& node) { return node.name == name; });
  const auto shape = [&](ValueId id) -> const Shape& { return infos[static_cast<std::size_t>(id)].shape; };
  for (const ValueId id : {found->inputs[0], found->inputs[1]})
    require<InputError>(shape(id).size() >= 2,
                        "product '{}': an operand of shape {}; only matrices can be put on tiles", name,
                        to_string(shape(id)));
  const Shape &b = shape(found->inputs[1]), &y = shape(found->outputs[0]);
  const SampleAxis& samples = axes[static_cast<std::size_t>(found->outputs[0])];
  const bool whole = samples.any() && samples.axis + 2 < std::ssize(y);
  require<InputError>(
      whole || graph.batch != BatchMode::any,
      "product '{}': the samples of a batch are no leading axis of its {} result, so it cannot be put on "
      "tiles; leave it digital",
      name, to_string(y));
  LinearLayer layer;
  layer.node = static_cast<int>(found - graph.nodes.begin());
  layer.name = name;
  layer.kind = LinearKind::product;
  const std::int64_t matrices = element_count(leading(y)) / (whole ? sample_count(samples, y) : 1);
  constexpr std::int64_t most = 65535;
  require<InputError>(matrices >= 1 && matrices <= most,
                      "product '{}': {} matrices per sample (1..{} can be addressed)", name, matrices, most);
  for (std::int64_t h = 0; h < matrices; ++h)
    layer.parts.push_back(
        {matrices == 1 ? "" : fmt::format("head{}", h), PartWeight(b[b.size() - 1], b[b.size() - 2], {}), {}});
  return layer;
}

void evaluate_product(const LinearCall& call) {
  const Array &a = call.in[0], &b = call.in[1], &y = call.out[0];
  if (call.operators.empty()) {
    find_operator(call.node.op)
        ->compute({.node = call.node, .in = call.in, .out = call.out, .parallel = call.parallel});
  } else {
    const Shape all = leading(y.shape), of_a = leading(a.shape), of_b = leading(b.shape);
    const std::int64_t rows = a.dim(a.rank() - 2), inputs = a.dim(a.rank() - 1), outputs = b.dim(b.rank() - 1);
    const std::int64_t matrices = element_count(all);
    TESSERA_EXPECT(call.order.outer * call.order.inner == std::ssize(call.operators));
    const VectorOrder& order = call.order;
    const auto multiply = [&](std::int64_t i, Parallel parallel) {
      const std::int64_t outer = i / (order.samples * order.inner), n = i / order.inner % order.samples;
      const auto head = static_cast<std::size_t>(outer * order.inner + i % order.inner);
      const float* stored = b.floats() + operand_matrix(i, all, of_b) * inputs * outputs;
      Matrix weight = Matrix::uninitialized(outputs, inputs);
      for (std::int64_t o = 0; o < outputs; ++o)
        for (std::int64_t k = 0; k < inputs; ++k) weight(o, k) = stored[k * outputs + o];
      const std::uint64_t sample = call.first_sample + static_cast<std::uint64_t>(n);
      const TakesWeights* op = call.operators[head]->takes_weights();
      require<RunError>(op != nullptr, "a product of two activations was given an operator with a weight of its own");
      op->multiply(weight.view(), {a.floats() + operand_matrix(i, all, of_a) * rows * inputs, rows, inputs},
                   {y.floats() + i * rows * outputs, rows, outputs}, sample * static_cast<std::uint64_t>(rows), sample,
                   parallel);
    };
    if (matrices < call.parallel.threads)
      for (std::int64_t i = 0; i < matrices; ++i) multiply(i, call.parallel);
    else
      parallel_for(call.parallel, matrices, [&](std::int64_t i) { multiply(i, Parallel{1}); });
    for (std::int64_t head = 0; head < std::ssize(call.operators); ++head) {
      const Collects* op = call.operators[static_cast<std::size_t>(head)]->collects();
      if (op == nullptr) continue;
      Matrix results = Matrix::uninitialized(order.samples * rows, outputs);
      op->finish(results.view());
      for (std::int64_t n = 0; n < order.samples; ++n) {
        const std::int64_t i = (head / order.inner * order.samples + n) * order.inner + head % order.inner;
        std::copy_n(results.view().row(n * rows), rows * outputs, y.floats() + i * rows * outputs);
      }
    }
  }
  limit(call.limits, y.floats(), y.size());
}

}  // namespace tessera::nn
