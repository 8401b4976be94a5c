#include "sim/search_sensitivity.hpp"

#include <algorithm>

#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {

std::optional<RungErrors> rung_errors(const SearchProblem& problem, Parallel parallel, const Environment& environment) {
  const std::vector<SearchKnob>& knobs = problem.knobs;
  std::size_t keys = 0, rungs = 0;
  for (const SearchKnob& knob : knobs) {
    if (knob.whole_network) continue;
    keys = std::max(keys, knob.key + 1);
    rungs = std::max(rungs, knob.bits.size());
  }
  std::vector<EvaluationRequest> requests;
  const auto add = [&](const SearchState& state) {
    EvaluationRequest& request = requests.emplace_back(problem.request);
    request.resolve = problem.resolver(state);
    request.isolated = true;
    request.statistics = true;
    request.record_output.clear();
    request.evaluation.repeats = 1;
    request.evaluation.read_repeats = 1;
    if (!request.evaluation.times.empty()) request.evaluation.times = {request.evaluation.times.back()};
  };
  const auto state_of = [&](std::size_t key, std::size_t rung) {
    SearchState state(knobs.size(), 0);
    for (std::size_t k = 0; k < knobs.size(); ++k)
      if (knobs[k].key == key && !knobs[k].whole_network)
        state[k] = static_cast<int>(std::min(rung, knobs[k].bits.size() - 1));
    return state;
  };
  add(SearchState(knobs.size(), 0));
  for (std::size_t key = 0; key < keys; ++key)
    for (std::size_t rung = 1; rung < rungs; ++rung) add(state_of(key, rung));
  const EvaluationSink sink;
  std::vector<EvaluationTask> tasks;
  for (const EvaluationRequest& request : requests) tasks.push_back({request, sink});
  Environment quiet = environment;
  quiet.progress = nullptr;
  const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel, quiet);
  for (const EvaluationResult& result : results)
    if (!result.complete) return std::nullopt;
  const auto error_of = [](const EvaluationResult& result, std::size_t layer) {
    const ErrorMeasures& seen = result.points.front().layers[layer].isolated;
    return seen.sum_reference_squared > 0.0 ? seen.sum_error_squared / seen.sum_reference_squared : 0.0;
  };
  RungErrors errors;
  for (const SearchKnob& knob : knobs) {
    std::vector<double>& error = errors.emplace_back();
    if (knob.whole_network) continue;
    error.push_back(error_of(results.front(), knob.layer));
    for (std::size_t rung = 1; rung < knob.bits.size(); ++rung)
      error.push_back(error_of(results[1 + knob.key * (rungs - 1) + rung - 1], knob.layer));
  }
  return errors;
}

}  // namespace tessera::sim
