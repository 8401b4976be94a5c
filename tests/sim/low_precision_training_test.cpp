// Does a network learn in digital low precision, with ranges that are estimated or learned, that the model file keeps
// and an evaluation uses, to the same bits for any thread count and across an interruption?
#include <gmock/gmock.h>

#include <atomic>

#include "sim/training_setup.hpp"
#include "tessera/sim/quantized_network.hpp"

namespace tessera::sim {
namespace {

using testing::HasSubstr;

LayerParameters digital(const std::string& name, const std::string& op) {
  LayerParameters parameters = hardware(name, op);
  parameters.analog = false;
  return parameters;
}

QuantizationParameters bits(int n) {
  QuantizationParameters parameters;
  parameters.append_default_conversions = true;
  parameters.map.default_qconfig.activation_quant.n_bits = n;
  parameters.map.default_qconfig.activation_quant.symmetric = false;
  parameters.map.default_qconfig.weight_quant.n_bits = n;
  parameters.map.default_qconfig.weight_quant.per_channel = true;
  return parameters;
}

class LowPrecisionTrainingTest : public TrainingTest {
 protected:
  TrainingRequest low_precision(bool learn, std::int64_t digital_epochs = 10) const {
    TrainingRequest r = request(digital_epochs, 0);
    r.resolve = digital;
    r.quantization = bits(3);
    r.parameters.quantizers = {learn, 7};
    r.parameters.rate_factors.quantizer_range = 0.2;
    return r;
  }
};

TEST_F(LowPrecisionTrainingTest, LearnsAndAnEvaluationUsesItsRanges) {
  for (const bool learn : {false, true}) {
    const TrainingResult result = train(low_precision(learn), {}, {}, {});
    EXPECT_GT(result.epochs.back().reference_accuracy, 0.85) << "3 bits; a third by guessing";
    const QuantizerRanges ranges = read_quantizer_ranges(result.model.calibration);
    for (const char* layer : {"fc1", "fc2"}) {
      ASSERT_TRUE(ranges.at(layer).contains("output")) << layer;
      EXPECT_EQ(ranges.at(layer).contains("weight"), learn) << "estimated ranges follow from the weights";
    }
    if (learn) {
      EXPECT_EQ(ranges.at("fc1").at("weight").state.delta.size(), 8U) << "one per output";
    }

    const nn::Executor executor(result.model.graph);
    QuantizationParameters known = bits(3);
    known.ranges = ranges;
    const QuantizedNetwork with(executor, known, digital, validation_, 1, {});
    const QuantizedNetwork without(executor, bits(3), digital, validation_, 1, {});
    const auto text = [](const QuantizedNetwork& network, const std::string& tensor) {
      std::string all;
      for (const auto& entry : network.entries())
        if (entry.tensor == tensor) all += entry.number + ";";
      return all;
    };
    EXPECT_NE(text(with, "output"), text(without, "output"));
    EXPECT_EQ(text(with, "weight") != text(without, "weight"), learn) << "learned ones differ from estimates";
  }
}

TEST_F(LowPrecisionTrainingTest, ThreadsAndInterruptionsChangeNoBit) {
  TrainingRequest whole = low_precision(true, 3);
  const std::vector<double> expected = expect_threads_change_nothing_then_interrupt(whole, checkpoint_);
  EXPECT_EQ(numbers_of(train(whole, {}, {}, {})), expected);
}

TEST_F(LowPrecisionTrainingTest, LearnsTheRangesOfActivationsOfTiles) {
  TrainingRequest r = request(0, 4);
  r.resolve = [](const std::string& name, const std::string& op) {
    LayerParameters parameters = hardware(name, op);
    parameters.rpu.act_quant_config.emplace();
    parameters.rpu.act_quant_config->n_bits = 6;
    return parameters;
  };
  r.parameters.quantizers.init_learning_after = 3;
  const std::vector<double> estimated = numbers_of(train(r, {}, {}, {}));
  r.parameters.quantizers.learn_quant_params = true;
  const TrainingResult learned = train(r, {}, {}, {});
  EXPECT_NE(numbers_of(learned), estimated);
  EXPECT_GT(learned.epochs.back().validation_accuracy.at(0), 0.6);
}

TEST_F(LowPrecisionTrainingTest, RefusesWhatIsNotTrained) {
  const auto message = [&](const QuantizationParameters& parameters, bool spiking) -> std::string {
    TrainingRequest r = low_precision(false, 1);
    r.quantization = parameters;
    if (spiking) r.spiking.emplace();
    try {
      train(r, {}, {}, {});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(bits(4), false), "");
  EXPECT_THAT(message(bits(4), true), HasSubstr("together with spiking neurons"));
  QuantizationParameters formats;
  formats.formats.default_formats.weight = quant::FixedPoint{};
  EXPECT_THAT(message(formats, false), HasSubstr("number formats are not trained"));
  QuantizationParameters misspelt = bits(4);
  misspelt.map.excluded_modules = {"fc9"};
  EXPECT_THAT(message(misspelt, false), HasSubstr("fc9"));
}

}  // namespace
}  // namespace tessera::sim
