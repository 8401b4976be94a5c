#include "tessera/sim/search.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tessera/core/statistics.hpp"

namespace tessera::sim {

namespace {

/// Points in flight together; also the size of a group of single moves.
constexpr std::size_t most_together = 8;

/// The float32 pass is known and left out, but for spiking networks, whose float32 pass depends on their neurons.
std::optional<TaskScore> known_score(const EvaluationRequest& request, const std::optional<TaskScore>& score) {
  return request.spiking ? std::nullopt : score;
}

double most_frequent_share(std::span<const std::int32_t> labels) {
  std::map<std::int32_t, std::int64_t> counts;
  std::int64_t most = 0;
  for (const std::int32_t label : labels) most = std::max(most, ++counts[label]);
  return static_cast<double>(most) / static_cast<double>(labels.size());
}

/// Evaluates states, on the last time, without statistics.
class Evaluator {
 public:
  Evaluator(const SearchProblem& problem, const EvaluationRequest& request, Parallel parallel)
      : problem_(problem), request_(request), parallel_(parallel) {}

  /// Empty if cancelled.
  std::vector<Outcomes> run(const std::vector<SearchState>& states, const Environment& environment) {
    const std::int64_t chips = request_.evaluation.repeats;
    const std::int64_t reads = request_.evaluation.read_repeats;
    const std::int64_t samples = request_.data.size();
    const std::span<const std::int32_t> labels = request_.data.labels();
    std::vector<EvaluationRequest> requests;
    std::vector<EvaluationSink> sinks(states.size());
    std::vector<std::vector<std::int32_t>> right(states.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
      EvaluationRequest& request = requests.emplace_back(request_);
      request.resolve = problem_.resolver(states[i]);
      request.statistics = false;
      request.record_output.clear();
      request.known_reference = known_score(request, score_);
      if (!request.evaluation.times.empty()) request.evaluation.times = {request.evaluation.times.back()};
      right[i].assign(static_cast<std::size_t>(chips * samples), 0);
      sinks[i].predictions = [&right, labels, samples, reads, i](const PointIndex& point, std::int64_t first,
                                                                 std::span<const std::int32_t> classes) {
        std::int32_t* const row = right[i].data() + point.repeat / reads * samples + first;
        for (std::size_t s = 0; s < classes.size(); ++s)
          row[s] += classes[s] == labels[static_cast<std::size_t>(first) + s] ? 1 : 0;
      };
    }
    std::vector<EvaluationTask> tasks;
    for (std::size_t i = 0; i < states.size(); ++i) tasks.push_back({requests[i], sinks[i]});
    const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel_, environment);
    std::vector<Outcomes> outcomes;
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (!results[i].complete) return {};
      Outcomes& made = outcomes.emplace_back(Outcomes{chips, samples, {}});
      for (const std::int32_t count : right[i])
        made.correct.push_back(static_cast<float>(count) / static_cast<float>(reads));
    }
    score_ = results.front().reference;
    return outcomes;
  }
  double reference_accuracy() const { return score_ ? score_->accuracy() : 0.0; }

 private:
  const SearchProblem& problem_;
  const EvaluationRequest& request_;
  Parallel parallel_;
  std::optional<TaskScore> score_;
};

class Searcher {
 public:
  Searcher(const SearchProblem& problem, const SearchParameters& parameters, const SearchMemory& memory,
           Parallel parallel, const Environment& environment)
      : problem_(problem),
        parameters_(parameters),
        memory_(memory),
        parallel_(parallel),
        environment_(environment),
        evaluator_(problem, problem.request, parallel) {
    for (const SearchKnob& knob : problem.knobs) moves_ += std::ssize(knob.bits) - 1;
    planned_ = 1 + std::min<std::int64_t>(parameters.front, moves_) + 3 + 2 * std::ssize(problem.knobs);
  }

  SearchResult run() {
    const SearchState given(problem_.knobs.size(), 0);
    result_.complete = evaluate({given}) && measure_sensitivities() && follow_path() && single_moves() && confirm();
    mark_front();
    return std::move(result_);
  }

 private:
  double cost(const SearchState& state) const {
    double sum = 0.0;
    for (std::size_t k = 0; k < state.size(); ++k)
      sum += problem_.knobs[k].weight * problem_.knobs[k].bits[static_cast<std::size_t>(state[k])];
    return sum;
  }

  const SearchPoint& point(const SearchState& state) const { return result_.points[index_.at(state)]; }

