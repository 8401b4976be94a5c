#include "tessera/sim/calibrate.hpp"

#include <algorithm>
#include <cmath>

#include "sim/range_search.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {

namespace {

class Calibration {
 public:
  Calibration(const CalibrationRequest& request, Parallel parallel, const Environment& environment)
      : request_(request),
        parameters_(request.parameters),
        parallel_(parallel),
        environment_(environment),
        input_shape_(fitted_sample_shape(request.executor.graph(), request.data)),
        samples_(parameters_.samples > 0 ? std::min(parameters_.samples, request.data.size()) : request.data.size()) {
    const bool moving = parameters_.type != CalibrationType::MAX && parameters_.type != CalibrationType::CACHE_QUANTILE;
    search_.pass = parameters_.pass.value_or(moving ? CalibrationPass::tiles : CalibrationPass::float32);
    search_.forced = parameters_.force_all_layers && parameters_.type != CalibrationType::INIT_FROM_DATA;
    static_cast<void>(layer_parameters(request.executor, request.resolve));  // the problems of all layers at once
    check_noise_management();
    for (std::size_t l = 0; l < request.executor.layers().size(); ++l)
      layers_.push_back(open_layer(search_, l, environment));
    require<InputError>(std::any_of(layers_.begin(), layers_.end(), [](const auto& l) { return !l.parts.empty(); }),
                        "there is no analog layer to calibrate{}",
                        search_.forced ? "" : " with an input range; set rpu_config.pre_post.input_range.enable: true");
  }

  CalibrationResult run() {
    find_ranges();
    CalibrationResult result;
    result.samples = samples_;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      if (layers_[l].parts.empty()) continue;
      LayerCalibration layer;
      layer.type = parameters_.type;
      layer.forced = search_.forced;
      for (const auto& part : layers_[l].parts) layer.parts.push_back(found_ranges(*part, name_of(l), environment_));
      set_laws(layer, search_.parameters_of(l).rpu);
      result.layers.emplace(name_of(l), std::make_shared<const LayerCalibration>(std::move(layer)));
    }
    find_converters(result.layers);
    find_activation_ranges(result.layers);
    measure(result.layers);
    return result;
  }

 private:
  const nn::LinearLayer& layer(std::size_t l) const { return request_.executor.layers()[l]; }
  const std::string& name_of(std::size_t l) const { return layer(l).name; }

  void check_noise_management() const {
    if (search_.forced || parameters_.type == CalibrationType::INIT_FROM_DATA) return;
    std::vector<Problem> problems;
    for (std::size_t l = 0; l < request_.executor.layers().size(); ++l) {
      const LayerParameters p = search_.parameters_of(l);
      if (p.analog && p.rpu.pre_post.input_range.enable &&
          p.rpu.forward.noise_management != tile::NoiseManagementType::NONE)
        problems.push_back({"", 0, 0, "rpu_config.forward.noise_management",
                            fmt::format("layer '{}' has noise management, which replaces an input range; set it to NONE"
                                        " or calibration.force_all_layers: true",
                                        name_of(l))});
    }
    if (!problems.empty()) throw ConfigError(std::move(problems));
  }

  template <class Work>
  void for_each_batch(const char* what, Work work) {
    for (std::int64_t first = 0, count = 0; first < samples_; first += count) {
      if (environment_.cancelled()) throw RunError("interrupted; nothing was written");
      count = std::min(request_.data.batch_end(first, parameters_.batch_size), samples_) - first;
      work(read_samples(request_.data, first, count, input_shape_, parallel_), static_cast<std::uint64_t>(first));
      if (environment_.progress) environment_.progress(first + count, samples_, what);
    }
  }

  void find_ranges() {
    nn::LinearOverrides overrides(layers_.size());
    for (std::size_t l = 0; search_.pass == CalibrationPass::tiles && l < layers_.size(); ++l)
      for (const auto& part : layers_[l].parts) overrides[l].push_back(part->pass.get());
    const nn::InputObserver observe = [&](std::size_t l, const nn::Activation& input, std::uint64_t first_sample) {
      if (layers_[l].parts.empty()) return;
      request_.executor.apply_linear(l, layers_[l].collectors, input, first_sample, parallel_);
      for (const auto& part : layers_[l].parts) finish_batch(*part, parameters_, layers_[l].most_updates);
    };
    for_each_batch("samples", [&](const Tensor& batch, std::uint64_t first) {
      request_.executor.run(batch, {.first_sample = first,
                                    .parallel = parallel_,
                                    .overrides = search_.pass == CalibrationPass::tiles ? &overrides : nullptr,
                                    .observer = {},
                                    .before = observe});
    });
  }

  /// The calibrated network without devices.
  LayerResolver resolver(const NetworkCalibration& layers) const {
    return [resolve = with_calibration(request_.resolve, layers)](const std::string& name, const std::string& op) {
      LayerParameters parameters = resolve(name, op);
      parameters.device.reset();
      parameters.written_device.reset();
      parameters.drift_compensation.reset();
      parameters.fault_map.clear();
      return parameters;
    };
  }

  ProgrammedChip chip(const LayerResolver& resolve) const {
    return {request_.executor, resolve, {request_.seed, 0, parallel_}};
  }

  /// Passes all samples through the network.
  void pass_all(const AnalogNetwork& network) {
    for_each_batch("samples", [&](const Tensor& batch, std::uint64_t first) {
      request_.executor.run(
          batch, {.first_sample = first, .parallel = parallel_, .overrides = &network.overrides(), .observer = {}});
    });
  }

