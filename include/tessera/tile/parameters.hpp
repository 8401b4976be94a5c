#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/circuit/parameters.hpp"
#include "tessera/quant/range_estimator.hpp"
#include "tessera/tile/effect_numbers.hpp"
#include "tessera/tile/fixed_point_parameters.hpp"

/// Parameters of an analog tile and its digital periphery. Names and defaults are those of aihwkit 1.1
/// (reference sections 2 and 14; quantization section E); units: weights, inputs and outputs are normalised ("1" is the
/// largest weight, the DAC's full scale, and their product). Plain values; validate() once, then constant.
namespace tessera::tile {

enum class AnalogMVType { IDEAL, ONE_PASS, POS_NEG_SEPARATE, POS_NEG_SEPARATE_DIGITAL_SUM, SPLIT_MODE, BIT_WISE };
enum class NoiseManagementType { NONE, ABS_MAX, ABS_MAX_NP_SUM, MAX, CONSTANT, AVERAGE_ABS_MAX };
enum class BoundManagementType { NONE, ITERATIVE, ITERATIVE_WORST_CASE, SHIFT };
enum class WeightNoiseType { NONE, ADDITIVE_CONSTANT, PCM_READ };
struct Effect;

/// The analog matrix-vector product between DAC and ADC. Everything is in normalised units: x' is the input behind the
/// input range, c its noise-management scale, z what the lines carry, v a column's value (weight times z), xi a
/// standard normal draw. A resolution p > 1 is a number of steps over the full range [-bound, bound]; 0 < p <= 1 is one
/// step as a fraction of that range; p <= 0 turns the quantizer off; n bits are 2^n - 2 or 1 / (2^n - 2). A bound <= 0
/// is infinite. Laws: docs/models/effects.md and the pages named there; each field belongs to one effect (effects.hpp).
struct IOParameters {
  bool is_perfect = false;                        ///< v = W x', nothing below but out_scale
  AnalogMVType mv_type = AnalogMVType::ONE_PASS;  ///< passes: all lines at once, by sign, or digit by digit
  double inp_bound = 1.0;                         ///< full scale of the DAC: z = clamp(z, -inp_bound, inp_bound)
  double inp_noise = 0.0;                         ///< z += inp_noise xi, behind the clamp; >= 0
  double inp_res = 1.0 / 126.0;  ///< of the DAC: z = Delta rint(x' c / Delta), Delta = 2 inp_bound rho(inp_res)
  bool inp_sto_round = false;    ///< DAC: rint(x' c / Delta + u - 1/2), u uniform on (0, 1)
  double inp_asymmetry = 0.0;    ///< z < 0: z *= 1 - inp_asymmetry
  double out_bound = 12.0;       ///< full scale of the ADC: v = clamp(v, -out_bound, out_bound)
  double out_noise = 0.06;       ///< v += out_noise xi, in front of the ADC; >= 0
  double out_noise_std = 0.0;    ///< output i has |out_noise (1 + out_noise_std xi_i)|, drawn once; >= 0
  double out_res = 1.0 / 510.0;  ///< of the ADC: v = Delta rint(v / Delta), Delta = 2 out_bound rho(out_res)
  bool out_sto_round = false;    ///< ADC: as inp_sto_round
  double out_scale = 1.0;        ///< digital factor on the result: y = v out_scale / c
  double out_asymmetry = 0.0;    ///< v < 0: v *= 1 - out_asymmetry, in front of noise and ADC
  BoundManagementType bound_management = BoundManagementType::ITERATIVE;  ///< what follows where a vector clips the ADC
  NoiseManagementType noise_management = NoiseManagementType::ABS_MAX;    ///< how c is found: c = 1 / max |x'|, ...
  double w_noise = 0.0;                                                   ///< read noise: v_i += w_noise s_i xi_i; >= 0
  WeightNoiseType w_noise_type = WeightNoiseType::NONE;  ///< s_i = ||z|| or, PCM_READ, sqrt(sum |W_ij| z_j^2)
  double ir_drop = 0.0;  ///< v_i -= ir_drop C(A_i) sum_j W_ij z_j P_j, A_i = N/G sum |W_ij| |z_j|; >= 0
  double ir_drop_g_ratio = 1.0 / 0.35 / 5e-6;  ///< G: conductance of a wire segment over the largest device's; > 0
  double out_nonlinearity = 0.0;       ///< v_i = F v_i / (1 + |k_i v_i|), mean k = out_nonlinearity / out_bound; >= 0
  double out_nonlinearity_std = 0.0;   ///< relative spread of k over the outputs, drawn once; >= 0
  double slope_calibration = 0.0;      ///< F = (1 + (mean k + r_series) slope_calibration out_bound)^2; 0: F = 1; >= 0
  double v_offset_std = 0.0;           ///< offset of output i: o_i = max(v_offset_std xi_i, 0), drawn once; >= 0
  double v_offset_w_min = -1.0;        ///< weight w0 of the implicit reference device that o_i and r_series act on
  double r_series = 0.0;               ///< R per output line: v = v / (1 + R |v|), without reference device; >= 0
  double w_read_asymmetry_dtod = 0.0;  ///< negative inputs read W o K, K_ij = 1 + w_read_asymmetry_dtod xi_ij; >= 0
  int max_bm_factor = 1000;            ///< bound management ends once inputs are reduced by more than this; 0: at once
  double max_bm_res = 0.25;            ///< ... or by more than max_bm_res / Delta of the DAC
  bool bm_test_negative_bound = true;  ///< negative clipping repeats a vector, too
  double nm_thres = 0.0;               ///< CONSTANT: c = 1 / nm_thres; else the largest 1 / c; 0: none
  int split_mode_bit_shift = 3;        ///< SPLIT_MODE: bits of the low part of a code, sent on its own
  EffectNumbers numbers = {};          ///< of effects beyond aihwkit's keys, by key: docs/models/effects.md
  std::vector<std::shared_ptr<const Effect>> own_effects = {};  ///< a program's, besides effects() (effect_law.hpp)

