#include "tessera/nn/linear.hpp"

#include <algorithm>
#include <memory>

#include "window.hpp"

namespace tessera::nn {

namespace {

std::vector<float> slice(const std::vector<float>& values, std::int64_t first, std::int64_t count) {
  if (values.empty()) return {};
  return {values.begin() + first, values.begin() + first + count};
}

/// A bias of one value per output from any constant that broadcasts to it.
std::vector<float> bias_of(const Graph& graph, ValueId id, std::int64_t outputs) {
  const Tensor* constant = graph.tensor(id);
  if (constant == nullptr) return {};
  if (constant->size() == 1) return std::vector<float>(static_cast<std::size_t>(outputs), constant->data()[0]);
  return {constant->values().begin(), constant->values().end()};
}

/// A constant of the graph, read when a weight is asked for.
const Tensor& weight_of(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.tensor(id);
  TESSERA_EXPECT(tensor != nullptr);
  return *tensor;
}

/// Rows [first, first + rows) of a weight that is read as a matrix of `cols` columns.
PartWeight stored_rows(const Graph& graph, ValueId id, std::int64_t first, std::int64_t rows, std::int64_t cols) {
  return {rows, cols, [&graph, id, first, rows, cols] {
            const Tensor& weight = weight_of(graph, id);
            Matrix result = Matrix::uninitialized(rows, cols);
            weight.copy(first * cols, result.values());
            weight.forget();
            return result;
          }};
}

/// The transpose of such rows.
PartWeight stored_columns(const Graph& graph, ValueId id, std::int64_t first, std::int64_t rows, std::int64_t cols) {
  return {cols, rows, [&graph, id, first, rows, cols] {
            const Tensor& weight = weight_of(graph, id);
            Matrix result = Matrix::uninitialized(cols, rows);
            std::vector<float> row(static_cast<std::size_t>(cols));
            for (std::int64_t r = 0; r < rows; ++r) {
              weight.copy((first + r) * cols, row);
              float* to = result.data() + r;
              for (std::size_t c = 0; c < row.size(); ++c) to[static_cast<std::int64_t>(c) * rows] = row[c];
            }
            weight.forget();
            return result;
          }};
}

PartWeight scaled(const PartWeight& weight, float factor) {
  return {weight.rows(), weight.cols(), [weight, factor] {
            Matrix result = weight.matrix();
            for (float& w : result.values()) w *= factor;
            return result;
          }};
}

LinearPart dense_part(const Graph& graph, const Node& node) {
  const Tensor& weight = *graph.tensor(node.input(1));
  LinearPart part;
  const bool gemm = node.op == "Gemm";
  const auto stored = gemm && node.integer("transB", 0) != 0 ? stored_rows : stored_columns;
  part.weight = stored(graph, node.input(1), 0, weight.dim(0), weight.dim(1));
  part.bias = bias_of(graph, node.input(2), part.weight.rows());
  const float alpha = gemm ? node.real("alpha", 1.0F) : 1.0F;
  const float beta = gemm ? node.real("beta", 1.0F) : 1.0F;
  if (alpha != 1.0F) part.weight = scaled(part.weight, alpha);
  if (beta != 1.0F)
    for (float& b : part.bias) b *= beta;
  return part;
}

std::vector<LinearPart> convolution_parts(const Graph& graph, const Node& node, std::int64_t groups) {
  const Tensor& weight = *graph.tensor(node.input(1));
  const std::int64_t outputs = weight.dim(0), inputs = weight.size() / std::max<std::int64_t>(1, outputs);
  const std::int64_t per_group = outputs / groups;
  const std::vector<float> bias = bias_of(graph, node.input(2), outputs);
  std::vector<LinearPart> parts;
  for (std::int64_t g = 0; g < groups; ++g)
    parts.push_back({groups == 1 ? "" : fmt::format("group{}", g),
                     stored_rows(graph, node.input(1), g * per_group, per_group, inputs),
                     slice(bias, g * per_group, per_group)});
  return parts;
}

std::vector<LinearPart> transposed_convolution_parts(const Graph& graph, const Node& node, std::int64_t groups) {
  const Tensor& weight = *graph.tensor(node.input(1));  // [in, out / groups, kernel...]
  const std::int64_t inputs = weight.dim(0) / groups,
                     outputs = weight.size() / std::max<std::int64_t>(1, weight.dim(0));
  std::vector<LinearPart> parts;
  for (std::int64_t g = 0; g < groups; ++g)
    parts.push_back({groups == 1 ? "" : fmt::format("group{}", g),
                     stored_columns(graph, node.input(1), g * inputs, inputs, outputs),
                     {}});
  return parts;
}

std::vector<LinearPart> recurrent_parts(const Graph& graph, const Node& node) {
  const ValueId w_id = node.input(1), r_id = node.input(2);
  const Tensor& w = *graph.tensor(w_id);          // [directions, gates * hidden, in]
  const Tensor& r = *graph.tensor(r_id);          // [directions, gates * hidden, hidden]
  const Tensor* b = graph.tensor(node.input(3));  // [directions, 2 * gates * hidden]
  const std::int64_t directions = w.dim(0), rows = w.dim(1), inputs = w.dim(2), hidden = r.dim(2);
  std::vector<LinearPart> parts;
  for (std::int64_t d = 0; d < directions; ++d) {
    const bool reverse = d == 1 || node.text("direction", "forward") == "reverse";
    const std::string suffix = reverse ? "_reverse" : "";
    const auto bias = [&](std::int64_t first, std::int64_t count) -> std::vector<float> {
      if (b == nullptr) return {};
      const float* begin = b->data() + d * 2 * rows + first;
      return {begin, begin + count};
    };
    const std::int64_t first = d * rows;
    parts.push_back({"W" + suffix, stored_rows(graph, w_id, first, rows, inputs), bias(0, rows)});
    if (node.op != "GRU") {
      parts.push_back({"R" + suffix, stored_rows(graph, r_id, first, rows, hidden), bias(rows, rows)});
    } else {
      parts.push_back({"R" + suffix, stored_rows(graph, r_id, first, 2 * hidden, hidden), bias(rows, 2 * hidden)});
      parts.push_back({"Rh" + suffix, stored_rows(graph, r_id, first + 2 * hidden, hidden, hidden),
                       bias(rows + 2 * hidden, hidden)});
    }
  }
  return parts;
}

/// What the functions above rely on; the rest is checked against the input's shape when a run is planned.
void check_weights(const Graph& graph, const Node& node) {
  const Shape& w = graph.tensor(node.input(1))->shape();
  const std::string where = fmt::format("node '{}' ({})", node.name, node.op);
  const bool recurrent = node.op == "LSTM" || node.op == "GRU" || node.op == "RNN";
  const ValueId bias_id = node.input(recurrent ? 3 : 2);
  const Tensor* bias = graph.tensor(bias_id);
  require<InputError>(bias_id == no_value || bias != nullptr, "{}: the bias is not a floating-point constant", where);
  std::int64_t biases = 0;
  if (recurrent) {
    const std::int64_t gates = node.op == "LSTM" ? 4 : node.op == "GRU" ? 3 : 1;
    const std::int64_t directions = node.text("direction", "forward") == "bidirectional" ? 2 : 1;
    const Shape& r = graph.tensor(node.input(2))->shape();
    require<InputError>(
        r.size() == 3 && r[2] > 0 && w[0] == directions && r[0] == directions && w[1] == gates * r[2] && r[1] == w[1],
        "{}: weights of shape {} and {} for {} gates and {} directions", where, to_string(w), to_string(r), gates,
        directions);
    biases = directions * 2 * w[1];
  } else if (node.op == "Conv" || node.op == "ConvTranspose") {
    const std::int64_t groups = node.integer("group", 1);
    require<InputError>(groups >= 1 && w[0] >= 1 && w[1] >= 1 && w[0] % groups == 0, "{}: {} groups for a weight of {}",
                        where, groups, to_string(w));
    biases = node.op == "Conv" ? w[0] : w[1] * groups;
  } else {
    biases = node.op == "Gemm" && node.integer("transB", 0) != 0 ? w[0] : w[1];
    if (bias != nullptr && bias->size() == 1) biases = 1;
  }
  require<InputError>(bias == nullptr || bias->size() == biases, "{}: a bias of shape {} for a weight of {}", where,
                      bias == nullptr ? "" : to_string(bias->shape()), to_string(w));
}

}  // namespace

PartWeight::PartWeight(Matrix values)
    : PartWeight(values.rows(), values.cols(),
                 [kept = std::make_shared<const Matrix>(std::move(values))] { return *kept; }) {}

PartWeight::PartWeight(std::int64_t rows, std::int64_t cols, std::function<Matrix()> make)
    : rows_(rows), cols_(cols), make_(std::move(make)) {}

std::string LinearLayer::part_name(std::size_t part) const {
  const std::string& suffix = parts.at(part).name;
  return suffix.empty() ? name : name + "." + suffix;
}

std::vector<std::string> activation_products(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes)
    if (node.op == "MatMul" && !graph.is_constant(node.input(0)) && !graph.is_constant(node.input(1)))
      names.push_back(node.name);
  return names;
}

