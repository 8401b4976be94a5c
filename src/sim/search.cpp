#include "tessera/sim/search.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "sim/search_evaluator.hpp"
#include "sim/search_sensitivity.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::sim {

namespace {

/// Points in flight together; also the size of a group of single moves.
constexpr std::size_t most_together = 8;

double most_frequent_share(std::span<const std::int32_t> labels, std::optional<std::int32_t> ignored) {
  std::map<std::int32_t, std::int64_t> counts;
  std::int64_t most = 0, all = 0;
  for (const std::int32_t label : labels) {
    if (label == ignored) continue;
    most = std::max(most, ++counts[label]);
    ++all;
  }
  return static_cast<double>(most) / static_cast<double>(std::max<std::int64_t>(1, all));
}

class Searcher {
 public:
  Searcher(const SearchProblem& problem, const SearchParameters& parameters, const SearchMemory& memory,
           Parallel parallel, const Environment& environment)
      : problem_(problem),
        parameters_(parameters),
        memory_(memory),
        parallel_(parallel),
        environment_(environment),
        evaluator_(problem, problem.request, parameters.measure, parallel) {
    for (const SearchKnob& knob : problem.knobs)
      if (!knob.whole_network) moves_ += std::ssize(knob.bits) - 1;
    planned_ = 1 + std::min<std::int64_t>(parameters.front, moves_) + 3 + 2 * std::ssize(problem.knobs);
  }

  SearchResult run() {
    const SearchState given(problem_.knobs.size(), 0);
    const auto measure_sensitivities = [this] {
      std::optional<RungErrors> errors = rung_errors(problem_, parallel_, environment_);
      if (errors) result_.error = std::move(*errors);
      return errors.has_value();
    };
    result_.complete = evaluate({given}) && measure_sensitivities() && follow_path() && single_moves() &&
                       choices_for_the_network() && confirm();
    mark_front();
    return std::move(result_);
  }

 private:
  HardwareCosts costs(const SearchState& state) const {
    if (!problem_.costs) return {};
    const auto known = costs_.find(state);
    return known != costs_.end() ? known->second : costs_.emplace(state, problem_.costs(state)).first->second;
  }

  double cost(const SearchState& state) const {
    if (is_hardware_cost(parameters_.cost)) return costs(state).of(parameters_.cost);
    double sum = 0.0;
    for (std::size_t k = 0; k < state.size(); ++k)
      if (!problem_.knobs[k].whole_network)
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
    SearchPoint made{state, cost(state), costs(state), std::move(outcomes), {}, first, false};
    if (first) {
      result_.reference_accuracy = evaluator_.reference_accuracy();
      expect_better_than_chance(made.outcomes);
    }
    made.loss =
        paired_loss(first ? made.outcomes : result_.points.front().outcomes, made.outcomes, parameters_.measure);
    made.within =
        first || in_percent(parameters_.measure, made.loss.upper(parameters_.confidence)) <= parameters_.budget;
    index_.emplace(state, result_.points.size());
    result_.points.push_back(std::move(made));
    const SearchPoint& added = result_.points.back();
    const SearchPoint& best = result_.points[result_.found];
    if (added.within &&
        (added.cost < best.cost || (added.cost == best.cost && added.outcomes.accuracy() > best.outcomes.accuracy())))
      result_.found = result_.points.size() - 1;
  }

