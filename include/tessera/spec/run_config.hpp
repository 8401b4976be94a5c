#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/config/node.hpp"
#include "tessera/config/report.hpp"
#include "tessera/config/type.hpp"
#include "tessera/cost/parameters.hpp"
#include "tessera/io/data_parameters.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/quantization_parameters.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/search.hpp"
#include "tessera/sim/spiking_parameters.hpp"
#include "tessera/sim/sweep.hpp"
#include "tessera/sim/training_parameters.hpp"
#include "tessera/spec/rpu_config.hpp"

/// A whole configuration file (docs/formats/config.md).
namespace tessera::spec {

/// One entry of `layers:`. It applies to the layers that match every pattern it has; at least one is given.
struct LayerRule {
  std::optional<std::string> match;  ///< glob on the layer's name
  std::optional<std::string> op;     ///< glob on its operator type: Conv, Gemm, MatMul, ...
  std::optional<bool> analog;        ///< false: digital float32
  config::Node rpu_config;           ///< the keys that this rule sets, read over what earlier rules made; null: none
  config::Node cost;                 ///< likewise of `cost:`, those of hardware_keys(); null: none
  config::Position position;         ///< of the rule; not compared

  bool operator==(const LayerRule& other) const {
    return match == other.match && op == other.op && analog == other.analog && rpu_config == other.rpu_config &&
           cost == other.cost;
  }
};

struct OutputParameters {
  std::string file;   ///< result file; empty: the command line decides
  std::string chips;  ///< model file for the programmed chips; empty: none is written
  sim::RecordParameters record;

  bool operator==(const OutputParameters&) const = default;
};

enum class SweepMode { grid, zip, list };

/// The `sweep:` section as written; spec/sweep.hpp turns it into configurations.
struct SweepParameters {
  SweepMode mode = SweepMode::grid;
  std::vector<std::pair<std::string, config::Node>> axes;  ///< key -> values
  std::vector<config::Node> points;                        ///< mode list: maps from keys to values
  bool isolated = false;                                   ///< each layer alone, with float32 inputs
  std::optional<sim::StopParameters> stop;                 ///< chips until the interval is small enough

  bool operator==(const SweepParameters&) const = default;
};

/// The `search:` section as written; spec/search.hpp turns it into knobs.
struct SearchSection {
  std::vector<config::Node> keys;                          ///< a key, or a map {key, bits} or {key, levels}
  config::Node bits;                                       ///< of keys that name none; a list, {range: ...}, ...
  std::vector<std::string> layers{"*"};                    ///< patterns of layer names
  std::vector<std::int64_t> columns_per_converter;         ///< cost.adc.columns to choose from; empty: as configured
  std::vector<std::vector<std::int64_t>> tile_sizes = {};  ///< rows and columns to choose from; empty: as configured
  sim::SearchParameters parameters;

  SearchSection();
  bool operator==(const SearchSection&) const = default;
};

struct RunConfig {
  std::string name;        ///< of the run; default: the configuration file's name without extension
  std::uint64_t seed = 0;  ///< of every random effect of the simulation
  sim::ModelParameters model;
  io::DataParameters data;
  RpuConfig rpu_config;
  std::vector<LayerRule> layers;
  std::optional<sim::QuantizationParameters> quantization;  ///< digital low precision; none: float32 beside the tiles
  std::optional<sim::SpikingParameters> spiking;            ///< spiking neurons over time; none: the network as it is
  sim::EvaluationParameters evaluation;
  OutputParameters output;
  std::optional<cost::CostParameters> cost;  ///< hardware for energy, latency and area; none: nothing is counted
  std::optional<sim::InputCalibration> calibration;  ///< `tessera calibrate` only
  std::optional<SweepParameters> sweep;              ///< `tessera sweep` only
  std::optional<SearchSection> search;               ///< `tessera search` only
  std::optional<sim::TrainingParameters> training;   ///< `tessera train` only

  bool operator==(const RunConfig&) const = default;
};

/// The key table of a configuration.
const config::Type<RunConfig>& run_config_type();

/// Reads a file with its bases, applies overrides ("a.b.c=value", as --set gives them), reads strictly and validates.
/// Throws ConfigError with every problem and its position; UsageError for an override that is no key=value. Keys
/// without effect go to `report` if one is given; see unused_note().
///
/// Relative paths start at the directory of the file that names them, those of overrides at the working directory; in
/// the result they are absolute.
RunConfig read_run_config(const std::string& path, const std::vector<std::string>& overrides = {},
                          config::Report* report = nullptr);

/// The same for text; relative paths start at `directory` ("" is the working directory).
RunConfig read_run_config_text(std::string_view text, const std::string& name = "config",
                               const std::string& directory = "", const std::vector<std::string>& overrides = {},
                               config::Report* report = nullptr);

/// As above, for a merged document, overrides applied.
RunConfig read_run_config(const config::Node& root, config::Report* report = nullptr);

/// The document before it is read: bases merged and overrides applied.
config::Node load_run_document(const std::string& path, const std::vector<std::string>& overrides = {});
/// The same for text.
config::Node load_run_document(const config::Source& source, std::string_view text,
                               const std::vector<std::string>& overrides = {});

/// The resolved configuration: every key with its value, presets expanded, paths absolute. Reading it gives an equal
/// RunConfig, so this text alone reproduces a run.
std::string resolved_text(const RunConfig& config);

/// resolved_text() with every path replaced by what `content_of` says about the file there: equal for equal
/// configurations on equal files, wherever they lie.
std::string portable_text(const RunConfig& config, const std::function<std::string(const std::string&)>& content_of);

/// A document with every path in it written relative to `folder`; keys that are no paths stay as they are.
config::Node with_paths_from(config::Node document, const std::string& folder);

/// One line about keys that had no effect, or "": "no effect: rpu_config.backward, ... (training only)".
std::string unused_note(const config::Report& report);

/// JSON Schema of configuration files.
std::string configuration_schema();
/// The text of docs/formats/config.md.
std::string configuration_page();

}  // namespace tessera::spec