  /// Evaluates those of the states that are new; false if cancelled or at the limit.
  bool evaluate(const std::vector<SearchState>& states) {
    std::vector<SearchState> fresh;
    for (const SearchState& state : states) {
      if (index_.contains(state) || std::find(fresh.begin(), fresh.end(), state) != fresh.end()) continue;
      if (std::ssize(result_.points) + std::ssize(fresh) >= parameters_.max_points) {
        environment_.warn(
            fmt::format("search.max_points ({}) reached: fewer bits may be possible", parameters_.max_points));
        return false;
      }
      fresh.push_back(state);
    }
    for (std::size_t first = 0; first < fresh.size(); first += most_together) {
      const std::vector<SearchState> group(
          fresh.begin() + static_cast<std::ptrdiff_t>(first),
          fresh.begin() + static_cast<std::ptrdiff_t>(std::min(first + most_together, fresh.size())));
      if (!evaluate_group(group)) return false;
    }
    return true;
  }

  bool evaluate_group(const std::vector<SearchState>& group) {
    std::vector<std::optional<Outcomes>> outcomes;
    std::vector<SearchState> unknown;
    for (const SearchState& state : group) {
      // The first is always evaluated: it also gives the float32 accuracy.
      outcomes.push_back(memory_.known && !result_.points.empty() ? memory_.known(state) : std::nullopt);
      if (!outcomes.back()) unknown.push_back(state);
    }
    if (!unknown.empty()) {
      const std::vector<Outcomes> computed = evaluator_.run(unknown, counted(std::ssize(unknown)));
      if (computed.empty()) return false;
      auto next = computed.begin();
      for (std::optional<Outcomes>& outcome : outcomes)
        if (!outcome) outcome = *next++;
    }
    for (std::size_t i = 0; i < group.size(); ++i) add(group[i], std::move(*outcomes[i]));
    if (memory_.checkpoint) {
      mark_front();
      memory_.checkpoint(result_);
    }
    return !environment_.cancelled();
  }

  void add(const SearchState& state, Outcomes outcomes) {
    const bool first = result_.points.empty();
    SearchPoint made{state, cost(state), std::move(outcomes), {}, first, false};
    if (first) {
      result_.reference_accuracy = evaluator_.reference_accuracy();
      expect_better_than_chance(made.outcomes);
    }
    made.loss = paired_loss(first ? made.outcomes : result_.points.front().outcomes, made.outcomes);
    made.within = first || 100.0 * made.loss.upper(parameters_.confidence) <= parameters_.budget;
    index_.emplace(state, result_.points.size());
    result_.points.push_back(std::move(made));
    const SearchPoint& added = result_.points.back();
    const SearchPoint& best = result_.points[result_.found];
    if (added.within &&
        (added.cost < best.cost || (added.cost == best.cost && added.outcomes.accuracy() > best.outcomes.accuracy())))
      result_.found = result_.points.size() - 1;
  }

  void expect_better_than_chance(const Outcomes& outcomes) const {
    const double chance = most_frequent_share(problem_.request.data.labels());
    const double spread = std::sqrt(chance * (1.0 - chance) / static_cast<double>(outcomes.samples));
    const double accuracy = outcomes.accuracy();
    require<InputError>(accuracy > chance + normal_quantile(parameters_.confidence) * spread,
                        "the configuration as given has an accuracy of {:.2f} % on {} samples, no better than guessing "
                        "the most frequent class ({:.2f} %): there is nothing to lose; see tessera doctor",
                        100.0 * accuracy, outcomes.samples, 100.0 * chance);
  }

  /// Progress over all that is planned; the plan grows when it was too short.
  Environment counted(std::int64_t states) {
    Environment inner = environment_;
    if (!environment_.progress) return inner;
    const std::int64_t before = done_;
    done_ += states;
    planned_ = std::max(planned_, done_ + 1);
    inner.progress = [this, before, states](std::int64_t done, std::int64_t total, const char* unit) {
      const std::int64_t each = std::max<std::int64_t>(1, total / states);
      environment_.progress(before * each + done, planned_ * each, unit);
    };
    return inner;
  }

