#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "tessera/cost/parameters.hpp"
#include "tessera/tile/parameters.hpp"

/// From what a layer computes (`rpu_config`) and what it is built like (`cost:`) to tiles as hardware.
namespace tessera::cost {

/// One product of a layer: a matrix on a grid of tiles.
struct ProductShape {
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  bool bias = false;
  double vectors = 1.0;  ///< P: per inference
  double values = 0.0;   ///< U: read from memory per inference; 0: every vector is read whole
};

/// What was measured in a layer, mean over its tiles and vectors. Empty: as the component table assumes.
struct MeasuredActivity {
  std::optional<double> input_mean;
  std::optional<double> bit_density;
  std::optional<double> conductance_mean;
  double rounds = 1.0;
};

/// Further facts that a tile's hardware depends on.
struct LayerSurroundings {
  int next_input_bits = 0;  ///< DAC codes that the layer's outputs become; 0: none known
  double g_max_uS = 25.0;   ///< of the device model
  MeasuredActivity activity;
};

/// Largest code of one sign of a converter with resolution parameter `resolution`: floor(1 / (2 rho)), rho = 1 / p for
/// p > 1 and p else; 0 if it is off.
std::int64_t largest_code(double resolution);
/// Bits of a DAC or ADC code with its sign: ceil(log2(2 n + 1)).
int code_bits(std::int64_t largest);

/// Whether input and output quantizer have hardware, or `assume` says what stands for them.
struct ConverterCodes {
  std::int64_t input = 0;
  double output_bits = 0.0;  ///< beta, real
};
/// ConfigError with the key `assume` where a quantizer is off and nothing is assumed.
ConverterCodes converter_codes(const HardwareParameters& hardware, const tile::RpuParameters& rpu);

/// The tiles of one product, equal ones together. ConfigError with keys of `cost:`.
std::vector<TileGroup> tile_groups(const HardwareParameters& hardware, const tile::RpuParameters& rpu,
                                   const ProductShape& product, const LayerSurroundings& surroundings);

/// Most rounds of bound management: 1, or until the scale exceeds max_bm_factor or the resolution max_bm_res.
double most_rounds(const tile::IOParameters& forward);

}  // namespace tessera::cost
