// A device of one's own, from a law or from measurements: tables of what programming and drift do at a few
// conductances, on every analog layer of a network, followed over a day.
#include <cmath>
#include <iostream>
#include <tessera/tessera.hpp>

using namespace tessera;

device::TableNoiseModel my_device() {
  device::TableNoiseModel model;  // conductances in uS, times in s
  model.g_converter = device::SinglePairConductanceConverter{.g_max = 25.0, .g_min = 0.0};
  for (double g = 0.0; g <= 25.0; g += 2.5) {
    model.programming_sigma.g.push_back(g);
    model.programming_sigma.values.push_back(0.2 + 0.5 * std::sqrt(g / 25.0));  // spread behind a write
    model.drift_mean.g.push_back(g);
    model.drift_mean.values.push_back(0.06 - 0.03 * g / 25.0);  // exponent: low conductances drift more
  }
  return model;
}

int main(int argc, char** argv) try {
  const auto simulation = app::Simulation::load(
      argc > 1 ? argv[1] : "configs/quickstart.yaml",
      {"data.limit=200", "evaluation.repeats=2", "rpu_config.noise_model.type=PCMLikeNoiseModel"});
  const auto setup = simulation.open();

  sim::EvaluationRequest request = setup->request;
  request.evaluation.times = {0.0, 3600.0, 86400.0};
  request.resolve = [&](const std::string& name, const std::string& op) {
    sim::LayerParameters layer = setup->request.resolve(name, op);  // as configured ...
    if (layer.analog) layer.device->noise_model = my_device();      // ... but for the device
    return layer;
  };
  for (const sim::PointResult& point : sim::evaluate(request, {}, Parallel::all(), {}).points)
    std::cout << "chip " << point.index.repeat << " after "
              << request.evaluation.times[static_cast<std::size_t>(point.index.time)] << " s: accuracy "
              << point.score.accuracy() << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