  void expect_better_than_chance(const Outcomes& outcomes) const {
    if (parameters_.measure == SearchMeasure::perplexity) {
      const auto tokens = static_cast<double>(evaluator_.classes());
      require<InputError>(outcomes.accuracy() > -std::log(tokens),
                          "the configuration as given has a perplexity of {:.4g}, no better than guessing among all {} "
                          "tokens: there is nothing to lose; see tessera doctor",
                          std::exp(-outcomes.accuracy()), evaluator_.classes());
      return;
    }
    const EvaluationRequest& request = problem_.request;
    if (task_of(request) != Task::classification) return;
    const double chance = most_frequent_share(request.data.labels(), request.evaluation.ignore_index);
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

  bool can_move(const SearchState& state, std::size_t k) const {
    return !problem_.knobs[k].whole_network && static_cast<std::size_t>(state[k]) + 1 < problem_.knobs[k].bits.size();
  }
  double saving(const SearchState& state, std::size_t k) const {
    if (is_hardware_cost(parameters_.cost)) {
      SearchState lower = state;
      ++lower[k];
      return cost(state) - cost(lower);
    }
    const SearchKnob& knob = problem_.knobs[k];
    const auto rung = static_cast<std::size_t>(state[k]);
    return knob.weight * (knob.bits[rung] - knob.bits[rung + 1]);
  }
  /// Added error power per saved cost; noise may make it negative. What saves nothing has no price.
  double price(const SearchState& state, std::size_t k) const {
    const auto rung = static_cast<std::size_t>(state[k]);
    const double saved = saving(state, k);
    return saved > 0.0 ? (result_.error[k][rung + 1] - result_.error[k][rung]) / saved : HUGE_VAL;
  }
  /// Knobs that can move and are not in `kept`, cheapest first.
  std::vector<std::size_t> ordered_moves(const SearchState& state, const std::set<std::size_t>& kept) const {
    std::vector<std::size_t> order;
    for (std::size_t k = 0; k < state.size(); ++k)
      if (can_move(state, k) && !kept.contains(k)) order.push_back(k);
    std::vector<double> prices(state.size());
    for (const std::size_t k : order) prices[k] = price(state, k);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return prices[a] < prices[b]; });
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
      const double saved = saving(state, group[i]);
      const double price = saved > 0.0 ? (seen.loss.mean - point(state).loss.mean) / saved : HUGE_VAL;
      if (price < least) {
        least = price;
        passed = i;
      }
    }
    if (passed == group.size() || all == states[passed]) return all;
    if (!evaluate({all})) return std::nullopt;
    return point(all).within ? all : states[passed];
  }

  /// Every value of every choice for the whole network that costs less than what was found, on what was found; then
  /// single moves again.
  bool choices_for_the_network() {
    const std::size_t before = result_.found;
    for (std::size_t k = 0; k < problem_.knobs.size(); ++k) {
      if (!problem_.knobs[k].whole_network) continue;
      const SearchPoint best = result_.points[result_.found];
      std::vector<SearchState> states;
      for (std::size_t value = 0; value < problem_.knobs[k].bits.size(); ++value) {
        SearchState state = best.state;
        state[k] = static_cast<int>(value);
        if (cost(state) < best.cost) states.push_back(std::move(state));
      }
      if (!evaluate(states)) return false;
    }
    return result_.found == before || single_moves();
  }

  bool confirm() {
    if (problem_.confirm == nullptr) return true;
    SearchEvaluator evaluator(problem_, *problem_.confirm, parameters_.measure, parallel_);
    const std::vector<Outcomes> seen =
        evaluator.run({result_.points.front().state, result_.points[result_.found].state}, counted(2));
    if (seen.empty()) return false;
    result_.confirmation = paired_loss(seen[0], seen[1], parameters_.measure);
    result_.confirmed_accuracy = {seen[0].accuracy(), seen[1].accuracy()};
    return true;
  }

  void mark_front() {
    std::vector<double> accuracy;
    for (const SearchPoint& point : result_.points) accuracy.push_back(point.outcomes.accuracy());
    for (std::size_t i = 0; i < result_.points.size(); ++i) {
      const auto beats = [&](std::size_t j) {
        const SearchPoint &a = result_.points[j], &b = result_.points[i];
        std::vector<std::pair<double, double>> lower{{a.cost, b.cost}};
        if (problem_.costs) lower = {{a.costs.energy_J, b.costs.energy_J}, {a.costs.area_mm2, b.costs.area_mm2}};
        bool better = accuracy[j] > accuracy[i];
        for (const auto& [ours, theirs] : lower) {
          if (ours > theirs) return false;
          better |= ours < theirs;
        }
        return better && accuracy[j] >= accuracy[i];
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
  SearchEvaluator evaluator_;
  SearchResult result_;
  std::map<SearchState, std::size_t> index_;
  mutable std::map<SearchState, HardwareCosts> costs_;
  std::int64_t moves_ = 0, planned_ = 0, done_ = 0;
};

}  // namespace

SearchResult search(const SearchProblem& problem, const SearchParameters& parameters, const SearchMemory& memory,
                    Parallel parallel, const Environment& environment) {
  validate(parameters);
  require<InputError>(!problem.knobs.empty(), "nothing to search: no layer has any of the keys");
  require<InputError>(!is_hardware_cost(parameters.cost) || problem.costs,
                      "search.cost energy, latency, area and edp need a cost: section");
  for (const SearchKnob& knob : problem.knobs)
    require<InputError>(knob.bits.size() >= 2 && knob.weight > 0.0, "a knob needs two rungs and a weight above 0");
  for (const EvaluationRequest* request : {&problem.request, problem.confirm}) {
    const Task task = request == nullptr ? Task::agreement : task_of(*request);
    require<InputError>(
        task == Task::classification || task == Task::language_model || task == Task::agreement,
        "an accuracy budget needs classes: classification, a language model, or agreement with float32");
    if (parameters.measure == SearchMeasure::perplexity && request != nullptr && task != Task::language_model)
      throw ConfigError(
          "search.measure",
          "perplexity is that of a language model; evaluation.task: language_model, or measure: accuracy");
  }
  return Searcher(problem, parameters, memory, parallel, environment).run();
}

}  // namespace tessera::sim
