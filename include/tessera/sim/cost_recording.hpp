#pragma once
#include <vector>

#include "tessera/results/records.hpp"
#include "tessera/sim/cost_model.hpp"
#include "tessera/sim/evaluate.hpp"

/// From what an inference costs to what a result file holds.
namespace tessera::sim {

/// The axes and the table of coefficients of a file with costs.
void describe_costs(results::Header& header, const CostModel& model);

/// What was measured at a point, by layer; empty where activity is assumed.
std::vector<LayerActivity> measured_activity(const EvaluationRequest& request, const PointResult& point);

/// What a chip of the request does at its last time, over all samples; empty where nothing is to be counted.
std::vector<LayerActivity> measure_activity(const EvaluationRequest& request, Parallel parallel,
                                            const Environment& environment);

/// `activity` as given to describe_cost().
results::CostRecord cost_record(const CostDescription& cost, std::span<const LayerActivity> activity = {});

/// The cost of a point of a request with EvaluationRequest::cost.
results::CostRecord cost_record(const EvaluationRequest& request, const PointResult& point);

}  // namespace tessera::sim