  bool operator==(const IOParameters&) const = default;
};

/// The static input range r of a tile: x is clipped to [-r, r] and divided by r in front of the DAC.
struct InputRangeParameter {
  bool enable = false;                  ///< false: x' = x
  bool learn_input_range = true;        ///< training: r is learned
  double init_value = 3.0;              ///< r before calibration or training, in units of x; > 0
  int init_from_data = 100;             ///< training batches whose spread r averages first; 0: none
  double init_std_alpha = 3.0;          ///< r of a batch, in its standard deviations; >= 0
  double decay = 0.001;                 ///< training: gradient decay r while enough inputs are inside; >= 0
  double input_min_percentage = 0.95;   ///< enough: this fraction
  bool manage_output_clipping = false;  ///< training: r grows where outputs clip
  double output_min_percentage = 0.95;  ///< ... while less than this fraction is unclipped
  double gradient_scale = 1.0;          ///< training: factor on a relative gradient
  bool gradient_relative = true;        ///< training: the gradient is multiplied by r gradient_scale
  std::optional<std::string> calibration_info = {};  ///< note left by a calibration

  bool operator==(const InputRangeParameter&) const = default;
};

/// Quantization of the merged affine scale (input range * mapping scale * learned output scale) and of the bias.
struct PeripheryQuantizationParameter {
  int n_bits = 0;  ///< <= 0: float32 periphery
  bool symmetric = true;
  bool learn_quant_params = false;
  int init_learning_after = 100;
  bool per_column = false;    ///< beyond the peer: one step per output instead of one per tile
  bool power_of_two = false;  ///< beyond the peer: steps rounded up to a power of two
  bool scale = true;          ///< beyond the peer: false leaves the scale in float32
  bool bias = true;           ///< beyond the peer: false leaves the bias in float32

  bool operator==(const PeripheryQuantizationParameter&) const = default;
};

struct PrePostProcessingParameter {
  InputRangeParameter input_range;
  PeripheryQuantizationParameter periph_quant;
  std::optional<FixedPointParameter> fixed_point = {};  ///< none: scales, bias and sums in float32

  bool operator==(const PrePostProcessingParameter&) const = default;
};

using RangeEstimator = quant::RangeEstimators;

/// A quantizer of a tile's output, per tensor (quantization sections C.4 and E.2).
struct ActivationQuantConfig {
  int n_bits = 0;  ///< <= 0: off
  bool symmetric = true;
  RangeEstimator range_estimator = RangeEstimator::running_minmax;
  double momentum = 0.9;                  ///< running_minmax: weight of the old range
  std::optional<double> percentile = {};  ///< current_minmax: percentile instead of the extremes
  int num_candidates = 100;               ///< MSE, cross_entropy: grid size
  double range_margin = 0.5;              ///< MSE, cross_entropy
  bool golden_section = true;             ///< MSE, cross_entropy: golden section instead of a grid

