// Question: do crossbars take part in what a network goes through: calibration, model files, devices over time, faults,
// results?
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "nn/network.hpp"
#include "small_network.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/schema.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/doctor.hpp"
#include "tessera/sim/recording.hpp"

namespace tessera::sim {
namespace {

circuit::CrossbarParameters sliced_crossbar() {
  circuit::CrossbarParameters c;
  c.core.style = circuit::CoreStyle::BITSLICED;
  c.core.weight_bits = 6;
  c.core.rows_max = 4;
  c.device.Rmin = 1e4;
  c.device.Rmax = 1e6;
  c.array.parasitics = {.enable = true, .Rp_row = 10.0, .Rp_col = 10.0};
  c.adc = {.model = circuit::AdcModel::QuantizerADC, .bits = 6};
  return c;
}

LayerResolver on(const circuit::CrossbarParameters& crossbar) {
  return [crossbar](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.crossbar = crossbar;
    return layer;
  };
}

CalibrationResult calibrated(const nn::Executor& executor, const io::DataSet& data, const LayerResolver& resolve,
                             int threads = 1, std::int64_t batch = 64) {
  InputCalibration parameters;
  parameters.type = CalibrationType::MAX;
  parameters.batch_size = batch;
  parameters.converter_range = circuit::ConverterRangeType::MAX;
  return calibrate({.executor = executor, .data = data, .seed = 3, .parameters = parameters, .resolve = resolve},
                   {threads}, {});
}

TEST(Crossbar, CalibrationFindsARangeForEverySlice) {
  const nn::Executor executor(test::small_network());
  const io::DataSet data = test::small_data(60);
  const LayerResolver resolve = on(sliced_crossbar());
  const CalibrationResult result = calibrated(executor, data, resolve);
  const auto& settings = result.layers.at("fc1")->parts[0].state.converters;
  ASSERT_EQ(settings.size(), 2U);
  EXPECT_LT(settings[0].range.low, 0.0);
  EXPECT_GT(settings[0].range.high, 0.0);
  EXPECT_NE(settings[0].range, settings[1].range);
  EXPECT_EQ(calibrated(executor, data, resolve, 3, 7).layers.at("fc2")->parts[0].state,
            result.layers.at("fc2")->parts[0].state)
      << "threads and batches";

  // The extremes are reached and not exceeded by the data they were found from.
  const ProgrammedChip chip(executor, with_calibration(resolve, result.layers), {3, 0, {}});
  const AnalogNetwork network = chip.at(std::nullopt, 0, {});
  executor.run(read_samples(data, 0, 60, {6}, {}), {.overrides = &network.overrides()});
  for (const circuit::ConversionCounts& slice : network.statistics(0).converters) {
    EXPECT_EQ(slice.below + slice.above, 0);
    EXPECT_GT(slice.codes_used(), 0.2);
  }
}

TEST(Crossbar, AModelFileKeepsRangesAndLevels) {
  const nn::Executor executor(test::small_network());
  const io::DataSet data = test::small_data(60);
  circuit::CrossbarParameters crossbar = sliced_crossbar();
  crossbar.adc.bits = 3;
  crossbar.adc.levels = circuit::OptimalLevels{};
  const CalibrationResult result = calibrated(executor, data, on(crossbar));
  io::Model model{executor.graph(), {}, {}};
  for (const nn::LinearLayer& layer : executor.layers())
    model.calibration[layer.name] = to_numbers(layer, *result.layers.at(layer.name));
  const std::string path = testing::TempDir() + "crossbar_test.h5";
  io::write_model(model, path);
  const NetworkCalibration back = read_calibration(executor.layers(), io::read_calibration(path));
  std::filesystem::remove(path);
  EXPECT_EQ(back.at("fc1")->parts[0].state, result.layers.at("fc1")->parts[0].state);
  EXPECT_EQ(back.at("fc1")->parts[0].state.converters[1].levels.size(), 8U);
  EXPECT_NO_THROW(ProgrammedChip(executor, with_calibration(on(crossbar), back), {3, 0, {}}));

  // Optimal levels are for their number; ranges are for the slices they were found on.
  const auto refused = [&](const circuit::CrossbarParameters& asked, const std::string& key) {
    try {
      static_cast<void>(layer_parameters(executor, with_calibration(on(asked), back)));
      ADD_FAILURE() << key;
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.problems().front().key, "rpu_config.crossbar." + key);
    }
  };
  circuit::CrossbarParameters other = crossbar;
  other.adc.bits = 4;
  refused(other, "xbar.adc.mvm.bits");
  other = crossbar;
  other.core.bit_sliced.num_slices = 3;
  refused(other, "core.bit_sliced.num_slices");
  other = crossbar;
  other.array.parasitics.Rp_row = 1.0;
  EXPECT_NO_THROW(layer_parameters(executor, with_calibration(on(other), back)));
}

TEST(Crossbar, WithoutRangesNothingBegins) {
  const nn::Executor executor(test::small_network());
  try {
    ProgrammedChip(executor, on(sliced_crossbar()), {3, 0, {}});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().front().key, "rpu_config.crossbar.xbar.adc.mvm.calibrated_range");
    EXPECT_NE(std::string(error.what()).find("'fc1', 'fc2'"), std::string::npos) << error.what();
  }
}

