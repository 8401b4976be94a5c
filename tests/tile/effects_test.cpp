// Does every effect know itself: which parameters are its own, and how it is taken alone and left out?
#include "tessera/tile/effects.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "support/source_dir.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

// Takes the place of any member in a list of initializers.
struct Anything {
  template <class T>
  operator T() const;  // NOLINT(google-explicit-constructor)
};
template <class T, class... Some>
constexpr std::size_t member_count() {
  if constexpr (requires { T{Some{}..., Anything{}}; })
    return member_count<T, Some..., Anything>();
  else
    return sizeof...(Some);
}

TEST(Effects, EveryFieldOfIOParametersBelongsToOne) {
  const IOParameters io;
  std::map<const void*, std::string> owners;
  std::set<std::string> numbers;
  for (const Effect& effect : effects())
    for (const EffectKey& key : effect.keys) {
      if (!key.number.empty()) {
        EXPECT_TRUE(numbers.insert(key.number).second) << key.number << " belongs to two";
      }
      if (key.member == nullptr) continue;
      EXPECT_TRUE(owners.emplace(key.member(io), effect.name).second)
          << key.key << " belongs to " << owners[key.member(io)] << " and " << effect.name;
    }
  // `numbers` and `own_effects` are those of effects without a field.
  EXPECT_EQ(owners.size() + 2, member_count<IOParameters>());
  EXPECT_TRUE(numbers.contains("inp_nonlinearity"));
}

TEST(Effects, AreDescribed) {
  std::set<std::string> names, keys;
  int place = 0;
  for (const Effect& effect : effects()) {
    SCOPED_TRACE(effect.name);
    EXPECT_TRUE(names.insert(effect.name).second);
    EXPECT_LT(place, effect.place);
    place = effect.place;
    EXPECT_FALSE(effect.law.empty());
    EXPECT_TRUE(std::filesystem::exists(TESSERA_SOURCE_DIR + "/docs/models/" + effect.page)) << effect.page;
    for (const EffectKey& key : effect.keys) {
      EXPECT_TRUE(keys.insert(key.key).second) << key.key;
      EXPECT_EQ(find_effect_key(key.key), &key);
      for (const double value : key.examples) EXPECT_TRUE(key.range.contains(value)) << key.key;
    }
    for (const EffectNeed& need : effect.needs) EXPECT_NO_THROW(tile::effect(need.name));
  }
  EXPECT_THROW(effect("IR drip"), InputError);
}

std::string page_of_effects() {
  std::string page =
      "# Effects, in the order of a vector's way\n\n"
      "Made from `tile::effects()` by tests/tile/effects_test.cpp (`TESSERA_UPDATE_DOCS=1` writes it). An effect is "
      "one "
      "file of\n`src/tile/effects`. *Needs*: what is taken over with it where it is looked at alone (`tessera "
      "doctor`); "
      "those in\nparentheses only where the law refers to them.\n\n"
      "| effect | law | keys | needs | page |\n|---|---|---|---|---|\n";
  for (const Effect& effect : effects()) {
    std::string keys, needs, law;
    for (const EffectKey& key : effect.keys) keys += fmt::format("{}`{}`", keys.empty() ? "" : ", ", key.key);
    for (const EffectNeed& need : effect.needs)
      needs += fmt::format("{}{}", needs.empty() ? "" : ", ", need.when ? "(" + need.name + ")" : need.name);
    for (const char c : effect.law) law += c == '|' ? "\\|" : std::string(1, c);
    page += fmt::format("| {}{} | `{}` | {} | {} | [{}]({}) |\n", effect.name,
                        effect.is_on == nullptr ? " (exact by itself)" : "", law, keys, needs,
                        effect.page.substr(0, effect.page.find('.')), effect.page);
  }
  return page;
}

TEST(Effects, PageIsUpToDate) {
  const std::string path = TESSERA_SOURCE_DIR + "/docs/models/effects.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) std::ofstream(path) << page_of_effects();
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, page_of_effects())
      << "docs/models/effects.md is stale: run this test with TESSERA_UPDATE_DOCS=1 and commit the page";
}

TEST(Effects, CheckTheirRanges) {
  for (const Effect& effect : effects())
    for (const EffectKey& key : effect.keys) {
      if (key.get == nullptr || key.range.is_everything()) continue;
      RpuParameters p;
      key.set(p, std::isfinite(key.range.low) ? key.range.low - 1.0 : key.range.high + 1.0);
      try {
        validate(p);
        ADD_FAILURE() << key.key;
      } catch (const ConfigError& error) {
        EXPECT_EQ(error.problems().front().key, key.key);
      }
    }
}

// --- alone and left out ----------------------------------------------------------------------------------------------

constexpr AnalogMVType encodings[] = {
    AnalogMVType::ONE_PASS,   AnalogMVType::POS_NEG_SEPARATE, AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM,
    AnalogMVType::SPLIT_MODE, AnalogMVType::BIT_WISE,         AnalogMVType::IDEAL};
