#include "sample_rules.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>

#include "sample_rule_list.hpp"

namespace tessera::nn {

SampleAxes same_for_all(const SampleContext& c, const SampleAxis& samples) {
  return SampleAxes(c.outputs(), samples);
}

std::int64_t axis_of(const SampleContext& c, std::int64_t fallback, std::size_t input) {
  const std::int64_t axis = c.node().integer("axis", fallback);
  return axis < 0 ? axis + c.rank(input) : axis;
}

void forbid(const SampleContext& c, bool acts, const char* what) {
  if (acts) c.mixed(fmt::format("it {} axis {}, which holds the samples", what, c.samples(0).axis));
}

namespace {

using Result = SampleAxes;

/// Inputs are broadcast against each other, NumPy's rule.
Result broadcasting(const SampleContext& c) {
  const auto rank = static_cast<std::int64_t>(c.output(0).size());
  SampleAxis samples = no_samples;
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    if (!c.sampled(i)) continue;
    SampleAxis aligned = c.samples(i);
    aligned.axis += rank - c.rank(i);
    if (samples.any() && samples != aligned)
      c.mixed("its inputs hold the samples along different axes, so that each meets others");
    samples = aligned;
  }
  for (std::size_t i = 0; i < c.inputs(); ++i)
    if (c.has(i) && !c.sampled(i))
      c.require_broadcasts(
          i, {std::max<std::int64_t>(-1, samples.axis - rank + c.rank(i)), samples.before, samples.after});
  return same_for_all(c, samples);
}

/// The data is input 0, and everything else a parameter; acts on the axes for which `acts` says so.
template <class Acts>
Result acting_on(const SampleContext& c, Acts acts, const char* what) {
  if (!c.sampled(0)) c.unproven("a parameter depends on the data");
  forbid(c, acts(c.samples(0).axis), what);
  c.require_steady_from(1);
  return same_for_all(c, c.samples(0));
}

Result all_but_the_first(const SampleContext& c) {
  return acting_on(
      c, [](std::int64_t axis) { return axis >= 1; }, "works across");
}
Result positions(const SampleContext& c) {
  return acting_on(
      c, [](std::int64_t axis) { return axis >= 2; }, "works across");
}
Result channels(const SampleContext& c) {
  return acting_on(
      c, [](std::int64_t axis) { return axis == 1; }, "has parameters along");
}
Result softmax(const SampleContext& c) {
  const std::int64_t axis = axis_of(c, -1);
  return acting_on(
      c, [axis](std::int64_t a) { return a == axis; }, "normalises over");
}
Result cumulative_sum(const SampleContext& c) {
  const std::vector<std::int64_t> axes = c.integers(1);
  const std::int64_t axis = axes.empty() ? 0 : axes[0] < 0 ? axes[0] + c.rank(0) : axes[0];
  return acting_on(
      c, [axis](std::int64_t a) { return a == axis; }, "sums along");
}
Result last_axes_normalization(const SampleContext& c) {
  const std::int64_t first = axis_of(c, -1);
  return acting_on(
      c, [first](std::int64_t a) { return a >= first; }, "normalises over");
}
Result triangle(const SampleContext& c) {
  const std::int64_t rank = c.rank(0);
  return acting_on(
      c, [rank](std::int64_t a) { return a >= rank - 2; }, "cuts a triangle out of");
}
Result quantizing(const SampleContext& c) {
  const std::int64_t axis = c.has(1) && element_count(c.shape(1)) > 1 ? axis_of(c, 1) : -1;
  return acting_on(
      c, [axis](std::int64_t a) { return a == axis; }, "has parameters along");
}

Result resizing(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("a parameter depends on the data");
  const SampleAxis& samples = c.samples(0);
  const auto axis = static_cast<std::size_t>(samples.axis);
  forbid(c, c.output(0)[axis] != c.shape(0)[axis], "resizes");
  return {samples};
}

/// Axes that are reduced away shift the others.
Result without_axes(const SampleContext& c, const std::vector<std::int64_t>& axes, bool keep, const char* what) {
  SampleAxis samples = c.samples(0);
  std::int64_t shift = 0;
  for (std::int64_t axis : axes) {
    if (axis < 0) axis += c.rank(0);
    forbid(c, axis == samples.axis, what);
    shift += axis < samples.axis ? 1 : 0;
  }
  if (!keep) samples.axis -= shift;
  return same_for_all(c, samples);
}

Result reduction(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("its axes depend on the data");
  std::vector<std::int64_t> axes = c.integers(1);
  c.require_steady(1);
  if (!c.has(1) && c.node().integer("noop_with_empty_axes", 0) == 0) {
    axes.resize(static_cast<std::size_t>(c.rank(0)));
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
  }
  return without_axes(c, axes, c.node().integer("keepdims", 1) != 0, "reduces");
}

Result arg_extreme(const SampleContext& c) {
  return without_axes(c, {axis_of(c, 0)}, c.node().integer("keepdims", 1) != 0, "searches");
}
Result top_k(const SampleContext& c) {
  c.require_steady_from(1);
  return without_axes(c, {axis_of(c, -1)}, true, "searches");
}

Result gemm(const SampleContext& c) {
  const bool transposed = c.node().integer("transB", 0) != 0;
  c.require_steady(2);
  if (c.sampled(0)) {
    if (c.sampled(1)) c.mixed("it multiplies samples with each other");
    forbid(c, c.samples(0).axis == 1, "sums over");
    c.require_steady(1);
    return {c.samples(0)};
  }
  c.require_steady(0);
  SampleAxis samples = c.samples(1);
  if (samples.axis != (transposed ? 0 : 1)) c.mixed("it sums over the samples of its second operand");
  samples.axis = 1;
  return {samples};
}

Result matmul(const SampleContext& c) {
  const std::int64_t a = c.rank(0), b = c.rank(1);
  const std::int64_t leading = std::max<std::int64_t>({a, b, 2}) - 2;
  c.require_steady(2);
  if (c.sampled(0) && c.samples(0).axis == a - 1) c.mixed("it sums over the samples");
  if (c.sampled(1) && c.samples(1).axis == std::max<std::int64_t>(0, b - 2)) c.mixed("it sums over the samples");
  const auto placed = [&](std::size_t i, std::int64_t rank) {
    SampleAxis samples = c.samples(i);
    const bool leads = samples.axis < rank - 2;
    if (leads)
      samples.axis += leading - (rank - 2);
    else
      samples.axis = leading + (i == 1 && a > 1 ? 1 : 0);
    return std::pair(samples, leads);
  };
  if (c.sampled(0) && c.sampled(1)) {
    const auto left = placed(0, a), right = placed(1, b);
    if (left != right || !left.second) c.mixed("it multiplies samples with each other");
    return {left.first};
  }
  const std::size_t from = c.sampled(0) ? 0 : 1, other = 1 - from;
  const auto [samples, leads] = placed(from, from == 0 ? a : b);
  if (!leads) {
    c.require_steady(other);
    return {samples};
  }
  const std::int64_t own = samples.axis - leading + c.rank(other) - 2;
  c.require_broadcasts(other, {std::max<std::int64_t>(-1, own), samples.before, samples.after});
  return {samples};
}

/// Inputs 2 and 3 are zero points: one for all, or one per row of A or column of B.
Result matmul_integer(const SampleContext& c) {
  const auto several = [&](std::size_t i) { return c.has(i) && element_count(c.shape(i)) > 1; };
  if ((several(2) && c.sampled(0) && c.samples(0).axis == c.rank(0) - 2) ||
      (several(3) && c.sampled(1) && c.samples(1).axis == c.rank(1) - 1))
    c.mixed("it has zero points along the axis that holds the samples");
  c.require_steady(3);
  return matmul(c);
}

/// X [T, N, I], states [D, N, H], Y [T, D, N, H].
Result recurrent(const SampleContext& c) {
  SampleAxis samples = no_samples;
  for (const std::size_t i : {std::size_t{0}, std::size_t{5}, std::size_t{6}})
    if (c.sampled(i) && !samples.any()) samples = c.samples(i);
  if (!samples.any()) c.unproven("a weight depends on the data");
  if (samples.axis == 0) c.mixed("its sequence runs over axis 0, which holds the samples");
  if (samples.axis != 1) c.mixed(fmt::format("its features are along axis {}, which holds the samples", samples.axis));
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    if (i == 0 || i == 5 || i == 6)
      c.require_follows(i, samples);
    else if (i == 4)
      c.require_follows(i, {0, samples.before, samples.after});
    else
      c.require_steady(i);
  }
  Result results = same_for_all(c, samples);
  results[0].axis = 2;
  return results;
}

