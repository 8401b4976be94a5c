#pragma once
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/tile/statistics.hpp"

namespace tessera::tile {

/// Adds the magnitudes of the DAC codes n = |z| / step, and the ones in them, to the statistics. Values that carry input
/// noise count as the nearest code. Nothing where the DAC does not quantize.
void count_codes(ConstMatrixView z, const kernels::Converter& dac, LayerStatistics& statistics);

}  // namespace tessera::tile
