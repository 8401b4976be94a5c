#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/sim/evaluate.hpp"

/// The fewest bits within a budget of accuracy or perplexity. Every knob is the bit width of one key (periphery bits,
/// ADC bits) in one layer, with a ladder of values below the configured one; the search takes knobs down their ladders as
/// long as a paired test shows that the loss against the configuration as given stays within the budget.
///
/// 1. Sensitivities. Each layer alone, fed with float32 inputs, at every rung of every key (an isolated sweep): its
///    relative error power 1/SQNR. They order the moves: least added error power per saved cost first.
/// 2. Path. All moves in that order lead from the configuration as given to the narrowest one. `front` points spread
///    evenly over the path are evaluated, then the path is bisected between the last point that passes and the next.
/// 3. Single moves. From the cheapest point that passed, every knob is tried one rung lower, in groups; all moves of a
///    group that pass are taken together if that passes too, else the one with the least loss per saved cost. A knob
///    that fails stays where it is. At the end no knob can be taken one rung lower within the budget.
/// 4. Choices for the whole network are tried on what was found, and single moves again from the best.
///
/// A cost of hardware is a function of the whole state, not a sum over bits: what a move saves is the difference of two
/// states. Moves that save nothing come last.
///
/// Every point is compared with the configuration as given, not with the point before, so losses cannot add up
/// unnoticed. What remains is selection: of many points near the budget one may pass by luck. `confirm` evaluates the
/// result on samples that the search has not seen.
namespace tessera::sim {

/// What is to be small. A bit costs one, or the columns (outputs of all tiles) of its layer, each of which has a scale
/// and an ADC; or the configuration has an energy (J), latency (s), area (mm2) or product of energy and latency (J s):
/// functions of all its bits (module cost).
enum class SearchCost { bits, columns, energy, latency, area, edp };
inline bool is_hardware_cost(SearchCost cost) {
  return cost != SearchCost::bits && cost != SearchCost::columns;
}

/// What may be lost: accuracy (of agreement, where there are no labels), in percentage points; or perplexity of a
/// language model, which may grow by so many per cent.
enum class SearchMeasure { accuracy, perplexity };

struct SearchParameters {
  double budget = 0.5;  ///< largest loss: percentage points, or per cent of the perplexity; >= 0
  SearchMeasure measure = SearchMeasure::accuracy;
  double confidence = 0.95;               ///< of the one-sided test; 0.5 to 0.9999
  SearchCost cost = SearchCost::columns;  ///< what is to be small
  int front = 12;                         ///< points along the path; >= 1
  int max_points = 400;                   ///< most configurations; >= 2
  double holdout = 0.0;                   ///< fraction of the samples kept for the confirmation; 0 to 0.9

  bool operator==(const SearchParameters&) const = default;
};
/// ConfigError for values outside these ranges.
void validate(const SearchParameters& parameters);

/// One key of one layer.
struct SearchKnob {
  std::size_t layer = 0;     ///< index into Executor::layers()
  std::size_t key = 0;       ///< knobs of the same key are varied together for the sensitivities
  std::vector<double> bits;  ///< by rung, falling; rung 0 is the configuration as given
  double weight = 1.0;       ///< cost of a bit; > 0
  /// A choice for the whole network (a tile size) instead: `bits` are values of any order, which are tried at the end.
  bool whole_network = false;
};

/// "bits x columns", "energy (J)", ...
std::string unit_of(SearchCost cost);

/// The rung of every knob.
using SearchState = std::vector<int>;

/// What one inference costs with a state, with the number of columns per converter that costs least.
struct HardwareCosts {
  double energy_J = 0.0;
  double latency_s = 0.0;
  double area_mm2 = 0.0;
  std::int64_t columns = 0;  ///< 0: as configured

  double of(SearchCost cost) const;
  bool operator==(const HardwareCosts&) const = default;
};

/// How often each chip is right: [chip][sample], the fraction of its reads that give the label. With
/// SearchMeasure::perplexity ln p of the sample's tokens instead, scaled so that the mean over samples is that over
/// tokens: accuracy() is then minus the loss (nat) and the perplexity exp(-accuracy()).
struct Outcomes {
  std::int64_t chips = 0, samples = 0;
  std::vector<float> correct;

