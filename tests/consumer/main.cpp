// One linear layer on an analog tile, through the installed library only.
#include <tessera/random/stream.hpp>
#include <tessera/tile/analog_layer.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  const std::vector<float> weights{0.9F, -0.35F, 0.2F, 0.05F, -0.6F, 0.8F, -1.0F, 0.4F};
  const std::vector<float> inputs{0.8F, -1.3F, 0.45F, 2.1F};
  std::vector<float> outputs(2);
  tessera::tile::RpuParameters parameters;
  parameters.forward.is_perfect = true;
  const tessera::tile::AnalogLayer layer(parameters, {weights.data(), 2, 4}, {}, tessera::random::Address{.seed = 1});
  layer.forward({inputs.data(), 1, 4}, {outputs.data(), 1, 2}, {});
  std::printf("%g %g\n", static_cast<double>(outputs[0]), static_cast<double>(outputs[1]));
  return std::abs(outputs[0] - 1.37F) < 1e-5F && std::abs(outputs[1] + 1.13F) < 1e-5F ? 0 : 1;
}
