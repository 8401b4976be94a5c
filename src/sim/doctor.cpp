#include "tessera/sim/doctor.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "layer_classes.hpp"
#include "tessera/sim/layer_notes.hpp"
#include "tessera/sim/recording.hpp"
#include "tessera/tile/effects.hpp"

namespace tessera::sim {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// "forward.inp_res, inp_bound": what configures an effect; the section where that is long.
std::string keys_text(const tile::Effect& effect) {
  constexpr std::size_t most = 5;
  const auto section = [](const std::string& key) { return key.substr(0, key.rfind('.') + 1); };
  std::string text = effect.keys.front().key, last = section(text);
  if (effect.keys.size() > most) return effect.keys.back().key.substr(0, effect.keys.back().key.rfind('.'));
  for (std::size_t k = 1; k < effect.keys.size(); ++k) {
    const std::string& key = effect.keys[k].key;
    text += ", " + (section(key) == last ? key.substr(last.size()) : key);
    last = section(key);
  }
  return text;
}

/// By chip, mean over its reads, at the last time.
std::vector<double> chip_accuracies(const EvaluationResult& result, const EvaluationRequest& request) {
  const std::int64_t last_time = std::max<std::int64_t>(1, std::ssize(request.evaluation.times)) - 1;
  std::vector<double> accuracies;
  Moments chip;
  for (const PointResult& point : result.points) {
    if (point.index.time != last_time || (point.score.classes() == 0 && point.score.compared == 0)) continue;
    chip.add(point.score.accuracy());
    if (chip.count() != request.evaluation.read_repeats) continue;
    accuracies.push_back(chip.mean());
    chip = {};
  }
  return accuracies;
}

DoctorRun summary(const EvaluationResult& result, const EvaluationRequest& request,
                  const std::vector<LayerParameters>& layers) {
  DoctorRun run;
  const std::int64_t last_time = std::max<std::int64_t>(1, std::ssize(request.evaluation.times)) - 1;
  const std::size_t count = layers.size();
  std::vector<Moments> sqnr(count), alone(count), in(count), out(count), bits(count);
  const auto add = [](Moments& moments, double value) {
    if (!std::isnan(value)) moments.add(std::isinf(value) ? 200.0 : value);
  };
  run.accuracy = chip_accuracies(result, request);
  for (const PointResult& point : result.points) {
    if (point.index.time != last_time) continue;
    for (std::size_t l = 0; l < count; ++l) {
      const results::LayerPoint seen = layer_point(point.layers[l], layers[l].rpu.forward);
      add(sqnr[l], seen.cumulative.sqnr_db);
      add(alone[l], seen.isolated.sqnr_db);
      add(in[l], seen.input_clip_fraction);
      add(out[l], seen.adc_saturation_fraction);
      add(bits[l], seen.adc_effective_bits);
    }
  }
  const auto means = [](const std::vector<Moments>& all) {
    std::vector<double> values;
    for (const Moments& moments : all) values.push_back(moments.count() > 0 ? moments.mean() : nan_value);
    return values;
  };
  run.sqnr_db = means(sqnr);
  run.alone_db = means(alone);
  run.clipped_in = means(in);
  run.clipped_out = means(out);
  run.adc_bits = means(bits);
  return run;
}

std::set<std::string> notes_of(const EvaluationRequest& request) {
  const std::vector<std::string> notes = layer_notes(request.executor, request.resolve);
  return {notes.begin(), notes.end()};
}

LayerResolver changed(const EvaluationRequest& request,
                      std::function<tile::AnalogParameters(const tile::AnalogParameters&)> change) {
  return [&request, change = std::move(change)](const std::string& name, const std::string& op) {
    LayerParameters layer = request.resolve(name, op);
    tile::AnalogParameters& analog = layer;
    if (layer.analog) analog = change(analog);
    return layer;
  };
}

/// Float32 and ideal outputs of the first samples.
void compare_ideal(Diagnosis& diagnosis, const EvaluationRequest& request, const LayerResolver& ideal,
                   Parallel parallel) {
  const std::int64_t samples = std::min<std::int64_t>(256, request.data.size());
  const Shape sample = fitted_sample_shape(request.executor.graph(), request.data);
  const Tensor batch = read_samples(request.data, 0, samples, sample, parallel);
  const ProgrammedChip chip(request.executor, ideal, {request.seed, 0, parallel});
  const AnalogNetwork network = chip.at(std::nullopt, 0, parallel);
  const Tensor expected = request.executor.run(batch, {.parallel = parallel});
  const Tensor seen = request.executor.run(batch, {.parallel = parallel, .overrides = &network.overrides()});
  double largest = 0.0, difference = 0.0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double exact = static_cast<double>(expected.data()[i]);
    largest = std::max(largest, std::fabs(exact));
    difference = std::max(difference, std::fabs(static_cast<double>(seen.data()[i]) - exact));
  }
  diagnosis.ideal_deviation = largest > 0.0 ? difference / largest : difference;
  diagnosis.ideal_samples = samples;
  const std::int64_t each = expected.size() / samples;
  const std::vector<std::int32_t> a = predicted_classes({expected.data(), samples, each});
  const std::vector<std::int32_t> b = predicted_classes({seen.data(), samples, each});
  for (std::size_t s = 0; s < a.size(); ++s) diagnosis.ideal_changed += a[s] != b[s] ? 1 : 0;
}

