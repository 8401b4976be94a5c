#include "tessera/nn/passes.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "operator.hpp"
#include "tessera/nn/batching.hpp"
#include "tessera/nn/linear.hpp"

namespace tessera::nn {

namespace {

Value& value_of(Graph& graph, ValueId id) {
  return graph.values[static_cast<std::size_t>(id)];
}

bool is_graph_output(const Graph& graph, ValueId id) {
  return std::ranges::find(graph.outputs, id) != graph.outputs.end();
}

bool is_convolution(const Node& node) {
  return node.op == "Conv" || node.op == "ConvTranspose";
}
bool is_product(const Node& node) {
  return node.op == "Gemm" || node.op == "MatMul";
}

std::int64_t outputs_of(const Graph& graph, const Node& node) {
  const Shape& weight = graph.tensor(node.input(1))->shape();
  if (node.op == "Conv") return weight[0];
  if (node.op == "ConvTranspose") return weight[1] * node.integer("group", 1);
  return node.op == "Gemm" && node.integer("transB", 0) != 0 ? weight[0] : weight[1];
}

/// The weighted node whose only output is `id`, read by one node alone: its index, or -1.
int sole_linear_producer(const Graph& graph, ValueId id, const std::vector<int>& producer,
                         const std::vector<std::vector<int>>& readers) {
  if (id == no_value || is_graph_output(graph, id)) return -1;
  const int n = producer[static_cast<std::size_t>(id)];
  if (n < 0 || readers[static_cast<std::size_t>(id)].size() != 1) return -1;
  const Node& node = graph.nodes[static_cast<std::size_t>(n)];
  if (!is_linear(graph, node) || !(is_convolution(node) || is_product(node))) return -1;
  if (node.input(2) != no_value && graph.tensor(node.input(2)) == nullptr) return -1;
  return n;
}

/// Bias of a layer as it acts: beta applied, one value per output.
std::vector<double> effective_bias(const Graph& graph, const Node& node, std::int64_t outputs) {
  std::vector<double> bias(static_cast<std::size_t>(outputs), 0.0);
  const Tensor* constant = graph.tensor(node.input(2));
  if (constant == nullptr) return bias;
  const auto beta = static_cast<double>(node.op == "Gemm" ? node.real("beta", 1.0F) : 1.0F);
  for (std::size_t i = 0; i < bias.size(); ++i)
    bias[i] = beta * static_cast<double>(constant->data()[constant->size() == 1 ? 0 : i]);
  return bias;
}

void set_bias(Graph& graph, std::size_t n, const std::vector<double>& bias) {
  Tensor values({static_cast<std::int64_t>(bias.size())});
  for (std::size_t i = 0; i < bias.size(); ++i) values.data()[i] = static_cast<float>(bias[i]);
  const ValueId id = graph.add_value(graph.nodes[n].name + ".bias", std::move(values));
  Node& node = graph.nodes[n];
  node.inputs.resize(3, no_value);
  node.inputs[2] = id;
  node.attributes.erase("beta");
}

/// The layer's output takes over the identity (and name) of the output of the node after it, which disappears.
void absorb(Graph& graph, std::size_t layer, std::size_t removed) {
  graph.nodes[layer].outputs[0] = graph.nodes[removed].outputs[0];
  graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(removed));
}

void erase_nodes(Graph& graph, const std::vector<bool>& dead) {
  std::size_t n = 0;
  std::erase_if(graph.nodes, [&](const Node&) { return dead[n++]; });
}

/// Removes values that nothing refers to and renumbers the rest.
void compact_values(Graph& graph) {
  std::vector<bool> used(graph.values.size());
  const auto mark = [&](ValueId id) {
    if (id != no_value) used[static_cast<std::size_t>(id)] = true;
  };
  for (const GraphInput& input : graph.inputs) mark(input.value);
  for (const ValueId id : graph.outputs) mark(id);
  for (const Node& node : graph.nodes) {
    for (const ValueId id : node.inputs) mark(id);
    for (const ValueId id : node.outputs) mark(id);
  }
  std::vector<ValueId> renumbered(graph.values.size(), no_value);
  std::vector<Value> kept;
  for (std::size_t v = 0; v < graph.values.size(); ++v)
    if (used[v]) {
      renumbered[v] = static_cast<ValueId>(kept.size());
      kept.push_back(std::move(graph.values[v]));
    }
  graph.values = std::move(kept);
  const auto renumber = [&](ValueId& id) {
    if (id != no_value) id = renumbered[static_cast<std::size_t>(id)];
  };
  for (GraphInput& input : graph.inputs) renumber(input.value);
  for (ValueId& id : graph.outputs) renumber(id);
  for (Node& node : graph.nodes) {
    for (ValueId& id : node.inputs) renumber(id);
    for (ValueId& id : node.outputs) renumber(id);
  }
}

/// A stored matrix [rows, cols], turned, that is not in memory a second time.
class TurnedSource final : public FloatSource {
 public:
  explicit TurnedSource(Tensor matrix) : matrix_(std::move(matrix)) {}