constexpr NoiseManagementType noise_managements[] = {
    NoiseManagementType::NONE, NoiseManagementType::ABS_MAX,  NoiseManagementType::ABS_MAX_NP_SUM,
    NoiseManagementType::MAX,  NoiseManagementType::CONSTANT, NoiseManagementType::AVERAGE_ABS_MAX};
constexpr BoundManagementType bound_managements[] = {BoundManagementType::NONE, BoundManagementType::ITERATIVE,
                                                     BoundManagementType::ITERATIVE_WORST_CASE};

// A layer on which every effect of the tile can act, with bounds far away.
AnalogParameters everything_off(AnalogMVType type, NoiseManagementType noise, BoundManagementType bound) {
  AnalogParameters p;
  p.rpu.forward.noise_management = noise;
  p.rpu.forward.nm_thres = noise == NoiseManagementType::CONSTANT ? 2.0 : 0.0;
  p.rpu.mapping.weight_scaling_omega = 1.0;
  p.rpu.mapping.weight_scaling_columnwise = true;
  p.rpu.mapping.max_input_size = 12;
  p.rpu.forward.mv_type = type;
  p.rpu.forward.inp_res = 254.0;
  const bool digits = type == AnalogMVType::SPLIT_MODE || type == AnalogMVType::BIT_WISE;
  const IOParameters given = p.rpu.forward;
  p = ideal(p);
  p.rpu.forward.bound_management = bound;
  if (!digits) return p;
  p.rpu.forward.mv_type = type;  // with the DAC whose codes the digits are
  p.rpu.forward.inp_bound = 8.0;
  p.rpu.forward.inp_res = given.inp_res;
  return p;
}

bool belongs_to_fixed_point(const Effect& effect) {
  return effect.page == "tile_fixed_point.md";
}

// A stage of the fixed-point periphery, the others in real numbers; coarse enough to be seen.
void turn_on_fixed_point(const Effect& effect, RpuParameters& p) {
  p.forward.out_res = 254.0;
  FixedPointParameter& f = p.pre_post.fixed_point.emplace();
  f.scale = {.integer_bits = 2, .fraction_bits = 4, .exact = effect.name != "scale format"};
  f.bias = {.integer_bits = 7, .fraction_bits = 0, .exact = effect.name != "bias format"};
  f.product = {.cut = 5, .exact = effect.name != "product cut"};
  f.accumulator = {.bits = 18, .exact = effect.name != "accumulator"};
  // Sums of digits have wider codes, and an accumulator is no narrower than a product.
  const int narrowest = p.forward.mv_type == AnalogMVType::BIT_WISE     ? 17
                        : p.forward.mv_type == AnalogMVType::SPLIT_MODE ? 14
                                                                        : 10;
  if (effect.name == "accumulator") f.accumulator.bits = narrowest, f.scale.integer_bits = 1;
  f.output.range = 4.0;
  f.output.exact = effect.name != "output code";
}

// A scale that no vector changes, and codes that a fixed-point periphery takes: digits repeated with less are too large.
bool has_static_scale(AnalogMVType type, NoiseManagementType noise, BoundManagementType bound) {
  const bool digits = type == AnalogMVType::SPLIT_MODE || type == AnalogMVType::BIT_WISE;
  return (noise == NoiseManagementType::NONE || noise == NoiseManagementType::CONSTANT) &&
         bound != BoundManagementType::ITERATIVE_WORST_CASE && !(digits && bound != BoundManagementType::NONE);
}

// The effect as its examples have it; what is relative to the bound of the ADC gets one.
void turn_on(const Effect& effect, RpuParameters& p) {
  const BoundManagementType bound = p.forward.bound_management;
  const bool encodes = effect.is_on == nullptr;
  for (const EffectKey& key : effect.keys)
    if (!encodes && !key.examples.empty()) key.set(p, key.examples.back());
  if (effect.name == "DAC") p.forward.inp_bound = 8.0, p.forward.inp_res = 62.0;
  if (effect.name == "ADC clip") p.forward.out_bound = 0.05, p.forward.bound_management = bound;
  p.pre_post.input_range.manage_output_clipping = false;  // needs its own managements
  if (effect.name == "activation quantizer") p.act_quant_config = ActivationQuantConfig{.n_bits = 5};
  if (effect.name == "scale bits") p.pre_post.periph_quant.n_bits = 4, p.pre_post.periph_quant.scale = true;
  if (effect.name == "scale bits") p.pre_post.periph_quant.bias = false;
  if (effect.name == "bias bits") p.pre_post.periph_quant = {.n_bits = 4, .scale = false};
  if (belongs_to_fixed_point(effect)) turn_on_fixed_point(effect, p);
  for (const EffectNeed& need : effect.needs)
    if (need.name == "ADC clip") p.forward.out_bound = 40.0;
}

