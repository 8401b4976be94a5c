// Is the fixed-point periphery read as it is written, and refused with position and reason where it has no meaning?
#include <gtest/gtest.h>

#include <algorithm>

#include "tessera/core/error.hpp"
#include "tessera/spec/rpu_config.hpp"
#include "tessera/spec/search.hpp"
#include "tessera/tile/fixed_point.hpp"

namespace tessera::spec {
namespace {

using tile::FixedPointParameter;

const std::string codes = "forward: {noise_management: NONE, bound_management: NONE, inp_res: 254, out_res: 254}\n";

FixedPointParameter read(const std::string& text) {
  return *read_rpu_parameters(codes + "pre_post:\n  fixed_point:\n" + text, "fx.yaml").pre_post.fixed_point;
}

TEST(FixedPointKeys, EveryKeyIsRead) {
  const FixedPointParameter p = read(
      "    scale:       {integer_bits: 2, fraction_bits: 5, signed: true, exponent: per_column, exponent_bits: 4}\n"
      "    bias:        {integer_bits: 6, fraction_bits: 2, at: tile}\n"
      "    product:     {cut: 1, rounding: half_away}\n"
      "    accumulator: {bits: 20, overflow: wrap, fraction_bits: 6}\n"
      "    output:      {bits: 7, rounding: truncate, range: 3.5, power_of_two: true, fuse_relu: false, signed: "
      "false}\n"
      "    recompute_on_drift: false\n"
      "    alpha: {integer_bits: 1, fraction_bits: 5}\n"
      "    add: {integer_bits: 2, fraction_bits: 9, rounding: half_away}\n"
      "    chain: false\n"
      "    fold_batch_normalization: false\n");
  EXPECT_EQ(tile::format_of(p.scale).text(), "Q(s,2,5)");
  EXPECT_EQ(p.scale.exponent, tile::ScaleExponent::per_column);
  EXPECT_EQ(p.scale.exponent_bits, 4);
  EXPECT_EQ(tile::format_of(p.bias).text(), "Q(s,6,2)");
  EXPECT_EQ(p.bias.at, tile::BiasPlace::tile);
  EXPECT_EQ(p.product.cut, 1);
  EXPECT_EQ(p.product.rounding, tile::FixedPointRounding::half_away);
  EXPECT_EQ(p.accumulator.bits, 20);
  EXPECT_EQ(p.accumulator.overflow, tile::FixedPointOverflow::wrap);
  EXPECT_EQ(p.accumulator.fraction_bits, 6);
  EXPECT_EQ(p.output.bits, 7);
  EXPECT_EQ(p.output.range, 3.5);
  EXPECT_EQ(p.output.is_signed, tile::Signedness::is_unsigned);
  EXPECT_TRUE(p.output.power_of_two);
  EXPECT_FALSE(p.output.fuse_relu || p.recompute_on_drift || p.chain || p.fold_batch_normalization);
  EXPECT_EQ(p.alpha.fraction_bits, 5);
  EXPECT_EQ(tile::format_of(p.add).text(), "Q(u,2,9)");
  EXPECT_EQ(p.add.rounding, tile::FixedPointRounding::half_away);
}

TEST(FixedPointKeys, TheDefaultsAreThePublishedFormats) {
  EXPECT_EQ(read("    {}\n"), tile::fixed_point_preset("nmpu_ferro2024"));
  EXPECT_EQ(read("    {preset: nmpu_ferro2024, output: {range: calibrated}}\n"), FixedPointParameter{});
  FixedPointParameter wide = tile::fixed_point_preset("int8_int32");
  wide.output.bits = 6;
  EXPECT_EQ(read("    {preset: int8_int32, output: {bits: 6}}\n"), wide);
  EXPECT_EQ(read("    {preset: fp16}\n").arithmetic, tile::PeripheryArithmetic::binary16);
  EXPECT_FALSE(read_rpu_parameters("{}", "fx.yaml").pre_post.fixed_point);
}

TEST(FixedPointKeys, WhatIsWrittenIsReadBack) {
  for (const std::string& name : tile::fixed_point_presets()) {
    RpuConfig config = read_rpu_config(codes + "pre_post: {fixed_point: {preset: " + name + "}}\n", "fx.yaml");
    EXPECT_EQ(read_rpu_config(to_node(config)).tile, config.tile);
    config.tile.pre_post.fixed_point->output.range = 2.5;
    EXPECT_EQ(read_rpu_config(to_node(config)).tile, config.tile);
  }
}

struct Bad {
  const char* text;
  const char* key;
  int line;  ///< of the problem; the section's where the key is not there
};
const Bad bad[] = {
    {"    scale: {integer_bits: 0, fraction_bits: 0}\n", "scale.fraction_bits", 4},
    {"    scale: {integer_bits: 1, fraction_bits: 32}\n", "scale.fraction_bits", 4},
    {"    chain: true\n    bias: {integer_bits: 20, fraction_bits: 13}\n", "bias.fraction_bits", 5},
    {"    output: {bits: -1}\n", "output.bits", 4},
    {"    output: {bits: 33}\n", "output.bits", 4},
    {"    accumulator: {bits: 15}\n", "accumulator.bits", 4},
    {"    output: {range: -2}\n", "output.range", 4},
    {"    output: {range: calibratd}\n", "output.range", 4},
    {"    preset: nmpu\n", "preset", 4},
    {"    product: {cut: -1}\n", "product.cut", 4},
    {"    scale: {width: 8}\n", "scale.width", 4},
    {"    add: {integer_bits: 0, fraction_bits: 33}\n", "add.fraction_bits", 4},
    {"    add: {integer_bits: -7, fraction_bits: 7}\n", "add.fraction_bits", 4},
    {"    add: {rounding: stochastic}\n", "add.rounding", 4},
    {"    output: {init_from: act_quant_config}\n", "output.init_from", 4},
    {"    output: {init_from: weights}\n", "output.init_from", 4},
    {"    output: {init_from: act_quant_config, range: 2}\nact_quant_config: {n_bits: 8}\n", "output.range", 4},
    {"    bias: {signed: false, integer_bits: -3, fraction_bits: 2}\n", "bias.fraction_bits", 4},
};

TEST(FixedPointKeys, BadFormatsAreRefusedWithPositionAndReason) {
  for (const Bad& each : bad) {
    SCOPED_TRACE(each.text);
    try {
      read(each.text);
      ADD_FAILURE();
    } catch (const ConfigError& error) {
      const auto problem = std::ranges::find_if(error.problems(), [&](const Problem& p) {
        return p.key.find(each.key) != std::string::npos;  // others may follow from it
      });
      ASSERT_NE(problem, error.problems().end()) << error.what();
      EXPECT_EQ(problem->line, each.line) << problem->text();
      EXPECT_GT(problem->message.size(), 10U);
    }
  }
  try {
    read_rpu_parameters("forward: {noise_management: ABS_MAX, bound_management: NONE}\npre_post: {fixed_point: {}}\n",
                        "fx.yaml");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().front().key, "forward.noise_management");
    EXPECT_EQ(error.problems().front().line, 1);
  }
}

}  // namespace
}  // namespace tessera::spec
