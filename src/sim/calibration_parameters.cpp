#include "tessera/core/problems.hpp"
#include "tessera/sim/calibrate.hpp"

namespace tessera::sim {

void validate(const InputCalibration& parameters) {
  Problems problems;
  problems.expect(parameters.quantile > 0.0 && parameters.quantile <= 1.0, "quantile", "must be > 0 and at most 1");
  problems.expect(parameters.converter_quantile > 0.5 && parameters.converter_quantile <= 1.0, "converter_quantile",
                  "must be > 0.5 and at most 1");
  problems.expect(parameters.max_samples >= 1, "max_samples", "must be at least 1");
  problems.expect(!parameters.std_alpha || *parameters.std_alpha > 0.0, "std_alpha", "must be positive");
  problems.expect(parameters.samples >= 0, "samples", "must not be negative");
  problems.expect(parameters.batch_size >= 1, "batch_size", "must be at least 1");
  problems.throw_if_any();
}

}  // namespace tessera::sim
