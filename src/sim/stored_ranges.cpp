#include "tessera/sim/stored_ranges.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/tile/analog_layer.hpp"
#include "tessera/tile/crossbar_engine.hpp"

namespace tessera::sim {

namespace {

bool searches(quant::RangeEstimators estimator) {
  return estimator == quant::RangeEstimators::MSE || estimator == quant::RangeEstimators::cross_entropy;
}

/// One row for every kind of options: the same places in a file whatever the estimator.
struct EstimatorNumbers {
  double percentile = -1.0, two_sided = 0.0, momentum = 0.0, opt_method = 0.0, num_candidates = 0.0, range_margin = 0.0;
};

EstimatorNumbers numbers_of(const quant::RangeEstimatorParams& params) {
  EstimatorNumbers n;
  const auto search = [&](const quant::MSEEstimatorParams& p) {
    n.opt_method = static_cast<double>(p.range_opt_method);
    n.num_candidates = static_cast<double>(p.num_candidates);
    n.range_margin = p.range_margin;
  };
  if (const auto* extremes = std::get_if<quant::CurrentMinMaxEstimatorParams>(&params)) {
    n.percentile = extremes->percentile.value_or(0.0) > 0.0 ? *extremes->percentile : -1.0;
    n.two_sided = extremes->two_sided ? 1.0 : 0.0;
  } else if (const auto* running = std::get_if<quant::RunningMinMaxEstimatorParams>(&params)) {
    n.momentum = running->momentum;
  } else if (const auto* mse = std::get_if<quant::MSEEstimatorParams>(&params)) {
    search(*mse);
  } else if (const auto* entropy = std::get_if<quant::CrossEntropyEstimatorParams>(&params)) {
    search(*entropy);
  }
  return n;
}

quant::RangeEstimatorParams params_of(quant::RangeEstimators estimator, const EstimatorNumbers& n) {
  quant::MSEEstimatorParams search;
  search.range_opt_method = n.opt_method == 1.0 ? quant::OptMethod::grid : quant::OptMethod::golden_section;
  search.num_candidates = static_cast<int>(n.num_candidates);
  search.range_margin = n.range_margin;
  switch (estimator) {
    case quant::RangeEstimators::current_minmax: {
      quant::CurrentMinMaxEstimatorParams extremes;
      if (n.percentile > 0.0) extremes.percentile = n.percentile;
      extremes.two_sided = n.two_sided != 0.0;
      return extremes;
    }
    case quant::RangeEstimators::running_minmax:
      return quant::RunningMinMaxEstimatorParams{n.momentum};
    case quant::RangeEstimators::MSE:
      return search;
    case quant::RangeEstimators::cross_entropy:
      return quant::CrossEntropyEstimatorParams{search};
    default:
      return {};
  }
}

std::string options_text(const quant::RangeEstimatorParams& params) {
  const EstimatorNumbers n = numbers_of(params);
  if (std::holds_alternative<quant::RunningMinMaxEstimatorParams>(params))
    return fmt::format(" of momentum {}", n.momentum);
  if (std::holds_alternative<quant::CurrentMinMaxEstimatorParams>(params))
    return n.percentile > 0.0 ? fmt::format(" of percentile {}", n.percentile) : "";
  if (std::holds_alternative<std::monostate>(params)) return "";
  return fmt::format(" ({}, {} candidates, margin {})", n.opt_method == 1.0 ? "grid" : "golden_section",
                     n.num_candidates, n.range_margin);
}

bool same_options(const quant::RangeEstimatorParams& a, const quant::RangeEstimatorParams& b) {
  const EstimatorNumbers x = numbers_of(a), y = numbers_of(b);
  return x.percentile == y.percentile && x.two_sided == y.two_sided && x.momentum == y.momentum &&
         x.opt_method == y.opt_method && x.num_candidates == y.num_candidates && x.range_margin == y.range_margin;
}

constexpr const char* way_out = "set model.use_calibration: false, or";

/// Collects what does not fit, and makes a copy of the stored state where something follows.
class Fitting {
 public:
  Fitting(const std::shared_ptr<const LayerCalibration>& stored, const LayerParameters& asked, const std::string& layer)
      : stored_(stored), asked_(asked), rpu_(asked.rpu), layer_(layer) {}

