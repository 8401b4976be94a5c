#include <algorithm>

#include "onnx_emit.hpp"
#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/einsum.hpp"

/// Einsum of two operands as a matrix product where it is one, so that a constant operand can be put on tiles.
namespace tessera::io {

using N = const NodeImport&;
using Id = nn::ValueId;

namespace {

bool has(const std::string& labels, char label) {
  return labels.find(label) != std::string::npos;
}

/// Axes of the equation by what they are in a product of a and b.
struct ProductAxes {
  std::string batch, rows, inner, columns;
};

std::optional<ProductAxes> product_axes(const nn::EinsumEquation& equation) {
  const std::string &a = equation.inputs[0], &b = equation.inputs[1];
  ProductAxes axes;
  for (const std::string* labels : {&a, &b})
    for (std::size_t i = 0; i < labels->size(); ++i)
      if (labels->find((*labels)[i]) != i || (*labels)[i] <= 64) return std::nullopt;  // diagonals, ellipses
  for (const char label : a) {
    const bool in_b = has(b, label), in_out = has(equation.output, label);
    if (!in_b && !in_out) return std::nullopt;  // summed over one operand alone
    (in_b ? (in_out ? axes.batch : axes.inner) : axes.rows) += label;
  }
  for (const char label : b) {
    if (has(a, label)) continue;
    if (!has(equation.output, label)) return std::nullopt;
    axes.columns += label;
  }
  return axes;
}

Id permuted(const Emit& emit, Id x, const std::string& from, const std::string& to) {
  std::vector<std::int64_t> permutation;
  for (const char label : to) permutation.push_back(static_cast<std::int64_t>(from.find(label)));
  return std::ranges::is_sorted(permutation) ? x : emit.transpose(x, permutation);
}

/// Emits the product; false (and nothing emitted) if the equation is none, or needs extents that are not known.
bool emit_product(N n, const nn::EinsumEquation& equation, std::size_t first) {
  nn::EinsumEquation ordered = equation;
  if (first == 1) std::swap(ordered.inputs[0], ordered.inputs[1]);
  const Id a = n.input(first), b = n.input(1 - first);
  const auto axes = product_axes(ordered);
  if (!axes || axes->inner.empty()) return false;
  const bool one_each = axes->rows.size() <= 1 && axes->inner.size() == 1 && axes->columns.size() <= 1;
  const auto b_shape = n.shape_of(b);
  if (axes->batch.empty() && b_shape && std::ranges::all_of(*b_shape, [](std::int64_t x) { return x > 0; })) {
    // a [rows..., inner...] times the matrix b [inner, columns]
    const Emit emit(n);
    std::int64_t inner = 1, columns = 1;
    std::vector<std::int64_t> spread(axes->rows.size(), 0);
    for (const char label : axes->inner) inner *= (*b_shape)[ordered.inputs[1].find(label)];
    for (const char label : axes->columns) {
      spread.push_back((*b_shape)[ordered.inputs[1].find(label)]);
      columns *= spread.back();
    }
    Id x = permuted(emit, a, ordered.inputs[0], axes->rows + axes->inner);
    if (axes->inner.size() > 1) {
      std::vector<std::int64_t> merged(axes->rows.size(), 0);
      merged.push_back(inner);
      x = emit.reshape(x, merged);
    }
    Id w = permuted(emit, b, ordered.inputs[1], axes->inner + axes->columns);
    if (axes->inner.size() > 1 || axes->columns.size() != 1) w = emit.reshape(w, {inner, columns});
    Id y = n.fresh("product");
    n.emit("MatMul", {x, w}, {y});
    if (axes->columns.size() != 1) y = emit.reshape(y, spread);
    emit.output(permuted(emit, y, axes->rows + axes->columns, equation.output));
    return true;
  }
  if (!one_each) return false;
  const Emit emit(n);
  const auto depth = static_cast<std::int64_t>(axes->batch.size());
  Id x = permuted(emit, a, ordered.inputs[0], axes->batch + axes->rows + axes->inner),
     w = permuted(emit, b, ordered.inputs[1], axes->batch + axes->inner + axes->columns);
  if (axes->rows.empty()) x = emit.unsqueeze(x, {depth});
  if (axes->columns.empty()) w = emit.unsqueeze(w, {depth + 1});
  Id y = n.fresh("product");
  n.emit("MatMul", {x, w}, {y});
  std::vector<std::int64_t> dropped;
  if (axes->rows.empty()) dropped.push_back(depth);
  if (axes->columns.empty()) dropped.push_back(depth + 1);
  if (!dropped.empty()) y = emit("Squeeze", {y, emit.integers(dropped)}, "squeezed");
  emit.output(permuted(emit, y, axes->batch + axes->rows + axes->columns, equation.output));
  return true;
}

}  // namespace

void import_einsum(N n) {
  n.require_attribute("equation");
  std::vector<std::size_t> ranks;
  for (std::size_t i = 0; i < n.input_count(); ++i) {
    const auto rank = n.rank(i);
    if (rank) ranks.push_back(*rank);
  }
  if (ranks.size() == n.input_count() && ranks.size() == 2 && n.onnx_type(0) != onnx::TensorProto::INT32 &&
      n.onnx_type(0) != onnx::TensorProto::INT64) {
    const nn::EinsumEquation equation = nn::parse_einsum(n.text("equation", ""), ranks, "its equation");
    if (emit_product(n, equation, n.is_constant(0) && !n.is_constant(1) ? 1 : 0)) return;
  }
  n.emit_same({"equation"});
}

}  // namespace tessera::io
