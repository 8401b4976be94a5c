// One linear layer on an analog tile: 8-bit converters, output noise, and a digital periphery of 8, 6 and 4 bits.
#include <iostream>
#include <random>
#include <tessera/tessera.hpp>

using namespace tessera;

int main() {
  constexpr std::int64_t inputs = 128, outputs = 64, vectors = 256;
  Matrix weights(outputs, inputs), x(vectors, inputs), exact(vectors, outputs), y(vectors, outputs);
  std::mt19937 random(1);
  for (float& w : weights.values()) w = std::normal_distribution<float>(0.0F, 0.2F)(random);
  for (float& value : x.values()) value = std::normal_distribution<float>()(random);

  tile::RpuParameters parameters;
  parameters.forward.is_perfect = true;  // float32 arithmetic on the same layer
  const random::Address chip{.seed = 1};
  tile::AnalogLayer(parameters, weights.view(), {}, chip).forward(x.view(), exact.view(), {});

  parameters.forward.is_perfect = false;
  parameters.forward.inp_res = 254;  // 2^8 - 2 steps over [-1, 1]
  parameters.forward.out_res = 254;
  parameters.forward.out_noise = 0.04;
  for (const int bits : {8, 6, 4}) {
    parameters.pre_post.periph_quant.n_bits = bits;
    const tile::AnalogLayer layer(parameters, weights.view(), {}, chip);
    tile::LayerStatistics counts;
    layer.forward(x.view(), y.view(), {.statistics = &counts});
    ErrorMeasures error;
    error.add(exact.values(), y.values());
    std::cout << bits << "-bit periphery: SQNR " << error.sqnr_db() << " dB, "
              << 100.0 * counts.adc_saturation_fraction() << " % of the ADC's outputs saturated\n";
  }
}
