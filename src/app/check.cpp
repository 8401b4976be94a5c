#include <algorithm>

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/reading.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/search.hpp"

namespace tessera::app {

namespace {

/// One sample through one chip at every time: what shows only then, such as a range that nobody gave.
void try_one_sample(const Setup& setup, Parallel parallel) {
  sim::task_of(setup.request);
  spec::RunConfig config = setup.config;
  config.data.limit = 1;
  config.evaluation.repeats = 1;
  config.evaluation.read_repeats = 1;
  const Setup one(std::move(config), {});
  if (one.data.size() > 0) sim::evaluate(one.request, {}, parallel, {});
}

void check_training(const spec::RunConfig& config, const Environment& environment) {
  const io::DataSet data(config.training->data);
  if (config.training->validation.data) io::DataSet{*config.training->validation.data};
  const nn::Executor executor =
      make_executor(load_prepared_model(config.model, data.constants(), environment).graph, data);
  spec::resolve_layers(config, layer_names(executor));
}

}  // namespace

void Simulation::check(const Execution& execution) const {
  with_positions(document(), [&] {
    const std::shared_ptr<const Setup> setup = open_setup(source_, execution.environment);
    try_one_sample(*setup, execution.parallel);
    const spec::RunConfig& config = setup->config;
    if (config.calibration) sim::validate(*config.calibration);
    if (config.calibration && config.calibration->data) io::DataSet{*config.calibration->data};
    if (config.training) check_training(config, {});
    if (config.search) spec::search_space(spec::read_search(document()), layer_names(setup->executor));
    if (config.sweep) Sweep(*this, {});
    return 0;
  });
}

}  // namespace tessera::app
