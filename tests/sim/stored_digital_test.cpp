// Ranges of digital quantizers, folded networks and programmed chips of a file, used under another configuration: the
// table of docs/formats/model.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/network.hpp"
#include "sim/stored_state.hpp"
#include "tessera/sim/chip_file.hpp"
#include "tessera/sim/folding.hpp"

namespace tessera::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// --- digital quantizers

TEST(StoredRangesFit, TableOfDigitalRanges) {
  quant::UniformQuantizer quantizer({.n_bits = 8});
  quantizer.set_quant_range(-1.0F, 3.0F);
  const quant::UniformQuantizerState found = quantizer.state();
  quant::UniformQuantizerState learned = found;
  learned.x_min = learned.x_max = {};
  RangeLaw law;
  law.quantizer.n_bits = 8;
  law.estimator = quant::RangeEstimators::running_minmax;
  law.params = quant::RunningMinMaxEstimatorParams{};
  RangeLaw narrow = law, asymmetric = law, channels = law, logarithmic = law, mse = law;
  narrow.quantizer.n_bits = 4;
  asymmetric.quantizer.method = quant::QMethod::asymmetric_uniform;
  channels.quantizer.per_channel = true;
  logarithmic.quantizer.scale_domain = quant::ScaleDomain::log;
  mse.estimator = quant::RangeEstimators::MSE;
  mse.params = quant::MSEEstimatorParams{};
  // As it is.
  EXPECT_EQ(fitted_range(found, law, law).state, found);
  EXPECT_EQ(fitted_range(learned, law, law).state, learned);
  EXPECT_EQ(fitted_range(learned, law, mse).state, learned) << "how an estimator would look no longer matters";
  // The bounds stay, the step follows.
  EXPECT_FLOAT_EQ(fitted_range(found, law, narrow).state->delta.at(0), 3.0F / 7.0F);
  EXPECT_FLOAT_EQ(fitted_range(found, law, asymmetric).state->delta.at(0), 4.0F / 255.0F);
  EXPECT_FLOAT_EQ(fitted_range(found, law, asymmetric).state->zero_float.at(0), 63.75F);
  // Refused.
  for (const auto& [range, asked, key] : std::vector<std::tuple<quant::UniformQuantizerState, RangeLaw, std::string>>{
           {found, mse, "range_estimator"},
           {found, channels, "per_channel"},
           {found, logarithmic, "symmetric"},
           {learned, narrow, "n_bits"},
           {learned, asymmetric, "symmetric"},
           {learned, channels, "per_channel"}}) {
    const FittedRange fitted = fitted_range(range, law, asked);
    EXPECT_FALSE(fitted.state) << key;
    EXPECT_EQ(fitted.key, key);
    EXPECT_THAT(fitted.reason, AllOf(HasSubstr("8 bits"), HasSubstr("use_calibration: false")));
  }
  EXPECT_FALSE(fitted_range(found, mse, narrow).state);
  EXPECT_FALSE(fitted_range(found, std::nullopt, law).state);
  EXPECT_TRUE(fitted_range({}, std::nullopt, law).state->delta.empty()) << "no range, nothing to refuse";
}

TEST(StoredRangesFit, LawsSurviveAFile) {
  quant::MSEEstimatorParams search{
      .range_opt_method = quant::OptMethod::grid, .num_candidates = 7, .range_margin = 0.1};
  const std::vector<quant::RangeEstimatorParams> params{
      quant::CurrentMinMaxEstimatorParams{.percentile = 2.5, .two_sided = true}, std::monostate{},
      quant::RunningMinMaxEstimatorParams{.momentum = 0.25}, search, quant::CrossEntropyEstimatorParams{search}};
  for (std::size_t estimator = 0; estimator < params.size(); ++estimator) {
    RangeLaw law;
    law.quantizer.n_bits = 5;
    law.quantizer.method = quant::QMethod::asymmetric_uniform;
    law.estimator = static_cast<quant::RangeEstimators>(estimator);
    law.params = params[estimator];
    EXPECT_EQ(range_law(to_numbers(law)), law) << estimator;
  }
  EXPECT_THROW(range_law(std::vector<double>{8.0}), InputError);
  EXPECT_THROW(range_law(std::vector<double>(11, -1.0)), InputError);
}

