#include "tessera/config/section.hpp"
#include "tessera/core/error.hpp"
#include "tessera/tile/effects.hpp"
#include "tessera/tile/fixed_point.hpp"
#include "tile_tables.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Node;
using config::Report;
using config::Section;
using config::Type;
using tile::FixedPointOverflow;
using tile::FixedPointRounding;

tessera::Range legal_width(const std::string& key) {
  const tile::EffectKey* known = tile::find_effect_key("pre_post.fixed_point." + key);
  TESSERA_EXPECT(known != nullptr);
  return known->range;
}

Type<FixedPointRounding> fixed_point_rounding() {
  return choice<FixedPointRounding>({{"nearest_even", FixedPointRounding::nearest_even},
                                     {"half_up", FixedPointRounding::half_up},
                                     {"half_away", FixedPointRounding::half_away},
                                     {"truncate", FixedPointRounding::truncate},
                                     {"toward_zero", FixedPointRounding::toward_zero},
                                     {"stochastic", FixedPointRounding::stochastic}});
}

Type<FixedPointOverflow> fixed_point_overflow() {
  return choice<FixedPointOverflow>({{"saturate", FixedPointOverflow::saturate}, {"wrap", FixedPointOverflow::wrap}});
}

constexpr const char* exact_help = "true: this stage computes with real numbers, to tell the costs apart";

Type<tile::ScaleFormat> scale_format() {
  using P = tile::ScaleFormat;
  using tile::ScaleExponent;
  return Section<P>("ScaleFormat", "The stored multiplier M of an output: output codes per ADC code.")
      .field("integer_bits", &P::integer_bits,
             {.unit = "bit", .range = legal_width("scale.integer_bits"), .help = "sign not counted; may be negative"})
      .field("fraction_bits", &P::fraction_bits,
             {.unit = "bit", .range = legal_width("scale.fraction_bits"), .help = "may be negative"})
      .field("signed", &P::is_signed, {.help = "one more bit, for negative multipliers"})
      .field("exponent", &P::exponent,
             choice<ScaleExponent>({{"none", ScaleExponent::none},
                                    {"per_tile", ScaleExponent::per_tile},
                                    {"per_column", ScaleExponent::per_column}}),
             {.help = "a power of two that multipliers share: the largest for which none of the group saturates"})
      .field("exponent_bits", &P::exponent_bits,
             {.unit = "bit", .range = legal_width("scale.exponent_bits"), .help = "of the exponent, with its sign"})
      .field("exact", &P::exact, {.help = exact_help})
      .field("saturation_warning", &P::saturation_warning,
             {.range = legal_width("scale.saturation_warning"),
              .help = "a warning where more than this fraction of a layer's multipliers saturates"});
}

Type<tile::BiasFormat> bias_format() {
  using P = tile::BiasFormat;
  using tile::BiasPlace;
  return Section<P>("BiasFormat", "The stored bias of an output, in output codes.")
      .field("integer_bits", &P::integer_bits,
             {.unit = "bit", .range = legal_width("bias.integer_bits"), .help = "sign not counted; may be negative"})
      .field("fraction_bits", &P::fraction_bits,
             {.unit = "bit", .range = legal_width("bias.fraction_bits"), .help = "may be negative"})
      .field("signed", &P::is_signed, {.help = "one more bit, for negative biases"})
      .field("at", &P::at, choice<BiasPlace>({{"array", BiasPlace::array}, {"tile", BiasPlace::tile}}),
             {.help = "array: added once behind all tiles; tile: in equal parts behind every tile"})
      .field("exact", &P::exact, {.help = exact_help});
}

Type<tile::ProductFormat> product_format() {
  using P = tile::ProductFormat;
  return Section<P>("ProductFormat", "What is dropped of a product before it is added.")
      .field("cut", &P::cut, {.unit = "bit", .range = legal_width("product.cut"), .help = "dropped; 0: none"})
      .field("rounding", &P::rounding, fixed_point_rounding(),
             {.help = "of the cut, and of aligning to the accumulator"})
      .field("exact", &P::exact, {.help = exact_help});
}

Type<tile::AccumulatorFormat> accumulator_format() {
  using P = tile::AccumulatorFormat;
  return Section<P>("AccumulatorFormat", "The signed sum over the tiles of an output.")
      .field("bits", &P::bits, {.unit = "bit", .range = legal_width("accumulator.bits"), .help = "with the sign"})
      .field("overflow", &P::overflow, fixed_point_overflow(), {.help = "after every addition"})
      .field("fraction_bits", &P::fraction_bits,
             {.unit = "bit",
              .range = legal_width("accumulator.fraction_bits"),
              .help = "null: the larger of scale.fraction_bits - product.cut and bias.fraction_bits"})
      .field("exact", &P::exact, {.help = exact_help});
}

// "calibrated", null, or a number.
Type<std::optional<double>> output_range() {
  const Type<double> number = config::real(legal_width("output.range"));
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::text;
  return {
      info,
      [number](const Node& node, const std::string& key, std::optional<double>& value, Report& report) {
        if (node.is_null() || (node.is_scalar() && node.scalar == "calibrated")) {
          value.reset();
          return;
        }
        double read = value.value_or(1.0);
        number.read(node, key, read, report);
        value = read;
      },
      [number](const std::optional<double>& value) { return value ? number.write(*value) : Node::text("calibrated"); }};
}

