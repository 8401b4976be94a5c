#include "tessera/sim/doctor.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "layer_classes.hpp"
#include "tessera/sim/recording.hpp"

namespace tessera::sim {

namespace {

using tile::IOParameters;

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

/// How a mechanism is recognised, taken over into an ideal layer, and taken out of a configured one.
struct Mechanism {
  const char* name;
  const char* keys;
  std::function<void(const LayerParameters& from, LayerParameters& to)> copy;
  std::function<void(LayerParameters&)> remove;
  bool over_time = false;  ///< its part is what time does
};

/// Products without any error on a layer's tiles: same mapping, same digital scales.
LayerParameters ideal_layer(LayerParameters layer) {
  const IOParameters given = layer.rpu.forward;
  IOParameters& io = layer.rpu.forward;
  io = {};
  io.out_scale = given.out_scale;
  io.inp_bound = io.out_bound = 0.0;
  io.inp_res = io.out_res = -1.0;
  io.out_noise = 0.0;
  io.noise_management = given.noise_management;
  io.nm_thres = given.nm_thres;
  io.bound_management = tile::BoundManagementType::NONE;
  layer.rpu.pre_post.input_range.enable = false;
  layer.rpu.pre_post.periph_quant = {};
  layer.rpu.act_quant_config.reset();
  layer.device.reset();
  layer.written_device.reset();
  layer.drift_compensation.reset();
  layer.fault_map.clear();
  return layer;
}

void copy_periphery(const LayerParameters& from, LayerParameters& to, bool scale, bool bias) {
  to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;  // its range is part of the scale
  to.rpu.pre_post.periph_quant = from.rpu.pre_post.periph_quant;
  to.rpu.pre_post.periph_quant.scale &= scale;
  to.rpu.pre_post.periph_quant.bias &= bias;
}

void copy_devices(const LayerParameters& from, LayerParameters& to) {
  to.device = from.device;
  to.written_device = from.written_device;
  to.drift_compensation = from.drift_compensation;
  to.fault_map = from.fault_map;
}

const std::vector<Mechanism>& mechanisms() {
  using L = LayerParameters;
  static const std::vector<Mechanism> list{
      {"input clip",
       "pre_post.input_range",
       [](const L& from, L& to) { to.rpu.pre_post.input_range = from.rpu.pre_post.input_range; },
       {}},
      {"DAC", "forward.inp_res, inp_bound, inp_sto_round",
       [](const L& from, L& to) {
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;  // scales the inputs to the DAC
         to.rpu.forward.inp_bound = from.rpu.forward.inp_bound;
         to.rpu.forward.inp_res = from.rpu.forward.inp_res;
         to.rpu.forward.inp_sto_round = from.rpu.forward.inp_sto_round;
       },
       [](L& layer) {
         layer.rpu.forward.inp_res = -1.0;
         layer.rpu.forward.inp_sto_round = false;
       }},
      {"input noise", "forward.inp_noise",
       [](const L& from, L& to) {
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         to.rpu.forward.inp_noise = from.rpu.forward.inp_noise;
       },
       [](L& layer) { layer.rpu.forward.inp_noise = 0.0; }},
      {"programming", "noise_model", [](const L& from, L& to) { copy_devices(from, to); },
       [](L& layer) {
         layer.device.reset();
         layer.written_device.reset();
         layer.drift_compensation.reset();
         layer.fault_map.clear();
       }},
      {"programming and drift", "evaluation.times", [](const L& from, L& to) { copy_devices(from, to); }, [](L&) {},
       true},
      {"weight noise", "forward.w_noise",
       [](const L& from, L& to) {
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         to.rpu.forward.w_noise = from.rpu.forward.w_noise;
         to.rpu.forward.w_noise_type = from.rpu.forward.w_noise_type;
       },
       [](L& layer) {
         layer.rpu.forward.w_noise = 0.0;
         layer.rpu.forward.w_noise_type = tile::WeightNoiseType::NONE;
       }},
      {"IR drop", "forward.ir_drop",
       [](const L& from, L& to) {
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         to.rpu.forward.ir_drop = from.rpu.forward.ir_drop;
         to.rpu.forward.ir_drop_g_ratio = from.rpu.forward.ir_drop_g_ratio;
       },
       [](L& layer) { layer.rpu.forward.ir_drop = 0.0; }},
      {"offsets, nonlinearity", "forward.v_offset_std, r_series, out_nonlinearity, *_asymmetry*",
       [](const L& from, L& to) {
         const IOParameters& f = from.rpu.forward;
         IOParameters& io = to.rpu.forward;
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         io.inp_asymmetry = f.inp_asymmetry;
         io.out_asymmetry = f.out_asymmetry;
         io.out_nonlinearity = f.out_nonlinearity;
         io.out_nonlinearity_std = f.out_nonlinearity_std;
         io.slope_calibration = f.slope_calibration;
         io.v_offset_std = f.v_offset_std;
         io.v_offset_w_min = f.v_offset_w_min;
         io.r_series = f.r_series;
         if (f.w_read_asymmetry_dtod > 0.0) {
           io.mv_type = f.mv_type;
           io.w_read_asymmetry_dtod = f.w_read_asymmetry_dtod;
         }
       },
       [](L& layer) {
         IOParameters& io = layer.rpu.forward;
         io.inp_asymmetry = io.out_asymmetry = 0.0;
         io.out_nonlinearity = io.out_nonlinearity_std = io.slope_calibration = 0.0;
         io.v_offset_std = io.r_series = io.w_read_asymmetry_dtod = 0.0;
       }},
      {"output noise", "forward.out_noise",
       [](const L& from, L& to) {
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         to.rpu.forward.out_noise = from.rpu.forward.out_noise;
         to.rpu.forward.out_noise_std = from.rpu.forward.out_noise_std;
       },
       [](L& layer) { layer.rpu.forward.out_noise = layer.rpu.forward.out_noise_std = 0.0; }},
      {"ADC clip",
       "forward.out_bound",
       [](const L& from, L& to) {
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         to.rpu.forward.out_bound = from.rpu.forward.out_bound;
         to.rpu.forward.bound_management = from.rpu.forward.bound_management;
         to.rpu.forward.max_bm_factor = from.rpu.forward.max_bm_factor;
         to.rpu.forward.bm_test_negative_bound = from.rpu.forward.bm_test_negative_bound;
       },
       {}},
      {"ADC rounding", "forward.out_res",
       [](const L& from, L& to) {
         const IOParameters& f = from.rpu.forward;
         to.rpu.pre_post.input_range = from.rpu.pre_post.input_range;
         to.rpu.forward.out_bound = f.out_bound;
         to.rpu.forward.out_res = f.out_res;
         to.rpu.forward.out_sto_round = f.out_sto_round;
         to.rpu.forward.bound_management = f.bound_management;
         to.rpu.forward.max_bm_factor = f.max_bm_factor;
         to.rpu.forward.bm_test_negative_bound = f.bm_test_negative_bound;
       },
       [](L& layer) {
         layer.rpu.forward.out_res = -1.0;
         layer.rpu.forward.out_sto_round = false;
       }},
      {"scale bits", "pre_post.periph_quant (scale)",
       [](const L& from, L& to) { copy_periphery(from, to, true, false); },
       [](L& layer) { layer.rpu.pre_post.periph_quant.scale = false; }},
      {"bias bits", "pre_post.periph_quant (bias)", [](const L& from, L& to) { copy_periphery(from, to, false, true); },
       [](L& layer) { layer.rpu.pre_post.periph_quant.bias = false; }},
      {"activation quantizer", "act_quant_config",
       [](const L& from, L& to) { to.rpu.act_quant_config = from.rpu.act_quant_config; },
       [](L& layer) { layer.rpu.act_quant_config.reset(); }},
  };
  return list;
}

/// Whether a layer has the mechanism at all.
bool acts(const LayerParameters& ideal, const LayerParameters& with, const LayerParameters& given, const Mechanism& m) {
  if (!given.analog) return false;
  const std::string name = m.name;
  if (given.rpu.forward.is_perfect || given.rpu.forward.mv_type == tile::AnalogMVType::IDEAL) {
    const bool digital = name == "scale bits" || name == "bias bits" || name == "activation quantizer" ||
                         name == "input clip" || name.starts_with("programming");
    if (!digital) return false;
  }
  const IOParameters& io = given.rpu.forward;
  const auto bounded = [](double bound) { return bound > 0.0 && std::isfinite(bound); };
  if (name.starts_with("programming")) return given.device.has_value();
  if (name == "DAC") return io.inp_res > 0.0 && bounded(io.inp_bound);
  if (name == "weight noise") return io.w_noise > 0.0 && io.w_noise_type != tile::WeightNoiseType::NONE;
  if (name == "IR drop") return io.ir_drop > 0.0;
  if (name == "output noise") return io.out_noise > 0.0 || io.out_noise_std > 0.0;
  if (name == "ADC clip") return bounded(io.out_bound);
  if (name == "ADC rounding") return io.out_res > 0.0 && bounded(io.out_bound);
  if (name == "input noise") return io.inp_noise > 0.0;
  if (name == "offsets, nonlinearity")
    return io.inp_asymmetry != 0.0 || io.out_asymmetry != 0.0 || io.out_nonlinearity > 0.0 || io.v_offset_std > 0.0 ||
           io.r_series > 0.0 || io.w_read_asymmetry_dtod > 0.0;
  if (name == "scale bits" || name == "bias bits") {
    const auto& q = given.rpu.pre_post.periph_quant;
    return q.n_bits > 0 && (name == "scale bits" ? q.scale : q.bias);
  }
  if (name == "activation quantizer") return given.rpu.act_quant_config && given.rpu.act_quant_config->n_bits > 0;
  return with != ideal;
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
  Moments chip;
  for (const PointResult& point : result.points) {
    if (point.index.time != last_time) continue;
    if (point.score.count > 0) {
      chip.add(point.score.accuracy());
      if (chip.count() == request.evaluation.read_repeats) {
        run.accuracy.push_back(chip.mean());
        chip = {};
      }
    }
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

LayerResolver changed(const EvaluationRequest& request, std::function<LayerParameters(LayerParameters)> change) {
  return [&request, change = std::move(change)](const std::string& name, const std::string& op) {
    LayerParameters layer = request.resolve(name, op);
    return layer.analog ? change(std::move(layer)) : layer;
  };
}

/// Float32 and ideal outputs of the first samples.
void compare_ideal(Diagnosis& diagnosis, const EvaluationRequest& request, const LayerResolver& ideal,
                   Parallel parallel) {
  const std::int64_t samples = std::min<std::int64_t>(256, request.data.size());
  Shape shape = fitted_sample_shape(request.executor.graph(), request.data.sample_shape());
  shape.insert(shape.begin(), samples);
  const Tensor batch = request.data.read(0, samples, parallel).reshaped(std::move(shape));
  const ProgrammedChip chip(request.executor, ideal, request.seed, 0, parallel);
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

void add_warnings(Diagnosis& diagnosis) {
  const DoctorRun& run = diagnosis.configured;
  const auto warn = [&](std::string text) { diagnosis.warnings.push_back(std::move(text)); };
  for (std::size_t l = 0; l < diagnosis.layers.size(); ++l) {
    const std::string& name = diagnosis.layers[l];
    if (run.clipped_in[l] > 0.02)
      warn(
          fmt::format("layer '{}': {:.1f} % of the inputs are clipped by the input range; a larger range "
                      "(pre_post.input_range) may help",
                      name, 100.0 * run.clipped_in[l]));
    if (run.clipped_out[l] > 0.01)
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

Moments accuracy_difference(const DoctorRun& a, const DoctorRun& b) {
  Moments moments;
  for (std::size_t i = 0; i < std::min(a.accuracy.size(), b.accuracy.size()); ++i)
    moments.add(a.accuracy[i] - b.accuracy[i]);
  return moments;
}

Diagnosis diagnose(const EvaluationRequest& request, Parallel parallel, const Environment& environment) {
  Diagnosis diagnosis;
  for (const nn::LinearLayer& layer : request.executor.layers()) diagnosis.layers.push_back(layer.name);
  const std::vector<LayerParameters> given = layer_parameters(request);
  const LayerResolver ideal = changed(request, ideal_layer);
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
  for (const Mechanism& m : mechanisms()) {
    if (m.over_time && request.evaluation.times.empty()) continue;
    const bool anywhere = std::any_of(given.begin(), given.end(), [&](const LayerParameters& layer) {
      LayerParameters with = ideal_layer(layer);
      m.copy(layer, with);
      return acts(ideal_layer(layer), with, layer, m);
    });
    if (!anywhere) continue;
    diagnosis.stages.push_back({m.name, m.keys, m.remove != nullptr, {}, {}});
    add(changed(request,
                [&m](const LayerParameters& layer) {
                  const LayerParameters ideal_one = ideal_layer(layer);
                  LayerParameters with = ideal_one;
                  m.copy(layer, with);
                  return acts(ideal_one, with, layer, m) ? with : ideal_one;
                }),
        m.over_time);
    add(changed(request,
                [&m](LayerParameters layer) {
                  if (m.remove) m.remove(layer);
                  return layer;
                }),
        !m.over_time);
  }
  const EvaluationSink sink;
  std::vector<EvaluationTask> tasks;
  for (const EvaluationRequest& variant : variants) tasks.push_back({variant, sink});
  const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel, environment);
  if (!std::all_of(results.begin(), results.end(), [](const EvaluationResult& r) { return r.complete; })) {
    diagnosis.stages.clear();
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
  add_warnings(diagnosis);
  return diagnosis;
}

}  // namespace tessera::sim