  std::shared_ptr<const LayerCalibration> run() {
    for (std::size_t p = 0; p < stored_->parts.size(); ++p) {
      if (!same_tiles(stored_->parts[p])) continue;
      fit_input_ranges(p);
      fit_mapping_scales(p);
      fit_output_scales(p);
      fit_periphery(p);
      fit_activation_ranges(p);
      fit_converters(p);
      fit_output_range(p);
    }
    if (!problems_.empty()) throw ConfigError(std::move(problems_));
    return changed_ ? std::make_shared<const LayerCalibration>(std::move(*changed_)) : stored_;
  }

 private:
  void problem(const std::string& key, const std::string& message) {
    // Parts of a layer have the same parameters: once is enough.
    Problem found{.file = {}, .key = "rpu_config." + key, .message = fmt::format("layer '{}': {}", layer_, message)};
    const auto same = [&](const Problem& p) { return p.key == found.key && p.message == found.message; };
    if (std::none_of(problems_.begin(), problems_.end(), same)) problems_.push_back(std::move(found));
  }
  tile::LayerState& change(std::size_t p) {
    if (!changed_) changed_ = *stored_;
    return changed_->parts[p].state;
  }

  bool same_tiles(const PartCalibration& part) {
    std::int64_t outputs = 0, inputs = 0;
    for (const tile::TilePlace& place : part.places) {
      outputs = std::max(outputs, place.first_output + place.outputs);
      inputs = std::max(inputs, place.first_input + place.inputs);
    }
    const std::vector<tile::TilePlace> asked = tile::place_tiles(outputs, inputs, tile::crossbar_mapping(rpu_));
    if (asked == part.places) return true;
    const auto text = [](const std::vector<tile::TilePlace>& tiles) {
      return fmt::format("{} {} (the first {}x{})", tiles.size(), tiles.size() == 1 ? "tile" : "tiles",
                         tiles.empty() ? 0 : tiles.front().inputs, tiles.empty() ? 0 : tiles.front().outputs);
    };
    problem("mapping.max_input_size", fmt::format("the model file holds ranges of {}, the configuration maps the layer "
                                                  "to {}; calibrate again with this mapping, or set "
                                                  "model.use_calibration: false",
                                                  text(part.places), text(asked)));
    return false;
  }

  // Of a file without a word about it, a range is one that was found.
  void fit_input_ranges(std::size_t p) {
    const tile::LayerState& state = stored_->parts[p].state;
    const tile::InputRangeParameter& range = rpu_.pre_post.input_range;
    const bool averages = rpu_.forward.noise_management == tile::NoiseManagementType::AVERAGE_ABS_MAX;
    for (std::size_t t = 0; t < state.tiles.size(); ++t) {
      const tile::TileState& tile = state.tiles[t];
      const bool had_range = tile.input_range != 0.0F;  // a file may hold anything; the tile checks it
      if (range.enable && (!had_range || !stored_->input_range_found)) {
        change(p).tiles[t].input_range = static_cast<float>(range.init_value);
        change(p).tiles[t].input_range_updates = 0;
      }
      if (averages && tile.noise_management_average > 0.0F && had_range != range.enable)
        problem("forward.noise_management",
                fmt::format("the stored average of AVERAGE_ABS_MAX ({:.4g}) was taken {} an input range, the "
                            "configuration has pre_post.input_range.enable: {}; {} train again",
                            static_cast<double>(tile.noise_management_average), had_range ? "behind" : "without",
                            range.enable, way_out));
    }
  }

  // Kept while the weights were trained, so that no other mapping gives them.
  void fit_mapping_scales(std::size_t p) {
    const std::vector<tile::TileState>& tiles = stored_->parts[p].state.tiles;
    if (std::ranges::all_of(tiles, [](const tile::TileState& tile) { return tile.mapping_scale.empty(); })) return;
    const auto expect = [&](bool same, const char* key, const auto& then, const auto& now) {
      if (!same)
        problem(key, fmt::format("the model file holds mapping scales of a training with {} = {}, the configuration "
                                 "has {}; {} train with this mapping",
                                 key, then, now, way_out));
    };
    const MappingLaw found = stored_->mapping.value_or(MappingLaw{});
    expect(found.weight_scaling_omega == rpu_.mapping.weight_scaling_omega, "mapping.weight_scaling_omega",
           found.weight_scaling_omega, rpu_.mapping.weight_scaling_omega);
    expect(found.weight_scaling_columnwise == rpu_.mapping.weight_scaling_columnwise,
           "mapping.weight_scaling_columnwise", found.weight_scaling_columnwise,
           rpu_.mapping.weight_scaling_columnwise);
  }

