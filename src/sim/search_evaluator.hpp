#pragma once
#include <optional>
#include <vector>

#include "tessera/sim/search.hpp"

namespace tessera::sim {

/// Evaluates the states of a search on the last time, without statistics.
class SearchEvaluator {
 public:
  SearchEvaluator(const SearchProblem& problem, const EvaluationRequest& request, Parallel parallel)
      : problem_(problem), request_(request), parallel_(parallel) {}

  /// Empty if cancelled.
  std::vector<Outcomes> run(const std::vector<SearchState>& states, const Environment& environment);
  double reference_accuracy() const { return score_ ? score_->accuracy() : 0.0; }

 private:
  const SearchProblem& problem_;
  const EvaluationRequest& request_;
  Parallel parallel_;
  std::optional<TaskScore> score_;
};

}  // namespace tessera::sim
