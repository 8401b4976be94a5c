#include "ranges.hpp"
#include "tessera/config/section.hpp"
#include "tile_tables.hpp"

// What only training uses of an `rpu_config`.
namespace tessera::spec {

namespace {

using config::choice;
using config::Range;
using config::Section;
using config::Type;

const Range probability = Range::between(0.0, 1.0);

}  // namespace

Type<tile::WeightModifierParameter> weight_modifier_parameter() {
  using P = tile::WeightModifierParameter;
  using T = tile::WeightModifierType;
  return Section<P>("WeightModifierParameter",
                    "Training: disturbed copies of the weights, one per batch, that forward and backward passes use "
                    "(docs/models/modifiers.md). A is the largest weight of a tile. No effect on inference without "
                    "enable_during_test.")
      .field("type", &P::type,
             choice<T>({{"NONE", T::NONE},
                        {"DISCRETIZE", T::DISCRETIZE},
                        {"MULT_NORMAL", T::MULT_NORMAL, {"MultNormal"}},
                        {"ADD_NORMAL", T::ADD_NORMAL, {"AddNormal"}},
                        {"DISCRETIZE_ADD_NORMAL", T::DISCRETIZE_ADD_NORMAL, {"DiscretizeAddNormal"}},
                        {"DOREFA", T::DOREFA, {"DoReFa"}},
                        {"POLY", T::POLY},
                        {"PCM_NOISE", T::PCM_NOISE, {"PCMNoise"}},
                        {"PROG_NOISE", T::PROG_NOISE, {"ProgNoise"}},
                        {"DROP_CONNECT", T::DROP_CONNECT, {"DropConnect"}},
                        {"COPY", T::COPY}}),
             {.help = "what is done to the weights"})
      .field("std_dev", &P::std_dev, {.range = non_negative, .help = "scale of the noise"})
      .field("per_batch_sample", &P::per_batch_sample,
             {.help = "weights of their own for every vector; refused in training, see forward.w_noise"})
      .field("res", &P::res,
             {.help = "step of DISCRETIZE as a fraction of [-A, A], or number of steps in it; DOREFA: step; <= 0: off"})
      .field("sto_round", &P::sto_round, {.help = "stochastic rounding"})
      .field("dorefa_clip", &P::dorefa_clip, {.range = positive, .help = "DOREFA: largest weight"})
      .field("pdrop", &P::pdrop,
             {.range = probability, .help = "probability of a weight to be 0, after any type but NONE"})
      .field("enable_during_test", &P::enable_during_test,
             {.help = "in evaluations too: one draw for each chip and read"})
      .field("rel_to_actual_wmax", &P::rel_to_actual_wmax, {.help = "A is the largest weight; false: assumed_wmax"})
      .field("assumed_wmax", &P::assumed_wmax, {.range = positive, .help = "A if rel_to_actual_wmax is false"})
      .field("copy_last_column", &P::copy_last_column, {.help = "the last column (an analog bias) stays as it is"})
      .field("coeffs", &P::coeffs, config::list(config::real(), 1),
             {.help = "POLY, PROG_NOISE: noise as a polynomial of |W|/A, constant first"})
      .field("g_max", &P::g_max,
             {.unit = "uS", .range = positive, .help = "PROG_NOISE, PCM_NOISE: largest conductance"})
      .field("pcm_zero_thres", &P::pcm_zero_thres,
             {.range = non_negative, .help = "PCM_NOISE: smaller conductances, in programming noises, are 0"})
      .field("pcm_t_inference", &P::pcm_t_inference,
             {.unit = "s", .range = non_negative, .help = "PCM_NOISE: drift and read noise after this time; 0: none"})
      .field("pcm_prob_at_reset", &P::pcm_prob_at_reset,
             {.range = probability, .help = "PCM_NOISE: probability of a device stuck at 0"})
      .field("pcm_prob_at_gmax", &P::pcm_prob_at_gmax, {.range = probability, .help = "... at g_max"})
      .field("pcm_prob_at_random", &P::pcm_prob_at_random, {.range = probability, .help = "... at a random value"})
      .field("pcm_t0", &P::pcm_t0,
             {.unit = "s", .range = positive, .help = "PCM_NOISE: time after programming at which drift starts"});
}

Type<tile::WeightClipParameter> weight_clip_parameter() {
  using P = tile::WeightClipParameter;
  using T = tile::WeightClipType;
  return Section<P>("WeightClipParameter",
                    "Training: limit of the tile weights after every update. No effect on inference.")
      .field("type", &P::type,
             choice<T>({{"NONE", T::NONE},
                        {"FIXED_VALUE", T::FIXED_VALUE, {"FixedValue"}},
                        {"LAYER_GAUSSIAN", T::LAYER_GAUSSIAN, {"LayerGaussian"}},
                        {"AVERAGE_CHANNEL_MAX", T::AVERAGE_CHANNEL_MAX, {"AverageChannelMax"}}}),
             {.help = "fixed_value, sigma standard deviations, or the mean of the outputs' largest weights"})
      .field("fixed_value", &P::fixed_value, {.help = "FIXED_VALUE: the limit, else its upper bound; <= 0: none"})
      .field("sigma", &P::sigma, {.range = positive, .help = "LAYER_GAUSSIAN: limit in standard deviations"});
}

Type<tile::WeightRemapParameter> weight_remap_parameter() {
  using P = tile::WeightRemapParameter;
  using T = tile::WeightRemapType;
  return Section<P>("WeightRemapParameter",
                    "Training: mapping scales that follow the weights after every update. No effect on inference.")
      .field("type", &P::type,
             choice<T>({{"NONE", T::NONE},
                        {"LAYERWISE_SYMMETRIC", T::LAYERWISE_SYMMETRIC, {"LayerwiseSymmetric"}},
                        {"CHANNELWISE_SYMMETRIC", T::CHANNELWISE_SYMMETRIC, {"ChannelwiseSymmetric"}}}),
             {.help = "one factor per tile or per output"})
      .field("remapped_wmax", &P::remapped_wmax, {.range = positive, .help = "largest tile weight afterwards"})
      .field("max_scale_range", &P::max_scale_range,
             {.range = non_negative, .help = "CHANNELWISE_SYMMETRIC: largest ratio of scales; 0: none"})
      .field("max_scale_ref", &P::max_scale_ref, {.help = "... to the smallest scale or this, whichever is larger"});
}

}  // namespace tessera::spec
