// Does the search find the fewest bits that the test allows, is the test honest, and can it be stopped and continued?
#include "tessera/sim/search.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <map>
#include <random>

#include "sim/small_network.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::sim {
namespace {

/// The small network, without its bias: no class has more than 58 % of the samples.
nn::Graph balanced_network() {
  nn::Graph graph = test::small_network();
  graph.nodes.front().inputs.pop_back();
  return graph;
}

/// On data that it labels itself: float32 is always right.
struct Fixture {
  explicit Fixture(std::int64_t samples = 300) : executor(balanced_network()), data(labelled(executor, samples)) {}

  static io::DataSet labelled(const nn::Executor& executor, std::int64_t samples) {
    Tensor inputs({samples, 6});
    std::mt19937 engine(3);
    for (float& value : inputs.values())
      value = static_cast<float>(engine() >> 8) / static_cast<float>(1U << 23) - 1.0F;
    const Tensor outputs = executor.run(inputs, {});
    return io::DataSet(inputs, predicted_classes({outputs.data(), samples, 3}));
  }
  EvaluationRequest request(int chips, double noise) const {
    EvaluationParameters evaluation;
    evaluation.repeats = chips;
    return {.executor = executor,
            .data = data,
            .batch_size = 64,
            .seed = 5,
            .evaluation = evaluation,
            .resolve = resolver(noise)(SearchState{0, 0}),
            .record_output = {}};
  }

  /// The planted problem: the bits of fc1 do nothing, those of fc2 are the bits of its ADC.
  static std::function<LayerResolver(const SearchState&)> resolver(double noise) {
    return [noise](const SearchState& state) -> LayerResolver {
      return [noise, bits = ladder()[static_cast<std::size_t>(state[1])]](const std::string& name, const std::string&) {
        LayerParameters layer;
        tile::IOParameters& io = layer.rpu.forward;
        io.inp_res = io.out_res = -1.0;
        io.inp_bound = 0.0;
        io.out_bound = 4.0;
        io.out_noise = noise;
        io.bound_management = tile::BoundManagementType::NONE;
        if (name == "fc2") io.out_res = std::exp2(bits) - 2.0;
        return layer;
      };
    };
  }
  static std::vector<double> ladder() { return {10, 8, 7, 6, 5, 4, 3, 2}; }
  static std::vector<SearchKnob> knobs() { return {{0, 0, ladder(), 1.0}, {1, 0, ladder(), 1.0}}; }

  SearchResult run(double budget, int chips = 1, double noise = 0.0, Parallel parallel = {2},
                   const SearchMemory& memory = {}, const Environment& environment = {}) const {
    const EvaluationRequest request_ = request(chips, noise);
    SearchParameters parameters;
    parameters.budget = budget;
    parameters.cost = SearchCost::bits;
    parameters.front = 4;
    return search({request_, knobs(), resolver(noise)}, parameters, memory, parallel, environment);
  }

