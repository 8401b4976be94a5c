#include "tessera/app/simulation.hpp"

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "app/reading.hpp"
#include "tessera/config/document.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::app {

namespace {

nn::Executor checked_executor(const spec::RunConfig& config, const io::DataSet& data, const Environment& environment,
                              const Given& given) {
  const spec::RunConfig* const only = &config;
  nn::Executor executor =
      given.network ? make_executor(*given.network, data, {&only, 1}) : load_executor(config, data, environment);
  note_without_tiles(spec::resolve_layers(config, layer_names(executor)), executor, environment);
  return executor;
}

}  // namespace

Setup::Setup(spec::RunConfig of, const Environment& environment, const Given& given)
    : config(std::move(of)),
      data(given.data ? *given.data : io::DataSet(config.data)),
      executor(checked_executor(config, data, environment, given)),
      request(given.network ? make_request(config, executor, data, ranges_of(config.model, executor, given.calibration))
                            : make_request(config, executor, data)) {}

spec::RunConfig read_config(const Source& source, const Environment& environment) {
  config::Report report;
  spec::RunConfig config = spec::read_run_config(source.document, &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  return config;
}

std::shared_ptr<const Setup> open_setup(const Source& source, const Environment& environment, const Given& given) {
  return std::make_shared<const Setup>(read_config(source, environment), environment, given);
}

Simulation Simulation::load(const std::string& path, const std::vector<std::string>& overrides) {
  config::Node document = spec::load_run_document(path, overrides);
  return Simulation({path, read_text_file(path), overrides, std::move(document)});
}

Simulation Simulation::parse(const std::string& text, const std::string& name, const std::string& directory,
                             const std::vector<std::string>& overrides) {
  return Simulation({name, text, overrides, spec::load_run_document({name, directory}, text, overrides)});
}

spec::RunConfig Simulation::config() const {
  return spec::read_run_config(source_.document);
}

std::shared_ptr<const Setup> Simulation::open(const Environment& environment) const {
  return with_positions(source_.document, [&] { return open_setup(source_, environment); });
}

SweepResult Simulation::sweep(const SweepOptions& options, const Execution& execution) const {
  return Sweep(*this, execution.environment).run(options, execution);
}

}  // namespace tessera::app