TEST_F(StoredRangesTest, DigitalRangesFollowOrAreRefusedWithTheirLayer) {
  QuantizationParameters parameters;
  parameters.append_default_conversions = true;
  parameters.map.default_qconfig.activation_quant.n_bits = 8;
  const LayerResolver digital = changed(plain, [](LayerParameters& layer) { layer.analog = false; });
  const auto network = [&](int bits, const QuantizerRanges& ranges,
                           quant::RangeEstimators estimator = quant::RangeEstimators::running_minmax) {
    QuantizationParameters p = parameters;
    p.map.default_qconfig.activation_quant.n_bits = bits;
    p.map.default_qconfig.activation_quant.set_range_estimator(estimator);
    p.ranges = ranges;
    return QuantizedNetwork(executor_, p, digital, data_, 1, {}).ranges();
  };
  std::map<std::string, io::LayerNumbers> numbers;
  add_numbers(network(8, {}), numbers);
  const QuantizerRanges known = read_quantizer_ranges(numbers);
  const QuantizerRanges narrow = network(4, known), fresh = network(4, {});
  EXPECT_EQ(narrow.at("fc1").at("output"), fresh.at("fc1").at("output"));
  try {
    network(8, known, quant::RangeEstimators::allminmax);
    FAIL() << "expected a ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 2U);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("output of layer 'fc1'"), HasSubstr("output of layer 'fc2'"),
                                    HasSubstr("running_minmax"), HasSubstr("allminmax")));
  }
  // Of version 1.1, without bounds: as it is, or not at all.
  for (auto& [node, entries] : numbers) {
    entries.erase("quantizer_bounds.output");
    entries.erase("quantizer_law.output");
  }
  const QuantizerRanges older = read_quantizer_ranges(numbers);
  EXPECT_EQ(network(8, older).at("fc1").at("output").state.delta, known.at("fc1").at("output").state.delta);
  EXPECT_THROW(network(4, older), ConfigError);
}

// --- chips

TEST_F(StoredRangesTest, ChipsAreForTheProgrammingThatMadeThem) {
  const LayerResolver pcm = changed(plain, [](LayerParameters& layer) {
    layer.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
    layer.device->faults.stuck_at_zero_rate = 0.1;
  });
  const std::string path = testing::TempDir() + "stored_ranges_chips.h5";
  {
    const ProgrammedChip chip(executor_, pcm, {1, 0, {}});
    io::ChipFileWriter writer(path, io::Model{executor_.graph(), {}, {}}, {}, 1);
    for (std::size_t l = 0; l < 2; ++l) writer.add(chip_tile(chip, l, 0, 0, executor_.layers()[l].part_name(0)));
    writer.commit();
  }
  const StoredChips chips(path);
  const auto load = [&](const Change& change) {
    const LayerResolver asked = changed(pcm, change);
    return ProgrammedChip(executor_, asked, {.seed = 1, .repeat = 0, .parallel = {}, .stored = &chips});
  };
  const auto model = [](LayerParameters& layer) -> device::PCMLikeNoiseModel& {
    return std::get<device::PCMLikeNoiseModel>(layer.device->noise_model);
  };
  EXPECT_NO_THROW(load([](LayerParameters&) {}));
  EXPECT_NO_THROW(load([&](LayerParameters& l) { model(l).read_noise_scale = 0.0; })) << "of reads only";
  EXPECT_NO_THROW(load([&](LayerParameters& l) { l.rpu.forward.out_noise = 0.5; }));
  struct Case {
    Change change;
    const char* key;
  };
  for (const Case& c : std::vector<Case>{
           {[&](LayerParameters& l) { model(l).prog_noise_scale = 0.0; }, "noise_model.prog_noise_scale"},
           {[&](LayerParameters& l) {
              model(l).prog_coeff = {{0.1, 0.2, 0.3}};
            },
            "noise_model.prog_coeff"},
           {[&](LayerParameters& l) { model(l).drift_scale = 0.0; }, "noise_model.drift_scale"},
           {[](LayerParameters& l) { l.device->faults.stuck_at_max_rate = 0.1; }, "faults.stuck_at_max_rate"},
           {[](LayerParameters& l) { l.device->program_and_verify.emplace(); }, "program_and_verify"},
           {[](LayerParameters& l) { l.device->noise_model = device::StateIndependentNoiseModel{}; },
            "noise_model.type"}}) {
    try {
      load(c.change);
      ADD_FAILURE() << c.key << " is not refused";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(c.key), HasSubstr("fc1"), HasSubstr("evaluation.chips: null")));
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tessera::sim
