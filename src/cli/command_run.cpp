#include <algorithm>
#include <chrono>
#include <optional>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/load.hpp"
#include "cli/provenance.hpp"
#include "cli/run_summary.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/sim/chip_file.hpp"
#include "tessera/sim/recording.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/located.hpp"

namespace tessera::cli {

namespace {

struct RunOptions {
  std::string config;
  std::string output;
  CommonOptions common;
};

/// One result file: provenance, the evaluation, the summary.
void run(const RunOptions& options, const Invocation& invocation) {
  const auto start = std::chrono::steady_clock::now();
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const Environment environment = console.environment(interrupt.flag());
  const Parallel parallel = options.common.parallel();

  config::Report report;
  const spec::RunConfig config = spec::read_run_config(options.config, options.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  const std::string output = !options.output.empty() ? options.output : config.output.file;
  if (output.empty()) throw UsageError("where should the results go? Give -o results.h5 or output.file");

  const io::DataSet data(config.data);
  const nn::Executor executor = load_executor(config, data.sample_shape(), environment);
  spec::resolve_layers(config, layer_names(executor));
  const sim::EvaluationRequest request = make_request(config, executor, data);

  results::Header header;
  header.command = neutral_command("run", options.config, options.common);
  header.config_text = read_text_file(options.config);
  header.resolved_text = neutral_resolved_text(config);
  header.task_id = sha256_hex(header.resolved_text);
  sim::describe_run(header, request, config.output.record);
  results::Writer writer(output, std::move(header));

  sim::EvaluationSink sink = sim::recording_sink(writer, request, {}, parallel);
  std::optional<io::ChipFileWriter> chips;
  if (!config.output.chips.empty()) {
    chips.emplace(config.output.chips,
                  io::Model{executor.graph(),
                            {},
                            {{"chips", fmt::format("programmed by the run '{}', seed {}", config.name, config.seed)}}},
                  config.evaluation.times, config.evaluation.read_repeats);
    sink = sim::storing_sink(std::move(sink), *chips, request);
  }
  const sim::EvaluationResult result = sim::evaluate(request, sink, parallel, environment);
  console.finish_progress();

  results::Runtime runtime = make_runtime(invocation, parallel, config.data.batch_size, start);
  runtime.reference_seconds = result.reference_seconds;
  runtime.analog_seconds = result.analog_seconds;
  runtime.reference_samples = result.reference_samples;
  runtime.analog_samples = result.analog_samples;
  writer.write_runtime(runtime);
  writer.commit();
  if (chips && result.complete) chips->commit();
  print_run_summary(invocation.console.out, request, result, config.name);
  invocation.console.out << "\nresults: " << output << "\n";
  if (chips && result.complete) invocation.console.out << "chips: " << config.output.chips << "\n";
  if (!result.complete)
    throw RunError(fmt::format("interrupted; {} holds the {} points that were finished", output, result.points.size()));
}

void run_with_positions(const RunOptions& options, const Invocation& invocation) {
  try {
    run(options, invocation);
  } catch (const ConfigError& error) {
    const std::vector<Problem>& problems = error.problems();
    if (std::ranges::all_of(problems, [](const Problem& problem) { return !problem.file.empty(); })) throw;
    throw spec::located(error, spec::load_run_document(options.config, options.common.overrides()));
  }
}

}  // namespace

void add_run_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("run", "Simulate a network on analog tiles, layer by layer");
  auto options = std::make_shared<RunOptions>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML)")->required();
  command->add_option("-o,--output", options->output, "Result file (HDF5); default: output.file of the configuration");
  add_common_flags(*command, options->common);
  command->footer(
      "Example: tessera run configs/quickstart.yaml -o results.h5 --set rpu_config.forward.out_noise=0.02\n"
      "All keys: docs/formats/config.md; starting points for rpu_config: tessera help presets");
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] { run_with_positions(*options, invocation); };
  });
}

}  // namespace tessera::cli
