#include "search_evaluator.hpp"

namespace tessera::sim {

namespace {

/// The float32 pass is known and left out, but for spiking networks, whose float32 pass depends on their neurons.
std::optional<TaskScore> known_score(const EvaluationRequest& request, const std::optional<TaskScore>& score) {
  return request.spiking ? std::nullopt : score;
}

}  // namespace

std::vector<Outcomes> SearchEvaluator::run(const std::vector<SearchState>& states, const Environment& environment) {
  const std::int64_t chips = request_.evaluation.repeats;
  const std::int64_t reads = request_.evaluation.read_repeats;
  const std::int64_t samples = request_.data.size();
  std::vector<EvaluationRequest> requests;
  std::vector<EvaluationSink> sinks(states.size());
  std::vector<std::vector<float>> right(states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    EvaluationRequest& request = requests.emplace_back(request_);
    request.resolve = problem_.resolver(states[i]);
    request.statistics = false;
    request.cost.reset();
    request.record_output.clear();
    request.known_reference = known_score(request, score_);
    if (!request.evaluation.times.empty()) request.evaluation.times = {request.evaluation.times.back()};
    right[i].assign(static_cast<std::size_t>(chips * samples), 0.0F);
    sinks[i].right = [&right, samples, reads, i](const PointIndex& point, std::int64_t first,
                                                 std::span<const float> fractions) {
      float* const row = right[i].data() + point.repeat / reads * samples + first;
      for (std::size_t s = 0; s < fractions.size(); ++s) row[s] += fractions[s];
    };
  }
  std::vector<EvaluationTask> tasks;
  for (std::size_t i = 0; i < states.size(); ++i) tasks.push_back({requests[i], sinks[i]});
  const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel_, environment);
  std::vector<Outcomes> outcomes;
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (!results[i].complete) return {};
    Outcomes& made = outcomes.emplace_back(Outcomes{chips, samples, {}});
    for (const float sum : right[i]) made.correct.push_back(sum / static_cast<float>(reads));
  }
  score_ = results.front().reference;
  return outcomes;
}

}  // namespace tessera::sim