Type<tile::OutputFormat> output_format() {
  using P = tile::OutputFormat;
  using tile::OutputRangeSource;
  using tile::Signedness;
  return Section<P>("OutputFormat", "The code of a layer's output, whose step is the unit of the datapath.")
      .field("bits", &P::bits,
             {.unit = "bit",
              .range = legal_width("output.bits"),
              .help = "with a sign if signed; 0: the accumulator is read as it is"})
      .field("rounding", &P::rounding, fixed_point_rounding(), {.help = "from the accumulator to the code"})
      .field("overflow", &P::overflow, fixed_point_overflow(), {.help = "of outputs beyond the code"})
      .field(
          "signed", &P::is_signed,
          choice<Signedness>(
              {{"auto", Signedness::automatic}, {"true", Signedness::is_signed}, {"false", Signedness::is_unsigned}}),
          {.help = "auto: unsigned behind a fused ReLU, unless the DACs that follow lack the codes above 2^(bits-1)"})
      .field("range", &P::range, output_range(),
             {.help = "largest magnitude of the output; calibrated: from data (`tessera calibrate`, or the first "
                      "samples of a run)"})
      .field("init_from", &P::init_from,
             choice<OutputRangeSource>(
                 {{"data", OutputRangeSource::data}, {"act_quant_config", OutputRangeSource::act_quant_config}}),
             {.help = "calibrated: data: the largest magnitudes; act_quant_config: the range of the quantizer that "
                      "act_quant_config describes (from the model file, else as its range_estimator says), which "
                      "then quantizes nothing itself"})
      .field("quantile", &P::quantile,
             {.range = legal_width("output.quantile"),
              .help = "calibrated: of the magnitudes of a batch, which the range is; 1: the largest"})
      .field("power_of_two", &P::power_of_two, {.help = "step rounded up to a power of two"})
      .field("fuse_relu", &P::fuse_relu, {.help = "a ReLU that alone takes the output becomes part of it"})
      .field("exact", &P::exact, {.help = exact_help});
}

Type<tile::AlphaFormat> alpha_format() {
  using P = tile::AlphaFormat;
  return Section<P>("AlphaFormat", "The factor of drift compensation as a second multiplier, unsigned.")
      .field("integer_bits", &P::integer_bits,
             {.unit = "bit", .range = legal_width("alpha.integer_bits"), .help = "may be negative"})
      .field("fraction_bits", &P::fraction_bits,
             {.unit = "bit", .range = legal_width("alpha.fraction_bits"), .help = "may be negative"});
}

Type<tile::AddFormat> add_format() {
  using P = tile::AddFormat;
  return Section<P>("AddFormat",
                    "The multipliers of an Add in front of the layer whose operands are codes of different steps: they "
                    "bring both to the step of the layer's DAC. Unsigned.")
      .field("integer_bits", &P::integer_bits,
             {.unit = "bit", .range = legal_width("add.integer_bits"), .help = "may be negative"})
      .field("fraction_bits", &P::fraction_bits,
             {.unit = "bit", .range = legal_width("add.fraction_bits"), .help = "may be negative"})
      .field("rounding", &P::rounding, fixed_point_rounding(), {.help = "of the sum, to the DAC's code"});
}

std::shared_ptr<const config::TypeInfo> format_names() {
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::choice;
  info->words = tile::fixed_point_presets();
  info->nullable = true;
  return info;
}

void start_from_format(const Node& node, const std::string& key, tile::FixedPointParameter& value, Report& report) {
  if (node.is_null()) return;
  if (!node.is_scalar()) {
    report.problem(node.position, key, fmt::format("expected the name of a preset, got {}", describe(node)));
    return;
  }
  try {
    value = tile::fixed_point_preset(node.scalar);
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) report.problem(node.position, key, problem.message);
  }
}

}  // namespace

Type<tile::FixedPointParameter> fixed_point_parameter() {
  using P = tile::FixedPointParameter;
  using tile::PeripheryArithmetic;
  return Section<P>("FixedPointParameter",
                    "The periphery as hardware builds it: integers of given widths behind the ADC. A format of i "
                    "integer and f fraction bits has codes c for the values c 2^-f.")
      .action("preset", format_names(), {.help = "formats of a published design; the keys beside it are read over it"},
              start_from_format)
      .field("arithmetic", &P::arithmetic,
             choice<PeripheryArithmetic>(
                 {{"fixed_point", PeripheryArithmetic::fixed_point}, {"binary16", PeripheryArithmetic::binary16}}),
             {.help = "binary16: scale, bias and sums as half-precision numbers, for comparison"})
      .field("scale", &P::scale, scale_format())
      .field("bias", &P::bias, bias_format())
      .field("product", &P::product, product_format())
      .field("accumulator", &P::accumulator, accumulator_format())
      .field("output", &P::output, output_format())
      .field("recompute_on_drift", &P::recompute_on_drift,
             {.help = "drift compensation changes the stored multiplier; false: it is a second multiplier, `alpha`"})
      .field("alpha", &P::alpha, alpha_format())
      .field("add", &P::add, add_format())
      .field("chain", &P::chain,
             {.help = "input ranges follow the output step of the layers in front, so that codes pass unconverted"})
      .field("fold_batch_normalization", &P::fold_batch_normalization,
             {.help = "batch normalization behind a layer becomes part of its scale and bias"});
}

}  // namespace tessera::spec
