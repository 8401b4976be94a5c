#include "search_evaluator.hpp"

#include <algorithm>

namespace tessera::sim {

namespace {

/// The float32 pass is known and left out, but for spiking networks, whose float32 pass depends on their neurons.
std::optional<TaskScore> known_score(const EvaluationRequest& request, const std::optional<TaskScore>& score) {
  return request.spiking ? std::nullopt : score;
}

}  // namespace

double SearchEvaluator::reference_accuracy() const {
  if (!score_) return 0.0;
  return measure_ == SearchMeasure::accuracy ? score_->accuracy() : -score_->loss();
}

std::vector<Outcomes> SearchEvaluator::run(const std::vector<SearchState>& states, const Environment& environment) {
  const std::int64_t chips = request_.evaluation.repeats;
  const std::int64_t reads = request_.evaluation.read_repeats;
  const std::int64_t samples = request_.data.size();
  std::vector<EvaluationRequest> requests;
  std::vector<EvaluationSink> sinks(states.size());
  std::vector<std::vector<double>> right(states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    EvaluationRequest& request = requests.emplace_back(request_);
    request.resolve = problem_.resolver(states[i]);
    request.statistics = false;
    request.cost.reset();
    request.record_output.clear();
    request.known_reference = known_score(request, score_);
    if (!request.evaluation.times.empty()) request.evaluation.times = {request.evaluation.times.back()};
    right[i].assign(static_cast<std::size_t>(chips * samples), 0.0);
    const auto add = [&right, samples, reads, i](const PointIndex& point, std::int64_t first, auto values,
                                                 double sign) {
      double* const row = right[i].data() + point.repeat / reads * samples + first;
      for (std::size_t s = 0; s < values.size(); ++s) row[s] += sign * static_cast<double>(values[s]);
    };
    if (measure_ == SearchMeasure::accuracy)
      sinks[i].right = [add](const PointIndex& point, std::int64_t first, std::span<const float> fractions) {
        add(point, first, fractions, 1.0);
      };
    else
      sinks[i].losses = [add](const PointIndex& point, std::int64_t first, std::span<const double> losses) {
        add(point, first, losses, -1.0);
      };
  }
  std::vector<EvaluationTask> tasks;
  for (std::size_t i = 0; i < states.size(); ++i) tasks.push_back({requests[i], sinks[i]});
  const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel_, environment);
  std::vector<Outcomes> outcomes;
  for (const EvaluationResult& result : results)
    if (!result.complete) return {};
  score_ = results.front().reference;
  // Samples have different numbers of tokens; their mean is to be that of all tokens.
  double scale = 1.0 / static_cast<double>(reads);
  if (measure_ == SearchMeasure::perplexity)
    scale *= static_cast<double>(samples) / static_cast<double>(std::max<std::int64_t>(1, score_->count));
  for (std::size_t i = 0; i < states.size(); ++i) {
    Outcomes& made = outcomes.emplace_back(Outcomes{chips, samples, {}});
    for (const double sum : right[i]) made.correct.push_back(static_cast<float>(sum * scale));
  }
  return outcomes;
}

}  // namespace tessera::sim