  nn::Executor executor;
  io::DataSet data;
};

const SearchPoint& found(const SearchResult& result) {
  return result.points[result.found];
}

TEST(SearchTest, FindsTheLayerThatNeedsMoreBits) {
  const Fixture fixture;
  const SearchResult result = fixture.run(10.0);
  ASSERT_TRUE(result.complete);
  EXPECT_EQ(result.reference_accuracy, 1.0);
  EXPECT_EQ(found(result).state[0], 7) << "bits that do nothing are all saved";

  // Every rung of fc2 on its own: the last one that the test allows is the one.
  int last = 0;
  const EvaluationRequest request = fixture.request(1, 0.0);
  SearchParameters whole;
  whole.budget = 10.0;
  whole.cost = SearchCost::bits;
  whole.front = 14;  // the whole path
  const SearchResult all = search({request, Fixture::knobs(), Fixture::resolver(0.0)}, whole, {}, {1}, {});
  std::map<int, bool> within;
  for (const SearchPoint& point : all.points) within[point.state[1]] = point.within;
  for (const auto& [rung, passes] : within)
    if (passes) last = std::max(last, rung);
  EXPECT_EQ(found(result).state[1], last);
  EXPECT_GT(last, 1) << "no bits to save: the test shows nothing";
  EXPECT_LT(last, 7) << "no bits needed: the test shows nothing";
  EXPECT_LE(100.0 * found(result).loss.upper(0.95), 10.0);
  EXPECT_GT(result.error[1].back(), 1e-3);
  EXPECT_EQ(result.error[0].front(), result.error[0].back());
}

TEST(SearchTest, ABudgetOfZeroSavesNothingAndOneOfEverythingSavesAll) {
  const Fixture fixture;
  const SearchResult none = fixture.run(0.0);
  EXPECT_TRUE(none.complete);
  EXPECT_EQ(none.found, 0U);
  EXPECT_EQ(found(none).state, (SearchState{0, 0}));
  for (std::size_t p = 1; p < none.points.size(); ++p) EXPECT_FALSE(none.points[p].within);
  EXPECT_EQ(found(fixture.run(100.0)).state, (SearchState{7, 7}));
}

TEST(SearchTest, TheFoundNetworkEvaluatedAgainIsAsAccurateAsItSays) {
  const Fixture fixture;
  const SearchResult result = fixture.run(5.0, 3, 0.1);
  ASSERT_NE(result.found, 0U);
  EvaluationRequest request = fixture.request(3, 0.1);
  request.resolve = Fixture::resolver(0.1)(found(result).state);
  const EvaluationResult again = evaluate(request, {}, {1}, {});
  const std::vector<double> said = found(result).outcomes.accuracy_by_chip();
  ASSERT_EQ(again.points.size(), said.size());
  for (std::size_t c = 0; c < said.size(); ++c) EXPECT_DOUBLE_EQ(again.points[c].score.accuracy(), said[c]);
}

TEST(SearchTest, IsTheSameForAnyThreadCountAndAfterAnInterruption) {
  const Fixture fixture;
  std::atomic<bool> stop{false};
  std::map<SearchState, Outcomes> kept;
  SearchMemory memory;
  memory.checkpoint = [&](const SearchResult& result) {
    for (const SearchPoint& point : result.points) kept[point.state] = point.outcomes;
    stop = result.points.size() > 3;
  };
  Environment environment;
  environment.cancel = &stop;
  const SearchResult part = fixture.run(3.0, 2, 0.05, {2}, memory, environment);
  EXPECT_FALSE(part.complete);
  ASSERT_GT(part.points.size(), 3U);
  EXPECT_TRUE(found(part).within);

  const SearchResult whole = fixture.run(3.0, 2, 0.05, {1});
  EXPECT_TRUE(whole.complete);
  memory.checkpoint = nullptr;
  int recalled = 0;
  memory.known = [&](const SearchState& state) -> std::optional<Outcomes> {
    const auto at = kept.find(state);
    if (at == kept.end()) return std::nullopt;
    ++recalled;
    return at->second;
  };
  const SearchResult rest = fixture.run(3.0, 2, 0.05, {3}, memory);
  EXPECT_GT(recalled, 1);
  ASSERT_EQ(rest.points.size(), whole.points.size());
  EXPECT_EQ(rest.found, whole.found);
  EXPECT_EQ(rest.error, whole.error);
  for (std::size_t p = 0; p < whole.points.size(); ++p) {
    EXPECT_EQ(rest.points[p].state, whole.points[p].state);
    EXPECT_EQ(rest.points[p].outcomes.correct, whole.points[p].outcomes.correct);
    EXPECT_EQ(rest.points[p].loss.upper(0.95), whole.points[p].loss.upper(0.95));
    EXPECT_EQ(rest.points[p].front, whole.points[p].front);
  }
}

TEST(SearchTest, TheFrontIsWhatNothingBeats) {
  const Fixture fixture;
  const SearchResult result = fixture.run(5.0, 2, 0.1);
  int on_front = 0;
  for (const SearchPoint& point : result.points) {
    bool beaten = false;
    for (const SearchPoint& other : result.points) {
      const double a = other.outcomes.accuracy(), b = point.outcomes.accuracy();
      beaten |= (other.cost < point.cost && a >= b) || (other.cost == point.cost && a > b);
    }
    EXPECT_EQ(point.front, !beaten);
    on_front += point.front ? 1 : 0;
  }
  EXPECT_GT(on_front, 1);
}

TEST(SearchTest, HeldOutSamplesConfirm) {
  const Fixture fixture;
  const EvaluationRequest request = fixture.request(1, 0.0);
  SearchParameters parameters;
  parameters.budget = 100.0;
  const SearchResult result =
      search({request, Fixture::knobs(), Fixture::resolver(0.0), &request}, parameters, {}, {1}, {});
  ASSERT_TRUE(result.confirmation);
  EXPECT_EQ(result.confirmation->mean, found(result).loss.mean);
  EXPECT_EQ(result.confirmed_accuracy.back(), found(result).outcomes.accuracy());
}

TEST(SearchTest, RefusesWhatCannotBeSearched) {
  const Fixture fixture;
  const EvaluationRequest request = fixture.request(1, 0.0);
  const auto resolver = Fixture::resolver(0.0);
  EXPECT_THROW(search({request, {}, resolver}, {}, {}, {1}, {}), InputError);
  SearchParameters parameters;
  parameters.budget = -1.0;
  EXPECT_THROW(search({request, Fixture::knobs(), resolver}, parameters, {}, {1}, {}), ConfigError);
  SearchParameters of_tokens;
  of_tokens.measure = SearchMeasure::perplexity;
  EXPECT_THROW(search({request, Fixture::knobs(), resolver}, of_tokens, {}, {1}, {}), ConfigError)
      << "classes are no tokens";

  std::vector<std::int32_t> wrong;
  for (const std::int32_t label : fixture.data.labels()) wrong.push_back((label + 1) % 3);
  const io::DataSet guessing(fixture.data.read(0, fixture.data.size()), wrong);
  try {
    search({EvaluationRequest{.executor = fixture.executor,
                              .data = guessing,
                              .evaluation = {},
                              .resolve = request.resolve,
                              .record_output = {}},
            Fixture::knobs(), resolver},
           {}, {}, {1}, {});
    FAIL() << "a network that is always wrong was searched";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("no better than guessing"), std::string::npos) << error.what();
  }
}

