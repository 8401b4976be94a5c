#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/load.hpp"
#include "cli/provenance.hpp"
#include "cli/search_summary.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/results/search_record.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/search.hpp"
#include "tessera/spec/search.hpp"
#include "tessera/tile/mapping.hpp"

namespace tessera::cli {

namespace {

namespace fs = std::filesystem;

struct SearchArguments {
  std::string config;
  std::string output;
  std::string points;
  CommonOptions common;
};

/// Where the evaluated configurations go, unless it is said: found.yaml -> found.h5.
std::string points_file(const SearchArguments& arguments) {
  return arguments.points.empty() ? fs::path(arguments.output).replace_extension(".h5").string() : arguments.points;
}

void check_outputs(const SearchArguments& arguments) {
  if (arguments.output.empty()) throw UsageError("where should the configuration go? Give -o found.yaml");
  const std::string points = points_file(arguments);
  if (points == arguments.output)
    throw UsageError(
        fmt::format("'{}' cannot be both the configuration and the points; give --points FILE.h5", points));
  std::error_code error;
  if (fs::equivalent(arguments.output, arguments.config, error) && !error)
    throw UsageError(fmt::format("'{}' would be overwritten by what is found; give another name", arguments.config));
  require<InputError>(!fs::exists(points) || h5::is_hdf5(points),
                      "{}: exists and is no file of tessera search; give another --points FILE.h5", points);
  if (fs::exists(points)) {
    const std::string filetype = h5::File::open(points).attribute<std::string>("filetype", "unknown");
    require<InputError>(filetype == results::search_filetype,
                        "{}: exists and is no file of tessera search (its filetype is '{}'); give another --points "
                        "FILE.h5",
                        points, filetype);
  }
}

/// Outputs of all tiles of a layer.
double tile_columns(const nn::LinearLayer& layer, const tile::MappingParameter& mapping) {
  std::int64_t columns = 0;
  for (const nn::LinearPart& part : layer.parts)
    for (const tile::TilePlace& place : tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping))
      columns += place.outputs;
  return static_cast<double>(columns);
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
  for (const spec::NamedKnob& name : space.names)
    text += fmt::format("\n{} {} {}", name.layer, name.key, fmt::join(name.values, " "));
  return sha256_hex(text);
}

results::SearchRecord describe(const SearchArguments& arguments, const spec::SearchPlan& plan,
                               const spec::SearchSpace& space) {
  results::SearchRecord record;
  record.seed = plan.config.seed;
  record.rng_layout = random::rng_layout;
  record.command = neutral_command("search", arguments.config, arguments.common);
  record.config_text = read_text_file(arguments.config);
  record.resolved_text = neutral_resolved_text(plan.config);
  record.budget = plan.section.parameters.budget / 100.0;
  record.confidence = plan.section.parameters.confidence;
  record.cost_unit = plan.section.parameters.cost == sim::SearchCost::bits ? "bits" : "bits x columns";
  record.chips = plan.config.evaluation.repeats;
  for (const spec::SearchKey& key : plan.keys) record.keys.push_back(key.key);
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
  if (!fs::exists(file)) return known;
  results::SearchRecord record = results::read_search_record(file);
  if (record.task_id != task_id) return known;
  for (results::SearchPointRecord& point : record.points)
    known[point.rungs] = {record.chips, record.samples, std::move(point.correct)};
  return known;
}

void write_found(const SearchArguments& arguments, const spec::SearchPlan& plan, const spec::SearchSpace& space,
                 const sim::SearchState& state, const results::SearchRecord& record) {
  std::vector<std::string> heading{
      fmt::format("Found by tessera search from {}", fs::path(arguments.config).filename().string())};
  for (const std::string& sentence : search_sentences(record)) heading.push_back(sentence);
  write_file(arguments.output,
             spec::found_text(plan, space, state, heading, fs::path(arguments.output).parent_path().string()));
}

void search(const SearchArguments& arguments, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, arguments.common);
  const InterruptGuard interrupt;
  const Environment environment = console.environment(interrupt.flag());
  const Parallel parallel = arguments.common.parallel();
  config::Report report;
  const spec::SearchPlan plan = spec::read_search(arguments.config, arguments.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  check_outputs(arguments);

  const sim::SearchParameters& parameters = plan.section.parameters;
  const SplitData data = split(plan.config.data, parameters.holdout);
  const nn::Executor executor = load_executor(plan.config, data.search.sample_shape(), environment);
  spec::SearchSpace space = spec::search_space(plan, layer_names(executor));
  const std::vector<spec::LayerConfig> layers = spec::resolve_layers(plan.config, layer_names(executor));
  // Products of two activations come behind the layers; they have no columns of their own.
  while (!space.knobs.empty() && space.knobs.back().layer >= executor.layers().size()) {
    space.knobs.pop_back();
    space.names.pop_back();
  }
  std::size_t most_rungs = 0;
  for (sim::SearchKnob& knob : space.knobs) {
    most_rungs = std::max(most_rungs, knob.bits.size());
    if (parameters.cost == sim::SearchCost::columns)
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
      confirm ? &*confirm : nullptr};
  results::SearchRecord record = describe(arguments, plan, space);
  if (!arguments.common.quiet)
    invocation.console.err << fmt::format(
        "  {} bit widths of {} layers; budget {:.2f} percentage points at {:g} % confidence, {} samples, {} chips\n",
        space.knobs.size(), record.layers.size(), parameters.budget, 100.0 * parameters.confidence,
        format_count(data.search.size()), plan.config.evaluation.repeats);

  record.task_id = search_identity(plan, space, data.search.size());
  const std::string points = points_file(arguments);
  const std::map<sim::SearchState, sim::Outcomes> known = remembered(points, record.task_id);
  if (!known.empty())
    environment.note(fmt::format("{}: {} configurations are known from an earlier search", points, known.size()));
  sim::SearchMemory memory;
  memory.known = [&](const sim::SearchState& state) {
    const auto found = known.find(state);
    return found != known.end() ? std::optional(found->second) : std::nullopt;
  };
  memory.checkpoint = [&](const sim::SearchResult& result) {
    // An earlier file knows more until this search has come as far.
    if (result.points.size() < known.size()) return;
    fill(record, result);
    results::write_search(record, points);
  };
  const sim::SearchResult result = sim::search(problem, parameters, memory, parallel, environment);
  console.finish_progress();
  if (result.points.empty()) throw RunError("interrupted before the first configuration was evaluated");
  fill(record, result);
  const bool stopped = interrupt.flag() != nullptr && interrupt.flag()->load();
  if (!stopped || result.points.size() >= known.size()) results::write_search(record, points);
  write_found(arguments, plan, space, result.points[result.found].state, record);
  print_search_summary(invocation.console.out, record);
  invocation.console.out << "\n  configuration: " << arguments.output << "\n  results: " << points << "\n";
  if (stopped)
    throw RunError(fmt::format("interrupted; the same command continues with the configurations kept in {}", points));
}

}  // namespace

void add_search_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "search", "The fewest bits per layer within an accuracy budget; continues where it was stopped");
  auto options = std::make_shared<SearchArguments>();
  command->add_option("CONFIG", options->config, "Configuration file with a search: section (YAML)")->required();
  command->add_option("-o,--output", options->output, "The configuration that is found (YAML), ready to run")
      ->type_name("FILE.yaml");
  command
      ->add_option("--points", options->points,
                   "Every configuration that is evaluated (HDF5), for tessera report; default: the output's name with "
                   ".h5")
      ->type_name("FILE.h5");
  add_common_flags(*command, options->common);
  command->footer("Example: tessera search configs/search_periphery.yaml -o found.yaml; docs/guide/search.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { search(*options, invocation); }; });
}

}  // namespace tessera::cli
