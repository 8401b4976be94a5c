#include "tessera/sim/layer_error.hpp"

#include <vector>

namespace tessera::sim {

void add_batch(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& analog, Parallel parallel) {
  TESSERA_EXPECT(reference.values.shape() == analog.values.shape() && reference.layout == analog.layout);
  const nn::SampleBlocks blocks = nn::sample_blocks(reference);
  if (reference.values.size() == 0) return;
  std::vector<ErrorMeasures> errors(static_cast<std::size_t>(blocks.samples));
  parallel_for(parallel, blocks.samples, [&](std::int64_t s) {
    for (std::int64_t o = 0; o < blocks.outer; ++o) {
      const auto first = static_cast<std::size_t>((o * blocks.samples + s) * blocks.inner);
      const auto count = static_cast<std::size_t>(blocks.inner);
      errors[static_cast<std::size_t>(s)].add(reference.values.values().subspan(first, count),
                                              analog.values.values().subspan(first, count));
    }
  });
  for (const ErrorMeasures& sample : errors) error.merge(sample);
}

}  // namespace tessera::sim
