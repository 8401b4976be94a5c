// Question: do converters place weights as documented, use the range, give weights back, and name what is wrong?
#include "tessera/device/conductance_converter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace tessera::device {
namespace {

std::vector<std::vector<float>> conductances(const ConductanceConverter& converter, std::span<const float> weights) {
  const Conversion conversion = make_conversion(converter, weights);
  std::vector<std::vector<float>> result;
  for (std::int64_t d = 0; d < device_count(converter); ++d) {
    std::vector<float>& g = result.emplace_back(weights.size());
    to_conductances(converter, conversion, d, weights, g);
  }
  return result;
}

std::vector<float> round_trip(const ConductanceConverter& converter, std::span<const float> weights) {
  std::vector<float> all;
  for (const std::vector<float>& g : conductances(converter, weights)) all.insert(all.end(), g.begin(), g.end());
  std::vector<float> back(weights.size());
  to_weights(converter, make_conversion(converter, weights), all, static_cast<std::int64_t>(weights.size()), back);
  return back;
}

CustomPairConductanceConverter custom() {
  return {.f_lst = {1.0, 2.0},
          .g_lst = {{0, 0, 0, 5, 10}, {10, 5, 0, 0, 0}, {0, 0, 0, 5, 10}, {10, 5, 0, 0, 0}},
          .g_max = 10.0};
}

std::vector<ConductanceConverter> every_converter() {
  return {SinglePairConductanceConverter{},
          SinglePairConductanceConverter{.g_max = 20.0, .g_min = 2.0},
          SingleDeviceConductanceConverter{},
          NPairConductanceConverter{.f_lst = {1.0, 2.0, 0.5}, .g_min = 1.0},
          DualPairConductanceConverter{.f_lst = {1.0, 3.0}},
          custom()};
}

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

TEST(Converter, SinglePairPutsEachSignOnItsDevice) {
  const auto g = conductances(SinglePairConductanceConverter{.g_max = 25.0, .g_min = 1.0},
                              std::vector<float>{-0.5F, 0.0F, 0.25F, 0.5F});
  EXPECT_THAT(g[0], ElementsAre(1.0F, 1.0F, 13.0F, 25.0F));
  EXPECT_THAT(g[1], ElementsAre(25.0F, 1.0F, 1.0F, 1.0F));
}

TEST(Converter, SingleDeviceSpansTheWholeRange) {
  const auto g = conductances(SingleDeviceConductanceConverter{.g_max = 90.0, .g_min = 10.0},
                              std::vector<float>{-1.0F, 0.0F, 3.0F});
  EXPECT_THAT(g[0], ElementsAre(10.0F, 30.0F, 90.0F));
}

TEST(Converter, NPairFillsTheFirstListedPairFirst) {
  // f = 1, 3: the first pair carries the first quarter of the range, the second the rest.
  const auto g = conductances(DualPairConductanceConverter{.f_lst = {1.0, 3.0}, .g_max = 20.0},
                              std::vector<float>{0.125F, 0.25F, 0.625F, 1.0F, -1.0F});
  EXPECT_THAT(g[0], ElementsAre(10.0F, 20.0F, 20.0F, 20.0F, 0.0F));
  EXPECT_THAT(g[2], ElementsAre(0.0F, 0.0F, 10.0F, 20.0F, 0.0F));
  EXPECT_THAT(g[3], ElementsAre(0.0F, 0.0F, 0.0F, 0.0F, 20.0F));
}

TEST(Converter, CustomPairInterpolatesItsLists) {
  const auto g = conductances(custom(), std::vector<float>{-1.0F, -0.25F, 0.0F, 0.75F, 1.0F});
  EXPECT_THAT(g[0], ElementsAre(0.0F, 0.0F, 0.0F, 7.5F, 10.0F));
  EXPECT_THAT(g[1], ElementsAre(10.0F, 2.5F, 0.0F, 0.0F, 0.0F));
}

TEST(Converter, EveryConverterGivesWeightsBackAndStaysInRange) {
  std::vector<float> weights(101);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = 0.37F * (static_cast<float>(i) / 50.0F - 1.0F);
  for (const ConductanceConverter& converter : every_converter()) {
    SCOPED_TRACE(converter.index());
    EXPECT_THAT(round_trip(converter, weights), Pointwise(FloatNear(1e-6F), weights));
    float low = std::numeric_limits<float>::max(), high = 0.0F;
    for (const auto& g : conductances(converter, weights)) {
      for (const float v : g) {
        low = std::min(low, v);
        high = std::max(high, v);
      }
    }
    EXPECT_FLOAT_EQ(low, static_cast<float>(g_min(converter)));
    EXPECT_FLOAT_EQ(high, static_cast<float>(g_max(converter)));
  }
}

TEST(Converter, ZeroAndConstantWeightsStayFinite) {
  for (const ConductanceConverter& converter : every_converter()) {
    SCOPED_TRACE(converter.index());
    for (const float value : {0.0F, 0.5F}) {
      const std::vector<float> weights(5, value);
      EXPECT_THAT(round_trip(converter, weights), Pointwise(FloatNear(1e-6F), weights));
    }
    EXPECT_TRUE(std::isfinite(make_conversion(converter, {}).uS_per_weight));
  }
}

std::string problems_of(const ConductanceConverter& converter) {
  std::vector<Problem> problems;
  find_problems(converter, "c", problems);
  std::string text;
  for (const Problem& p : problems) text += p.text() + "\n";
  return text;
}

TEST(Converter, ValidOnesHaveNoProblems) {
  for (const ConductanceConverter& converter : every_converter()) EXPECT_EQ(problems_of(converter), "");
}

TEST(Converter, ProblemsAreNamed) {
  const double nan = std::nan("");
  EXPECT_THAT(problems_of(SinglePairConductanceConverter{.g_max = 5.0, .g_min = 5.0}),
              HasSubstr("c.g_min: must be below"));
  EXPECT_THAT(problems_of(SinglePairConductanceConverter{.g_max = -1.0}), HasSubstr("c.g_max: must be finite and > 0"));
  EXPECT_THAT(problems_of(SinglePairConductanceConverter{.g_max = nan}), HasSubstr("c.g_max"));
  EXPECT_THAT(problems_of(SinglePairConductanceConverter{.g_min = -1.0}), HasSubstr("c.g_min"));
  EXPECT_THAT(problems_of(DualPairConductanceConverter{.f_lst = {1.0}}), HasSubstr("needs two factors"));
  EXPECT_THAT(problems_of(NPairConductanceConverter{.f_lst = {}}), HasSubstr("at least one factor"));
  // The peer tests only the largest factor (reference section 19, S31).
  EXPECT_THAT(problems_of(NPairConductanceConverter{.f_lst = {1.0, -1.0}}), HasSubstr("factors must be > 0"));
}

TEST(Converter, ProblemsOfListsAreNamed) {
  CustomPairConductanceConverter c = custom();
  c.g_lst.pop_back();
  EXPECT_THAT(problems_of(c), HasSubstr("needs two lists"));
  c = custom();
  c.g_lst[1].pop_back();
  EXPECT_THAT(problems_of(c), HasSubstr("equal lengths"));
  c = custom();
  c.g_lst[0][4] = 11.0;
  EXPECT_THAT(problems_of(c), HasSubstr("within [g_min, g_max]"));
  c = custom();
  c.g_lst[0] = c.g_lst[1];
  c.g_lst[2] = c.g_lst[3];
  EXPECT_THAT(problems_of(c), HasSubstr("cancel"));
  c = custom();
  c.g_lst[0][3] = 1.0;
  EXPECT_THAT(problems_of(c), HasSubstr("does not give weights back"));
  EXPECT_THAT(problems_of(CustomPairConductanceConverter{}), HasSubstr("needs"));
}

}  // namespace
}  // namespace tessera::device