  /// One isolated evaluation for every rung of every key: all knobs of the key at that rung, all others as given.
  bool measure_sensitivities() {
    const std::vector<SearchKnob>& knobs = problem_.knobs;
    std::size_t keys = 0, rungs = 0;
    for (const SearchKnob& knob : knobs) {
      keys = std::max(keys, knob.key + 1);
      rungs = std::max(rungs, knob.bits.size());
    }
    std::vector<EvaluationRequest> requests;
    const auto add = [&](const SearchState& state) {
      EvaluationRequest& request = requests.emplace_back(problem_.request);
      request.resolve = problem_.resolver(state);
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
        if (knobs[k].key == key) state[k] = static_cast<int>(std::min(rung, knobs[k].bits.size() - 1));
      return state;
    };
    add(SearchState(knobs.size(), 0));
    for (std::size_t key = 0; key < keys; ++key)
      for (std::size_t rung = 1; rung < rungs; ++rung) add(state_of(key, rung));
    const EvaluationSink sink;
    std::vector<EvaluationTask> tasks;
    for (const EvaluationRequest& request : requests) tasks.push_back({request, sink});
    Environment quiet = environment_;
    quiet.progress = nullptr;
    const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel_, quiet);
    for (const EvaluationResult& result : results)
      if (!result.complete) return false;
    const auto error_of = [](const EvaluationResult& result, std::size_t layer) {
      const ErrorMeasures& seen = result.points.front().layers[layer].isolated;
      return seen.sum_reference_squared > 0.0 ? seen.sum_error_squared / seen.sum_reference_squared : 0.0;
    };
    for (const SearchKnob& knob : knobs) {
      std::vector<double>& error = result_.error.emplace_back();
      error.push_back(error_of(results.front(), knob.layer));
      for (std::size_t rung = 1; rung < knob.bits.size(); ++rung)
        error.push_back(error_of(results[1 + knob.key * (rungs - 1) + rung - 1], knob.layer));
    }
    return true;
  }

  bool can_move(const SearchState& state, std::size_t k) const {
    return static_cast<std::size_t>(state[k]) + 1 < problem_.knobs[k].bits.size();
  }
  double saving(const SearchState& state, std::size_t k) const {
    const SearchKnob& knob = problem_.knobs[k];
    const auto rung = static_cast<std::size_t>(state[k]);
    return knob.weight * (knob.bits[rung] - knob.bits[rung + 1]);
  }
  /// Added error power per saved cost; noise may make it negative.
  double price(const SearchState& state, std::size_t k) const {
    const auto rung = static_cast<std::size_t>(state[k]);
    return (result_.error[k][rung + 1] - result_.error[k][rung]) / saving(state, k);
  }
  /// Knobs that can move and are not in `kept`, cheapest first.
  std::vector<std::size_t> ordered_moves(const SearchState& state, const std::set<std::size_t>& kept) const {
    std::vector<std::size_t> order;
    for (std::size_t k = 0; k < state.size(); ++k)
      if (can_move(state, k) && !kept.contains(k)) order.push_back(k);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return price(state, a) < price(state, b); });
    return order;
  }

  bool follow_path() {
    std::vector<SearchState> path{SearchState(problem_.knobs.size(), 0)};
    for (std::int64_t move = 0; move < moves_; ++move) {
      SearchState next = path.back();
      ++next[ordered_moves(next, {}).front()];
      path.push_back(std::move(next));
    }
    const std::int64_t count = std::min<std::int64_t>(parameters_.front, moves_);
    std::vector<std::int64_t> places;
    std::vector<SearchState> states;
    for (std::int64_t i = 1; i <= count; ++i) {
      places.push_back((i * moves_ + count - 1) / count);
      states.push_back(path[static_cast<std::size_t>(places.back())]);
    }
    if (!evaluate(states)) return false;
    std::int64_t passed = 0;
    std::int64_t failed = moves_ + 1;
    for (std::size_t i = 0; i < places.size(); ++i)
      if (point(states[i]).within) passed = places[i];
    for (const std::int64_t at : places)
      if (at > passed) failed = std::min(failed, at);
    while (failed - passed > 1) {
      const std::int64_t middle = (passed + failed) / 2;
      const SearchState& state = path[static_cast<std::size_t>(middle)];
      if (!evaluate({state})) return false;
      (point(state).within ? passed : failed) = middle;
    }
    return true;
  }

  bool single_moves() {
    SearchState state = result_.points[result_.found].state;
    std::set<std::size_t> kept;
    for (;;) {
      const std::vector<std::size_t> order = ordered_moves(state, kept);
      if (order.empty()) return true;
      for (std::size_t first = 0; first < order.size(); first += most_together) {
        const std::vector<std::size_t> group(
            order.begin() + static_cast<std::ptrdiff_t>(first),
            order.begin() + static_cast<std::ptrdiff_t>(std::min(first + most_together, order.size())));
        const std::optional<SearchState> next = best_of(state, group, kept);
        if (!next) return false;
        if (*next == state) continue;
        state = *next;
        break;
      }
    }
  }

  /// The state after the moves of a group that are taken; the same state if none passes; nothing if stopped.
  std::optional<SearchState> best_of(const SearchState& state, const std::vector<std::size_t>& group,
                                     std::set<std::size_t>& kept) {
    std::vector<SearchState> states;
    for (const std::size_t k : group) {
      states.push_back(state);
      ++states.back()[k];
    }
    if (!evaluate(states)) return std::nullopt;
    SearchState all = state;
    std::size_t passed = group.size();
    double least = HUGE_VAL;
    for (std::size_t i = 0; i < group.size(); ++i) {
      const SearchPoint& seen = point(states[i]);
      if (!seen.within) {
        kept.insert(group[i]);
        continue;
      }
      ++all[group[i]];
      const double price = (seen.loss.mean - point(state).loss.mean) / saving(state, group[i]);
      if (price < least) {
        least = price;
        passed = i;
      }
    }
    if (passed == group.size() || all == states[passed]) return all;
    if (!evaluate({all})) return std::nullopt;
    return point(all).within ? all : states[passed];
  }

  bool confirm() {
    if (problem_.confirm == nullptr) return true;
    Evaluator evaluator(problem_, *problem_.confirm, parallel_);
    const std::vector<Outcomes> seen =
        evaluator.run({result_.points.front().state, result_.points[result_.found].state}, counted(2));
    if (seen.empty()) return false;
    result_.confirmation = paired_loss(seen[0], seen[1]);
    result_.confirmed_accuracy = {seen[0].accuracy(), seen[1].accuracy()};
    return true;
  }

  void mark_front() {
    std::vector<double> accuracy;
    for (const SearchPoint& point : result_.points) accuracy.push_back(point.outcomes.accuracy());
    for (std::size_t i = 0; i < result_.points.size(); ++i) {
      const auto beats = [&](std::size_t j) {
        const double a = result_.points[j].cost, b = result_.points[i].cost;
        return (a < b && accuracy[j] >= accuracy[i]) || (a == b && accuracy[j] > accuracy[i]);
      };
      bool beaten = false;
      for (std::size_t j = 0; j < result_.points.size(); ++j) beaten |= beats(j);
      result_.points[i].front = !beaten;
    }
  }

  const SearchProblem& problem_;
  const SearchParameters& parameters_;
  const SearchMemory& memory_;
  Parallel parallel_;
  const Environment& environment_;
  Evaluator evaluator_;
  SearchResult result_;
  std::map<SearchState, std::size_t> index_;
  std::int64_t moves_ = 0, planned_ = 0, done_ = 0;
};

}  // namespace

