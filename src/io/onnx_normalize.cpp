#include "onnx_normalize.hpp"

#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using N = const NodeImport&;
using Id = nn::ValueId;

namespace {

/// The axes from `axis` on, counted from the last where that is possible without the rank.
std::vector<std::int64_t> axes_from(N n, std::int64_t axis) {
  std::vector<std::int64_t> axes;
  if (axis >= 0) axis -= static_cast<std::int64_t>(n.required_rank(0));
  for (std::int64_t d = axis; d < 0; ++d) axes.push_back(d);
  require<InputError>(!axes.empty(), "axis {} is out of range", n.integer("axis", -1));
  return axes;
}

/// 1 / sqrt(mean of squares + epsilon)
Id inverse_norm(const Emit& emit, Id x, const std::vector<std::int64_t>& axes, float epsilon) {
  const Id mean = emit.reduce("ReduceMean", emit("Mul", {x, x}, "squares"), axes, true);
  return emit("Reciprocal", {emit("Sqrt", {emit("Add", {mean, emit.scalar(epsilon)}, "power")}, "norm")}, "inverse");
}

}  // namespace

Id rms_normalized(const Emit& emit, Id x, Id scale, const std::vector<std::int64_t>& axes, float epsilon) {
  return emit("Mul", {emit("Mul", {x, inverse_norm(emit, x, axes, epsilon)}, "normalized"), scale}, "weighted");
}

void import_layer_normalization(N n) {
  n.emit_same({"axis", "epsilon"});
  if (n.output(1) == nn::no_value && n.output(2) == nn::no_value) return;
  const Emit emit(n);
  const std::vector<std::int64_t> axes = axes_from(n, n.integer("axis", -1));
  const Id mean = emit.reduce("ReduceMean", n.input(0), axes, true);
  emit.output(mean, 1);
  if (n.output(2) != nn::no_value)
    emit.output(inverse_norm(emit, emit("Sub", {n.input(0), mean}, "centred"), axes, n.real("epsilon", 1e-5F)), 2);
}

/// RMSNormalization, and ONNX Runtime's SimplifiedLayerNormalization.
void import_rms_normalization(N n) {
  const Emit emit(n);
  const std::vector<std::int64_t> axes = axes_from(n, n.integer("axis", -1));
  const float epsilon = n.real("epsilon", 1e-5F);
  emit.output(rms_normalized(emit, n.input(0), n.input(1), axes, epsilon));
  if (n.output(1) != nn::no_value) emit.output(inverse_norm(emit, n.input(0), axes, epsilon), 1);
}

/// Over batch and positions of every channel: not the same for samples alone.
void import_mean_variance_normalization(N n) {
  const Emit emit(n);
  std::vector<std::int64_t> axes = n.integers("axes");
  if (axes.empty()) axes = {0, 2, 3};
  const Id centred = emit("Sub", {n.input(0), emit.reduce("ReduceMean", n.input(0), axes, true)}, "centred");
  const Id power = emit.reduce("ReduceMean", emit("Mul", {centred, centred}, "squares"), axes, true);
  const Id deviation = emit("Add", {emit("Sqrt", {power}, "deviation"), emit.scalar(1e-9F)}, "divisor");
  n.emit("Div", {centred, deviation}, {n.output()});
}

}  // namespace tessera::io
