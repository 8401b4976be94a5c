#include "tile_tables.hpp"

#include "tessera/config/section.hpp"
#include "tessera/core/error.hpp"
#include "tessera/tile/effects.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Key;
using config::Range;
using config::Section;
using config::Type;

// Legal values are the effects' own.
Range legal(const std::string& key) {
  const tile::EffectKey* known = tile::find_effect_key(key);
  TESSERA_EXPECT(known != nullptr);
  return known->range;
}

Type<tile::InputRangeParameter> input_range_parameter() {
  using P = tile::InputRangeParameter;
  return Section<P>(
             "InputRangeParameter",
             "The static input range r of a tile: inputs are clipped to [-r, r] and divided by r in front of the DAC; "
             "the output is multiplied by r.")
      .field("enable", &P::enable, {.help = "clip and scale inputs"})
      .field("learn_input_range", &P::learn_input_range, {.help = "r is learned in training; no effect on inference"})
      .field("init_value", &P::init_value, {.help = "r before calibration or training; positive if enabled"})
      .field("init_from_data", &P::init_from_data,
             {.unit = "batches",
              .range = legal("pre_post.input_range.init_from_data"),
              .help = "training batches that initialise r; 0: none"})
      .field("init_std_alpha", &P::init_std_alpha,
             {.range = legal("pre_post.input_range.init_std_alpha"),
              .help = "r is this many standard deviations of a batch"})
      .field("decay", &P::decay,
             {.range = legal("pre_post.input_range.decay"), .help = "training: pull of r towards smaller values"})
      .field("input_min_percentage", &P::input_min_percentage,
             {.range = legal("pre_post.input_range.input_min_percentage"),
              .help = "training: decay acts only while more than this fraction of inputs is unclipped"})
      .field("manage_output_clipping", &P::manage_output_clipping, {.help = "training: r grows where outputs clip"})
      .field("output_min_percentage", &P::output_min_percentage,
             {.range = legal("pre_post.input_range.output_min_percentage"),
              .help = "training: ... while less than this fraction of outputs is unclipped"})
      .field("gradient_scale", &P::gradient_scale, {.help = "training: factor on the gradient of r"})
      .field("gradient_relative", &P::gradient_relative, {.help = "training: gradient of r relative to r"})
      .field("calibration_info", &P::calibration_info, {.help = "note left by a calibration"});
}

Type<tile::PeripheryQuantizationParameter> periphery_quantization_parameter() {
  using P = tile::PeripheryQuantizationParameter;
  return Section<P>(
             "PeripheryQuantizationParameter",
             "Quantization of the merged affine scale (input range * mapping scale * learned output scale) and of "
             "the bias behind the ADC.")
      .field("n_bits", &P::n_bits,
             {.unit = "bit",
              .range = legal("pre_post.periph_quant.n_bits"),
              .help = "width of scale and bias; 0: float32"})
      .field("symmetric", &P::symmetric, {.help = "no zero point"})
      .field("learn_quant_params", &P::learn_quant_params,
             {.help = "training: learn the steps; no effect on inference"})
      .field("init_learning_after", &P::init_learning_after,
             {.unit = "batches",
              .range = legal("pre_post.periph_quant.init_learning_after"),
              .help = "training: estimate this long before learning"})
      .field("per_column", &P::per_column, {.help = "one step per output instead of one per tile"})
      .field("power_of_two", &P::power_of_two, {.help = "steps rounded up to a power of two"})
      .field("scale", &P::scale, {.help = "false: the scale stays in float32"})
      .field("bias", &P::bias, {.help = "false: the bias stays in float32"});
}

}  // namespace

