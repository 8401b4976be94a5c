#include <algorithm>

#include "tessera/core/error.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {

namespace {

/// Ranks of all values, for one sample; empty where extents are missing.
std::vector<std::size_t> ranks(const Graph& graph) {
  std::vector<std::size_t> found;
  try {
    for (const ValueInfo& info : infer_shapes(graph, input_shapes(graph, 1, {}))) found.push_back(info.shape.size());
  } catch (const InputError&) {
    return {};  // whoever evaluates the graph gives the extents, or hears what is wrong with it
  }
  return found;
}

/// The matrix of a constant whose leading extents are all 1; none for a vector or a stack of matrices.
std::optional<Tensor> matrix_of(const Tensor& constant) {
  const Shape& shape = constant.shape();
  if (shape.size() < 2 || std::any_of(shape.begin(), shape.end() - 2, [](std::int64_t extent) { return extent != 1; }))
    return std::nullopt;
  return constant.reshaped({shape.end() - 2, shape.end()});
}

Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.dim(0), columns = matrix.dim(1);
  Tensor result({columns, rows});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) result.data()[c * rows + r] = matrix.data()[r * columns + c];
  return result;
}

/// A node that exchanges the last two axes of a value of this rank.
Node transposition(Graph& graph, const std::string& name, ValueId input, ValueId output, std::size_t rank) {
  std::vector<std::int64_t> order(rank);
  for (std::size_t axis = 0; axis < rank; ++axis) order[axis] = static_cast<std::int64_t>(axis);
  std::swap(order[rank - 1], order[rank - 2]);
  if (output == no_value) output = graph.add_value(name);
  return {.name = name, .op = "Transpose", .inputs = {input}, .outputs = {output}, .attributes = {{"perm", order}}};
}

/// x C -> x C' with a matrix C'.
void straighten_second(Graph& graph, std::size_t n, const std::vector<std::size_t>& rank) {
  const ValueId x = graph.nodes[n].input(0), c = graph.nodes[n].input(1);
  const Tensor& constant = *graph.tensor(c);
  if (constant.rank() == 2 || rank[static_cast<std::size_t>(x)] < static_cast<std::size_t>(constant.rank())) return;
  std::optional<Tensor> matrix = matrix_of(constant);
  if (!matrix) return;
  const ValueId id = graph.add_value(graph.values[static_cast<std::size_t>(c)].name, std::move(*matrix));
  graph.nodes[n].inputs[1] = id;
}

/// C x -> transpose(transpose(x) C^T). Returns how many nodes were put in front of the next one.
std::size_t straighten_first(Graph& graph, std::size_t n, const std::vector<std::size_t>& rank) {
  const ValueId c = graph.nodes[n].input(0), x = graph.nodes[n].input(1);
  const std::size_t axes = rank[static_cast<std::size_t>(x)];
  // Of two axes the first, along which C sums, would be the samples.
  if (axes < 3 || axes < static_cast<std::size_t>(graph.tensor(c)->rank())) return 0;
  const std::optional<Tensor> matrix = matrix_of(*graph.tensor(c));
  if (!matrix) return 0;
  const std::string name = graph.nodes[n].name;
  const ValueId weight = graph.add_value(graph.values[static_cast<std::size_t>(c)].name, transposed(*matrix));
  const Node before = transposition(graph, name + "_columns", x, no_value, axes);
  const ValueId product = graph.add_value(name + "_rows");
  const Node after = transposition(graph, name + "_result", product, graph.nodes[n].outputs[0], axes);
  Node& node = graph.nodes[n];
  node.inputs = {before.outputs[0], weight};
  node.outputs = {product};
  const auto at = graph.nodes.begin() + static_cast<std::ptrdiff_t>(n);
  graph.nodes.insert(graph.nodes.insert(at, before) + 2, after);
  return 2;
}

}  // namespace

void straighten_products(Graph& graph) {
  const auto is_candidate = [&](const Node& node) {
    if (node.op != "MatMul" || node.inputs.size() > 2) return false;
    const Tensor* first = graph.tensor(node.input(0));
    const Tensor* second = graph.tensor(node.input(1));
    return (first != nullptr) != (second != nullptr) && (first != nullptr || second->rank() > 2);
  };
  if (std::none_of(graph.nodes.begin(), graph.nodes.end(), is_candidate)) return;
  std::vector<std::size_t> rank = ranks(graph);
  if (rank.empty()) return;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (!is_candidate(graph.nodes[n])) continue;
    if (graph.is_constant(graph.nodes[n].input(1)))
      straighten_second(graph, n, rank);
    else
      n += straighten_first(graph, n, rank);
    rank.resize(graph.values.size());
  }
}

}  // namespace tessera::nn