/// On cells of a noise model.
LayerResolver programmed(circuit::CrossbarParameters crossbar, const device::DeviceParameters& devices) {
  crossbar.adc = {};
  return [crossbar, devices](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.crossbar = crossbar;
    layer.device = devices;
    device::set_converter(layer.device->noise_model,
                          device::SingleDeviceConductanceConverter{25.0, crossbar.device.g0() * 25.0, true});
    return layer;
  };
}

TEST(Crossbar, NoiseModelsProgramCells) {
  const nn::Executor executor(test::small_network());
  circuit::CrossbarParameters crossbar = sliced_crossbar();
  crossbar.array.parasitics = {};
  // Without noise a programmed chip is the ideal one.
  device::PCMLikeNoiseModel silent;
  silent.prog_noise_scale = silent.read_noise_scale = silent.drift_scale = 0.0;
  const ProgrammedChip ideal(executor, programmed(crossbar, {.noise_model = silent}), {3, 0, {}});
  const device::ProgrammedState& state = *ideal.programmed(0, 0, 0);
  EXPECT_EQ(state.outputs(), 5 * crossbar.cells_per_weight());
  EXPECT_EQ(state.devices, 1);
  const auto [low, high] = std::minmax_element(state.conductances.begin(), state.conductances.end());
  EXPECT_NEAR(*low, 0.25, 1e-5);  // g0 of g_max
  EXPECT_NEAR(*high, 25.0, 1e-4);
  const Matrix weights = ideal.layer(0, 0).tile_weights(0), target = ideal.layer(0, 0).target_tile_weights(0);
  float largest = 0.0F;
  for (const float w : target.values()) largest = std::max(largest, std::fabs(w));
  for (std::size_t c = 0; c < weights.values().size(); ++c)
    EXPECT_NEAR(weights.values()[c], target.values()[c], 0.51F * largest / 31.0F);

  // Programming noise differs from cell to cell and chip to chip; drift takes conductance away.
  const LayerResolver noisy = programmed(crossbar, {.noise_model = device::PCMLikeNoiseModel{}});
  const ProgrammedChip one(executor, noisy, {3, 0, {}}), two(executor, noisy, {3, 1, {}});
  EXPECT_NE(one.programmed(0, 0, 0)->conductances, two.programmed(0, 0, 0)->conductances);
  EXPECT_EQ(one.programmed(0, 0, 0)->conductances,
            ProgrammedChip(executor, noisy, {3, 0, {4}}).programmed(0, 0, 0)->conductances);
  const AnalogNetwork fresh = one.at(std::nullopt, 0, {}), later = one.at(1e7, 0, {});
  const auto sum_of = [](const AnalogNetwork& network) {
    const Matrix read = network.part(0, 0).tile_weights(0);
    double sum = 0.0;
    for (const float w : read.values()) sum += std::fabs(static_cast<double>(w));
    return sum;
  };
  const double now = sum_of(fresh), then = sum_of(later);
  EXPECT_LT(then, 0.8 * now);
  EXPECT_GT(then, 0.2 * now);
}

TEST(Crossbar, DriftIsCompensated) {
  const nn::Executor executor(test::small_network());
  circuit::CrossbarParameters crossbar = sliced_crossbar();
  LayerResolver resolve = programmed(crossbar, {.noise_model = device::PCMLikeNoiseModel{}});
  const auto factor = [&](const LayerResolver& layers) {
    const ProgrammedChip chip(executor, layers, {3, 0, {}});
    const AnalogNetwork network = chip.at(1e6, 0, {});
    const std::vector<float> alpha = network.part(0, 0).tile_report(0).alpha;
    return alpha.empty() ? 1.0F : alpha.front();
  };
  EXPECT_EQ(factor(resolve), 1.0F);
  EXPECT_GT(factor([resolve](const std::string& name, const std::string& op) {
              LayerParameters layer = resolve(name, op);
              layer.drift_compensation = device::GlobalDriftCompensation{};
              return layer;
            }),
            1.2F);
}

