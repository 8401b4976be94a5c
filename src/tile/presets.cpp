#include "tessera/tile/presets.hpp"

#include "tessera/core/error.hpp"

namespace tessera::tile {
namespace {

IOParameters io(double inp_res, double out_res, double out_bound, double out_noise) {
  IOParameters parameters;
  parameters.inp_res = inp_res;
  parameters.out_res = out_res;
  parameters.out_bound = out_bound;
  parameters.out_noise = out_noise;
  return parameters;
}

RpuParameters with_forward(const IOParameters& forward) {
  RpuParameters parameters;
  parameters.forward = forward;
  return parameters;
}

RpuParameters standard_hwa_training() {
  RpuParameters p = with_forward(io(254.0, 254.0, 10.0, 0.04));
  p.forward.noise_management = NoiseManagementType::CONSTANT;
  p.forward.nm_thres = 1.0;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.w_noise = 0.0175;
  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
  p.forward.ir_drop = 1.0;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.learn_out_scaling = true;
  p.mapping.out_scaling_columnwise = true;
  p.mapping.max_input_size = 512;
  p.mapping.max_output_size = 0;
  p.pre_post.input_range.enable = true;
  p.clip = {.type = WeightClipType::FIXED_VALUE, .fixed_value = 1.0};
  p.remap = {.type = WeightRemapType::CHANNELWISE_SYMMETRIC, .remapped_wmax = 1.0};
  return p;
}

RpuParameters floating_point() {
  RpuParameters p;
  p.forward.is_perfect = true;
  p.mapping.max_input_size = 0;
  p.mapping.max_output_size = 0;
  return p;
}

RpuParameters web_composer() {
  RpuParameters p = with_forward(io(1.0 / 126.0, 1.0 / 510.0, 20.0, 0.1));
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.learn_out_scaling = true;
  p.clip = {.type = WeightClipType::FIXED_VALUE, .fixed_value = 1.0};
  p.modifier.type = WeightModifierType::ADD_NORMAL;
  p.modifier.std_dev = 0.1;
  return p;
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> table{
      {"IOParameters", "default converters: 7-bit DAC, 9-bit ADC, output noise 0.06", with_forward({})},
      {"PresetIOParameters", "the converters of the device presets: wider ADC range, output noise 0.1",
       with_forward(io(1.0 / 126.0, 1.0 / 510.0, 20.0, 0.1))},
      {"StandardIOParameters", "8-bit DAC and ADC, output noise 0.04",
       with_forward(io(1.0 / 254.0, 1.0 / 254.0, 10.0, 0.04))},
      {"StandardHWATrainingPreset",
       "standard benchmark: static 8-bit DAC range, 8-bit ADC, output and read noise, IR drop, column scales",
       standard_hwa_training()},
      {"WebComposerIOParameters", "converters of the web composer",
       with_forward(io(1.0 / 126.0, 1.0 / 510.0, 20.0, 0.1))},
      {"WebComposerInferenceRPUConfig",
       "web composer: column scales and a learned scalar output scale on 512x512 tiles", web_composer()},
      {"FloatingPointPreset", "perfect product on one tile of any size", floating_point()},
  };
  return table;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.push_back(preset.name);
  return names;
}

RpuParameters preset(const std::string& name) {
  for (const Preset& preset : presets())
    if (preset.name == name) return preset.parameters;
  const std::string nearest = nearest_word(name, preset_names());
  throw ConfigError("preset", fmt::format("unknown preset '{}'{}", name,
                                          nearest.empty() ? "; `tessera help presets` lists them"
                                                          : "; did you mean '" + nearest + "'?"));
}

}  // namespace tessera::tile