Type<tile::IOParameters> io_parameters() {
  using P = tile::IOParameters;
  using tile::AnalogMVType;
  using tile::BoundManagementType;
  using tile::NoiseManagementType;
  using tile::WeightNoiseType;
  const std::string resolution = "p > 1: steps over the full range; 0 < p <= 1: step as a fraction of it; p <= 0: off";
  Section<P> section =
      Section<P>(
          "IOParameters",
          "The analog matrix-vector product between DAC and ADC. Weights, inputs and outputs are normalised: 1 is "
          "the largest weight, the full scale of the DAC, and their product. A bound <= 0 is infinite.")
          .field("is_perfect", &P::is_perfect, {.help = "plain product; everything below is skipped"})
          .field("mv_type", &P::mv_type,
                 choice<AnalogMVType>({{"IDEAL", AnalogMVType::IDEAL},
                                       {"ONE_PASS", AnalogMVType::ONE_PASS, {"OnePass"}},
                                       {"POS_NEG_SEPARATE", AnalogMVType::POS_NEG_SEPARATE, {"PosNegSeparate"}},
                                       {"POS_NEG_SEPARATE_DIGITAL_SUM",
                                        AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM,
                                        {"PosNegSeparateDigitalSum"}},
                                       {"SPLIT_MODE", AnalogMVType::SPLIT_MODE, {"SplitMode"}},
                                       {"BIT_WISE", AnalogMVType::BIT_WISE, {"BitWise"}}}),
                 {.help = "how inputs are passed to the array"})
          .field("inp_bound", &P::inp_bound, {.range = legal("forward.inp_bound"), .help = "DAC clips at +-inp_bound"})
          .field("inp_noise", &P::inp_noise,
                 {.range = legal("forward.inp_noise"), .help = "standard deviation of noise behind the DAC"})
          .field("inp_res", &P::inp_res, {.help = "DAC resolution; " + resolution})
          .field("inp_sto_round", &P::inp_sto_round, {.help = "stochastic rounding in the DAC"})
          .field("inp_asymmetry", &P::inp_asymmetry, {.help = "negative inputs are multiplied by 1 - inp_asymmetry"})
          .field("out_bound", &P::out_bound, {.range = legal("forward.out_bound"), .help = "ADC clips at +-out_bound"})
          .field("out_noise", &P::out_noise,
                 {.range = legal("forward.out_noise"), .help = "standard deviation of noise in front of the ADC"})
          .field("out_noise_std", &P::out_noise_std,
                 {.range = legal("forward.out_noise_std"),
                  .help = "relative spread of out_noise over the outputs, drawn once"})
          .field("out_res", &P::out_res, {.help = "ADC resolution; " + resolution})
          .field("out_sto_round", &P::out_sto_round, {.help = "stochastic rounding in the ADC"})
          .field("out_scale", &P::out_scale, {.help = "factor on the result"})
          .field("out_asymmetry", &P::out_asymmetry, {.help = "negative outputs are multiplied by 1 - out_asymmetry"})
          .field("bound_management", &P::bound_management,
                 choice<BoundManagementType>(
                     {{"NONE", BoundManagementType::NONE},
                      {"ITERATIVE", BoundManagementType::ITERATIVE},
                      {"ITERATIVE_WORST_CASE", BoundManagementType::ITERATIVE_WORST_CASE, {"IterativeWorstCase"}},
                      {"SHIFT", BoundManagementType::SHIFT}}),
                 {.help = "what happens to a vector whose output clips: repeat with smaller inputs"})
          .field("noise_management", &P::noise_management,
                 choice<NoiseManagementType>(
                     {{"NONE", NoiseManagementType::NONE},
                      {"ABS_MAX", NoiseManagementType::ABS_MAX, {"AbsMax"}},
                      {"ABS_MAX_NP_SUM", NoiseManagementType::ABS_MAX_NP_SUM, {"AbsMaxNPSum"}},
                      {"MAX", NoiseManagementType::MAX},
                      {"CONSTANT", NoiseManagementType::CONSTANT},
                      {"AVERAGE_ABS_MAX", NoiseManagementType::AVERAGE_ABS_MAX, {"AverageAbsMax"}}}),
                 {.help = "scale that brings a vector into the range of the DAC"})
          .field("w_noise", &P::w_noise,
                 {.range = legal("forward.w_noise"), .help = "scale of the weight noise of every product"})
          .field(
              "w_noise_type", &P::w_noise_type,
              choice<WeightNoiseType>({{"NONE", WeightNoiseType::NONE},
                                       {"ADDITIVE_CONSTANT", WeightNoiseType::ADDITIVE_CONSTANT, {"AdditiveConstant"}},
                                       {"PCM_READ", WeightNoiseType::PCM_READ, {"PCMRead"}}}),
              {.help = "law of the weight noise"})
          .field("ir_drop", &P::ir_drop,
                 {.range = legal("forward.ir_drop"), .help = "scale of the voltage drop along the wires; 0: none"})
          .field("ir_drop_g_ratio", &P::ir_drop_g_ratio,
                 {.range = legal("forward.ir_drop_g_ratio"),
                  .help = "conductance of a wire segment over the largest device conductance"})
          .field("out_nonlinearity", &P::out_nonlinearity,
                 {.range = legal("forward.out_nonlinearity"), .help = "S-shaped saturation of the output"})
          .field("out_nonlinearity_std", &P::out_nonlinearity_std,
                 {.range = legal("forward.out_nonlinearity_std"),
                  .help = "relative spread of the saturation over the outputs, drawn once"})
          .field("slope_calibration", &P::slope_calibration,
                 {.range = legal("forward.slope_calibration"),
                  .help = "point (fraction of out_bound) at which the gain makes up for the saturation"})
          .field("v_offset_std", &P::v_offset_std,
                 {.range = legal("forward.v_offset_std"),
                  .help = "spread of the voltage offset over the outputs, drawn once"})
          .field("v_offset_w_min", &P::v_offset_w_min, {.help = "weight of the implicit reference device"})
          .field("r_series", &P::r_series,
                 {.range = legal("forward.r_series"), .help = "series resistance per output line"})
          .field("w_read_asymmetry_dtod", &P::w_read_asymmetry_dtod,
                 {.range = legal("forward.w_read_asymmetry_dtod"),
                  .help = "device-to-device spread of the gain for negative inputs, drawn once"})
          .field("max_bm_factor", &P::max_bm_factor,
                 {.range = legal("forward.max_bm_factor"),
                  .help = "bound management gives up beyond this reduction; 0: at once"})
          .field(
              "max_bm_res", &P::max_bm_res,
              {.range = legal("forward.max_bm_res"), .help = "... or beyond max_bm_res divided by the step of the DAC"})
          .field("bm_test_negative_bound", &P::bm_test_negative_bound, {.help = "negative clipping counts too"})
          .field(
              "nm_thres", &P::nm_thres,
              {.range = legal("forward.nm_thres"), .help = "CONSTANT: the scale; otherwise its upper limit; 0: none"})
          .field("split_mode_bit_shift", &P::split_mode_bit_shift,
                 {.unit = "bit",
                  .range = legal("forward.split_mode_bit_shift"),
                  .help = "SPLIT_MODE: low bits of the input, sent on their own"});
  // What effects have beyond aihwkit's keys.
  for (const tile::Effect& effect : tile::effects())
    for (const tile::EffectKey& key : effect.keys)
      if (!key.number.empty())
        section.property<double>(
            key.number, [name = key.number](const P& io) { return io.numbers[name]; },
            [name = key.number](P& io, double value) { io.numbers.set(name, value); }, config::real(key.range),
            {.help = key.help});
  return section;
}