  void copy(std::int64_t first, std::span<float> to) const override {
    const std::int64_t rows = matrix_.dim(0), cols = matrix_.dim(1);
    const float* const from = matrix_.data();
    std::int64_t row = first % rows, col = first / rows;
    for (float& value : to) {
      value = from[row * cols + col];
      if (++row < rows) continue;
      row = 0;
      ++col;
    }
  }
  const float* values() const override {
    std::call_once(made_, [&] {
      values_.resize(static_cast<std::size_t>(matrix_.size()));
      copy(0, values_);
    });
    return values_.data();
  }
  void forget() const override { matrix_.forget(); }

 private:
  Tensor matrix_;
  mutable std::once_flag made_;
  mutable AlignedVector<float> values_;
};

/// What Transpose makes of a matrix that lies in a file, or nothing.
std::optional<Tensor> turned(const Graph& graph, const Node& node) {
  const Tensor* const matrix = node.op == "Transpose" ? graph.tensor(node.input(0)) : nullptr;
  if (matrix == nullptr || matrix->owns_values() || matrix->rank() != 2 || matrix->size() == 0) return std::nullopt;
  const std::vector<std::int64_t> axes = node.integers("perm");
  if (!axes.empty() && axes != std::vector<std::int64_t>{1, 0}) return std::nullopt;
  return Tensor::from({matrix->dim(1), matrix->dim(0)}, std::make_shared<const TurnedSource>(*matrix));
}

}  // namespace

void fold_constants(Graph& graph) {
  std::vector<bool> dead(graph.nodes.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const Operator* op = find_operator(node.op);
    const bool sized = node.op == "Shape" || node.op == "Size";
    if (std::optional<Tensor> matrix = turned(graph, node)) {
      value_of(graph, node.outputs[0]).constant = *std::move(matrix);
      dead[n] = true;
      continue;
    }
    if (op == nullptr || (op->compute == nullptr && !sized)) continue;
    if (!std::ranges::all_of(node.inputs, [&](ValueId id) { return id == no_value || graph.is_constant(id); }))
      continue;
    std::vector<ValueInfo> known(node.inputs.size());
    std::vector<const ValueInfo*> in(node.inputs.size(), nullptr);
    // The transpose of a weight of any size is folded; only what grows has a limit.
    std::int64_t largest = largest_folded;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == no_value) continue;
      known[i] = info_of(*value_of(graph, node.inputs[i]).constant);
      in[i] = &known[i];
      largest = std::max(largest, element_count(known[i].shape));
    }
    const std::vector<ValueInfo> out = infer_node(node, in, largest);
    if (!std::ranges::all_of(out, [](const ValueInfo& info) { return info.known != nullptr; })) continue;
    for (std::size_t i = 0; i < out.size(); ++i)
      if (node.outputs[i] != no_value) value_of(graph, node.outputs[i]).constant = *out[i].known;
    for (const ValueId id : node.inputs)
      if (const Tensor* const tensor = graph.tensor(id)) tensor->forget();
    dead[n] = true;
  }
  erase_nodes(graph, dead);
}

void remove_dead_nodes(Graph& graph) {
  std::vector<bool> dead(graph.nodes.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.op != "Identity") continue;
    const ValueId from = node.inputs[0], to = node.outputs[0];
    const bool fed = std::ranges::find(graph.inputs, from, &GraphInput::value) != graph.inputs.end();
    if (is_graph_output(graph, to)) {
      // An output keeps its name, unless what it repeats is an input, a constant or an output itself.
      if (fed || graph.is_constant(from) || is_graph_output(graph, from)) continue;
      std::swap(value_of(graph, from).name, value_of(graph, to).name);
    }
    dead[n] = true;
    std::ranges::replace(graph.outputs, to, from);
    for (Node& reader : graph.nodes) std::ranges::replace(reader.inputs, to, from);
  }
  std::vector<bool> needed(graph.values.size());
  for (const ValueId id : graph.outputs) needed[static_cast<std::size_t>(id)] = true;
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    const bool wanted = std::ranges::any_of(
        node.outputs, [&](ValueId id) { return id != no_value && needed[static_cast<std::size_t>(id)]; });
    if (dead[n] || !wanted) {
      dead[n] = true;
      continue;
    }
    for (const ValueId id : node.inputs)
      if (id != no_value) needed[static_cast<std::size_t>(id)] = true;
  }
  erase_nodes(graph, dead);
  compact_values(graph);
}

namespace {

/// Whether a constant of this shape, added to a layer's output, is one value per output.
bool is_bias_shape(const Graph& graph, const Node& node, const Shape& shape, std::int64_t outputs) {
  std::size_t axis = 0;  // counted from the last
  std::size_t rank = 2;
  if (is_convolution(node)) {
    rank = graph.tensor(node.input(1))->shape().size();
    axis = rank - 2;
  }
  if (shape.size() > rank) return false;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (shape[shape.size() - 1 - i] != (i == axis ? outputs : 1) && shape[shape.size() - 1 - i] != 1) return false;
  return true;
}

}  // namespace

