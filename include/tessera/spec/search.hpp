#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tessera/sim/search.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/run_config.hpp"

/// Bit widths to be made small: the `search:` section.
///
///     search:
///       keys:
///         - rpu_config.pre_post.periph_quant.n_bits                       # any key of rpu_config that is a bit width
///         - {key: rpu_config.forward.out_res, bits: [4, 5, 6, 7]}         # b bits are 2^b - 2 levels
///         - {key: rpu_config.forward.inp_res, levels: [14, 30, 62, 126]}
///         - analog                                                        # alone: which layers go on tiles
///       bits: {range: [2, 8]}          # of keys that name none
///       layers: ["*"]
///       budget: 0.5 %                  # percentage points
///       confidence: 0.95
///
/// Keys end with `n_bits` (periphery, activation quantizer; 0 is off), are widths of the fixed-point periphery
/// (fraction_bits of its scale and bias, bits of its accumulator and output) or end with `inp_res` or `out_res`. A resolution r >
/// 1 counts levels: a converter of b bits has 2^b - 2 of them (both signs and zero, without the most negative code); r
/// between 0 and 1 is a step, r <= 0 off. What is off is float32 and counts as 32 bits.
namespace tessera::spec {

inline constexpr double float_bits = 32.0;

/// Bits that a value of a key stands for: log2(r + 2) of a resolution, float_bits where it is off.
double bits_of(const std::string& key, double value);
/// The value of a key with so many bits.
double value_with(const std::string& key, double bits);

struct SearchRung {
  double bits = 0.0;
  double value = 0.0;  ///< of the key
};

struct SearchKey {
  std::string key;                ///< "rpu_config.forward.out_res"
  std::vector<SearchRung> rungs;  ///< as written, most bits first
  config::Position position;
};

struct SearchPlan {
  config::Node document;  ///< merged, with overrides, without `search` and `sweep`
  RunConfig config;       ///< of it
  SearchSection section;
  std::vector<SearchKey> keys;

  /// The one key is `analog`: layers begin digital, and go on tiles as long as the loss is within the budget.
  bool chooses_layers() const { return keys.size() == 1 && keys.front().key == "analog"; }
};

/// Reads a configuration with a `search:` section and tries every value of every key on all layers. ConfigError with
/// positions for keys that are no bit widths, values that are illegal, and budgets and confidences out of range.
SearchPlan read_search(const std::string& path, const std::vector<std::string>& overrides = {},
                       config::Report* report = nullptr);
/// The same for a merged document, overrides applied.
SearchPlan read_search(config::Node document, config::Report* report = nullptr);

/// A knob with its names and values.
struct NamedKnob {
  std::string layer;
  std::string key;
  std::vector<double> values;  ///< by rung; the first is the configured one
  /// Of the knob of the whole network: rows and columns of its tiles by rung; the first as configured (empty).
  std::vector<std::vector<std::int64_t>> tiles = {};
};

struct SearchSpace {
  std::vector<sim::SearchKnob> knobs;  ///< by layer, then by key; weights are 1
  std::vector<NamedKnob> names;
};

/// The knobs of a network: analog layers that match, and the values below the configured ones. ConfigError where a key
/// has none in any layer.
SearchSpace search_space(const SearchPlan& plan, const std::vector<LayerName>& layers);

/// The configuration with a rule for every knob that is not as given.
RunConfig with_rungs(const SearchPlan& plan, const SearchSpace& space, const sim::SearchState& state);

/// The same as text of a configuration file in `folder`: the document, and a commented entry of `layers:` for every
/// knob's layer. `heading` becomes comment lines at the top.
std::string found_text(const SearchPlan& plan, const SearchSpace& space, const sim::SearchState& state,
                       const std::vector<std::string>& heading, const std::string& folder,
                       std::int64_t columns_per_converter = 0);

/// What a state costs on the hardware of `cost:`, with the best of columns_per_converter. `activity` is that of the
/// configuration as given, one entry per layer, or none: assumed. Null without a `cost:` section. What it refers to
/// must outlive it.
std::function<sim::HardwareCosts(const sim::SearchState&)> search_costs(const SearchPlan& plan,
                                                                        const SearchSpace& space,
                                                                        const nn::Executor& executor,
                                                                        const std::vector<LayerName>& layers,
                                                                        std::vector<sim::LayerActivity> activity);
/// The design of a state, for comparisons; with these columns per converter (0: as configured).
sim::CostDescription searched_design(const SearchPlan& plan, const SearchSpace& space, const nn::Executor& executor,
                                     const std::vector<LayerName>& layers, const sim::SearchState& state,
                                     std::int64_t columns_per_converter, std::span<const sim::LayerActivity> activity);

}  // namespace tessera::spec
