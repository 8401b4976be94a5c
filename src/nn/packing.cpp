#include "tessera/nn/packing.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {

namespace {

/// Nodes that make the former inputs of the packed one, to be put in front of all others.
class Unpacking {
 public:
  Unpacking(Graph& graph, const std::string& name, std::int64_t size) : graph_(graph), size_(size) {
    packed_ = graph.add_value(name);
  }

  ValueId packed() const { return packed_; }

  void take(const PackedInput& part) {
    const std::int64_t size = element_count(part.sample);
    ValueId value = packed_;
    if (size != size_)
      value = emit("Slice", {packed_, constant(part.offset), constant(part.offset + size), constant(1)}, part.input);
    finish(part.input, part.sample, value);
  }

  void fill(const FilledInput& part) {
    // Of the packed input only the number of samples is wanted.
    const ValueId one = emit("Slice", {packed_, constant(0), constant(1), constant(1)}, part.input);
    const ValueId zero =
        emit("Mul", {one, graph_.add_value("zero", Tensor({1}, std::vector<float>{0.0F}))}, part.input);
    Tensor values = Tensor::uninitialized({element_count(part.sample)});
    std::ranges::fill(values.values(), static_cast<float>(part.value));
    finish(part.input, part.sample, emit("Add", {zero, graph_.add_value("filled", std::move(values))}, part.input));
  }

  std::vector<Node> nodes() { return std::move(nodes_); }

 private:
  ValueId constant(std::int64_t value) { return graph_.add_value("index", IntTensor{{1}, {value}}); }

  Node node(const std::string& op, std::vector<ValueId> inputs, ValueId output, std::size_t input) {
    std::string name = graph_.name_of(graph_.inputs[input].value) + ".unpack";
    std::ranges::replace(name, '/', '.');
    const auto taken = [&](const std::string& candidate) {
      const auto called = [&](const Node& other) { return other.name == candidate; };
      return std::ranges::any_of(graph_.nodes, called) || std::ranges::any_of(nodes_, called);
    };
    std::string unique = name;
    for (int i = 1; taken(unique); ++i) unique = fmt::format("{}_{}", name, i);
    return {.name = std::move(unique), .op = op, .inputs = std::move(inputs), .outputs = {output}, .attributes = {}};
  }

  ValueId emit(const std::string& op, std::vector<ValueId> inputs, std::size_t input) {
    const ValueId output = graph_.add_value(graph_.name_of(graph_.inputs[input].value) + ".unpacked");
    nodes_.push_back(node(op, std::move(inputs), output, input));
    return output;
  }

  /// `value` [N, elements] as the input.
  void finish(std::size_t index, const Shape& sample, ValueId value) {
    const GraphInput& input = graph_.inputs[index];
    IntTensor target{{std::ssize(sample) + 1}, {0}};
    target.values.insert(target.values.end(), sample.begin(), sample.end());
    const bool integer = input.type == ElementType::int64;
    const ValueId shape = graph_.add_value("shape", std::move(target));
    if (integer) value = emit("Reshape", {value, shape}, index);
    Node last =
        integer ? node("Cast", {value}, input.value, index) : node("Reshape", {value, shape}, input.value, index);
    constexpr std::int64_t onnx_int64 = 7;
    if (integer) last.attributes["to"] = onnx_int64;
    nodes_.push_back(std::move(last));
  }

  Graph& graph_;
  std::int64_t size_;
  ValueId packed_ = no_value;
  std::vector<Node> nodes_;
};

}  // namespace

void pack_inputs(Graph& graph, const std::vector<PackedInput>& packed, const std::vector<FilledInput>& filled,
                 std::int64_t size, const std::string& name) {
  TESSERA_EXPECT(!packed.empty());
  Unpacking unpacking(graph, name, size);
  for (const PackedInput& part : packed) unpacking.take(part);
  for (const FilledInput& part : filled) unpacking.fill(part);
  std::vector<Node> nodes = unpacking.nodes();
  nodes.insert(nodes.end(), std::make_move_iterator(graph.nodes.begin()), std::make_move_iterator(graph.nodes.end()));
  graph.nodes = std::move(nodes);
  std::vector<GraphInput> inputs = {{.value = unpacking.packed(),
                                     .type = ElementType::float32,
                                     .shape = {graph.batch == BatchMode::fixed ? graph.samples_at_a_time : -1, size},
                                     .batched = true}};
  for (GraphState& state : graph.states) {
    inputs.push_back(graph.inputs[state.input]);
    state.input = inputs.size() - 1;
  }
  graph.inputs = std::move(inputs);
  validate(graph);
}

void fill_input(Graph& graph, std::size_t input, double value) {
  const GraphInput given = graph.inputs[input];
  const std::string& name = graph.name_of(given.value);
  require<InputError>(std::ranges::find(given.shape, -1) == given.shape.end(),
                      "input '{}' has a free extent; give its sample_shape", name);
  const auto count = static_cast<std::size_t>(element_count(given.shape));
  Value& filled = graph.values[static_cast<std::size_t>(given.value)];
  if (given.type == ElementType::int64) {
    require<InputError>(value == std::trunc(value) && std::fabs(value) < 9.2e18, "input '{}' takes integers, got {}",
                        name, value);
    filled.constant = IntTensor{given.shape, std::vector<std::int64_t>(count, static_cast<std::int64_t>(value))};
  } else {
    Tensor values = Tensor::uninitialized(given.shape);
    std::ranges::fill(values.values(), static_cast<float>(value));
    filled.constant = std::move(values);
  }
  graph.inputs.erase(graph.inputs.begin() + static_cast<std::ptrdiff_t>(input));
  for (GraphState& state : graph.states) state.input -= state.input > input ? 1 : 0;
  fold_constants(graph);
  remove_dead_nodes(graph);
}

}  // namespace tessera::nn
