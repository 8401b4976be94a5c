#include "tessera/app/search.hpp"

#include <cmath>
#include <filesystem>
#include <map>

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/core/format.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/sim/cost_recording.hpp"
#include "tessera/sim/search.hpp"
#include "tessera/spec/search.hpp"
#include "tessera/tile/mapping.hpp"

namespace tessera::app {

namespace {

namespace fs = std::filesystem;

/// Outputs of all tiles of a layer.
double tile_columns(const nn::LinearLayer& layer, const tile::MappingParameter& mapping) {
  std::int64_t columns = 0;
  for (const nn::LinearPart& part : layer.parts)
    for (const tile::TilePlace& place : tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping))
      columns += place.outputs;
  return static_cast<double>(columns);
}

/// Of a layer for one sample.
double multiply_accumulates(const nn::Executor& executor, std::size_t layer) {
  double products = 0.0;
  for (const nn::LinearPart& part : executor.layers()[layer].parts)
    products += static_cast<double>(part.weight.rows()) * static_cast<double>(part.weight.cols());
  return products * static_cast<double>(std::max<std::int64_t>(1, executor.vectors_per_sample(layer)));
}

/// The data of the search, and the samples behind them that only confirm.
struct SplitData {
  io::DataSet search;
  std::optional<io::DataSet> confirm;
};

SplitData split(io::DataParameters parameters, double holdout) {
  io::DataSet all(parameters);
  if (holdout == 0.0) return {std::move(all), std::nullopt};
  const auto kept = static_cast<std::int64_t>(std::floor(static_cast<double>(all.size()) * (1.0 - holdout)));
  require<InputError>(kept >= 1 && kept < all.size(), "search.holdout: {} of {} samples leaves nothing on one side",
                      holdout, all.size());
  io::DataParameters first = parameters;
  first.limit = kept;
  parameters.first += kept;
  parameters.limit = all.size() - kept;
  return {io::DataSet(first), io::DataSet(parameters)};
}

/// Everything that determines which outcomes a point has.
std::string search_identity(const spec::SearchPlan& plan, const spec::SearchSpace& space, std::int64_t samples) {
  FileContents contents;
  std::string text = chip_identity(plan.config, false, contents);
  text += fmt::format("\nsearch of {} chips, {} samples", plan.config.evaluation.repeats, samples);
  if (plan.section.parameters.measure == sim::SearchMeasure::perplexity) text += "\nperplexity";
  for (const spec::NamedKnob& name : space.names)
    text += fmt::format("\n{} {} {}", name.layer, name.key, fmt::join(name.values, " "));
  return sha256_hex(text);
}

results::SearchRecord describe(const Source& source, const spec::SearchPlan& plan, const spec::SearchSpace& space) {
  results::SearchRecord record;
  record.seed = plan.config.seed;
  record.rng_layout = random::rng_layout;
  record.command = neutral_command("search", source);
  record.config_text = source.text;
  record.resolved_text = neutral_resolved_text(plan.config);
  if (plan.section.parameters.measure == sim::SearchMeasure::perplexity) record.measure = "perplexity";
  record.budget = plan.section.parameters.budget / 100.0;
  record.confidence = plan.section.parameters.confidence;
  record.cost_unit =
      plan.chooses_layers() ? "digital multiply-accumulates" : sim::unit_of(plan.section.parameters.cost);
  record.chips = plan.config.evaluation.repeats;
  for (const spec::SearchKey& key : plan.keys) record.keys.push_back(key.key);
  if (!space.knobs.empty() && space.knobs.back().whole_network) record.keys.emplace_back("tile");
  for (std::size_t k = 0; k < space.knobs.size(); ++k) {
    if (record.layers.empty() || record.layers.back() != space.names[k].layer)
      record.layers.push_back(space.names[k].layer);
    record.knobs.push_back({std::ssize(record.layers) - 1,
                            static_cast<std::int64_t>(space.knobs[k].key),
                            space.knobs[k].weight,
                            space.knobs[k].bits,
                            {}});
  }
  return record;
}

void fill(results::SearchRecord& record, const sim::SearchResult& result) {
  record.reference_accuracy = result.reference_accuracy;
  for (std::size_t k = 0; k < result.error.size(); ++k) {
    record.knobs[k].sqnr_db.clear();
    for (const double error : result.error[k]) record.knobs[k].sqnr_db.push_back(-10.0 * std::log10(error));
  }
  record.points.clear();
  for (const sim::SearchPoint& point : result.points) {
    const double two_sided = 0.5 * (1.0 + record.confidence);
    record.points.push_back({point.state, point.cost, point.loss.mean, point.loss.lower(two_sided),
                             point.loss.upper(two_sided), point.loss.upper(record.confidence), point.within,
                             point.front, point.outcomes.correct});
    if (point.costs == sim::HardwareCosts{}) continue;
    results::SearchPointRecord& made = record.points.back();
    made.energy = point.costs.energy_J;
    made.latency = point.costs.latency_s;
    made.area = point.costs.area_mm2;
    if (point.costs.columns > 0) made.columns_per_converter = static_cast<double>(point.costs.columns);
  }
  record.samples = result.points.front().outcomes.samples;
  record.found = static_cast<std::int64_t>(result.found);
  record.complete = result.complete;
  if (result.confirmation) {
    record.confirmed_loss = result.confirmation->mean;
    record.confirmed_loss_bound = result.confirmation->upper(record.confidence);
  }
}

/// What an earlier search on the same configuration, chips and samples evaluated.
std::map<sim::SearchState, sim::Outcomes> remembered(const std::string& file, const std::string& task_id) {
  std::map<sim::SearchState, sim::Outcomes> known;
  if (file.empty() || !fs::exists(file)) return known;
  results::SearchRecord record = results::read_search_record(file);
  if (record.task_id != task_id) return known;
  for (results::SearchPointRecord& point : record.points)
    known[point.rungs] = {record.chips, record.samples, std::move(point.correct)};
  return known;
}

std::string found_text(const Source& source, const SearchOptions& options, const spec::SearchPlan& plan,
                       const spec::SearchSpace& space, const sim::SearchPoint& found,
                       const results::SearchRecord& record) {
  std::vector<std::string> heading{
      fmt::format("Found by tessera search from {}", fs::path(source.name).filename().string())};
  for (const std::string& sentence : search_sentences(record)) heading.push_back(sentence);
  return spec::found_text(plan, space, found.state, heading, fs::path(options.file).parent_path().string(),
                          found.costs.columns);
}

/// The found configuration against the given one, each with the activity that is measured in it, at the same ends of
/// the coefficients.
void compare_costs(results::SearchRecord& record, const spec::SearchPlan& plan, const spec::SearchSpace& space,
                   const sim::SearchProblem& problem, const sim::SearchResult& result, const Execution& execution) {
  const nn::Executor& executor = problem.request.executor;
  const auto design = [&](const sim::SearchPoint& point) {
    sim::EvaluationRequest request = problem.request;
    request.resolve = problem.resolver(point.state);
    return spec::searched_design(plan, space, executor, layer_names(executor), point.state, point.costs.columns,
                                 sim::measure_activity(request, execution.parallel, execution.environment));
  };
  const sim::CostDescription found = design(result.points[result.found]);
  const sim::CostDescription given = design(result.points.front());
  const cost::RelativeCost ratio = cost::relative_cost(found.design, given.design, found.table);
  record.energy_ratio_low = ratio.energy.low;
  record.energy_ratio = ratio.energy.nominal;
  record.energy_ratio_high = ratio.energy.high;
  record.area_ratio_low = ratio.area.low;
  record.area_ratio = ratio.area.nominal;
  record.area_ratio_high = ratio.area.high;
}

SearchResult search(const Source& source, const SearchOptions& options, const Execution& execution) {
  const Environment& environment = execution.environment;
  config::Report report;
  const spec::SearchPlan plan = spec::read_search(source.document, &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);

  const sim::SearchParameters& parameters = plan.section.parameters;
  const SplitData data = split(plan.config.data, parameters.holdout);
  const nn::Executor executor = load_executor(plan.config, data.search, environment);
  spec::SearchSpace space = spec::search_space(plan, layer_names(executor));
  const std::vector<spec::LayerConfig> layers = spec::resolve_layers(plan.config, layer_names(executor));
  // Products of two activations come behind the layers; they have no columns of their own.
  for (std::size_t k = space.knobs.size(); k-- > 0;) {
    if (space.knobs[k].layer < executor.layers().size()) continue;
    space.knobs.erase(space.knobs.begin() + static_cast<std::ptrdiff_t>(k));
    space.names.erase(space.names.begin() + static_cast<std::ptrdiff_t>(k));
  }
  std::size_t most_rungs = 0;
  for (sim::SearchKnob& knob : space.knobs) {
    most_rungs = std::max(most_rungs, knob.bits.size());
    if (plan.chooses_layers())
      knob.weight = multiply_accumulates(executor, knob.layer);
    else if (parameters.cost == sim::SearchCost::columns && !knob.whole_network)
      knob.weight = tile_columns(executor.layers()[knob.layer], layers[knob.layer].rpu_config.tile.mapping);
  }
  for (std::size_t rung = 1; rung < most_rungs; ++rung) {
    sim::SearchState state;
    for (const sim::SearchKnob& knob : space.knobs)
      state.push_back(static_cast<int>(std::min(rung, knob.bits.size() - 1)));
    spec::resolve_layers(spec::with_rungs(plan, space, state), layer_names(executor));
  }

  const ModelRanges ranges = load_ranges(plan.config.model, executor);
  const sim::EvaluationRequest request = make_request(plan.config, executor, data.search, ranges);
  std::optional<sim::EvaluationRequest> confirm;
  if (data.confirm) confirm.emplace(make_request(plan.config, executor, *data.confirm, ranges));
  const sim::SearchProblem problem{
      request, space.knobs,
      [&](const sim::SearchState& state) {
        return sim::with_calibration(
            spec::layer_resolver(spec::with_rungs(plan, space, state), executor.options().products), ranges.layers);
      },
      confirm ? &*confirm : nullptr,
      spec::search_costs(plan, space, executor, layer_names(executor),
                         sim::measure_activity(request, execution.parallel, environment))};
  results::SearchRecord record = describe(source, plan, space);
  environment.note(
      fmt::format("{} {} of {} layers; budget {:.2f} {} at {:g} % confidence, {} samples, {} "
                  "chips",
                  space.knobs.size(), plan.chooses_layers() ? "choices" : "bit widths", record.layers.size(),
                  parameters.budget, results::loss_unit(record), 100.0 * parameters.confidence,
                  format_count(data.search.size()), plan.config.evaluation.repeats));

  record.task_id = search_identity(plan, space, data.search.size());
  const std::map<sim::SearchState, sim::Outcomes> known = remembered(options.points, record.task_id);
  if (!known.empty())
    environment.note(
        fmt::format("{}: {} configurations are known from an earlier search", options.points, known.size()));
  sim::SearchMemory memory;
  memory.known = [&](const sim::SearchState& state) {
    const auto found = known.find(state);
    return found != known.end() ? std::optional(found->second) : std::nullopt;
  };
  const auto keep = [&] {
    if (!options.points.empty()) results::write_search(record, options.points);
  };
  memory.checkpoint = [&](const sim::SearchResult& result) {
    // An earlier file knows more until this search has come as far.
    if (result.points.size() < known.size()) return;
    fill(record, result);
    keep();
  };
  const sim::SearchResult found = sim::search(problem, parameters, memory, execution.parallel, environment);
  if (found.points.empty()) throw RunError("interrupted before the first configuration was evaluated");
  SearchResult result;
  result.cancelled = environment.cancelled();
  fill(record, found);
  if (problem.costs) compare_costs(record, plan, space, problem, found, execution);
  if (!result.cancelled || found.points.size() >= known.size()) keep();
  result.configuration = found_text(source, options, plan, space, found.points[found.found], record);
  if (!options.file.empty()) write_file(options.file, result.configuration);
  result.record = std::move(record);
  return result;
}

}  // namespace

SearchResult Simulation::search(const SearchOptions& options, const Execution& execution) const {
  return with_positions(document(), [&] { return app::search(source_, options, execution); });
}

}  // namespace tessera::app