void add_warnings(Diagnosis& diagnosis, const std::vector<LayerParameters>& layers) {
  const DoctorRun& run = diagnosis.configured;
  const auto warn = [&](std::string text) { diagnosis.warnings.push_back(std::move(text)); };
  for (std::size_t l = 0; l < diagnosis.layers.size(); ++l) {
    const std::string& name = diagnosis.layers[l];
    if (run.clipped_in[l] > 0.02)
      warn(
          fmt::format("layer '{}': {:.1f} % of the inputs are clipped by the input range; a larger range "
                      "(pre_post.input_range) may help",
                      name, 100.0 * run.clipped_in[l]));
    if (run.clipped_out[l] > 0.01 && layers[l].rpu.crossbar)
      warn(
          fmt::format("layer '{}': {:.1f} % of the conversions lie beyond the range of their slice; another "
                      "calibration.converter_range may help",
                      name, 100.0 * run.clipped_out[l]));
    else if (run.clipped_out[l] > 0.01)
      warn(
          fmt::format("layer '{}': {:.1f} % of the outputs saturate the ADC; a larger forward.out_bound or bound "
                      "management may help",
                      name, 100.0 * run.clipped_out[l]));
  }
  for (const DoctorStage& stage : diagnosis.stages) {
    if (stage.name != "ADC rounding" || stage.without.accuracy.empty()) continue;
    for (std::size_t l = 0; l < diagnosis.layers.size(); ++l)
      if (run.adc_bits[l] > 0.0 && stage.only.adc_bits[l] < 3.0)
        warn(fmt::format("layer '{}': its outputs use {:.1f} bits of the ADC; forward.out_bound is too large for it",
                         diagnosis.layers[l], stage.only.adc_bits[l]));
  }
}

}  // namespace

double DoctorRun::mean_accuracy() const {
  Moments moments;
  for (const double value : accuracy) moments.add(value);
  return moments.count() > 0 ? moments.mean() : nan_value;
}

Moments DoctorLayer::cost(const std::vector<double>& exact) const {
  Moments moments;
  for (std::size_t i = 0; i < std::min(accuracy.size(), exact.size()); ++i) moments.add(exact[i] - accuracy[i]);
  return moments;
}

Moments accuracy_difference(const DoctorRun& a, const DoctorRun& b) {
  Moments moments;
  for (std::size_t i = 0; i < std::min(a.accuracy.size(), b.accuracy.size()); ++i)
    moments.add(a.accuracy[i] - b.accuracy[i]);
  return moments;
}

namespace {

/// Passes on all messages but notes of layers that only the variants have: they speak of values that nobody configured.
Environment without_notes_of(const std::vector<EvaluationRequest>& variants, const EvaluationRequest& request,
                             const Environment& environment) {
  std::set<std::string> foreign;
  for (const EvaluationRequest& variant : variants) foreign.merge(notes_of(variant));
  for (const std::string& note : notes_of(request)) foreign.erase(note);
  Environment result = environment;
  if (environment.message)
    result.message = [foreign = std::move(foreign), pass = environment.message](Severity severity,
                                                                                const std::string& text) {
      if (severity != Severity::note || !foreign.contains(text)) pass(severity, text);
    };
  return result;
}

}  // namespace