Type<tile::MappingParameter> mapping_parameter() {
  using P = tile::MappingParameter;
  return Section<P>("MappingParameter", "How a layer's weights are placed on tiles.")
      .field("digital_bias", &P::digital_bias, {.help = "bias added behind the ADC; false: as a column of the array"})
      .field(
          "bias_line_as_input", &P::bias_line_as_input,
          {.help = "beyond aihwkit: true restores its line of an analog bias, driven by 1 and clipped like an input, "
                   "so that an input range r multiplies the bias"})
      .field("weight_scaling_omega", &P::weight_scaling_omega,
             {.help = "largest weight on a tile after scaling; <= 0: weights are not scaled"})
      .field("weight_scaling_columnwise", &P::weight_scaling_columnwise,
             {.help = "one scale per output instead of one per tile"})
      .field("unit_scale_of_dead_outputs", &P::unit_scale_of_dead_outputs,
             {.help = "beyond aihwkit: true restores its scale 1 of an output without weights; false: the smallest of "
                      "the others, so that it neither widens the quantizer of the scales nor amplifies noise"})
      .field("learn_out_scaling", &P::learn_out_scaling, {.help = "a learned output scale, initially 1"})
      .field("out_scaling_columnwise", &P::out_scaling_columnwise, {.help = "... one per output"})
      .field("max_input_size", &P::max_input_size,
             {.unit = "rows", .help = "of a tile; <= 0: no split along the inputs"})
      .field("max_output_size", &P::max_output_size,
             {.unit = "columns", .help = "of a tile; <= 0: no split along the outputs"})
      .unused("weight_scaling_lr_compensation", "learning rates are those of `training`");
}