  // Learned output scales are part of the network: they are used whatever the configuration says about learning them.
  void fit_output_scales(std::size_t p) {
    if (!rpu_.mapping.learn_out_scaling) return;
    const PartCalibration& part = stored_->parts[p];
    for (std::size_t t = 0; t < part.state.tiles.size(); ++t) {
      const std::vector<float>& stored = part.state.tiles[t].output_scale;
      const auto outputs = static_cast<std::size_t>(part.places[t].outputs);
      const std::size_t wanted = rpu_.mapping.out_scaling_columnwise ? outputs : 1;
      if (stored.size() == wanted) continue;
      const float value = stored.empty() ? 1.0F : stored.front();
      if (std::any_of(stored.begin(), stored.end(), [&](float s) { return s != value; })) {
        problem("mapping.out_scaling_columnwise",
                fmt::format("the stored output scales were learned one per output ({}), the configuration asks for one "
                            "per tile; set out_scaling_columnwise: true, or retrain",
                            stored.size()));
        return;
      }
      change(p).tiles[t].output_scale.assign(wanted, value);
    }
  }

  void fit_converters(std::size_t p) {
    const bool stored = !stored_->parts[p].state.converters.empty();
    if (!stored || !rpu_.crossbar || !rpu_.crossbar->adc.waits_for_calibration()) return;
    const std::vector<ConverterLawKey> asked = converter_law(*rpu_.crossbar, true);
    for (std::size_t k = 0; k < asked.size(); ++k) {
      const bool known = k < stored_->converter_law.size();
      const double then = known ? stored_->converter_law[k] : 0.0;
      const bool any_width = k + 1 == asked.size() && then == 0.0;
      if (known && (then == asked[k].value || any_width)) continue;
      problem(
          std::string("crossbar.") + asked[k].key,
          fmt::format("the ranges of its converters were found with {} = {}, the configuration has {}; {} calibrate "
                      "again",
                      asked[k].key, then, asked[k].value, way_out));
    }
  }

  static bool learned(const quant::UniformQuantizerState& range) { return !range.delta.empty() && range.x_min.empty(); }

  // Ranges that were not learned have been left out on reading: they follow the values of the moment.
  void fit_periphery(std::size_t p) {
    const tile::LayerState& state = stored_->parts[p].state;
    const tile::PeripheryQuantizationParameter& asked = rpu_.pre_post.periph_quant;
    const bool scale = std::any_of(state.tiles.begin(), state.tiles.end(),
                                   [](const tile::TileState& tile) { return learned(tile.scale_quantizer); });
    const bool bias = learned(state.bias_quantizer);
    if (!scale && !bias && asked.learn_quant_params && state.periphery_updates >= asked.init_learning_after)
      change(p).periphery_updates = asked.init_learning_after - 1;  // one more estimate, of which the learning starts
    if (asked.n_bits <= 0 || !((scale && asked.scale) || (bias && asked.bias))) return;
    const std::string retrain = fmt::format("{} train with this periph_quant", way_out);
    if (!stored_->periphery) {
      problem(
          "pre_post.periph_quant.n_bits",
          fmt::format("the model file holds learned ranges of the periphery and does not say for which width; asked "
                      "for: {} bits; {}",
                      asked.n_bits, retrain));
      return;
    }
    const tile::PeripheryQuantizationParameter& found = stored_->periphery->quantizer;
    const auto expect = [&](bool same, const char* key, const auto& then, const auto& now) {
      if (!same)
        problem(key, fmt::format("the ranges of its periphery were learned with {} = {}, the configuration has {}; {}",
                                 key, then, now, retrain));
    };
    const auto same = [&](const char* key, const auto& then, const auto& now) { expect(then == now, key, then, now); };
    same("pre_post.periph_quant.n_bits", found.n_bits, asked.n_bits);
    same("pre_post.periph_quant.symmetric", found.symmetric, asked.symmetric);
    same("pre_post.periph_quant.per_column", found.per_column, asked.per_column);
    same("pre_post.periph_quant.power_of_two", found.power_of_two, asked.power_of_two);
    if (!scale || !asked.scale) return;
    same("mapping.weight_scaling_omega", stored_->periphery->weight_scaling_omega, rpu_.mapping.weight_scaling_omega);
    same("mapping.weight_scaling_columnwise", stored_->periphery->weight_scaling_columnwise,
         rpu_.mapping.weight_scaling_columnwise);
    same("pre_post.input_range.enable", state.tiles.front().input_range > 0.0F, rpu_.pre_post.input_range.enable);
  }

