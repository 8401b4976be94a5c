#include "tessera/core/error.hpp"
#include "tessera/sim/search.hpp"

namespace tessera::sim {

double HardwareCosts::of(SearchCost cost) const {
  switch (cost) {
    case SearchCost::energy:
      return energy_J;
    case SearchCost::latency:
      return latency_s;
    case SearchCost::area:
      return area_mm2;
    case SearchCost::edp:
      return energy_J * latency_s;
    case SearchCost::bits:
    case SearchCost::columns:
      break;
  }
  return 0.0;
}

std::string unit_of(SearchCost cost) {
  switch (cost) {
    case SearchCost::bits:
      return "bits";
    case SearchCost::columns:
      return "bits x columns";
    case SearchCost::energy:
      return "energy (J)";
    case SearchCost::latency:
      return "latency (s)";
    case SearchCost::area:
      return "area (mm2)";
    case SearchCost::edp:
      return "EDP (J s)";
  }
  return "";
}

void validate(const SearchParameters& parameters) {
  const auto expect = [](bool ok, const char* key, const std::string& rule) {
    if (!ok) throw ConfigError(key, rule);
  };
  expect(parameters.budget >= 0.0 && parameters.budget <= 100.0, "budget",
         "0 to 100 percentage points, or per cent of the perplexity");
  expect(parameters.confidence >= 0.5 && parameters.confidence <= 0.9999, "confidence", "0.5 to 0.9999");
  expect(parameters.front >= 1, "front", "at least 1");
  expect(parameters.max_points >= 2, "max_points", "at least 2");
  expect(parameters.holdout >= 0.0 && parameters.holdout <= 0.9, "holdout", "0 to 0.9");
}

}  // namespace tessera::sim
