// An effect of one's own between array and ADC: a buffer amplifier that compresses, v -> v - k v^3, and what it costs
// in accuracy of a product on a tile that has every other effect of the preset.
#include <cmath>
#include <iostream>
#include <random>
#include <tessera/tessera.hpp>

using namespace tessera;

// v and k as fractions of the ADC's bound; |v| beyond 1 / sqrt(3 k), where the cubic turns back, stays at the peak.
tile::Effect compressing_buffer() {
  static const tile::EffectLaw law{.outputs = [](const tile::Stage& stage, MatrixView v, Matrix* slope) {
    const auto k = static_cast<float>(stage.io.numbers["buffer_compression"]);
    const auto bound = static_cast<float>(stage.io.out_bound);
    const float turn = k > 0.0F ? 1.0F / std::sqrt(3.0F * k) : INFINITY;
    // The slope d is what training would send back through the effect.
    tile::apply(v, slope, [=](float x, std::int64_t, auto& d) {
      const float u = x / bound, inside = std::fmin(std::fmax(u, -turn), turn);
      d = inside == u ? 1.0F - 3.0F * k * u * u : 0.0F;
      return bound * (k > 0.0F ? inside - k * inside * inside * inside : u);
    });
  }};
  return {.name = "buffer compression", .place = 62, .page = {}, .law = "v - k v^3", .act = &law};
}

int main() {
  Matrix weight(64, 128), x(256, 128), exact(256, 64), y(256, 64);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (float& w : weight.values()) w = 0.1F * normal(generator);
  for (float& value : x.values()) value = normal(generator);

  tile::RpuParameters parameters = tile::preset("StandardIOParameters");
  tile::AnalogLayer(parameters, weight.view(), {}, {.seed = 1}).forward(x.view(), exact.view(), {});
  parameters.forward.own_effects = {std::make_shared<tile::Effect>(compressing_buffer())};
  for (const double k : {0.0, 0.1, 0.3, 1.0}) {
    parameters.forward.numbers.set("buffer_compression", k);
    tile::AnalogLayer(parameters, weight.view(), {}, {.seed = 1}).forward(x.view(), y.view(), {});
    double error = 0.0, signal = 0.0;
    for (std::size_t i = 0; i < y.values().size(); ++i) {
      error += std::pow(static_cast<double>(y.values()[i]) - static_cast<double>(exact.values()[i]), 2.0);
      signal += std::pow(static_cast<double>(exact.values()[i]), 2.0);
    }
    std::cout << "k = " << k << ": " << 10.0 * std::log10(error / signal) << " dB against the tile without it\n";
  }
}