TEST(Crossbar, StuckCellsStandWhereTheMapSays) {
  const nn::Executor executor(test::small_network());
  circuit::CrossbarParameters crossbar = sliced_crossbar();
  crossbar.core.style = circuit::CoreStyle::OFFSET;
  crossbar.core.offset.style = circuit::OffsetStyle::UNIT_COLUMN_SUBTRACTION;
  crossbar.core.rows_max = 0;
  crossbar.array.parasitics = {};
  device::PCMLikeNoiseModel silent;
  silent.prog_noise_scale = silent.read_noise_scale = silent.drift_scale = 0.0;
  const LayerResolver plain = programmed(crossbar, {.noise_model = silent});
  FaultMaps maps(2, std::vector<device::FaultMap>(1));
  device::FaultMap& map = maps[0][0];
  map = {crossbar.cells_per_weight(), 5, 6, std::vector<device::Fault>(30, device::Fault::none)};
  map.faults[2 * 6 + 4] = device::Fault::stuck_at_max;  // output 2, input 4
  const ProgrammedChip chip(executor, plain, {.seed = 3, .repeat = 0, .parallel = {}, .faults = &maps});
  const Matrix weights = chip.layer(0, 0).tile_weights(0), target = chip.layer(0, 0).target_tile_weights(0);
  for (std::int64_t j = 0; j < 5; ++j)
    for (std::int64_t i = 0; i < 6; ++i) {
      if (j == 2 && i == 4)
        EXPECT_GT(weights(j, i), target(j, i) + 0.2F);
      else
        EXPECT_NEAR(weights(j, i), target(j, i), 1e-4F);
    }
}

TEST(Crossbar, ResultsHoldSlicesAndTheMapOfTheWires) {
  const nn::Executor executor(test::small_network());
  const io::DataSet data = test::small_data(30);
  circuit::CrossbarParameters crossbar = sliced_crossbar();
  crossbar.compensate = circuit::Compensation::wires;
  const LayerResolver resolve = on(crossbar);
  const CalibrationResult ranges = calibrated(executor, data, resolve);
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .seed = 3,
                                  .evaluation = {},
                                  .resolve = with_calibration(resolve, ranges.layers),
                                  .record_output = {}};
  const std::string path = testing::TempDir() + "crossbar_results.h5";
  {
    results::Header header;
    describe_run(header, request, {});
    results::Writer writer(path, header);
    evaluate(request, recording_sink(writer, request), {}, {});
    writer.commit();
  }
  const results::Reader reader(path);
  EXPECT_TRUE(results::check_schema(h5::File::open(path)).empty());
  const results::NamedArray used = reader.read("/layers/fc1/slice_codes_used");
  EXPECT_EQ(used.dims.back(), "weight_slice");
  ASSERT_EQ(used.values.size(), 2U);
  for (const double value : used.values) EXPECT_GT(value, 0.2);
  for (const double value : reader.read("/layers/fc1/slice_saturation_fraction").values) EXPECT_EQ(value, 0.0);
  const results::NamedArray map = reader.read("/layers/fc1/ir_drop_map");
  EXPECT_EQ(map.shape, (Shape{5, 3}));  // 6 inputs on two tiles
  for (const double value : map.values) EXPECT_TRUE(value > 0.0 && value < 0.2) << value;
  EXPECT_GT(reader.read("/layers/fc1/ir_drop_db").values.front(), 20.0);
  const double before = reader.read("/layers/fc1/compensation_before").values.front();
  EXPECT_GT(before, 0.0);
  EXPECT_LT(reader.read("/layers/fc1/compensation_remaining").values.front(), 0.9 * before);
  const double at_limit = reader.read("/layers/fc1/compensation_at_limit").values.front();
  EXPECT_TRUE(at_limit > 0.0 && at_limit < 1.0) << at_limit;                  // cells that are wanted fully on or off
  EXPECT_EQ(reader.read("/layers/fc1/crossbar_arrays").values.front(), 8.0);  // tiles, slices, pairs
  EXPECT_EQ(reader.read("/layers/fc1/crossbar_converters").values.front(), 20.0);  // tiles, slices, outputs
  std::filesystem::remove(path);
}

TEST(Crossbar, TheDoctorTakesThemApart) {
  const nn::Executor executor(test::small_network());
  const io::DataSet data = test::small_data(30);
  circuit::CrossbarParameters crossbar = sliced_crossbar();
  crossbar.adc = {.model = circuit::AdcModel::SarADC, .bits = 5};
  crossbar.adc.sigma_capacitor = 0.05;
  crossbar.adc.sigma_comparator = 0.02;
  crossbar.adc.gain_db = 40.0;
  const LayerResolver resolve = on(crossbar);
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .seed = 3,
                                  .evaluation = {},
                                  .resolve = with_calibration(resolve, calibrated(executor, data, resolve).layers),
                                  .record_output = {}};
  const Diagnosis diagnosis = diagnose(request, {}, {});
  EXPECT_TRUE(diagnosis.ideal_is_ideal()) << diagnosis.ideal_deviation;
  std::vector<std::string> names;
  for (const DoctorStage& stage : diagnosis.stages) names.push_back(stage.name);
  EXPECT_EQ(names, (std::vector<std::string>{"input clip", "crossbar weights", "wires", "crossbar ADC",
                                             "ADC capacitor mismatch", "ADC comparator offset", "ADC amplifier gain"}));
  for (const DoctorStage& stage : diagnosis.stages) {
    if (stage.name != "input clip") {
      EXPECT_LT(stage.only.alone_db[0], 60.0) << stage.name;
    }
  }
}

}  // namespace
}  // namespace tessera::sim
