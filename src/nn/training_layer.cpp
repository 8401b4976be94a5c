#include <algorithm>

#include "backward.hpp"
#include "float_linear.hpp"

/// Weighted layers in training: their parts, and dense layers.
namespace tessera::nn {

TrainedLayer::TrainedLayer(LinearLayer layer) : layer_(std::move(layer)) {
  for (const LinearPart& part : layer_.parts) parts_.push_back(std::make_shared<FloatLinear>(part));
}

void TrainedLayer::replace(std::size_t part, std::shared_ptr<TrainableLinear> linear) {
  require<InputError>(part < parts_.size() && linear != nullptr, "layer '{}': part {} of {} cannot be replaced",
                      layer_.name, part, parts_.size());
  parts_[part] = std::move(linear);
}

std::vector<TrainedParameter> TrainedLayer::parameters() {
  std::vector<TrainedParameter> result;
  for (std::size_t p = 0; p < parts_.size(); ++p)
    for (TrainedParameter& parameter : parts_[p]->parameters()) {
      parameter.name = layer_.part_name(p) + "." + parameter.name;
      result.push_back(std::move(parameter));
    }
  return result;
}

void TrainedLayer::updated() {
  for (const auto& part : parts_) part->updated();
}

void TrainedLayer::begin_step(std::uint64_t step) {
  for (const auto& part : parts_) part->begin_step(step);
}

void store_constant(Graph& graph, Node& node, std::size_t i, Tensor values) {
  const ValueId id = node.input(i);
  std::size_t uses = 0;
  if (id != no_value)
    for (const Node& other : graph.nodes) uses += static_cast<std::size_t>(std::ranges::count(other.inputs, id));
  if (uses == 1) {
    graph.values[static_cast<std::size_t>(id)].constant = std::move(values);
    return;
  }
  const ValueId added = graph.add_value(node.name + fmt::format(".input{}", i), std::move(values));
  if (node.inputs.size() <= i) node.inputs.resize(i + 1, no_value);
  node.inputs[i] = added;
}

namespace {

std::span<const float> values_of(TrainableLinear& part, ParameterKind kind, std::size_t count,
                                 const std::string& name) {
  for (const TrainedParameter& parameter : part.parameters())
    if (parameter.kind == kind) {
      require<InputError>(parameter.value.size() == count, "part '{}': {} trained values where the layer has {}", name,
                          parameter.value.size(), count);
      return parameter.value;
    }
  return {};
}

Tensor transposed(std::span<const float> values, std::int64_t rows, std::int64_t cols) {
  Tensor result({cols, rows});
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      result.data()[c * rows + r] = values[static_cast<std::size_t>(r * cols + c)];
  return result;
}

/// Where each part's values lie in the node's constants: W, R and B of a recurrent node.
struct RecurrentPlace {
  std::size_t input;        ///< of the node
  std::int64_t first_row;   ///< of the direction's [gates * hidden, in]
  std::int64_t first_bias;  ///< of the direction's [2 gates hidden]
};

RecurrentPlace recurrent_place(const Node& node, std::size_t part, std::int64_t hidden) {
  const std::int64_t gates = node.op == "LSTM" ? 4 : node.op == "GRU" ? 3 : 1;
  if (part == 0) return {1, 0, 0};
  if (part == 1) return {2, 0, gates * hidden};
  return {2, 2 * hidden, gates * hidden + 2 * hidden};
}

}  // namespace

void TrainedLayer::store(Graph& graph, Node& node) const {
  const Tensor weight = *graph.tensor(node.input(1));
  std::vector<std::span<const float>> weights, biases;
  std::vector<Matrix> unchanged(parts_.size());  // weights of parts that learn none
  std::int64_t outputs = 0;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    const LinearPart& part = layer_.parts[p];
    const std::string name = layer_.part_name(p);
    const auto out = static_cast<std::size_t>(part.weight.rows());
    weights.push_back(
        values_of(*parts_[p], ParameterKind::weight, out * static_cast<std::size_t>(part.weight.cols()), name));
    biases.push_back(part.bias.empty() ? std::span<const float>{}
                                       : values_of(*parts_[p], ParameterKind::bias, out, name));
    if (weights.back().empty()) {
      unchanged[p] = part.weight.matrix();
      weights.back() = std::as_const(unchanged[p]).values();
    }
    if (biases.back().empty()) biases.back() = part.bias;
    outputs += part.weight.rows();
  }
  if (layer_.kind == LinearKind::recurrent) {
    const Tensor& first_r = *graph.tensor(node.input(2));
    std::vector<Tensor> stored{weight, first_r};
    const Tensor* b = graph.tensor(node.input(3));
    Tensor bias = b != nullptr ? *b : Tensor();
    const std::int64_t hidden = first_r.dim(2), rows = weight.dim(1);
    const std::size_t parts = node.op == "GRU" ? 3 : 2;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const RecurrentPlace place = recurrent_place(node, p % parts, hidden);
      const auto direction = static_cast<std::int64_t>(p / parts);
      Tensor& target = stored[place.input - 1];
      std::ranges::copy(weights[p], target.data() + (direction * rows + place.first_row) * target.dim(2));
      if (b != nullptr) std::ranges::copy(biases[p], bias.data() + direction * 2 * rows + place.first_bias);
    }
    store_constant(graph, node, 1, std::move(stored[0]));
    store_constant(graph, node, 2, std::move(stored[1]));
    if (b != nullptr) store_constant(graph, node, 3, std::move(bias));
    return;
  }
  Tensor values(weight.shape());
  float* to = values.data();
  if (layer_.kind == LinearKind::dense) {
    const bool as_is = node.op == "Gemm" && node.integer("transB", 0) != 0;
    const LinearPart& part = layer_.parts[0];
    if (as_is)
      std::ranges::copy(weights[0], to);
    else
      values = transposed(weights[0], part.weight.rows(), part.weight.cols());
    node.attributes.erase("alpha");
    node.attributes.erase("beta");
  } else {
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const LinearPart& part = layer_.parts[p];
      if (layer_.kind == LinearKind::transposed_convolution) {
        const Tensor turned = transposed(weights[p], part.weight.rows(), part.weight.cols());
        to = std::ranges::copy(turned.values(), to).out;
      } else {
        to = std::ranges::copy(weights[p], to).out;
      }
    }
  }
  store_constant(graph, node, 1, std::move(values));
  if (layer_.kind == LinearKind::transposed_convolution || graph.tensor(node.input(2)) == nullptr) return;
  Tensor bias({outputs});
  float* at = bias.data();
  for (const auto& part : biases) at = std::ranges::copy(part, at).out;
  store_constant(graph, node, 2, std::move(bias));
}