Matrix outputs(const AnalogParameters& p, const Matrix& w, const Matrix& b, const Matrix& x) {
  AnalogLayer layer(p.rpu, w.view(), b.values(), {.seed = 3});
  Matrix y(x.rows(), w.rows());
  if (p.rpu.act_quant_config) layer.forward_training(x.view(), y.view(), {});
  layer.forward(x.view(), y.view(), {.first_vector = 7});
  return y;
}

bool same(const Matrix& a, const Matrix& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin());
}

TEST(Effects, AloneIsAllWhereNothingElseIsOn) {
  const Matrix w = testing::normals(5, 20, 1, 0.4F), b = testing::normals(1, 5, 2, 0.3F);
  const Matrix x = testing::normals(18, 20, 3);
  int compared = 0;
  for (const Effect& effect : effects()) {
    if (effect.is_on == nullptr) continue;
    for (const AnalogMVType type : encodings)
      for (const NoiseManagementType noise : noise_managements)
        for (const BoundManagementType bound : bound_managements) {
          if (belongs_to_fixed_point(effect) && !has_static_scale(type, noise, bound)) continue;
          SCOPED_TRACE(fmt::format("{}, encoding {}, managements {} and {}", effect.name, static_cast<int>(type),
                                   static_cast<int>(noise), static_cast<int>(bound)));
          AnalogParameters all = everything_off(type, noise, bound);
          turn_on(effect, all.rpu);
          if (!is_on(effect, all)) continue;
          // The DAC that digits are codes of is a second effect for what acts outside of the product.
          if (effect.with_perfect_product && is_on(tile::effect("DAC"), all)) continue;
          const AnalogParameters only = alone(effect, all), left = without(effect, all), none = ideal(all);
          for (const AnalogParameters& p : {all, only, left, none}) ASSERT_NO_THROW(validate(p.rpu));
          const Matrix as_configured = outputs(all, w, b, x);
          ASSERT_TRUE(same(outputs(only, w, b, x), as_configured));
          // Left out: only what else is on is left, and that is the DAC of a digit encoding or a bound far away.
          AnalogParameters rest = none;
          for (const Effect& other : effects())
            if (is_on(other, left)) rest = alone(other, left);
          const Matrix left_out = outputs(left, w, b, x);
          ASSERT_TRUE(same(left_out, outputs(rest, w, b, x)));
          ASSERT_FALSE(is_on(effect, left));
          EXPECT_FALSE(same(left_out, as_configured)) << "the example shows nothing";
          ++compared;
        }
  }
  EXPECT_GT(compared, 1000);
}

// What doctor makes of everything at once is valid, whatever it takes away.
TEST(Effects, EveryVariantOfARichConfigurationIsValid) {
  int round = 0;
  for (const AnalogMVType type : encodings)
    for (const NoiseManagementType noise : noise_managements)
      for (const BoundManagementType bound : bound_managements) {
        AnalogParameters all;
        const bool fixed = (round++ % 2 == 0) && has_static_scale(type, noise, bound) && type != AnalogMVType::IDEAL;
        for (const Effect& effect : effects()) {
          const bool replaced = effect.page == "tile_periphery.md" || effect.name == "activation quantizer";
          if (fixed ? !replaced : !belongs_to_fixed_point(effect)) turn_on(effect, all.rpu);
        }
        all.rpu.forward.mv_type = type;
        all.rpu.forward.noise_management = noise;
        all.rpu.forward.bound_management = bound;
        if (fixed) {
          all.rpu.forward.out_res = 254.0;
          all.rpu.forward.is_perfect = false;
          all.rpu.pre_post.fixed_point.emplace().output.range = 4.0;
        }
        ASSERT_NO_THROW(validate(all.rpu));
        for (const Effect& effect : effects()) {
          SCOPED_TRACE(effect.name);
          EXPECT_NO_THROW(validate(alone(effect, all).rpu));
          EXPECT_NO_THROW(validate(without(effect, all).rpu));
          EXPECT_FALSE(is_on(effect, ideal(all)));
          AnalogParameters bare = without(effect, all);
          for (const Effect& other : effects()) bare = without(other, bare);
          EXPECT_EQ(bare, ideal(all)) << "the order of leaving out matters";
        }
      }
}

TEST(Effects, OthersStandOnBounds) {
  AnalogParameters p;
  EXPECT_FALSE(stands_alone(effect("ADC clip"), p));
  p.rpu.forward.out_res = -1.0;
  EXPECT_TRUE(stands_alone(effect("ADC clip"), p));
  p.rpu.forward.out_nonlinearity = 0.5;
  EXPECT_FALSE(stands_alone(effect("ADC clip"), p)) << "saturation is relative to it";
  p.rpu.forward.out_bound = 12.0;
  EXPECT_EQ(alone(effect("saturation"), p).rpu.forward.out_bound, 12.0);
}

}  // namespace
}  // namespace tessera::tile
