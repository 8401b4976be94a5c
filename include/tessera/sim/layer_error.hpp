#pragma once
#include "tessera/core/parallel.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/nn/executor.hpp"

namespace tessera::sim {

/// Adds a batch to the error of an analog layer's output against the float32 output of the same layer. Both have the
/// same shape and layout, and hold the samples along the same axis. Samples are measured apart and merged in their
/// order, so the sums do not depend on batch size or threads.
void add_batch(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& analog, Parallel parallel);

}  // namespace tessera::sim