  double accuracy() const;
  std::vector<double> accuracy_by_chip() const;
};

/// The loss of accuracy between two networks on the same chips and samples, with common random numbers.
///
/// d(c, s) = correct_a(c, s) - correct_b(c, s) over chips c = 1..C and samples s = 1..S has two sources of chance,
/// which samples the test set has and which chips were made, so neither samples nor chips alone are the units: chips of
/// one sample, and samples of one chip, are correlated. In the two-way random-effects layout without replication
/// (Searle, Casella, McCulloch, Variance Components, 1992, ch. 4), with mean squares MS of samples, chips and rest, the
/// unbiased estimate of the variance of the mean is (MS_s + MS_c - MS_e) / (S C). Without the last term it cannot be
/// negative and is, in expectation, never too small; that is what is used, with degrees of freedom after Satterthwaite
/// (1946):
///
///     Var(mean d) = (MS_s + MS_c) / (S C)
///
/// Where all chips agree (nothing random) this is the paired test over samples (McNemar's in t form); with one chip it
/// holds for that chip only. Losses are rare events: two samples are added, one lost on every chip and one won (Bonett
/// and Price, J. Educ. Behav. Stat. 37, 2012), which keeps the bound above zero where no prediction changed: about
/// 2.3/S at 95 %. Losses in nat are no rare events: nothing is added to them.
struct PairedLoss {
  double mean = 0.0;            ///< accuracy of a minus that of b, fraction
  double center = 0.0;          ///< with the two added samples
  double standard_error = 0.0;  ///< of `center`
  double degrees = 1.0;

  /// The loss is below this with the given one-sided confidence.
  double upper(double confidence) const;
  double lower(double confidence) const;
};
/// InputError unless both have the same chips and samples, at least one each (two samples for a perplexity).
PairedLoss paired_loss(const Outcomes& a, const Outcomes& b, SearchMeasure measure = SearchMeasure::accuracy);
/// A loss in the unit of the budget: 100 loss, or 100 (exp(loss) - 1).
double in_percent(SearchMeasure measure, double loss);

struct SearchProblem {
  const EvaluationRequest& request;  ///< as given; of a task that compares classes. The last of its times counts.
  std::vector<SearchKnob> knobs;     ///< at least one, each with at least two rungs
  std::function<LayerResolver(const SearchState&)> resolver;
  const EvaluationRequest* confirm = nullptr;  ///< the same on other samples; may be null
  /// What a state costs: needed for costs other than bits and columns, and then part of the front.
  std::function<HardwareCosts(const SearchState&)> costs = {};
};

/// An evaluated configuration.
struct SearchPoint {
  SearchState state;
  double cost = 0.0;         ///< sum of bits * weight, or what SearchProblem::costs says
  HardwareCosts costs = {};  ///< with SearchProblem::costs
  Outcomes outcomes;
  PairedLoss loss;      ///< against the configuration as given
  bool within = false;  ///< in_percent(loss.upper(confidence)) <= budget, or the configuration as given itself
  /// None of the others is at least as good in cost and accuracy and better in one; with SearchProblem::costs: in
  /// energy, area and accuracy.
  bool front = false;
};

struct SearchResult {
  double reference_accuracy = 0.0;              ///< float32; Outcomes::accuracy() says in which unit
  std::vector<std::vector<double>> error;       ///< by knob and rung: relative error power of the layer alone
  std::vector<SearchPoint> points;              ///< in order of evaluation; the first is the configuration as given
  std::size_t found = 0;                        ///< the cheapest point within the budget
  bool complete = false;                        ///< false: cancelled, or max_points reached
  std::optional<PairedLoss> confirmation;       ///< of the found point on the samples of `confirm`
  std::vector<double> confirmed_accuracy = {};  ///< there: as given, found
};

/// What is known from before, and where to keep what becomes known. Members may be empty.
struct SearchMemory {
  std::function<std::optional<Outcomes>(const SearchState&)> known;
  std::function<void(const SearchResult&)> checkpoint;  ///< after every group of evaluations
};

/// Throws what evaluate() throws; InputError without labels, or where the configuration as given is no better than
/// guessing the most frequent class. Bit-identical for any thread count, and whatever was known before.
SearchResult search(const SearchProblem& problem, const SearchParameters& parameters, const SearchMemory& memory,
                    Parallel parallel, const Environment& environment);

}  // namespace tessera::sim
