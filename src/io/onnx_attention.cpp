#include "onnx_attention.hpp"

#include <cmath>

#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using N = const NodeImport&;
using Id = nn::ValueId;

Id to_heads(const Emit& emit, Id x, std::int64_t heads) {
  return emit.transpose(emit.reshape(x, {0, 0, heads, -1}), {0, 2, 1, 3});
}
Id from_heads(const Emit& emit, Id x) {
  return emit.reshape(emit.transpose(x, {0, 2, 1, 3}), {0, 0, -1});
}

Id bias_of_condition(const Emit& emit, Id allowed) {
  return bias_of_condition(emit, allowed, -std::numeric_limits<float>::infinity());
}
Id bias_of_condition(const Emit& emit, Id allowed, float masked) {
  return emit("Where", {allowed, emit.scalar(0.0F), emit.scalar(masked)}, "mask");
}

Id visible(const Emit& emit, Id q, Id k, Id offset, std::int64_t left, std::int64_t right) {
  const Id zero = emit.integer(0), one = emit.integer(1);
  const Id rows = emit.unsqueeze(emit("Range", {zero, emit.extent(q, 2), one}, "rows"), {1});
  const Id cols = emit("Range", {zero, emit.extent(k, 2), one}, "columns");
  const Id ahead = emit("Sub", {cols, emit("Add", {rows, offset}, "position")}, "ahead");
  Id allowed = nn::no_value;
  if (right >= 0) allowed = emit("LessOrEqual", {ahead, emit.integer(right)}, "causal");
  if (left >= 0) {
    const Id near = emit("GreaterOrEqual", {ahead, emit.integer(-left)}, "window");
    allowed = allowed == nn::no_value ? near : emit("And", {allowed, near}, "visible");
  }
  return allowed;
}

namespace {

/// Keys and values of fewer heads are shared by neighbouring heads of the queries.
Id repeat_heads(N n, const Emit& emit, Id x, std::int64_t heads, std::int64_t wanted) {
  const auto shape = n.shape_of(x);
  require<InputError>(shape && shape->size() == 4 && (*shape)[3] > 0 && wanted % heads == 0,
                      "{} heads of keys for {} of queries, or a head size that is not known", heads, wanted);
  const Id copies =
      emit("Expand", {emit.unsqueeze(x, {2}), emit.integers({1, 1, wanted / heads, 1, 1})}, "shared_heads");
  return emit.reshape(copies, {0, wanted, -1, (*shape)[3]});
}

Id scaled(N n, const Emit& emit, Id q, std::optional<float> scale) {
  if (!scale) {
    const auto shape = n.shape_of(q);
    if (shape && shape->size() == 4 && (*shape)[3] > 0)
      scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>((*shape)[3])));
  }
  if (scale) return *scale == 1.0F ? q : emit("Mul", {q, emit.scalar(*scale)}, "scaled");
  const Id size = emit.cast(emit.extent(q, 3), onnx::TensorProto::FLOAT);
  return emit("Div", {q, emit("Sqrt", {size}, "root")}, "scaled");
}

}  // namespace

AttentionResult attend(N n, const AttentionValues& values) {
  const Emit emit(n);
  Id k = values.k, v = values.v;
  const auto q_shape = n.shape_of(values.q), k_shape = n.shape_of(k);
  if (q_shape && k_shape && q_shape->size() == 4 && k_shape->size() == 4 && (*q_shape)[1] > 0 && (*k_shape)[1] > 0 &&
      (*q_shape)[1] != (*k_shape)[1]) {
    k = repeat_heads(n, emit, k, (*k_shape)[1], (*q_shape)[1]);
    v = repeat_heads(n, emit, v, (*k_shape)[1], (*q_shape)[1]);
  }
  AttentionResult result{};
  const Id q = scaled(n, emit, values.q, values.scale);
  result.scores = emit("MatMul", {q, emit.transpose(k, {0, 1, 3, 2})}, "scores");
  result.capped = result.scores;
  if (values.softcap > 0.0F) {
    const Id tanh = emit("Tanh", {emit("Div", {result.scores, emit.scalar(values.softcap)}, "relative")}, "tanh");
    result.capped = emit("Mul", {tanh, emit.scalar(values.softcap)}, "capped");
  }
  result.biased = result.capped;
  Id bias = nn::no_value;
  for (const Id b : values.biases) bias = bias == nn::no_value ? b : emit("Add", {bias, b}, "bias");
  if (bias != nn::no_value) result.biased = emit("Add", {result.capped, bias}, "biased");
  result.weights = emit("Softmax", {result.biased}, "softmax", {{"axis", std::int64_t{-1}}});
  if (bias != nn::no_value && values.may_mask_all) {
    const Id highest = emit.reduce("ReduceMax", bias, {-1}, true);
    const Id none = emit("Equal", {highest, emit.minus_infinity()}, "all_masked");
    result.weights = emit("Where", {none, emit.scalar(0.0F), result.weights}, "weights");
  }
  result.context = emit("MatMul", {result.weights, v}, "context");
  return result;
}

namespace {

/// A mask shorter than the keys hides the rest.
Id padded_mask(N n, const Emit& emit, Id mask, Id keys, bool boolean) {
  const auto own = n.shape_of(mask), k = n.shape_of(keys);
  if (own && !own->empty() && k && own->back() > 0 && own->back() == k->at(2)) return mask;
  require<InputError>(own && !own->empty(), "the shape of its mask is not known; export with input shapes");
  const auto rank = static_cast<std::int64_t>(own->size());
  const Id missing = emit("Sub", {emit.extent(keys, 2), emit.extent(mask, rank - 1)}, "missing");
  const Id pads = emit.concat({emit.integers(std::vector<std::int64_t>(static_cast<std::size_t>(2 * rank - 1), 0)),
                               emit.unsqueeze(missing, {0})},
                              0);
  const Id value = boolean ? emit.integer(0) : emit.minus_infinity();
  return emit("Pad", {mask, pads, value}, "padded_mask", {{"mode", std::string("constant")}});
}

}  // namespace