Diagnosis diagnose(const EvaluationRequest& request, Parallel parallel, const Environment& environment) {
  Diagnosis diagnosis;
  for (const nn::LinearLayer& layer : request.executor.layers()) diagnosis.layers.push_back(layer.name);
  const std::vector<LayerParameters> given = layer_parameters(request);
  const LayerResolver ideal = changed(request, tile::ideal);
  compare_ideal(diagnosis, request, ideal, parallel);

  std::vector<EvaluationRequest> variants;
  const auto add = [&](LayerResolver resolve, bool over_time) {
    EvaluationRequest& variant = variants.emplace_back(request);
    variant.resolve = std::move(resolve);
    variant.statistics = true;
    variant.record_output.clear();
    // The last time is the one that is looked at.
    if (!over_time)
      variant.evaluation.times.clear();
    else if (!variant.evaluation.times.empty())
      variant.evaluation.times = {variant.evaluation.times.back()};
  };
  add(ideal, false);
  add(request.resolve, true);
  for (const tile::Effect& effect : tile::effects()) {
    if (effect.over_time && request.evaluation.times.empty()) continue;
    bool anywhere = false, removable = true;
    for (const LayerParameters& layer : given) {
      if (!layer.analog || !tile::is_on(effect, layer)) continue;
      anywhere = true;
      removable = removable && tile::stands_alone(effect, layer);
    }
    if (!anywhere) continue;
    diagnosis.stages.push_back({effect.name, keys_text(effect), removable, {}, {}});
    add(changed(request,
                [&effect](const tile::AnalogParameters& layer) {
                  return tile::is_on(effect, layer) ? tile::alone(effect, layer) : tile::ideal(layer);
                }),
        effect.over_time);
    add(changed(request, [&effect](const tile::AnalogParameters& layer) { return tile::without(effect, layer); }),
        !effect.over_time);
  }
  const std::size_t first_layer = variants.size();
  for (std::size_t l = 0; l < given.size(); ++l) {
    if (!given[l].analog) continue;
    diagnosis.ranking.push_back({l, {}, 0.0});
    const auto only = [&request, name = diagnosis.layers[l]](const std::string& layer, const std::string& op) {
      LayerParameters parameters = request.resolve(layer, op);
      parameters.analog = parameters.analog && layer == name;
      return parameters;
    };
    add(only, true);
    variants.back().statistics = false;
  }
  const EvaluationSink sink;
  std::vector<EvaluationTask> tasks;
  for (const EvaluationRequest& variant : variants) tasks.push_back({variant, sink});
  const std::vector<EvaluationResult> results =
      evaluate_together(tasks, parallel, without_notes_of(variants, request, environment));
  if (!std::all_of(results.begin(), results.end(), [](const EvaluationResult& r) { return r.complete; })) {
    diagnosis.stages.clear();
    diagnosis.ranking.clear();
    return diagnosis;
  }
  const auto run = [&](std::size_t v) { return summary(results[v], variants[v], layer_parameters(variants[v])); };
  diagnosis.reference = results.front().reference;
  diagnosis.ideal = run(0);
  diagnosis.configured = run(1);
  for (std::size_t s = 0; s < diagnosis.stages.size(); ++s) {
    diagnosis.stages[s].only = run(2 + 2 * s);
    diagnosis.stages[s].without = run(3 + 2 * s);
  }
  for (std::size_t r = 0; r < diagnosis.ranking.size(); ++r) {
    const std::size_t v = first_layer + r;
    diagnosis.ranking[r].accuracy = chip_accuracies(results[v], variants[v]);
    Moments sqnr;
    for (const PointResult& point : results[v].points) sqnr.add(std::min(200.0, point.output.sqnr_db()));
    diagnosis.ranking[r].output_sqnr_db = sqnr.mean();
  }
  std::ranges::stable_sort(diagnosis.ranking, {}, &DoctorLayer::output_sqnr_db);
  add_warnings(diagnosis, given);
  return diagnosis;
}

}  // namespace tessera::sim