void validate(const SearchParameters& parameters) {
  const auto expect = [](bool ok, const char* key, const std::string& rule) {
    if (!ok) throw ConfigError(key, rule);
  };
  expect(parameters.budget >= 0.0 && parameters.budget <= 100.0, "budget", "0 to 100 percentage points");
  expect(parameters.confidence >= 0.5 && parameters.confidence <= 0.9999, "confidence", "0.5 to 0.9999");
  expect(parameters.front >= 1, "front", "at least 1");
  expect(parameters.max_points >= 2, "max_points", "at least 2");
  expect(parameters.holdout >= 0.0 && parameters.holdout <= 0.9, "holdout", "0 to 0.9");
}

SearchResult search(const SearchProblem& problem, const SearchParameters& parameters, const SearchMemory& memory,
                    Parallel parallel, const Environment& environment) {
  validate(parameters);
  require<InputError>(!problem.knobs.empty(), "nothing to search: no layer has any of the keys");
  for (const SearchKnob& knob : problem.knobs)
    require<InputError>(knob.bits.size() >= 2 && knob.weight > 0.0, "a knob needs two rungs and a weight above 0");
  for (const EvaluationRequest* request : {&problem.request, problem.confirm})
    require<InputError>(request == nullptr || (task_of(*request) == Task::classification && request->data.has_labels()),
                        "an accuracy budget needs classification with labels");
  return Searcher(problem, parameters, memory, parallel, environment).run();
}

}  // namespace tessera::sim
