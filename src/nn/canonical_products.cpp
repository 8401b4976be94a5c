#include <algorithm>
#include <optional>

#include "operator.hpp"
#include "tessera/nn/passes.hpp"

/// MatMul with a constant, in the form in which it is a layer: the second operand a matrix.
namespace tessera::nn {

namespace {

std::vector<std::int64_t> exchanged_axes(std::size_t rank) {
  std::vector<std::int64_t> axes;
  for (std::size_t d = 0; d < rank; ++d) axes.push_back(static_cast<std::int64_t>(d));
  if (rank >= 2) std::swap(axes[rank - 1], axes[rank - 2]);
  return axes;
}

/// A constant of shape [1, ..., 1, rows, cols] as the matrix [rows, cols].
std::optional<Tensor> as_matrix(const Tensor* constant) {
  if (constant == nullptr || constant->rank() < 2) return std::nullopt;
  const Shape& shape = constant->shape();
  if (!std::all_of(shape.begin(), shape.end() - 2, [](std::int64_t extent) { return extent == 1; }))
    return std::nullopt;
  return constant->reshaped({shape[shape.size() - 2], shape.back()});
}

Tensor transposed(const Tensor& matrix) {
  Tensor result = Tensor::uninitialized({matrix.dim(1), matrix.dim(0)});
  for (std::int64_t r = 0; r < matrix.dim(0); ++r)
    for (std::int64_t c = 0; c < matrix.dim(1); ++c)
      result.data()[c * matrix.dim(0) + r] = matrix.data()[r * matrix.dim(1) + c];
  return result;
}

class Rewriting {
 public:
  explicit Rewriting(Graph& graph) : graph_(graph) {}

  void run() {
    if (std::ranges::none_of(graph_.nodes, [&](const Node& node) { return is_candidate(node); })) return;
    ranks_ = ranks_of(graph_);
    std::vector<Node> nodes;
    for (Node& node : graph_.nodes) {
      if (!is_candidate(node) || !(matrix_on_the_right(node, nodes) || matrix_on_the_left(node, nodes)))
        nodes.push_back(std::move(node));
    }
    graph_.nodes = std::move(nodes);
  }

 private:
  bool is_candidate(const Node& node) const {
    if (node.op != "MatMul" || node.inputs.size() != 2) return false;
    const Tensor *a = graph_.tensor(node.inputs[0]), *b = graph_.tensor(node.inputs[1]);
    return (a != nullptr && b == nullptr && a->rank() >= 2) || (a == nullptr && b != nullptr && b->rank() > 2);
  }

  /// x [.., k] times [1, .., k, n]: the same as times [k, n] where x has as many axes.
  bool matrix_on_the_right(const Node& node, std::vector<Node>& nodes) {
    const auto matrix = as_matrix(graph_.tensor(node.inputs[1]));
    const auto rank = rank_of(node.inputs[0]);
    if (!matrix || !rank || *rank < graph_.tensor(node.inputs[1])->shape().size()) return false;
    Node changed = node;
    changed.inputs[1] = graph_.add_value(graph_.name_of(node.inputs[1]), *matrix);
    nodes.push_back(std::move(changed));
    return true;
  }

  /// W x = (x' W')', where x' and (..)' exchange the last two axes; two exchanges that follow each other go away.
  bool matrix_on_the_left(const Node& node, std::vector<Node>& nodes) {
    const auto matrix = as_matrix(graph_.tensor(node.inputs[0]));
    const auto rank = rank_of(node.inputs[1]);
    if (!matrix || !rank || *rank < 2 || *rank < graph_.tensor(node.inputs[0])->shape().size()) return false;
    const std::vector<std::int64_t> exchange = exchanged_axes(*rank);
    ValueId x = node.inputs[1];
    const auto before = std::ranges::find_if(nodes, [&](const Node& n) { return n.output(0) == x; });
    if (before != nodes.end() && before->op == "Transpose" && before->integers("perm") == exchange) {
      x = before->inputs[0];
    } else {
      const ValueId turned = graph_.add_value(graph_.name_of(x) + "_transposed");
      nodes.push_back(exchange_node(node.name + ".input_transposed", x, turned, exchange));
      x = turned;
    }
    const ValueId y = graph_.add_value(graph_.name_of(node.outputs[0]) + "_transposed");
    Node product = node;
    product.inputs = {x, graph_.add_value(graph_.name_of(node.inputs[0]), transposed(*matrix))};
    product.outputs = {y};
    nodes.push_back(std::move(product));
    nodes.push_back(exchange_node(node.name + ".output_transposed", y, node.outputs[0], exchange));
    return true;
  }

  static Node exchange_node(std::string name, ValueId from, ValueId to, const std::vector<std::int64_t>& axes) {
    return {
        .name = std::move(name), .op = "Transpose", .inputs = {from}, .outputs = {to}, .attributes = {{"perm", axes}}};
  }

  std::optional<std::size_t> rank_of(ValueId id) const { return ranks_[static_cast<std::size_t>(id)]; }

  Graph& graph_;
  std::vector<std::optional<std::size_t>> ranks_;
};

}  // namespace

void canonicalize_products(Graph& graph) {
  Rewriting(graph).run();
}

}  // namespace tessera::nn