namespace {

class TrainedDense final : public TrainedLayer {
 public:
  using TrainedLayer::TrainedLayer;

  void forward(const ForwardContext& c) override {
    begin_step(c.step);
    const MatrixView y(c.out[0].floats(), rows_of(c.in[0]), outputs());
    part(0).forward(input(c.in[0]), y, 0, c.parallel);
    if (c.relu) rectify(y.data, c.out[0].size());
  }

  void backward(const BackwardContext& c, bool relu) override {
    const ConstMatrixView x = input(c.in[0]);
    const MatrixView dy(c.d_out[0].floats(), x.rows, outputs());
    if (relu) rectify_gradient(dy.data, c.out[0].floats(), c.out[0].size());
    MatrixView dx;
    if (c.wants(0)) {
      dx = {c.d_in[0].floats(), x.rows, x.cols};
    } else if (dynamic_cast<FloatLinear*>(&part(0)) == nullptr) {
      unused_.resize(static_cast<std::size_t>(x.rows * x.cols));
      dx = {unused_.data(), x.rows, x.cols};
    }
    part(0).backward(x, dy, dx, 0, c.parallel);
  }

 private:
  static void rectify(float* y, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) y[i] = y[i] < 0.0F ? 0.0F : y[i];
  }
  std::int64_t outputs() const { return layer().parts[0].weight.rows(); }
  std::int64_t rows_of(const Array& in) const {
    const std::int64_t inputs = layer().parts[0].weight.cols();
    return inputs > 0 ? in.size() / inputs : 0;
  }
  ConstMatrixView input(const Array& in) const { return {in.floats(), rows_of(in), layer().parts[0].weight.cols()}; }

  AlignedVector<float> unused_;
};

}  // namespace

std::unique_ptr<TrainedLayer> make_trained_dense(const LinearLayer& layer) {
  return std::make_unique<TrainedDense>(layer);
}

std::unique_ptr<TrainedLayer> make_trained_layer(const Graph& graph, const LinearLayer& layer) {
  switch (layer.kind) {
    case LinearKind::dense:
      return make_trained_dense(layer);
    case LinearKind::convolution:
      return make_trained_convolution(layer);
    case LinearKind::transposed_convolution:
      return make_trained_transposed_convolution(graph, layer);
    case LinearKind::recurrent:
      require<InputError>(graph.nodes[static_cast<std::size_t>(layer.node)].input(4) == no_value,
                          "layer '{}': sequences of several lengths (sequence_lens) cannot be trained", layer.name);
      return make_trained_recurrent(layer);
    case LinearKind::product:  // digital in training: not among the layers of linear_layers()
      break;
  }
  return nullptr;
}

void rectify_gradient(float* dy, const float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) dy[i] = y[i] > 0.0F ? dy[i] : 0.0F;
}

}  // namespace tessera::nn