constexpr std::pair<std::string_view, SampleRule> rules[] = {
    {"Conv", all_but_the_first},
    {"ConvTranspose", all_but_the_first},
    {"Gemm", gemm},
    {"MatMul", matmul},
    {"MatMulInteger", matmul_integer},
    {"ConvInteger", all_but_the_first},
    {"Einsum", sample_rule_einsum},
    {"DepthWindows", sample_rule_depth_windows},
    {"DepthStack", sample_rule_depth_planes},
    {"DepthSum", sample_rule_depth_planes},
    {"LSTM", recurrent},
    {"GRU", recurrent},
    {"RNN", recurrent},
    {"BatchNormalization", channels},
    {"LayerNormalization", last_axes_normalization},
    {"InstanceNormalization", all_but_the_first},
    {"GroupNormalization", all_but_the_first},
    {"LRN", channels},
    {"QuantizeLinear", quantizing},
    {"DequantizeLinear", quantizing},
    {"OrderedTransform", broadcasting},
    {"MaxPool", positions},
    {"AveragePool", positions},
    {"LpPool", positions},
    {"GlobalAveragePool", positions},
    {"GlobalMaxPool", positions},
    {"GlobalLpPool", positions},
    {"MaxPoolIndices", sample_rule_batch_positions},
    {"MaxUnpool", sample_rule_batch_positions},
    {"Resize", resizing},
    {"ArgMax", arg_extreme},
    {"ArgMin", arg_extreme},
    {"TopK", top_k},
    {"Softmax", softmax},
    {"LogSoftmax", softmax},
    {"CumSum", cumulative_sum},
    {"Reshape", sample_rule_reshape},
    {"Flatten", sample_rule_reshape},
    {"Squeeze", sample_rule_reshape},
    {"Unsqueeze", sample_rule_reshape},
    {"Transpose", sample_rule_transpose},
    {"Slice", sample_rule_slice},
    {"Pad", sample_rule_pad},
    {"Tile", sample_rule_tile},
    {"Expand", sample_rule_expand},
    {"Concat", sample_rule_concatenation},
    {"Split", sample_rule_split},
    {"Gather", sample_rule_gather},
    {"GatherElements", sample_rule_elements},
    {"ScatterElements", sample_rule_elements},
    {"ScatterND", sample_rule_scatter_nd},
    {"GatherND", sample_rule_gather_nd},
    {"OneHot", sample_rule_one_hot},
    {"Compress", sample_rule_compress},
    {"EyeLike", sample_rule_batch_positions},
    {"ReverseSequence", sample_rule_reverse_sequence},
    {"TensorScatter", sample_rule_tensor_scatter},
    {"DepthToSpace", all_but_the_first},
    {"SpaceToDepth", all_but_the_first},
    {"Trilu", triangle},
};

/// Of values that do not depend on the data but their shape, and are therefore known: nothing to say.
constexpr std::string_view known_operators[] = {"Shape", "Size", "ConstantOfShape", "Range", "NonZero"};

Result of_shapes(const SampleContext& c) {
  c.unproven("its values depend on the data");
}

}  // namespace

SampleRule find_sample_rule(const std::string& op) {
  static const std::map<std::string_view, SampleRule> by_name(std::begin(rules), std::end(rules));
  if (const auto found = by_name.find(op); found != by_name.end()) return found->second;
  if (std::ranges::find(known_operators, op) != std::end(known_operators)) return of_shapes;
  const Operator* known = find_operator(op);
  if (known != nullptr && known->layout == LayoutRule::pointwise) return broadcasting;
  if (known != nullptr && known->layout == LayoutRule::reduce) return reduction;
  return nullptr;
}

}  // namespace tessera::nn
