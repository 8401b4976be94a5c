#include "tessera/sim/layer_error.hpp"

#include <vector>

namespace tessera::sim {

void add_batch(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& analog, Parallel parallel) {
  TESSERA_EXPECT(reference.values.shape() == analog.values.shape() && reference.layout == analog.layout);
  const std::int64_t samples = reference.values.rank() > 0 ? reference.values.dim(0) : 1;
  if (samples == 0) return;
  const auto each = static_cast<std::size_t>(reference.values.size() / samples);
  std::vector<ErrorMeasures> errors(static_cast<std::size_t>(samples));
  parallel_for(parallel, samples, [&](std::int64_t s) {
    const std::size_t first = static_cast<std::size_t>(s) * each;
    errors[static_cast<std::size_t>(s)].add(reference.values.values().subspan(first, each),
                                            analog.values.values().subspan(first, each));
  });
  for (const ErrorMeasures& sample : errors) error.merge(sample);
}

}  // namespace tessera::sim
