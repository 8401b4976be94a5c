#include "linear_call.hpp"

#include <algorithm>

#include "tessera/kernels/limited_product.hpp"

namespace tessera::nn {

CompiledLayer compile_layer(const Graph& graph, const LinearLayer& layer) {
  CompiledLayer compiled{.layer = layer, .weights = nullptr};
  const std::int64_t positions = layer.window.kernel[0] * layer.window.kernel[1];
  const bool convolution = layer.kind == LinearKind::convolution;
  if (convolution && layer.groups > 1 && layer.parts[0].weight.rows() == 1 &&
      layer.parts[0].weight.cols() == positions) {
    const auto channels = static_cast<std::size_t>(layer.groups);
    compiled.depthwise.resize(static_cast<std::size_t>(positions) * channels);
    for (std::size_t g = 0; g < channels; ++g) {
      const LinearPart& part = layer.parts[g];
      const Matrix weight = part.weight.matrix();
      for (std::size_t k = 0; k < static_cast<std::size_t>(positions); ++k)
        compiled.depthwise[k * channels + g] = weight.data()[k];
      compiled.depthwise_bias.insert(compiled.depthwise_bias.end(), part.bias.begin(), part.bias.end());
    }
  } else if (layer.kind != LinearKind::product) {
    compiled.weights = std::make_shared<const PackedWeights>(layer);
  }
  if (layer.kind == LinearKind::transposed_convolution)
    if (const Tensor* bias = graph.tensor(graph.nodes[static_cast<std::size_t>(layer.node)].input(2)))
      compiled.bias.assign(bias->values().begin(), bias->values().end());
  return compiled;
}

std::int64_t rows_per_block(std::int64_t vector_size) {
  constexpr std::int64_t kernel_block = 48, budget = 32 * 1024;
  return kernel_block *
         std::clamp<std::int64_t>(budget / (kernel_block * std::max<std::int64_t>(1, vector_size)), 1, 8);
}

void limit(const kernels::Limits& limits, float* y, std::int64_t count) {
  if (!limits.any()) return;
  const kernels::Limits own = limits;  // y cannot change it
  for (std::int64_t i = 0; i < count; ++i) y[i] = own(y[i]);
}

void evaluate_dense(const LinearCall& call) {
  const LinearLayer& layer = call.compiled.layer;
  const LinearPart& part = layer.parts[0];
  const std::int64_t inputs = part.weight.cols(), outputs = part.weight.rows();
  const std::int64_t rows = outputs > 0 ? call.out[0].size() / outputs : 0;
  const ConstMatrixView x(call.in[0].floats(), rows, inputs);
  const MatrixView y(call.out[0].floats(), rows, outputs);
  if (rows == 0) return;
  if (!call.operators.empty()) {
    const LinearBranch branch{call.operators, call.out, 0};
    return evaluate_dense(call, {&branch, 1});
  }
  const std::int64_t block = rows_per_block(inputs);
  if (rows <= block * call.parallel.threads) {
    kernels::multiply(call.compiled.packed(0), x, y, call.parallel, part.bias, call.limits);
    return;
  }
  parallel_for_blocks(call.parallel, rows, block, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    kernels::multiply(call.compiled.packed(0), x.rows_from(begin, end - begin), y.rows_from(begin, end - begin), {},
                      part.bias, call.limits);
  });
}

void evaluate_dense(const LinearCall& call, std::span<const LinearBranch> branches) {
  const LinearPart& part = call.compiled.layer.parts[0];
  const std::int64_t inputs = part.weight.cols(), outputs = part.weight.rows();
  const std::int64_t rows = inputs > 0 ? call.in[0].size() / inputs : 0;
  if (rows == 0) return;
  const ConstMatrixView x(call.in[0].floats(), rows, inputs);
  const std::vector<std::vector<std::size_t>> by_product = branches_by_product(branches);
  AlignedVector<float> products;
  const VectorOrder& order = call.order;
  const std::int64_t vectors = order.samples * order.inner;
  for (std::int64_t o = 0; o < order.outer; ++o) {
    const std::uint64_t first =
        (static_cast<std::uint64_t>(o) << 32U) + call.first_sample * static_cast<std::uint64_t>(order.inner);
    for (const std::vector<std::size_t>& sharing : by_product)
      run_sharing(branches, sharing, 0, x.rows_from(o * vectors, vectors), {}, first, call.parallel, products,
                  [&](std::size_t b) {
                    return MatrixView(branches[b].out[0].floats(), rows, outputs).rows_from(o * vectors, vectors);
                  });
  }
  for (const LinearBranch& branch : branches) {
    if (const Collects* collected = branch.operators[0]->collects())
      collected->finish({branch.out[0].floats(), rows, outputs});
    limit(call.limits, branch.out[0].floats(), rows * outputs);
  }
}

std::vector<std::vector<std::size_t>> branches_by_product(std::span<const LinearBranch> branches) {
  std::vector<std::vector<std::size_t>> result;
  for (std::size_t b = 0; b < branches.size(); ++b) {
    const auto shares = [&](const std::vector<std::size_t>& list) {
      return branches[list.front()].product == branches[b].product;
    };
    const auto found = std::find_if(result.begin(), result.end(), shares);
    if (found != result.end())
      found->push_back(b);
    else
      result.push_back({b});
  }
  return result;
}

void evaluate_branches(const LinearCall& call, std::span<const LinearBranch> branches) {
  const LinearKind kind = call.compiled.layer.kind;
  const bool divisible = kind == LinearKind::dense || kind == LinearKind::convolution;
  std::vector<LinearBranch> together;
  for (const LinearBranch& branch : branches) {
    if (divisible && !branch.operators.empty()) {
      together.push_back(branch);
      continue;
    }
    LinearCall alone = call;
    alone.operators = branch.operators;
    alone.out = branch.out;
    evaluate_linear(alone);
  }
  if (together.empty()) return;
  kind == LinearKind::dense ? evaluate_dense(call, together) : evaluate_convolution(call, together);
}

void evaluate_linear(const LinearCall& call) {
  switch (call.compiled.layer.kind) {
    case LinearKind::dense:
      return evaluate_dense(call);
    case LinearKind::convolution:
      return evaluate_convolution(call);
    case LinearKind::transposed_convolution:
      return evaluate_transposed_convolution(call);
    case LinearKind::recurrent:
      return evaluate_recurrent(call);
    case LinearKind::product:
      return evaluate_product(call);
  }
}

}  // namespace tessera::nn
