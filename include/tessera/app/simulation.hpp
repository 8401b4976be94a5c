#pragma once
#include <memory>
#include <string>
#include <vector>

#include "tessera/app/calibration.hpp"
#include "tessera/app/cost.hpp"
#include "tessera/app/diagnosis.hpp"
#include "tessera/app/execution.hpp"
#include "tessera/app/export.hpp"
#include "tessera/app/run.hpp"
#include "tessera/app/search.hpp"
#include "tessera/app/setup.hpp"
#include "tessera/app/sweep.hpp"
#include "tessera/app/training.hpp"
#include "tessera/config/node.hpp"

/// What the commands of `tessera` do, for C++ programs and other front ends. Nothing here prints or exits.
namespace tessera::app {

/// A configuration, and everything that can be done with it. A value: what is computed is returned.
///
///     const app::Simulation simulation = app::Simulation::load("quickstart.yaml", {"seed=7"});
///     const app::RunResult result = simulation.run();
///     const double accuracy = result.evaluation.points.front().score.accuracy();
///
/// Errors: ConfigError with every problem and its position, thrown by the first function that needs the part of the
/// configuration; InputError for files that are missing or do not fit; RunError for what fails while it runs;
/// UsageError for overrides and options that are no such thing. Where a computation is cancelled it returns what is
/// finished and says that it is not complete.
class Simulation {
 public:
  /// Reads a YAML file with its bases and applies overrides ("rpu_config.forward.out_noise=0.02") in order.
  static Simulation load(const std::string& path, const std::vector<std::string>& overrides = {});
  /// The same for YAML (or JSON) text. `name` stands for it in messages, and without extension names the run where
  /// `name:` is not given; relative paths in it start at `directory` ("": the working directory).
  static Simulation parse(const std::string& text, const std::string& name = "config",
                          const std::string& directory = "", const std::vector<std::string>& overrides = {});

  const Source& source() const { return source_; }
  /// Merged, with overrides.
  const config::Node& document() const { return source_.document; }
  /// Reads the whole configuration strictly.
  spec::RunConfig config() const;

  /// Opens model and data as run() would: every layer resolved, nothing computed.
  std::shared_ptr<const Setup> open(const Environment& environment = {}) const;

  /// `tessera config --check`: opens and checks all that run() and the sections `sweep`, `search`, `calibration` and
  /// `training` would use, and passes one sample through one chip. Throws what they would.
  void check(const Execution& execution = {}) const;

  /// `tessera run`: every sample through the float32 network and through each chip.
  RunResult run(const RunOptions& options = {}, const Execution& execution = {}) const;
  /// `tessera sweep`: every point of the `sweep:` section. See Sweep for more say.
  SweepResult sweep(const SweepOptions& options = {}, const Execution& execution = {}) const;
  /// `tessera search`: the fewest bits within the budget of the `search:` section.
  SearchResult search(const SearchOptions& options = {}, const Execution& execution = {}) const;
  /// `tessera doctor`: each mechanism alone, and all but each.
  DiagnosisResult diagnose(const Execution& execution = {}) const;
  /// `tessera calibrate`: ranges from data.
  CalibrationResult calibrate(const Execution& execution = {}) const;
  /// `tessera cost`: energy, latency and area with assumed activity; a configuration without `cost:` is counted with the
  /// default hardware.
  CostEstimate estimate_cost(const CostOptions& options = {}, const Execution& execution = {}) const;
  /// `tessera export --codes`: what the fixed-point periphery stores, and golden vectors of the first samples.
  CodeExport export_codes(const CodeExportOptions& options, const Execution& execution = {}) const;
  /// `tessera train`: the `training:` section.
  TrainingResult train(const TrainingOptions& options = {}, const Execution& execution = {}) const;

 private:
  explicit Simulation(Source source) : source_(std::move(source)) {}
  Source source_;
};

}  // namespace tessera::app
