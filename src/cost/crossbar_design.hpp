#pragma once
#include "tessera/circuit/parameters.hpp"
#include "tessera/cost/design.hpp"

namespace tessera::cost {

/// Codes of a crossbar's converters: n = 2^(bits of the magnitude) - 1, beta = log2 of the levels. ConfigError as
/// converter_codes().
ConverterCodes crossbar_codes(const HardwareParameters& hardware, const circuit::CrossbarParameters& crossbar);

/// What a crossbar adds to a tile's hardware: slices and pairs, input digits, conversions, passes of signed inputs
/// through gates, conductance and voltage of its cells. ConfigError where `cost:` describes other hardware.
void describe_crossbar(TileDesign& design, const circuit::CrossbarParameters& crossbar);

}  // namespace tessera::cost