  bool operator==(const ActivationQuantConfig&) const = default;
};

/// How a layer's weights are placed on tiles (section 6).
struct MappingParameter {
  bool digital_bias = true;
  /// Of an analog bias (docs/models/peer_defects.md): false: its line is driven by 1 / r behind an input range r and is
  /// not clipped; true (aihwkit): driven by 1 and clipped like an input, so that the result carries r times the bias.
  bool bias_line_as_input = false;
  double weight_scaling_omega = 0.0;  ///< <= 0: weights are used unscaled
  bool weight_scaling_columnwise = false;
  /// Mapping scale of an output, or of a tile, without weights: false: the smallest of the others; true (aihwkit): 1.
  bool unit_scale_of_dead_outputs = false;
  bool learn_out_scaling = false;
  bool out_scaling_columnwise = false;
  int max_input_size = 512;   ///< rows of a tile; <= 0: no split along the inputs
  int max_output_size = 512;  ///< columns of a tile; <= 0: no split along the outputs

  bool operator==(const MappingParameter&) const = default;
};

/// What hardware-aware training does to the weights of every batch (reference section 11.1; docs/models/modifiers.md).
enum class WeightModifierType {
  NONE,
  DISCRETIZE,
  MULT_NORMAL,
  ADD_NORMAL,
  DISCRETIZE_ADD_NORMAL,
  DOREFA,
  POLY,
  PCM_NOISE,
  PROG_NOISE,
  DROP_CONNECT,
  COPY
};

/// Training; inference with `enable_during_test` only.
struct WeightModifierParameter {
  WeightModifierType type = WeightModifierType::NONE;
  double std_dev = 0.0;
  bool per_batch_sample = false;  ///< a draw for every vector instead of one per batch; ADD_NORMAL and MULT_NORMAL
  double res = 0.0;               ///< step over the largest weight; > 1: number of steps in it; <= 0: none
  bool sto_round = false;
  double dorefa_clip = 0.6;
  double pdrop = 0.0;               ///< probability of a weight to be 0, after any type
  bool enable_during_test = false;  ///< in evaluations too: one draw for each chip and read
  bool rel_to_actual_wmax = true;   ///< A = max |W|; else assumed_wmax
  double assumed_wmax = 1.0;
  bool copy_last_column = false;  ///< the last column (an analog bias) stays as it is
  std::vector<double> coeffs = {0.0105392, 0.0768, -0.046925};
  double g_max = 25.0;
  double pcm_zero_thres = 0.0;
  double pcm_t_inference = 0.0;
  double pcm_prob_at_reset = 0.0;
  double pcm_prob_at_gmax = 0.0;
  double pcm_prob_at_random = 0.0;
  double pcm_t0 = 20.0;

  bool operator==(const WeightModifierParameter&) const = default;
};

enum class WeightClipType { NONE, FIXED_VALUE, LAYER_GAUSSIAN, AVERAGE_CHANNEL_MAX };

/// Limits of the weights after every update (section 11.2). Training only.
struct WeightClipParameter {
  WeightClipType type = WeightClipType::NONE;
  double fixed_value = -1.0;  ///< <= 0: none
  double sigma = 2.5;         ///< LAYER_GAUSSIAN: limit in standard deviations

  bool operator==(const WeightClipParameter&) const = default;
};

enum class WeightRemapType { NONE, LAYERWISE_SYMMETRIC, CHANNELWISE_SYMMETRIC };

/// Mapping scales that follow the weights after every update (section 11.3). Training only.
struct WeightRemapParameter {
  WeightRemapType type = WeightRemapType::NONE;
  double remapped_wmax = 1.0;
  double max_scale_range = 0.0;  ///< > 0: largest ratio of mapping scales
  double max_scale_ref = 0.0;    ///< lower limit of what the ratio refers to

  bool operator==(const WeightRemapParameter&) const = default;
};

/// Everything of an `rpu_config` that concerns the product and its periphery. Programming noise, drift and drift
/// compensation are module device's.
struct RpuParameters {
  IOParameters forward;
  MappingParameter mapping;
  PrePostProcessingParameter pre_post;
  std::optional<ActivationQuantConfig> act_quant_config;
  WeightModifierParameter modifier;
  WeightClipParameter clip;
  WeightRemapParameter remap;
  /// Tiles as circuits instead of the product above: what `forward` describes is then done by the crossbar's own
  /// converters, cells and wires, and `forward` has no effect (crossbar_engine.hpp).
  std::optional<circuit::CrossbarParameters> crossbar = {};

  bool operator==(const RpuParameters&) const = default;
};

/// Throws ConfigError naming every value that is out of range and every combination that has no meaning.
/// Keys are given relative to the `rpu_config` ("forward.out_res").
void validate(const RpuParameters& parameters);

}  // namespace tessera::tile