  void fit_activation_ranges(std::size_t p) {
    if (!rpu_.act_quant_config || rpu_.act_quant_config->n_bits <= 0) return;
    const RangeLaw asked = range_law(tile::manager_parameters(*rpu_.act_quant_config));
    const auto fit = [&](const quant::UniformQuantizerState& range, auto&& place) {
      if (range.delta.empty()) return;
      FittedRange fitted = fitted_range(range, stored_->activation, asked);
      if (!fitted.state)
        problem("act_quant_config." + fitted.key, "the range of its output " + fitted.reason);
      else if (*fitted.state != range)
        place(change(p)) = std::move(*fitted.state);
    };
    const tile::LayerState& state = stored_->parts[p].state;
    for (std::size_t t = 0; t < state.tiles.size(); ++t)
      fit(
          state.tiles[t].output_quantizer, [t](tile::LayerState & s) -> auto& { return s.tiles[t].output_quantizer; });
    fit(
        state.output_quantizer, [](tile::LayerState & s) -> auto& { return s.output_quantizer; });
  }

  // The range of the fixed-point periphery's output code knows the quantile that it is.
  void fit_output_range(std::size_t p) {
    const auto& fixed = rpu_.pre_post.fixed_point;
    const tile::LayerState& state = stored_->parts[p].state;
    if (!fixed || fixed->output.range || fixed->output.init_from != tile::OutputRangeSource::data ||
        !(state.output_range > 0.0F))
      return;
    if (state.output_quantile != static_cast<float>(fixed->output.quantile))
      problem("pre_post.fixed_point.output.quantile",
              fmt::format("the stored range of its output is the quantile {} of the magnitudes, the configuration asks "
                          "for {}; {} calibrate again",
                          static_cast<double>(state.output_quantile), fixed->output.quantile, way_out));
  }

