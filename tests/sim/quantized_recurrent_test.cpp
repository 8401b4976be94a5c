// Are weights and sums of recurrent and transposed layers quantized like those of others?
#include <gtest/gtest.h>

#include <cmath>

#include "quantization_setup.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {
namespace {

TEST(QuantizedRecurrent, RecurrentAndTransposedLayersAreQuantizedToo) {
  for (const std::string op : {"LSTM", "GRU", "RNN", "ConvTranspose"}) {
    const nn::Executor reference = one_layer(op);
    const io::DataSet data = data_for(reference);
    const Tensor x = data.read(0, 20, {1});
    QuantizationParameters ranges;
    ranges.map.module_qconfig_map[op] = {.quantized_module = "", .module_qconfig = bits(4, 3, op != "ConvTranspose")};
    const QuantizedNetwork network(reference, ranges, digital, data, 0, {1});
    for (const nn::LinearPart& part : network.executor().layers()[0].parts)
      for (std::int64_t o = 0; o < part.weight.rows(); ++o) {
        const Matrix weight = part.weight.matrix();
        const std::span<const float> row = weight.view().row_span(o);
        EXPECT_LE(distinct(row), 8U) << op;
      }
    const Tensor y = network.executor().run(x);
    EXPECT_LE(distinct(y.values()), 16U) << op;
    EXPECT_GT(distinct(y.values()), 4U) << op;

    // Sums in a format as wide as float32 are those of float32, in another order.
    QuantizationParameters wide;
    wide.formats.instances["layer"].accumulation = quant::FloatingPoint{8, 22};
    const QuantizedNetwork summed(reference, wide, digital, data, 0, {1});
    const Tensor same_sums = summed.executor().run(x, {.overrides = &summed.accumulators()});
    wide.formats.instances["layer"].accumulation = quant::FixedPoint{6, 2};
    const QuantizedNetwork narrow(reference, wide, digital, data, 0, {1});
    const Tensor few_sums = narrow.executor().run(x, {.overrides = &narrow.accumulators()});
    const Tensor exact = reference.run(x);
    double wide_error = 0.0, narrow_error = 0.0;
    for (std::int64_t i = 0; i < exact.size(); ++i) {
      wide_error = std::max(wide_error, std::abs(static_cast<double>(same_sums.data()[i] - exact.data()[i])));
      narrow_error = std::max(narrow_error, std::abs(static_cast<double>(few_sums.data()[i] - exact.data()[i])));
    }
    // A sum of at most 12 terms of a size up to 4 rounds by 12 * 4 * 2^-23 (half a last place, twice for two orders), and
    // passes three steps of the recurrence, none of which enlarges it by more than 4.
    EXPECT_LT(wide_error, 3 * 4 * 12 * 4 * std::pow(2.0, -23)) << op;
    EXPECT_GT(narrow_error, 0.25 / 16) << op << ": steps of 1/4 leave their mark";
  }
}

TEST(QuantizedRecurrent, WeightsOfRecurrentLayersHaveBlocksByOutput) {
  const nn::Executor reference = one_layer("LSTM");
  const io::DataSet data = data_for(reference);
  QuantizationParameters parameters;
  parameters.formats.default_formats.weight = quant::BlockFloatingPoint{3, 0};
  const QuantizedNetwork network(reference, parameters, digital, data, 0, {1});
  const Matrix before = reference.layers()[0].parts[0].weight.matrix();
  const Matrix after = network.executor().layers()[0].parts[0].weight.matrix();
  for (std::int64_t o = 0; o < before.rows(); ++o) {
    Tensor row({before.cols()}, before.view().row_span(o));
    const Tensor expected = quant::quantize_nearest(quant::BlockFloatingPoint{3, -1}, row);
    EXPECT_TRUE(std::ranges::equal(expected.values(), after.view().row_span(o))) << o;
  }
}

}  // namespace
}  // namespace tessera::sim
