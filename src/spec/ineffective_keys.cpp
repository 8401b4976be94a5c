#include "ineffective_keys.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera::spec {
namespace {

using config::Node;

/// `keys` of a section act while `choice`, a key of the same section, has one of `values`.
struct Dependence {
  std::string section;
  std::vector<std::string> keys;
  std::string choice;
  std::vector<std::string> values;
};

std::vector<Dependence> of_schedule(const std::string& section) {
  return {{section, {"step_size"}, "type", {"step"}},
          {section, {"gamma"}, "type", {"step", "multi_step"}},
          {section, {"milestones"}, "type", {"multi_step"}},
          {section, {"final_factor"}, "type", {"cosine"}},
          {section, {"pct_start", "div_factor", "final_div_factor"}, "type", {"one_cycle"}}};
}

std::vector<Dependence> of_data(const std::string& section) {
  return {{section, {"input_dataset", "label_dataset"}, "format", {"hdf5"}},
          {section, {"glyphs"}, "format", {"glyphs"}},
          {section, {"inputs", "labels"}, "format", {"idx", "cifar10", "npy", "hdf5"}}};
}

std::vector<Dependence> all_dependences() {
  const std::string gradient = "spiking.neurons.spike_grad";
  std::vector<Dependence> all = {
      {"spiking.neurons.state_quant", {"thr_centered", "multiplier"}, "uniform", {"false"}},
      {gradient, {"alpha"}, "type", {"atan"}},
      {gradient, {"slope"}, "type", {"fast_sigmoid", "sigmoid", "SFS", "spike_rate_escape", "LSO"}},
      {gradient, {"threshold"}, "type", {"triangular"}},
      {gradient, {"B"}, "type", {"SFS"}},
      {gradient, {"beta"}, "type", {"spike_rate_escape"}},
      {gradient, {"mean", "variance"}, "type", {"SSO"}},
      {"calibration", {"quantile", "absolute_values"}, "type", {"CACHE_QUANTILE", "MOVING_QUANTILE"}},
      {"calibration", {"max_samples"}, "type", {"CACHE_QUANTILE", "MOVING_STD"}},
      {"calibration", {"std_alpha"}, "type", {"MOVING_STD", "INIT_FROM_DATA"}},
      {"training.optimizer", {"beta1", "beta2", "epsilon"}, "type", {"adam", "adamw"}},
      {"sweep", {"axes"}, "mode", {"grid", "zip"}},
      {"sweep", {"points"}, "mode", {"list"}},
  };
  for (const std::vector<Dependence>& more :
       {of_schedule("training.schedule"), of_schedule("training.analog_schedule"), of_data("data"),
        of_data("calibration.data"), of_data("training.data"), of_data("training.validation.data")})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// Every section that may be absent, with its defaults.
Node all_defaults() {
  RunConfig config;
  config.spiking.emplace().neurons.state_quant.emplace();
  config.calibration.emplace().data.emplace();
  config.sweep.emplace();
  sim::TrainingParameters& training = config.training.emplace();
  training.analog_schedule.emplace();
  training.validation.data.emplace();
  return run_config_type().write(config);
}

}  // namespace

void report_ineffective_keys(const Node& document, const RunConfig& config, config::Report& report) {
  const Node resolved = run_config_type().write(config);
  const Node defaults = all_defaults();
  for (const Dependence& dependence : all_dependences()) {
    const Node* choice = config::find_path(resolved, dependence.section + "." + dependence.choice);
    if (choice == nullptr ||
        std::find(dependence.values.begin(), dependence.values.end(), choice->scalar) != dependence.values.end())
      continue;
    for (const std::string& name : dependence.keys) {
      const std::string key = dependence.section + "." + name;
      const Node* given = config::find_path(document, key);
      const Node* value = config::find_path(resolved, key);
      const Node* usual = config::find_path(defaults, key);
      if (given != nullptr && value != nullptr && !(usual != nullptr && *value == *usual))
        report.unused(key, fmt::format("{} is {}", dependence.choice, choice->scalar));
    }
  }
}

}  // namespace tessera::spec
