// Do layers of one output give the same bits side by side as one by one, whatever they simulate?
#include "tessera/tile/analog_columns.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "tessera/tile/effects.hpp"
#include "tessera/tile/presets.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

constexpr std::int64_t channels = 70, taps = 9, pixels = 90, windows = pixels - 12;

RpuParameters standard() {
  RpuParameters p = preset("StandardHWATrainingPreset");
  p.pre_post.input_range.init_value = 2.0;
  p.forward.out_bound = 1.5;  // reached
  return p;
}

struct Layers {
  std::vector<AnalogLayer> layers;
  std::vector<const AnalogLayer*> pointers() const {
    std::vector<const AnalogLayer*> all;
    for (const AnalogLayer& layer : layers) all.push_back(&layer);
    return all;
  }
};

Layers layers_of(const RpuParameters& p, bool biased = true) {
  Layers result;
  const Matrix weight = testing::normals(channels, taps, 1), bias = testing::normals(1, channels, 2);
  for (std::int64_t c = 0; c < channels; ++c)
    result.layers.emplace_back(
        p, weight.view().rows_from(c, 1), bias.values().subspan(static_cast<std::size_t>(c), biased ? 1 : 0),
        random::Address{.seed = 3, .layer = static_cast<std::uint32_t>(c), .tile = 4, .repeat = 1});
  return result;
}

/// Every channel sees `taps` of neighbouring pixels, from its window's first one on.
void expect_same(const Layers& given, std::uint64_t first_vector, std::uint32_t event) {
  const std::optional<AnalogColumns> columns = AnalogColumns::of(given.pointers());
  ASSERT_TRUE(columns);
  EXPECT_EQ(columns->columns(), channels);
  const Matrix image = testing::normals(pixels, channels, 3, 2.0F);
  Matrix z(pixels, channels);
  columns->convert(image.values(), z.values());
  std::vector<std::int64_t> offsets;
  for (std::int64_t k = 0; k < taps; ++k) offsets.push_back(k * channels);
  const std::vector<kernels::WindowRun> runs{{z.data(), 30}, {z.data() + 30 * channels, windows - 30}};
  Matrix y(windows, channels);
  columns->forward({runs, offsets, channels}, y.view(), first_vector, event);
  for (std::int64_t c = 0; c < channels; ++c) {
    Matrix x(windows, taps);
    for (std::int64_t r = 0; r < windows; ++r)
      for (std::int64_t k = 0; k < taps; ++k) x(r, k) = image(r + k, c);
    const Matrix alone =
        testing::run(given.layers[static_cast<std::size_t>(c)], x, {.first_vector = first_vector, .event = event});
    for (std::int64_t r = 0; r < windows; ++r) ASSERT_EQ(y(r, c), alone(r, 0)) << "window " << r << ", layer " << c;
  }
}

TEST(AnalogColumns, EqualTheirLayersUnderEveryEffect) {
  int alike = 0, refused = 0;
  for (const Effect& effect : effects())
    for (const EffectKey& key : effect.keys)
      for (const double value : key.examples) {
        RpuParameters p = standard();
        key.set(p, value);
        SCOPED_TRACE(fmt::format("{} = {}", key.key, value));
        std::optional<Layers> layers;
        try {
          layers = layers_of(p);
        } catch (const ConfigError&) {
          continue;
        }
        if (!AnalogColumns::of(layers->pointers())) {
          ++refused;
          continue;
        }
        ++alike;
        expect_same(*layers, 37, 2);
      }
  EXPECT_GT(alike, 20);
  EXPECT_GT(refused, 5);
}

TEST(AnalogColumns, EqualTheirLayersWithEveryEffectLeftOut) {
  for (const Effect& effect : effects()) {
    if (!effect.leave_out) continue;
    SCOPED_TRACE(effect.name);
    AnalogParameters p;
    p.rpu = standard();
    effect.leave_out(p);
    const Layers layers = layers_of(p.rpu);
    if (AnalogColumns::of(layers.pointers())) expect_same(layers, 0, 0);
  }
}