Type<tile::PrePostProcessingParameter> pre_post_parameter() {
  using P = tile::PrePostProcessingParameter;
  return Section<P>("PrePostProcessingParameter", "Digital processing in front of and behind a tile.")
      .field("input_range", &P::input_range, input_range_parameter())
      .field("periph_quant", &P::periph_quant, periphery_quantization_parameter())
      .field("fixed_point", &P::fixed_point, config::optional(fixed_point_parameter()),
             {.help = "the periphery in integers; null: scales and sums in float32"});
}

Type<tile::ActivationQuantConfig> activation_quant_config() {
  using P = tile::ActivationQuantConfig;
  using tile::RangeEstimator;
  const Type<P> estimator =
      Section<P>("RangeEstimatorParams", "Parameters of the range estimator; those of other estimators have no effect.")
          .field("percentile", &P::percentile,
                 {.unit = "%",
                  .range = legal("act_quant_config.percentile"),
                  .help = "current_minmax: this percentile instead of the extremes"})
          .field("momentum", &P::momentum,
                 {.range = legal("act_quant_config.momentum"), .help = "running_minmax: weight of the old range"})
          .field("range_opt_method", &P::golden_section, choice<bool>({{"golden_section", true}, {"grid", false}}),
                 {.help = "MSE, cross_entropy: search"})
          .field("num_candidates", &P::num_candidates,
                 {.range = legal("act_quant_config.num_candidates"), .help = "MSE, cross_entropy: points of the grid"})
          .field("range_margin", &P::range_margin,
                 {.range = legal("act_quant_config.range_margin"),
                  .help = "MSE, cross_entropy: the search goes this far beyond the extremes"});
  return Section<P>("ActivationQuantConfig", "A quantizer of a layer's output.")
      .field("n_bits", &P::n_bits, {.unit = "bit", .range = legal("act_quant_config.n_bits"), .help = "0: off"})
      .field("symmetric", &P::symmetric, {.help = "no zero point"})
      .field("range_estimator", &P::range_estimator,
             choice<RangeEstimator>({{"current_minmax", RangeEstimator::current_minmax},
                                     {"allminmax", RangeEstimator::allminmax},
                                     {"running_minmax", RangeEstimator::running_minmax},
                                     {"MSE", RangeEstimator::MSE},
                                     {"cross_entropy", RangeEstimator::cross_entropy}}),
             {.help = "how the range is found"})
      .group("range_estimator_params", estimator, true)
      .unused("range_estimator_to_params", "a table that dumps carry along");
}

}  // namespace tessera::spec
