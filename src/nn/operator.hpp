#pragma once
#include <span>
#include <string>
#include <vector>

#include "array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/passes.hpp"

/// One entry per canonical operator: how its outputs are shaped and how they are computed.
namespace tessera::nn {

/// Extents that come from a file are below this, so that sums of a few of them do not overflow.
inline constexpr std::int64_t largest_extent = std::int64_t{1} << 40;

/// What a shape function sees. Absent inputs are null.
struct InferContext {
  const Node& node;
  std::vector<const ValueInfo*> in;
  std::vector<ValueInfo>& out;  ///< one per output of the node, to be filled

  /// "node 'x' (Op)", for messages.
  std::string where() const;
  bool has(std::size_t i) const { return i < in.size() && in[i] != nullptr; }
  const ValueInfo& required(std::size_t i) const;
  const Shape& shape(std::size_t i) const { return required(i).shape; }
  std::int64_t rank(std::size_t i) const { return static_cast<std::int64_t>(shape(i).size()); }
  /// Elements of an integer input that must not depend on data; InputError otherwise.
  const std::vector<std::int64_t>& known_integers(std::size_t i) const;
  /// The same for a float input, converted from integers where necessary.
  std::vector<float> known_floats(std::size_t i) const;
  void set(std::size_t i, ElementType type, Shape shape) const;
};

/// What a compute function sees. Absent inputs have data == nullptr. Outputs have the shapes that the shape function
/// gave and memory of their own, except that an operator marked in_place may find its first output in the memory of an
/// input.
struct ComputeContext {
  const Node& node;
  std::span<const Array> in;
  std::span<const Array> out;
  Parallel parallel;

  std::string where() const;
  bool has(std::size_t i) const { return i < in.size() && in[i].data != nullptr; }
};

/// Which memory layouts an operator accepts for its data.
enum class LayoutRule {
  natural,    ///< row-major only
  spatial,    ///< first input and output channels-last where they have three or four axes
  pointwise,  ///< any, the same for all inputs: broadcasting works on physical shapes
  follow,     ///< any, that of the first input: the operator maps its axes
  reduce,     ///< any, if all axes but batch and channel are reduced; the output is row-major
};

struct Operator {
  const char* name;
  int min_inputs, max_inputs;  ///< -1: any number
  int max_outputs;             ///< -1: any number
  LayoutRule layout;
  bool in_place;  ///< the first output may overwrite an input of the same size
  bool view;      ///< the output is the first input's memory under another shape
  void (*infer)(const InferContext&);
  void (*compute)(const ComputeContext&);  ///< null: weighted, evaluated by the executor
};

/// The operator, or null if there is none of that name.
const Operator* find_operator(const std::string& name);
std::span<const Operator> all_operators();

/// Evaluates a node that is not weighted on complete constants.
std::vector<Constant> evaluate_node(const Node& node, std::span<const Array> in, const std::vector<ValueInfo>& out);

}  // namespace tessera::nn