struct Case {
  std::string name;
  std::function<void(RpuParameters&)> set;
};

TEST(AnalogColumns, TakeWhatDepthwiseLayersOftenHave) {
  const std::vector<Case> cases{
      {"the standard preset", [](RpuParameters&) {}},
      {"no noise", [](RpuParameters& p) { p.forward.out_noise = p.forward.w_noise = 0.0; }},
      {"no converters",
       [](RpuParameters& p) {
         p.forward.inp_res = p.forward.out_res = -1.0;
         p.forward.inp_bound = p.forward.out_bound = 0.0;
       }},
      {"no input range", [](RpuParameters& p) { p.pre_post.input_range.enable = false; }},
      {"8-bit periphery", [](RpuParameters& p) { p.pre_post.periph_quant.n_bits = 8; }},
      {"a spread of noises", [](RpuParameters& p) { p.forward.out_noise_std = 0.3; }},
      {"asymmetric outputs", [](RpuParameters& p) { p.forward.out_asymmetry = 0.1; }},
      {"asymmetric inputs", [](RpuParameters& p) { p.forward.inp_asymmetry = 0.1; }},
      {"stochastic rounding of the ADC", [](RpuParameters& p) { p.forward.out_sto_round = true; }},
      {"another scale of inputs", [](RpuParameters& p) { p.forward.nm_thres = 0.7; }}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    RpuParameters p = standard();
    one.set(p);
    for (const bool biased : {true, false}) expect_same(layers_of(p, biased), 64, 1);
  }
}

TEST(AnalogColumns, KeepWhatLayersLearnedAndMadeUpFor) {
  Layers layers = layers_of(standard());
  for (std::size_t c = 0; c < layers.layers.size(); ++c) {
    const auto step = static_cast<float>(c);
    const float scale = 0.5F + 0.01F * step, alpha = 1.0F + 0.002F * step;
    if (c % 3 != 0) layers.layers[c].set_output_scale(0, {&scale, 1});
    if (c % 4 != 0) layers.layers[c].set_alpha(0, {&alpha, 1});
    const Matrix drifted = testing::normals(1, taps, 40 + static_cast<std::uint32_t>(c), 0.3F);
    layers.layers[c].set_tile_weights(0, drifted.view());
    layers.layers[c].set_input_range(0, 1.0F + 0.01F * step);
  }
  expect_same(layers, 1000, 0);
}

TEST(AnalogColumns, RefuseLayersThatDiffer) {
  const auto refused = [](const std::function<void(Layers&)>& change) {
    Layers layers = layers_of(standard());
    change(layers);
    return !AnalogColumns::of(layers.pointers());
  };
  EXPECT_FALSE(refused([](Layers&) {}));
  EXPECT_TRUE(refused([](Layers& l) { l.layers.clear(); }));
  const auto replaced = [&](const std::function<void(RpuParameters&)>& set, std::int64_t outputs = 1,
                            std::int64_t inputs = taps) {
    return refused([&](Layers& l) {
      RpuParameters p = standard();
      set(p);
      l.layers.back() = AnalogLayer(p, testing::normals(outputs, inputs, 9).view(), {}, {.seed = 1});
      l.layers.erase(l.layers.begin(), l.layers.end() - 1);
      if (outputs == 1 && inputs == taps && p == standard()) return;
      l.layers.push_back(AnalogLayer(standard(), testing::normals(1, taps, 9).view(), {}, {.seed = 1}));
    });
  };
  EXPECT_FALSE(replaced([](RpuParameters&) {}));
  EXPECT_TRUE(replaced([](RpuParameters& p) { p.forward.out_noise = 0.05; }));
  EXPECT_TRUE(replaced([](RpuParameters& p) { p.mapping.max_input_size = 4; }));
  EXPECT_TRUE(replaced([](RpuParameters& p) { p.act_quant_config = ActivationQuantConfig{.n_bits = 6}; }));
  EXPECT_TRUE(replaced([](RpuParameters&) {}, 2));
  EXPECT_TRUE(replaced([](RpuParameters&) {}, 1, 4));
}

}  // namespace
}  // namespace tessera::tile