bool is_linear(const Graph& graph, const Node& node) {
  const Tensor* weight = graph.tensor(node.input(1));
  if (weight == nullptr) return false;
  if (node.op == "Gemm" || node.op == "MatMul") return weight->rank() == 2;
  if (node.op == "Conv" || node.op == "ConvTranspose") return weight->rank() == 3 || weight->rank() == 4;
  if (node.op == "LSTM" || node.op == "GRU" || node.op == "RNN")
    return weight->rank() == 3 && graph.tensor(node.input(2)) != nullptr;
  return false;
}

std::vector<LinearLayer> linear_layers(const Graph& graph) {
  std::vector<LinearLayer> layers;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!is_linear(graph, node)) continue;
    check_weights(graph, node);
    LinearLayer layer;
    layer.node = static_cast<int>(n);
    layer.name = node.name;
    if (node.op == "Conv" || node.op == "ConvTranspose") {
      layer.groups = node.integer("group", 1);
      layer.window = window_of(node, graph.tensor(node.input(1))->shape());
      const bool direct = node.op == "Conv";
      layer.kind = direct ? LinearKind::convolution : LinearKind::transposed_convolution;
      layer.parts = direct ? convolution_parts(graph, node, layer.groups)
                           : transposed_convolution_parts(graph, node, layer.groups);
    } else if (node.op == "Gemm" || node.op == "MatMul") {
      layer.parts.push_back(dense_part(graph, node));
    } else {
      layer.kind = LinearKind::recurrent;
      layer.parts = recurrent_parts(graph, node);
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

}  // namespace tessera::nn
