#pragma once
#include <initializer_list>
#include <limits>

#include "onnx_node.hpp"

/// Short forms for rules that spell one ONNX node out as several operators.
namespace tessera::io {

/// Writes operators that belong to one ONNX node. Every function returns the value that its operator writes; `suffix`
/// goes into the operator's name.
class Emit {
 public:
  explicit Emit(const NodeImport& n) : n_(n) {}

  nn::ValueId operator()(const std::string& op, std::vector<nn::ValueId> inputs, const char* suffix,
                         std::map<std::string, nn::Attribute> attributes = {}) const {
    return n_.emit_value(op, std::move(inputs), suffix, std::move(attributes));
  }
  nn::ValueId integers(const std::vector<std::int64_t>& values) const {
    return n_.integers_constant("integers", values);
  }
  nn::ValueId integer(std::int64_t value) const { return n_.constant("integer", nn::IntTensor{{}, {value}}); }
  nn::ValueId scalar(float value) const { return n_.scalar("scalar", value); }
  nn::ValueId minus_infinity() const { return scalar(-std::numeric_limits<float>::infinity()); }

  nn::ValueId unsqueeze(nn::ValueId x, const std::vector<std::int64_t>& axes) const {
    return (*this)("Unsqueeze", {x, integers(axes)}, "unsqueezed");
  }
  nn::ValueId reshape(nn::ValueId x, const std::vector<std::int64_t>& shape) const {
    return (*this)("Reshape", {x, integers(shape)}, "reshaped");
  }
  nn::ValueId transpose(nn::ValueId x, const std::vector<std::int64_t>& permutation) const {
    return (*this)("Transpose", {x}, "transposed", {{"perm", permutation}});
  }
  /// One extent as a scalar; known when shapes are.
  nn::ValueId extent(nn::ValueId x, std::int64_t axis) const {
    return (*this)("Gather", {(*this)("Shape", {x}, "shape"), integer(axis)}, "extent");
  }
  /// x[start, end) along an axis with a step.
  nn::ValueId slice(nn::ValueId x, std::int64_t axis, std::int64_t start, std::int64_t end,
                    std::int64_t step = 1) const {
    return (*this)("Slice", {x, integers({start}), integers({end}), integers({axis}), integers({step})}, "slice");
  }
  nn::ValueId cast(nn::ValueId x, int type) const { return (*this)("Cast", {x}, "cast", {{"to", std::int64_t{type}}}); }
  nn::ValueId concat(std::vector<nn::ValueId> parts, std::int64_t axis) const {
    return (*this)("Concat", std::move(parts), "concat", {{"axis", axis}});
  }
  nn::ValueId reduce(const char* op, nn::ValueId x, const std::vector<std::int64_t>& axes, bool keep) const {
    return (*this)(op, {x, integers(axes)}, "reduced", {{"keepdims", std::int64_t{keep ? 1 : 0}}});
  }
  /// The value becomes an output of the ONNX node; nothing happens where the node does not want it.
  void output(nn::ValueId x, std::size_t i = 0) const {
    if (n_.output(i) != nn::no_value) n_.emit("Identity", {x}, {n_.output(i)}, "result");
  }

 private:
  const NodeImport& n_;
};

}  // namespace tessera::io