/// Inputs: Q, K, V, mask, past key, past value, number of valid keys per sample. Outputs: Y, present key, present
/// value, scores at a stage that an attribute chooses.
void import_attention(N n) {
  const Emit emit(n);
  const std::size_t rank = n.required_rank(0);
  require<InputError>(rank == 3 || rank == 4, "inputs of rank {} (must be 3 or 4)", rank);
  AttentionValues values{};
  values.q = n.input(0);
  values.k = n.input(1);
  values.v = n.input(2);
  if (rank == 3) {
    const std::int64_t q_heads = n.required_integer("q_num_heads"), kv_heads = n.required_integer("kv_num_heads");
    values.q = to_heads(emit, values.q, q_heads);
    values.k = to_heads(emit, values.k, kv_heads);
    values.v = to_heads(emit, values.v, kv_heads);
  }
  const Id new_keys = values.k;
  if (n.has(4)) values.k = emit.concat({n.input(4), values.k}, 2);
  if (n.has(5)) values.v = emit.concat({n.input(5), values.v}, 2);
  if (n.has_attribute("scale")) values.scale = n.real("scale", 1.0F);
  values.softcap = n.real("softcap", 0.0F);
  if (n.has(3)) {
    const bool boolean = n.onnx_type(3) == onnx::TensorProto::BOOL;
    const Id mask = padded_mask(n, emit, n.input(3), values.k, boolean);
    values.biases.push_back(boolean ? bias_of_condition(emit, mask) : mask);
    values.may_mask_all = true;
  }
  Id offset = emit.integer(0);
  if (n.has(6)) {
    const Id valid = emit.unsqueeze(n.input(6), {1, 2, 3});
    const Id cols = emit("Range", {emit.integer(0), emit.extent(values.k, 2), emit.integer(1)}, "columns");
    values.biases.push_back(bias_of_condition(emit, emit("Less", {cols, valid}, "valid")));
    values.may_mask_all = true;
    offset = emit("Sub", {valid, emit.extent(values.q, 2)}, "offset");
  } else if (n.has(4)) {
    offset = emit("Sub", {emit.extent(values.k, 2), emit.extent(new_keys, 2)}, "offset");
  }
  const std::int64_t left = n.integer("left_window_size", -1);
  std::int64_t right = n.integer("right_window_size", -1);
  if (n.integer("is_causal", 0) != 0) right = 0;
  if (left >= 0 || right >= 0)
    values.biases.push_back(bias_of_condition(emit, visible(emit, values.q, values.k, offset, left, right)));
  const AttentionResult result = attend(n, values);
  emit.output(rank == 3 ? from_heads(emit, result.context) : result.context);
  emit.output(values.k, 1);
  emit.output(values.v, 2);
  switch (n.integer("qk_matmul_output_mode", 0)) {
    case 0:
      return emit.output(result.scores, 3);
    case 1:
      return emit.output(result.capped, 3);
    case 2:
      return emit.output(result.biased, 3);
    default:
      return emit.output(result.weights, 3);
  }
}

/// Inputs: x [batch, heads, positions, size] or [batch, positions, heads * size], cosines, sines, positions.
void import_rotary_embedding(N n) {
  const Emit emit(n);
  const std::size_t rank = n.required_rank(0);
  require<InputError>(rank == 3 || rank == 4, "an input of rank {} (must be 3 or 4)", rank);
  const bool interleaved = n.integer("interleaved", 0) != 0;
  const std::int64_t rotated = n.integer("rotary_embedding_dim", 0);
  constexpr std::int64_t end = std::numeric_limits<std::int64_t>::max();
  // [batch, positions, heads, size]
  const Id x = rank == 4 ? emit.transpose(n.input(0), {0, 2, 1, 3})
                         : emit.reshape(n.input(0), {0, 0, n.required_integer("num_heads"), -1});
  const auto table = [&](std::size_t i) {
    const Id rows = n.has(3) ? emit("Gather", {n.input(i), n.input(3)}, "at_positions") : n.input(i);
    return emit.unsqueeze(rows, {2});
  };
  const Id cosine = table(1), sine = table(2);
  const Id turned = rotated > 0 ? emit.slice(x, 3, 0, rotated) : x;
  Id a = n.fresh("first"), b = n.fresh("second");
  if (interleaved) {
    a = emit.slice(turned, 3, 0, end, 2);
    b = emit.slice(turned, 3, 1, end, 2);
  } else {
    n.emit("Split", {turned}, {a, b}, "halves").attributes["axis"] = std::int64_t{3};
  }
  const Id real = emit("Sub", {emit("Mul", {cosine, a}, "product"), emit("Mul", {sine, b}, "product")}, "real");
  const Id imaginary =
      emit("Add", {emit("Mul", {sine, a}, "product"), emit("Mul", {cosine, b}, "product")}, "imaginary");
  Id y = interleaved
             ? emit.reshape(emit.concat({emit.unsqueeze(real, {4}), emit.unsqueeze(imaginary, {4})}, 4), {0, 0, 0, -1})
             : emit.concat({real, imaginary}, 3);
  if (rotated > 0) y = emit.concat({y, emit.slice(x, 3, rotated, end)}, 3);
  emit.output(rank == 4 ? emit.transpose(y, {0, 2, 1, 3}) : emit.reshape(y, {0, 0, -1}));
}

}  // namespace tessera::io