  void find_converters(NetworkCalibration& found) {
    const std::vector<LayerParameters> parameters = layer_parameters(request_.executor, resolver(found));
    std::vector<std::size_t> open;
    for (std::size_t l = 0; l < layers_.size(); ++l)
      if (found.contains(name_of(l)) && parameters[l].rpu.crossbar &&
          parameters[l].rpu.crossbar->adc.waits_for_calibration())
        open.push_back(l);
    if (open.empty()) return;
    AnalogNetwork network = chip([resolve = resolver(found)](const std::string& name, const std::string& op) {
                              LayerParameters p = without_converters(resolve(name, op));
                              p.rpu.act_quant_config.reset();
                              p.rpu.pre_post.fixed_point.reset();
                              return p;
                            }).at(std::nullopt, calibration_event, parallel_);
    pass_all(network);
    for (const std::size_t l : open) {
      std::vector<circuit::CurrentHistogram> histograms;
      for (const circuit::ConversionCounts& slice : network.statistics(l).converters)
        histograms.push_back({slice.lowest, slice.highest, std::vector<std::int64_t>(current_bins, 0)});
      network.observe_currents(l, histograms);
    }
    pass_all(network);
    for (const std::size_t l : open) {
      const circuit::AdcParameters& adc = parameters[l].rpu.crossbar->adc;
      std::vector<circuit::ConverterSetting> settings;
      for (const circuit::ConversionCounts& slice : network.statistics(l).converters) {
        circuit::ConverterSetting& setting = settings.emplace_back();
        setting.range =
            circuit::found_range(adc, *slice.histogram, parameters_.converter_range, parameters_.converter_quantile);
        if (adc.wants_optimal_levels())
          setting.levels = circuit::lloyd_max_levels(*slice.histogram, std::int64_t{1} << adc.bits);
      }
      const bool for_one_width =
          adc.wants_optimal_levels() || parameters_.converter_range == circuit::ConverterRangeType::MSE;
      const auto at = found.find(name_of(l));
      LayerCalibration layer = *at->second;
      for (PartCalibration& part : layer.parts) part.state.converters = settings;
      for (const ConverterLawKey& key : converter_law(*parameters[l].rpu.crossbar, for_one_width))
        layer.converter_law.push_back(key.value);
      at->second = std::make_shared<const LayerCalibration>(std::move(layer));
    }
  }

  void estimate(ProgrammedChip& estimated) {
    std::vector<Tensor> batches;
    for_each_batch("samples", [&](Tensor batch, std::uint64_t) { batches.push_back(std::move(batch)); });
    estimated.estimate_activation_ranges(request_.executor, batches);
  }

  void find_activation_ranges(NetworkCalibration& found) {
    ProgrammedChip estimated = chip(resolver(found));
    if (!estimated.needs_activation_ranges()) return;
    estimate(estimated);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const auto at = found.find(name_of(l));
      if (at == found.end()) continue;
      LayerCalibration layer = *at->second;
      for (std::size_t p = 0; p < layer.parts.size(); ++p) layer.parts[p].state = estimated.layer(l, p).state();
      at->second = std::make_shared<const LayerCalibration>(std::move(layer));
    }
  }

  /// Counts of one pass of all samples over the calibrated tiles.
  std::vector<tile::LayerStatistics> counts(const LayerResolver& resolve) {
    ProgrammedChip ready = chip(resolve);
    if (ready.needs_activation_ranges()) estimate(ready);  // of layers that are not calibrated
    const AnalogNetwork network = ready.at(std::nullopt, calibration_event, parallel_);
    pass_all(network);
    std::vector<tile::LayerStatistics> result;
    for (std::size_t l = 0; l < layers_.size(); ++l) result.push_back(network.statistics(l));
    return result;
  }

  void measure(NetworkCalibration& found) {
    const std::vector<tile::LayerStatistics> real = counts(resolver(found));
    const std::vector<tile::LayerStatistics> unbounded =
        counts([resolve = resolver(found)](const std::string& name, const std::string& op) {
          LayerParameters parameters = without_converters(resolve(name, op));
          parameters.rpu.forward.out_bound = 0.0;
          parameters.rpu.forward.out_res = -1.0;
          parameters.rpu.pre_post.fixed_point.reset();
          parameters.rpu.forward.bound_management = tile::BoundManagementType::NONE;
          return parameters;
        });
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const auto at = found.find(name_of(l));
      if (at == found.end()) continue;
      LayerCalibration layer = *at->second;
      if (real[l].inputs > 0) layer.input_clip_fraction = real[l].input_clip_fraction();
      if (real[l].adc_conversions > 0) {
        layer.adc_saturation_fraction = real[l].adc_saturation_fraction();
        layer.output_peak = static_cast<double>(unbounded[l].adc_peak);
      }
      at->second = std::make_shared<const LayerCalibration>(std::move(layer));
    }
    const std::vector<LayerParameters> calibrated = layer_parameters(request_.executor, resolver(found));
    for (std::size_t l = 0; l < layers_.size(); ++l)
      for (const LayerWarning& warning : layer_warnings(name_of(l), calibrated[l], real[l]))
        environment_.warn(warning.text);
  }

  const CalibrationRequest& request_;
  const InputCalibration& parameters_;
  Parallel parallel_;
  const Environment& environment_;
  Shape input_shape_;
  std::int64_t samples_;
  RangeSearch search_{request_};
  std::vector<LayerInProgress> layers_;
};

}  // namespace

CalibrationResult calibrate(const CalibrationRequest& request, Parallel parallel, const Environment& environment) {
  validate(request.parameters);
  require<InputError>(request.data.size() > 0, "the data set '{}' has no samples", request.data.name());
  return Calibration(request, parallel, environment).run();
}

}  // namespace tessera::sim