  const std::shared_ptr<const LayerCalibration>& stored_;
  const LayerParameters& asked_;
  const tile::RpuParameters& rpu_;
  const std::string& layer_;
  std::optional<LayerCalibration> changed_;
  std::vector<Problem> problems_;
};

}  // namespace

RangeLaw range_law(const quant::QuantizationManagerParameters& manager) {
  return {manager.quantizer, manager.init, manager.init_params.value_or(quant::default_params(manager.init))};
}

RangeLaw range_law(const quant::QuantizationManager& manager) {
  const quant::RangeEstimatorParameters& estimator = manager.estimator().parameters();
  return {manager.quantizer().parameters(), estimator.estimator, estimator.params};
}

std::string law_text(const RangeLaw& law, bool learned) {
  const quant::UniformQuantizerParameters& q = law.quantizer;
  std::string text =
      fmt::format("{} bits, {}", q.n_bits, q.method == quant::QMethod::asymmetric_uniform ? "asymmetric" : "symmetric");
  if (q.scale_domain == quant::ScaleDomain::log) text += ", logarithmic steps";
  if (q.per_channel || q.axis) text += ", per channel";
  if (!learned) text += fmt::format(", {}{}", quant::to_string(law.estimator), options_text(law.params));
  return text;
}

std::vector<double> to_numbers(const RangeLaw& law) {
  const EstimatorNumbers n = numbers_of(law.params);
  return {static_cast<double>(law.quantizer.n_bits),
          law.quantizer.method == quant::QMethod::asymmetric_uniform ? 1.0 : 0.0,
          law.quantizer.scale_domain == quant::ScaleDomain::log ? 1.0 : 0.0,
          law.quantizer.per_channel || law.quantizer.axis ? 1.0 : 0.0,
          static_cast<double>(law.estimator),
          n.percentile,
          n.two_sided,
          n.momentum,
          n.opt_method,
          n.num_candidates,
          n.range_margin};
}

RangeLaw range_law(const std::vector<double>& numbers) {
  const bool sound = numbers.size() == 11 &&
                     std::all_of(numbers.begin(), numbers.end(), [](double v) { return std::isfinite(v); }) &&
                     numbers[0] >= 1.0 && numbers[0] <= quant::max_quantizer_bits && numbers[4] >= 0.0 &&
                     numbers[4] <= 4.0 && numbers[9] >= 0.0 && numbers[9] < 1e9;
  require<InputError>(sound, "what a range was found under is damaged");
  RangeLaw law;
  law.quantizer.n_bits = static_cast<int>(numbers[0]);
  law.quantizer.method = numbers[1] != 0.0 ? quant::QMethod::asymmetric_uniform : quant::QMethod::symmetric_uniform;
  law.quantizer.scale_domain = numbers[2] != 0.0 ? quant::ScaleDomain::log : quant::ScaleDomain::linear;
  law.quantizer.per_channel = numbers[3] != 0.0;
  law.estimator = static_cast<quant::RangeEstimators>(static_cast<int>(numbers[4]));
  law.params = params_of(law.estimator, {.percentile = numbers[5],
                                         .two_sided = numbers[6],
                                         .momentum = numbers[7],
                                         .opt_method = numbers[8],
                                         .num_candidates = numbers[9],
                                         .range_margin = numbers[10]});
  return law;
}

FittedRange fitted_range(const quant::UniformQuantizerState& range, const std::optional<RangeLaw>& found,
                         const RangeLaw& asked) {
  if (range.delta.empty()) return {range, "", ""};
  if (!found)
    return {std::nullopt, "n_bits",
            fmt::format("is from a model file that does not say for which quantizer it was found; asked for: {}; "
                        "calibrate again, or set model.use_calibration: false",
                        law_text(asked))};
  const bool learned = range.x_min.empty();
  const quant::UniformQuantizerParameters &then = found->quantizer, &now = asked.quantizer;
  const bool by_channel = then.per_channel || then.axis, asked_by_channel = now.per_channel || now.axis;
  const bool same_width = then.n_bits == now.n_bits, same_method = then.method == now.method;
  const bool same_finder =
      learned || (found->estimator == asked.estimator && same_options(found->params, asked.params));
  const bool follows = !learned && !searches(found->estimator);
  std::string key;
  if (by_channel != asked_by_channel)
    key = "per_channel";
  else if (!same_finder)
    key = found->estimator != asked.estimator ? "range_estimator" : "range_estimator_params";
  else if (!follows && !same_width)
    key = "n_bits";
  else if ((!follows && !same_method) || then.scale_domain != now.scale_domain)
    key = "symmetric";
  if (!key.empty())
    return {std::nullopt, std::move(key),
            fmt::format("was {} for {}; asked for: {}; {}, or set model.use_calibration: false",
                        learned ? "learned" : "found", law_text(*found, learned), law_text(asked, learned),
                        learned ? "train again with this configuration" : "calibrate again with this configuration")};
  if (same_width && same_method) return {range, "", ""};
  quant::UniformQuantizerParameters from = then;
  from.per_channel = now.per_channel;
  from.axis = now.axis;
  try {
    return {quant::converted_range(range, from, now), "", ""};
  } catch (const InputError& error) {
    return {std::nullopt, "n_bits", fmt::format("cannot follow: {}", error.what())};
  }
}

std::shared_ptr<const LayerCalibration> fitted_calibration(const std::shared_ptr<const LayerCalibration>& stored,
                                                           const LayerParameters& asked, const std::string& layer) {
  return Fitting(stored, asked, layer).run();
}

}  // namespace tessera::sim
