#include "tessera/app/run.hpp"

#include <chrono>
#include <optional>

#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "app/reading.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/sim/chip_file.hpp"
#include "tessera/sim/recording.hpp"

namespace tessera::app {

namespace {

results::Header make_header(const Source& source, const Setup& setup) {
  results::Header header;
  header.command = neutral_command("run", source);
  header.config_text = source.text;
  header.resolved_text = neutral_resolved_text(setup.config);
  header.task_id = sha256_hex(header.resolved_text);
  sim::describe_run(header, setup.request, setup.config.output.record);
  return header;
}

/// One result file: provenance, the evaluation.
RunResult run(const Source& source, const RunOptions& options, const Execution& execution) {
  const auto start = std::chrono::steady_clock::now();
  RunResult result;
  result.setup = open_setup(source, execution.environment, options.given);
  const auto& [config, data, executor, request] = *result.setup;
  results::Header header = make_header(source, *result.setup);
  results::Writer writer =
      options.file.empty() ? results::Writer(std::move(header)) : results::Writer(options.file, std::move(header));
  sim::EvaluationSink sink = sim::recording_sink(writer, request, {}, execution.parallel);
  std::optional<io::ChipFileWriter> chips;
  if (!config.output.chips.empty()) {
    chips.emplace(config.output.chips,
                  io::Model{executor.graph(),
                            {},
                            {{"chips", fmt::format("programmed by the run '{}', seed {}", config.name, config.seed)}}},
                  config.evaluation.times, config.evaluation.read_repeats);
    sink = sim::storing_sink(std::move(sink), *chips, request);
  }
  result.evaluation = sim::evaluate(request, sink, execution.parallel, execution.environment);

  results::Runtime runtime = make_runtime(execution, config.data.batch_size, start);
  runtime.reference_seconds = result.evaluation.reference_seconds;
  runtime.analog_seconds = result.evaluation.analog_seconds;
  runtime.reference_samples = result.evaluation.reference_samples;
  runtime.analog_samples = result.evaluation.analog_samples;
  writer.write_runtime(runtime);
  result.file = {options.file, writer.commit()};
  if (chips && result.evaluation.complete) {
    chips->commit();
    result.chips = config.output.chips;
  }
  return result;
}

}  // namespace

RunResult Simulation::run(const RunOptions& options, const Execution& execution) const {
  return with_positions(document(), [&] { return app::run(source_, options, execution); });
}

}  // namespace tessera::app
