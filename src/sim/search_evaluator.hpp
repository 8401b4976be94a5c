#pragma once
#include <optional>
#include <vector>

#include "tessera/sim/search.hpp"

namespace tessera::sim {

/// Evaluates the states of a search on the last time, without statistics.
class SearchEvaluator {
 public:
  SearchEvaluator(const SearchProblem& problem, const EvaluationRequest& request, SearchMeasure measure,
                  Parallel parallel)
      : problem_(problem), request_(request), measure_(measure), parallel_(parallel) {}

  /// Empty if cancelled.
  std::vector<Outcomes> run(const std::vector<SearchState>& states, const Environment& environment);
  /// Of float32, as Outcomes::accuracy().
  double reference_accuracy() const;
  /// Classes that the network tells apart.
  std::int64_t classes() const { return score_ ? score_->classes() : 0; }

 private:
  const SearchProblem& problem_;
  const EvaluationRequest& request_;
  SearchMeasure measure_;
  Parallel parallel_;
  std::optional<TaskScore> score_;
};

}  // namespace tessera::sim
