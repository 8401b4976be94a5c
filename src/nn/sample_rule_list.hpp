#pragma once
#include "sample_rules.hpp"

/// The rules of several files; sample_rules.cpp lists all in one table.
namespace tessera::nn {

using SampleAxes = std::vector<SampleAxis>;

SampleAxes same_for_all(const SampleContext& c, const SampleAxis& samples);
/// The attribute `axis`, counted from the front of an input.
std::int64_t axis_of(const SampleContext& c, std::int64_t fallback, std::size_t input = 0);
/// MixedSamples if `acts`: the operator does `what` to the axis of input 0 that holds the samples.
void forbid(const SampleContext& c, bool acts, const char* what);

// sample_rules_shape.cpp
SampleAxes sample_rule_reshape(const SampleContext& c);
SampleAxes sample_rule_transpose(const SampleContext& c);
SampleAxes sample_rule_slice(const SampleContext& c);
SampleAxes sample_rule_pad(const SampleContext& c);
SampleAxes sample_rule_tile(const SampleContext& c);
SampleAxes sample_rule_expand(const SampleContext& c);
SampleAxes sample_rule_concatenation(const SampleContext& c);
SampleAxes sample_rule_split(const SampleContext& c);
SampleAxes sample_rule_gather(const SampleContext& c);
SampleAxes sample_rule_elements(const SampleContext& c);
SampleAxes sample_rule_scatter_nd(const SampleContext& c);

// sample_rules_select.cpp
SampleAxes sample_rule_einsum(const SampleContext& c);
SampleAxes sample_rule_depth_windows(const SampleContext& c);
SampleAxes sample_rule_depth_planes(const SampleContext& c);
SampleAxes sample_rule_batch_positions(const SampleContext& c);
SampleAxes sample_rule_gather_nd(const SampleContext& c);
SampleAxes sample_rule_one_hot(const SampleContext& c);
SampleAxes sample_rule_compress(const SampleContext& c);
SampleAxes sample_rule_reverse_sequence(const SampleContext& c);
SampleAxes sample_rule_tensor_scatter(const SampleContext& c);

}  // namespace tessera::nn
