// A network and its hardware from a configuration, simulated with a progress callback. Results stay in memory; a second
// argument names a file for them.
#include <iostream>
#include <tessera/tessera.hpp>

using namespace tessera;

int main(int argc, char** argv) try {
  const auto simulation = app::Simulation::load(argc > 1 ? argv[1] : "configs/quickstart.yaml", {"data.limit=200"});

  app::Execution execution;
  execution.environment.progress = [](std::int64_t done, std::int64_t total, const char* unit) {
    if (done == total) std::cerr << done << " " << unit << " simulated\n";
  };
  execution.environment.message = [](Severity severity, const std::string& text) {
    std::cerr << (severity == Severity::warning ? "warning: " : "note: ") << text << "\n";
  };
  const app::RunResult result = simulation.run({.file = argc > 2 ? argv[2] : ""}, execution);

  const sim::PointResult& chip = result.evaluation.points.front();
  std::cout << "accuracy " << chip.score.accuracy() << ", in float32 " << result.evaluation.reference.accuracy()
            << "\n";
  for (std::size_t l = 0; l < chip.layers.size(); ++l)
    std::cout << "  " << result.setup->executor.layers()[l].name << ": " << chip.layers[l].cumulative.sqnr_db()
              << " dB against float32\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
