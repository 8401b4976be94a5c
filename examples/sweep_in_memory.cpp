// Accuracy over the bits of the digital periphery and the noise of the outputs: a sweep without any file.
#include <iostream>
#include <tessera/tessera.hpp>

using namespace tessera;

int main(int argc, char** argv) try {
  const std::string base = argc > 1 ? argv[1] : "configs/quickstart.yaml";
  const auto simulation = app::Simulation::parse("base: " + base + R"(
data: {limit: 200}
output: {record: {statistics: false}}
sweep:
  axes:
    rpu_config.pre_post.periph_quant.n_bits: [3, 4, 8]
    rpu_config.forward.out_noise: [0.0, 0.1]
)");
  const app::SweepResult result = simulation.sweep();

  const results::Reader reader = result.file.reader();  // the same as the file of `tessera sweep`
  const std::vector<results::Axis> axes = reader.axes();
  const results::NamedArray accuracy = reader.read("/accuracy");  // [n_bits, out_noise, time, repeat]
  const auto& bits = std::get<std::vector<double>>(axes[0].values);
  const auto& noise = std::get<std::vector<double>>(axes[1].values);
  for (std::size_t b = 0; b < bits.size(); ++b)
    for (std::size_t n = 0; n < noise.size(); ++n)
      std::cout << bits[b] << " bits, noise " << noise[n] << ": accuracy " << accuracy.values[b * noise.size() + n]
                << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
