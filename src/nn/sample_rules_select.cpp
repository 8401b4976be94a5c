#include <algorithm>

#include "sample_rule_list.hpp"
#include "tessera/nn/einsum.hpp"

/// Operators that pick elements, sums of products over named axes, and the planes of convolutions over three axes.
namespace tessera::nn {

namespace {

/// Of the first input that has samples.
SampleAxis first_of(const SampleContext& c) {
  for (std::size_t i = 0; i < c.inputs(); ++i)
    if (c.sampled(i)) return c.samples(i);
  return no_samples;
}

}  // namespace

/// Every input holds the samples along the axis of one label, which the output has too.
SampleAxes sample_rule_einsum(const SampleContext& c) {
  std::vector<std::size_t> ranks;
  for (std::size_t i = 0; i < c.inputs(); ++i) ranks.push_back(c.shape(i).size());
  const EinsumEquation equation = parse_einsum(c.node().text("equation", ""), ranks, c.node().name);
  SampleAxis samples = no_samples;
  std::string label;
  for (std::size_t i = 0; i < c.inputs() && label.empty(); ++i) {
    if (!c.sampled(i)) continue;
    samples = c.samples(i);
    label = equation.inputs[i][static_cast<std::size_t>(samples.axis)];
  }
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    const std::string& own = equation.inputs[i];
    if (std::ranges::count(own, label[0]) > 1) c.mixed("it takes a diagonal of the axis that holds the samples");
    const std::size_t at = own.find(label);
    const std::int64_t axis = at == std::string::npos ? -1 : static_cast<std::int64_t>(at);
    c.require_broadcasts(i, {axis, samples.before, samples.after});
  }
  const std::size_t out = equation.output.find(label);
  if (out == std::string::npos) c.mixed("it sums over the samples");
  samples.axis = static_cast<std::int64_t>(out);
  return {samples};
}

/// [N, C, D, H, W] to [N * windows, ...].
SampleAxes sample_rule_depth_windows(const SampleContext& c) {
  SampleAxis samples = c.samples(0);
  forbid(c, samples.axis != 0, "takes windows across");
  samples.after *= c.output(0)[0] / std::max<std::int64_t>(1, c.shape(0)[0]);
  return {samples};
}

/// [N * planes, ...] to [N, ...]; input 1 is the volume [N, ...] that the planes are of.
SampleAxes sample_rule_depth_planes(const SampleContext& c) {
  if (!c.sampled(1)) c.unproven("the volume that its planes are of has no samples");
  const SampleAxis& samples = c.samples(1);
  if (samples.axis != 0) c.mixed(fmt::format("it works across axis {}, which holds the samples", samples.axis));
  const std::int64_t planes = c.shape(0)[0] / std::max<std::int64_t>(1, c.shape(1)[0]);
  c.require_follows(0, {0, samples.before, samples.after * planes});
  return {samples};
}

SampleAxes sample_rule_batch_positions(const SampleContext& c) {
  c.mixed("it numbers elements over the whole batch");
}

SampleAxes sample_rule_gather_nd(const SampleContext& c) {
  const std::int64_t batch = c.node().integer("batch_dims", 0), depth = c.shape(1).back();
  SampleAxis samples = first_of(c);
  if (samples.axis < batch) {
    c.require_follows(0, samples);
    c.require_follows(1, samples);
    return {samples};
  }
  if (!c.sampled(0)) {
    c.require_steady(0);
    if (samples.axis == c.rank(1) - 1) c.mixed("its indices are put together from several samples");
    return {samples};
  }
  if (c.sampled(1)) c.mixed("it looks up the entries that each sample names in all the others");
  c.require_steady(1);
  forbid(c, samples.axis < batch + depth, "takes entries of");
  samples.axis += c.rank(1) - 1 - batch - depth;
  return {samples};
}

SampleAxes sample_rule_one_hot(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("a parameter depends on the data");
  c.require_steady_from(1);
  SampleAxis samples = c.samples(0);
  std::int64_t axis = c.node().integer("axis", -1);
  if (axis < 0) axis += c.rank(0) + 1;
  if (samples.axis >= axis) ++samples.axis;
  return {samples};
}

SampleAxes sample_rule_compress(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("what it takes depends on the data");
  const bool flat = !c.node().attributes.contains("axis");
  forbid(c, flat || axis_of(c, 0) == c.samples(0).axis, "takes entries of");
  c.require_steady(1);
  return {c.samples(0)};
}

SampleAxes sample_rule_reverse_sequence(const SampleContext& c) {
  const std::int64_t batch = c.node().integer("batch_axis", 1), time = c.node().integer("time_axis", 0);
  SampleAxis samples = first_of(c);
  if (!c.sampled(0)) samples.axis = batch;
  if (samples.axis == time) c.mixed(fmt::format("its sequence runs over axis {}, which holds the samples", time));
  c.require_follows(0, samples);
  if (samples.axis == batch)
    c.require_follows(1, {0, samples.before, samples.after});
  else
    c.require_steady(1);
  return {samples};
}

/// A cache, what is written into it along an axis, and where each entry of axis 0 begins.
SampleAxes sample_rule_tensor_scatter(const SampleContext& c) {
  const SampleAxis samples = first_of(c);
  if (samples.axis == axis_of(c, -2)) c.mixed(fmt::format("it writes along axis {}, which holds them", samples.axis));
  c.require_follows(0, samples);
  c.require_follows(1, samples);
  if (samples.axis == 0)
    c.require_follows(2, samples);
  else
    c.require_steady(2);
  return {samples};
}

}  // namespace tessera::nn
