#include <algorithm>
#include <numeric>

#include "sample_rule_list.hpp"

/// Operators that move elements about.
namespace tessera::nn {

/// The same memory under another shape: the samples are at the same distance from each other.
SampleAxes sample_rule_reshape(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("its shape depends on the data");
  const SampleBlocks blocks = sample_blocks(c.samples(0), c.shape(0));
  std::int64_t before = 1;
  for (std::size_t d = 0; d < c.output(0).size(); ++d) {
    const std::int64_t extent = c.output(0)[d];
    if (before * extent <= blocks.outer) {
      before *= extent;
      continue;
    }
    const std::int64_t left = blocks.outer / std::max<std::int64_t>(1, before);
    if (before == 0 || blocks.outer % before != 0 || extent % (left * blocks.samples) != 0) break;
    return {{static_cast<std::int64_t>(d), left, extent / (left * blocks.samples)}};
  }
  c.mixed(
      fmt::format("it makes {} of {}, whose axes cut across samples", to_string(c.output(0)), to_string(c.shape(0))));
}

SampleAxes sample_rule_transpose(const SampleContext& c) {
  std::vector<std::int64_t> order = c.node().integers("perm");
  if (order.empty())
    for (std::int64_t d = c.rank(0); d-- > 0;) order.push_back(d);
  SampleAxis samples = c.samples(0);
  samples.axis = std::ranges::find(order, samples.axis) - order.begin();
  return {samples};
}

SampleAxes sample_rule_slice(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("what it takes depends on the data");
  const SampleAxis& samples = c.samples(0);
  c.require_steady(3);
  std::vector<std::int64_t> axes = c.integers(3);
  const std::size_t count = c.integers(1).size();
  if (!c.has(3)) {
    axes.resize(count);
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
  }
  for (std::size_t e = 0; e < axes.size(); ++e) {
    const std::int64_t axis = axes[e] < 0 ? axes[e] + c.rank(0) : axes[e];
    for (std::size_t b = 0; b < c.batches(); ++b) {
      const auto entry = [&](std::size_t i, std::size_t batch) {
        return c.has(i) ? c.integers(i, batch).at(e) : std::int64_t{1};
      };
      if (axis == samples.axis) {
        const auto at = static_cast<std::size_t>(axis);
        forbid(c, entry(4, b) != 1 || c.output(0)[at] != c.shape(0)[at], "takes a part of");
      } else if (entry(1, b) != entry(1, 0) || entry(2, b) != entry(2, 0) || entry(4, b) != entry(4, 0)) {
        c.mixed(fmt::format("what it takes of axis {} depends on the number of samples", axis));
      }
    }
  }
  return {samples};
}

SampleAxes sample_rule_pad(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("what it adds depends on the data");
  c.require_steady_from(1);
  const SampleAxis& samples = c.samples(0);
  const auto at = static_cast<std::size_t>(samples.axis);
  const std::vector<std::int64_t> pads = c.integers(1);
  std::vector<std::int64_t> axes = c.integers(3);
  if (!c.has(3)) {
    axes.resize(pads.size() / 2);
    std::iota(axes.begin(), axes.end(), std::int64_t{0});
  }
  for (std::size_t e = 0; e < axes.size(); ++e) {
    const std::int64_t axis = axes[e] < 0 ? axes[e] + c.rank(0) : axes[e];
    forbid(c, axis == samples.axis && (pads[e] != 0 || pads[e + axes.size()] != 0), "pads");
  }
  forbid(c, c.output(0)[at] != c.shape(0)[at], "pads");
  return {samples};
}

SampleAxes sample_rule_tile(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("its counts depend on the data");
  c.require_steady(1);
  SampleAxis samples = c.samples(0);
  samples.before *= c.integers(1).at(static_cast<std::size_t>(samples.axis));
  return {samples};
}

SampleAxes sample_rule_expand(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("its shape depends on the data");
  SampleAxis samples = c.samples(0);
  samples.axis += static_cast<std::int64_t>(c.output(0).size()) - c.rank(0);
  return {samples};
}

SampleAxes sample_rule_concatenation(const SampleContext& c) {
  const std::int64_t axis = axis_of(c, 0);
  SampleAxis samples = no_samples;
  for (std::size_t i = 0; i < c.inputs() && !samples.any(); ++i)
    if (c.sampled(i)) samples = c.samples(i);
  if (axis != samples.axis) {
    for (std::size_t i = 0; i < c.inputs(); ++i) c.require_follows(i, samples);
    return {samples};
  }
  samples.before = 0;
  for (std::size_t i = 0; i < c.inputs(); ++i) {
    const std::int64_t extent = c.shape(i)[static_cast<std::size_t>(axis)];
    const SampleAxis own{axis, extent / (c.batch() * samples.after), samples.after};
    if (own.before * c.batch() * own.after != extent) c.mixed("it puts something else beside the samples");
    c.require_follows(i, own);
    samples.before += own.before;
  }
  return {samples};
}

SampleAxes sample_rule_split(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("its sizes depend on the data");
  const std::int64_t axis = axis_of(c, 0);
  SampleAxes results = same_for_all(c, c.samples(0));
  if (axis != c.samples(0).axis) {
    c.require_steady_from(1);
    return results;
  }
  for (std::size_t o = 0; o < c.outputs(); ++o) {
    if (!c.has_output(o)) continue;
    const std::int64_t extent = c.output(o)[static_cast<std::size_t>(axis)];
    results[o].before = extent / (c.batch() * results[o].after);
    forbid(c, results[o].before == 0 || results[o].before * c.batch() * results[o].after != extent, "splits");
  }
  return results;
}

SampleAxes sample_rule_gather(const SampleContext& c) {
  const std::int64_t axis = axis_of(c, 0), index_rank = c.rank(1);
  if (!c.sampled(0)) {
    c.require_steady(0);
    SampleAxis samples = c.samples(1);
    samples.axis += axis;
    return {samples};
  }
  SampleAxis samples = c.samples(0);
  if (c.sampled(1)) c.mixed("it looks up the entries that each sample names in all the others");
  if (axis == samples.axis) {
    const std::int64_t extent = c.shape(0)[static_cast<std::size_t>(axis)];
    std::vector<std::int64_t> all(static_cast<std::size_t>(extent));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    forbid(c, index_rank != 1 || c.integers(1) != all || c.steady(1), "takes entries of");
    return {samples};
  }
  c.require_steady(1);
  if (samples.axis > axis) samples.axis += index_rank - 1;
  return {samples};
}

/// Element by element but for one axis.
SampleAxes sample_rule_elements(const SampleContext& c) {
  const std::int64_t axis = axis_of(c, 0);
  SampleAxis samples = no_samples;
  for (std::size_t i = 0; i < c.inputs() && !samples.any(); ++i)
    if (c.sampled(i)) samples = c.samples(i);
  if (axis == samples.axis) {
    if (c.sampled(0)) forbid(c, true, "takes entries of");
    // A table of one axis, looked up by each sample.
    c.require_steady(0);
    if (c.node().op != "GatherElements") c.mixed("samples write into the same table");
    for (std::size_t d = 0; d < c.shape(0).size(); ++d)
      if (static_cast<std::int64_t>(d) != axis && c.shape(0)[d] != 1) c.unproven("it looks up a table of several axes");
    return {samples};
  }
  for (std::size_t i = 0; i < c.inputs(); ++i) c.require_follows(i, samples);
  return {samples};
}

SampleAxes sample_rule_scatter_nd(const SampleContext& c) {
  if (!c.sampled(0)) c.unproven("each sample writes into a constant");
  const SampleAxis& samples = c.samples(0);
  const std::int64_t depth = c.shape(1).back();
  if (c.sampled(1) || samples.axis < depth) c.unproven("its indices name samples");
  c.require_steady(1);
  c.require_broadcasts(2, {samples.axis - depth + c.rank(1) - 1, samples.before, samples.after});
  return {samples};
}

}  // namespace tessera::nn
