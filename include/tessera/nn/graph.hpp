#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tessera/core/tensor.hpp"

/// A network as plain data: what an importer or a model file yields and what an Executor compiles. No behaviour, no
/// hardware: mapping to tiles is a later step (linear.hpp, executor.hpp).
///
/// Operators are ONNX operators in one canonical form whatever the file's opset (docs/onnx_ops.md): that of opset 21,
/// with optional arguments as inputs, and what does not depend on data already folded to constants.
namespace tessera::nn {

/// Element types of values. float16, bfloat16 and double are converted to float32; booleans (as 0 and 1) and all other
/// integers to int64.
enum class ElementType { float32, int64 };

/// Integer (or boolean) values, row-major: shapes, indices, axes.
struct IntTensor {
  Shape shape;
  std::vector<std::int64_t> values;
  bool operator==(const IntTensor&) const = default;
};

/// A constant: weights (Tensor) or shapes and indices (IntTensor).
using Constant = std::variant<Tensor, IntTensor>;
const Shape& shape_of(const Constant& constant);

/// Index into Graph::values. An optional input that is absent is `no_value`.
using ValueId = std::int32_t;
inline constexpr ValueId no_value = -1;

/// An edge: what a node writes and others read, a graph input, or a constant. Names are unique and not empty.
struct Value {
  std::string name;
  std::optional<Constant> constant;
};

using Attribute = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                               std::vector<std::string>>;

/// One operator. Names are unique, not empty and without '/': they are matched by `layers: match` and name the groups
/// of result files.
struct Node {
  std::string name;
  std::string op;  ///< canonical operator, e.g. "Conv"
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::map<std::string, Attribute> attributes;

  // The attribute's value or `fallback` where it is absent; InputError where it has another type.
  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  float real(const std::string& key, float fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  std::vector<std::int64_t> integers(const std::string& key, const std::vector<std::int64_t>& fallback = {}) const;
  std::vector<float> reals(const std::string& key, const std::vector<float>& fallback = {}) const;
  std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback = {}) const;

  /// inputs[i], or no_value where the node has fewer.
  ValueId input(std::size_t i) const { return i < inputs.size() ? inputs[i] : no_value; }
  ValueId output(std::size_t i) const { return i < outputs.size() ? outputs[i] : no_value; }
};

/// What the network is fed. An extent of -1 is free. Dimension 0 is the batch: free, or Graph::samples_at_a_time with
/// BatchMode::fixed. Inputs without a batch (rank 0, or `batched` false) have the same value for all samples.
struct GraphInput {
  ValueId value = no_value;
  ElementType type = ElementType::float32;
  Shape shape;
  bool batched = true;
  std::vector<std::string> axes = {};  ///< names of the extents where a file gives some ("" for others), or empty
};

/// An output that is fed back: what it holds after a sample is what the input holds for the next one of the sequence
/// (states.hpp).
struct GraphState {
  std::size_t output = 0;  ///< index into Graph::outputs
  std::size_t input = 0;   ///< index into Graph::inputs; not batched, of known extents
  Tensor initial = {};     ///< of the input's shape: for the first sample of a sequence
};

/// How many samples one evaluation of the graph may hold (batching.hpp decides).
enum class BatchMode {
  any,    ///< any number
  fixed,  ///< Graph::samples_at_a_time; the executor then evaluates as many at a time
  none    ///< inputs have no batch: the graph is evaluated exactly as it is
};

struct Graph {
  std::string name;
  std::vector<Value> values;
  std::vector<Node> nodes;  ///< in topological order
  std::vector<GraphInput> inputs;
  std::vector<ValueId> outputs;
  BatchMode batch = BatchMode::any;
  std::int64_t samples_at_a_time = 1;  ///< with BatchMode::fixed
  std::vector<GraphState> states;      ///< their inputs are the last ones; with one sample at a time only

  /// Adds a value; the name is made unique ("x", "x_1", "x_2", ...).
  ValueId add_value(const std::string& value_name, std::optional<Constant> constant = std::nullopt);
  /// Value with this name, or no_value.
  ValueId find_value(const std::string& value_name) const;
  const std::string& name_of(ValueId id) const { return values[static_cast<std::size_t>(id)].name; }
  bool is_constant(ValueId id) const {
    return id != no_value && values[static_cast<std::size_t>(id)].constant.has_value();
  }
  /// The float constant behind an id, or null.
  const Tensor* tensor(ValueId id) const;
  /// The integer constant behind an id, or null.
  const IntTensor* integers(ValueId id) const;
};

/// Index of the node that writes each value; -1 for inputs and constants.
std::vector<int> producers(const Graph& graph);

/// Indices of the nodes that read each value (once per reading node, ascending).
std::vector<std::vector<int>> consumers(const Graph& graph);

/// Checks everything that holds for any graph: identifiers in range, unique names, every value written at most once and
/// before it is read, inputs and outputs defined. InputError with every violation, one per line.
void validate(const Graph& graph);

/// Brings the nodes into topological order, keeping the given order where it already is one. InputError that names the
/// nodes of a cycle.
void sort_topologically(Graph& graph);

/// Names of nodes from the names in a file. Weighted nodes whose weight is called "X.weight" or "X.weight_..." are
/// called X, as frameworks name their modules. Otherwise: leading '/' dropped, scope prefixes that the next scope
/// repeats dropped ("layer1/layer1.0/Relu" gives "layer1.0.Relu"), '/' replaced by '.', and for weighted nodes a last
/// part that only repeats the operator dropped. An empty name becomes "<op>_<count of that op before it>". Names that
/// occur twice get "_1", "_2", ... in node order.
void assign_node_names(Graph& graph);

}  // namespace tessera::nn