void merge_bias(Graph& graph) {
  for (std::size_t n = 0; n < graph.nodes.size();) {
    const std::size_t before = graph.nodes.size();
    if (graph.nodes[n].op == "Add") {
      const std::vector<int> producer = producers(graph);
      const std::vector<std::vector<int>> readers = consumers(graph);
      for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
        const Tensor* constant = graph.tensor(graph.nodes[n].inputs[1 - side]);
        const int layer = sole_linear_producer(graph, graph.nodes[n].inputs[side], producer, readers);
        if (constant == nullptr || layer < 0) continue;
        const auto l = static_cast<std::size_t>(layer);
        const std::int64_t outputs = outputs_of(graph, graph.nodes[l]);
        if (!is_bias_shape(graph, graph.nodes[l], constant->shape(), outputs)) continue;
        std::vector<double> bias = effective_bias(graph, graph.nodes[l], outputs);
        for (std::size_t i = 0; i < bias.size(); ++i)
          bias[i] += static_cast<double>(constant->data()[constant->size() == 1 ? 0 : i]);
        set_bias(graph, l, bias);
        absorb(graph, l, n);
        break;
      }
    }
    if (graph.nodes.size() == before) ++n;
  }
  compact_values(graph);
}

namespace {

/// Folds node n into the layer before it if it is a BatchNormalization that allows it.
bool fold_into_producer(Graph& graph, std::size_t n) {
  const Node norm = graph.nodes[n];
  if (norm.op != "BatchNormalization" || norm.inputs.size() != 5) return false;
  const int layer = sole_linear_producer(graph, norm.inputs[0], producers(graph), consumers(graph));
  if (layer < 0) return false;
  const auto l = static_cast<std::size_t>(layer);
  const Node node = graph.nodes[l];
  const std::int64_t outputs = outputs_of(graph, node);
  std::array<const Tensor*, 4> p{};
  bool usable = true;
  for (std::size_t i = 0; i < 4; ++i) {
    p[i] = graph.tensor(norm.inputs[i + 1]);
    usable = usable && p[i] != nullptr && p[i]->size() == outputs;
  }
  // The channel of a product is its last axis only where the output is a matrix.
  if (usable && node.op == "MatMul") {
    try {
      usable = infer_shapes(graph, input_shapes(graph, 1))[static_cast<std::size_t>(norm.inputs[0])].shape.size() == 2;
    } catch (const InputError&) {
      usable = false;
    }
  }
  if (!usable || graph.tensor(node.input(1))->size() == 0) return false;
  const auto epsilon = static_cast<double>(norm.real("epsilon", 1e-5F));
  std::vector<double> bias = effective_bias(graph, node, outputs), scale(bias.size());
  for (std::size_t i = 0; i < bias.size(); ++i) {
    scale[i] = static_cast<double>(p[0]->data()[i]) / std::sqrt(static_cast<double>(p[3]->data()[i]) + epsilon);
    bias[i] = (bias[i] - static_cast<double>(p[2]->data()[i])) * scale[i] + static_cast<double>(p[1]->data()[i]);
  }
  Tensor weight = *graph.tensor(node.input(1));
  // Outputs lie along the first axis (Conv, transposed Gemm), the last (MatMul, Gemm), or, per group, the second.
  const bool first = node.op == "Conv" || (node.op == "Gemm" && node.integer("transB", 0) != 0);
  const std::int64_t groups = node.op == "ConvTranspose" ? node.integer("group", 1) : 1;
  const std::int64_t rows = weight.dim(0), cols = weight.dim(1), tail = weight.size() / (rows * cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) {
      const std::int64_t output = first ? r : r / (rows / groups) * cols + c;
      const double s = scale[static_cast<std::size_t>(node.op == "ConvTranspose" ? output : first ? r : c)];
      for (std::int64_t i = (r * cols + c) * tail; i < (r * cols + c + 1) * tail; ++i)
        weight.data()[i] = static_cast<float>(static_cast<double>(weight.data()[i]) * s);
    }
  const ValueId folded_weight = graph.add_value(value_of(graph, node.input(1)).name, std::move(weight));
  graph.nodes[l].inputs[1] = folded_weight;
  set_bias(graph, l, bias);
  absorb(graph, l, n);
  return true;
}

}  // namespace

int fold_batchnorm(Graph& graph) {
  int folded = 0;
  for (std::size_t n = 0; n < graph.nodes.size();) {
    if (fold_into_producer(graph, n))
      ++folded;
    else
      ++n;
  }
  compact_values(graph);
  return folded;
}
void simplify(Graph& graph, const Environment& environment) {
  fold_constants(graph);
  canonicalize_products(graph);
  remove_dead_nodes(graph);
  merge_bias(graph);
  remove_dead_nodes(graph);
  if (graph.batch == BatchMode::any) make_batchable(graph, environment);
  validate(graph);
}

}  // namespace tessera::nn