Outcomes all_right(std::int64_t chips, std::int64_t samples) {
  return {chips, samples, std::vector<float>(static_cast<std::size_t>(chips * samples), 1.0F)};
}

TEST(PairedLossTest, WithoutChanceBetweenChipsItIsThePairedTestOverSamples) {
  const Outcomes given = all_right(1, 98);
  Outcomes worse = given;
  for (const std::size_t s : {3U, 40U, 71U}) worse.correct[s] = 0.0F;
  const PairedLoss one = paired_loss(given, worse);
  EXPECT_DOUBLE_EQ(one.mean, 3.0 / 98.0);
  // 98 samples and two more, +1 and -1: sum 3, sum of squares 5.
  EXPECT_DOUBLE_EQ(one.center, 0.03);
  EXPECT_NEAR(one.standard_error, std::sqrt((5.0 - 100.0 * 0.03 * 0.03) / 99.0 / 100.0), 1e-15);
  EXPECT_DOUBLE_EQ(one.degrees, 99.0);
  EXPECT_DOUBLE_EQ(one.upper(0.95), 0.03 + student_t_quantile(0.95, 99.0) * one.standard_error);

  Outcomes twice{2, 98, worse.correct};
  twice.correct.insert(twice.correct.end(), worse.correct.begin(), worse.correct.end());
  const PairedLoss two = paired_loss(all_right(2, 98), twice);
  EXPECT_NEAR(two.upper(0.95), one.upper(0.95), 1e-12) << "a second chip that does the same tells nothing";
  EXPECT_GT(paired_loss(given, given).upper(0.95), 0.01) << "no change seen on 98 samples does not prove no loss";
  EXPECT_THROW(paired_loss(given, all_right(2, 98)), InputError);
}

TEST(PairedLossTest, OfPerplexitiesIsTheirRatioAndAddsNoSamples) {
  const Outcomes given{1, 4, {-1.0F, -2.0F, -1.5F, -3.0F}};
  const Outcomes worse{1, 4, {-1.25F, -2.25F, -2.0F, -3.0F}};
  const PairedLoss loss = paired_loss(given, worse, SearchMeasure::perplexity);
  EXPECT_DOUBLE_EQ(loss.mean, 0.25);
  EXPECT_DOUBLE_EQ(loss.center, 0.25);
  EXPECT_DOUBLE_EQ(loss.standard_error, std::sqrt((0.0 + 0.0 + 0.0625 + 0.0625) / 3.0 / 4.0));
  EXPECT_DOUBLE_EQ(loss.degrees, 3.0);
  EXPECT_NEAR(in_percent(SearchMeasure::perplexity, loss.mean), 100.0 * (std::exp(2.125) / std::exp(1.875) - 1.0),
              1e-10);
  EXPECT_DOUBLE_EQ(in_percent(SearchMeasure::accuracy, loss.mean), 25.0);
  EXPECT_EQ(paired_loss(given, given, SearchMeasure::perplexity).upper(0.95), 0.0);
  const Outcomes single{1, 1, {-1.0F}};
  EXPECT_THROW(paired_loss(single, single, SearchMeasure::perplexity), InputError);
}

/// How often a loss that is exactly at the budget is accepted, with 3 chips and 300 samples, some chips worse than
/// others (by 30 %). `naive`: as if all 900 outcomes were independent.
double false_acceptances(bool naive) {
  constexpr int trials = 1000;
  constexpr double limit = 0.06;
  std::mt19937 engine(11);
  std::uniform_real_distribution<double> uniform;
  int accepted = 0;
  for (int trial = 0; trial < trials; ++trial) {
    Outcomes worse = all_right(3, 300);
    double sum = 0.0;
    for (std::size_t c = 0; c < 3; ++c) {
      double normal = -6.0;
      for (int i = 0; i < 12; ++i) normal += uniform(engine);
      const double rate = limit * (1.0 + 0.3 * normal);
      for (std::size_t s = 0; s < 300; ++s)
        if (uniform(engine) < rate) {
          worse.correct[c * 300 + s] = 0.0F;
          sum += 1.0;
        }
    }
    double bound = paired_loss(all_right(3, 300), worse).upper(0.95);
    if (naive) {
      const double mean = sum / 900.0;
      bound = mean + student_t_quantile(0.95, 899.0) * std::sqrt(mean * (1.0 - mean) / 900.0);
    }
    accepted += bound <= limit ? 1 : 0;
  }
  return static_cast<double>(accepted) / trials;
}

TEST(PairedLossTest, AcceptsALossAtTheBudgetAsRarelyAsItSays) {
  // 5 % and 3 standard errors of 1000 trials.
  EXPECT_LT(false_acceptances(false), 0.05 + 3.0 * std::sqrt(0.05 * 0.95 / 1000.0));
  EXPECT_GT(false_acceptances(true), 0.12) << "control: chips that differ must matter";
}

}  // namespace
}  // namespace tessera::sim
