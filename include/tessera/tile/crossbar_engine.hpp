#pragma once
#include <vector>

#include "tessera/circuit/weight_cells.hpp"
#include "tessera/tile/engine.hpp"
#include "tessera/tile/mapping.hpp"
#include "tessera/tile/parameters.hpp"

/// Tiles as circuits: circuit::CoreTile in the place of the packed product (docs/models/crossbar_cores.md).
///
/// What stays outside is the digital side: input range, mapping scale, periphery, activation quantizer. DAC, cells,
/// wires, read noise, converters and shift-and-add are the crossbar's; z, the inputs after the input range, are scaled
/// by core.mapping.inputs. With weight scaling off (weight_scaling_omega 0) the limits of the weights are those of the
/// layer, else those of the tile, whose weights have been scaled to omega.
namespace tessera::tile {

/// `forward` of layers on crossbars: no converter, no noise, no management.
IOParameters bare_forward();

/// The mapping of a layer: tiles of core.rows_max x core.cols_max where crossbars give them.
MappingParameter crossbar_mapping(const RpuParameters& parameters);

/// `parameters` as a layer on crossbars uses them: forward bare, tiles of core.rows_max x core.cols_max where given.
RpuParameters with_crossbar_tiles(const RpuParameters& parameters);

/// Arrays of a tile (weight slices, pairs counted twice; interleaved pairs are one) and analog-to-digital converters:
/// one per line that is converted, or per group_size of them where circuits share one.
struct CrossbarCount {
  std::int64_t arrays = 0;
  std::int64_t converters = 0;
};
CrossbarCount crossbar_count(const circuit::CrossbarParameters& parameters, const TilePlace& place);

/// What is wrong with `crossbar`, alone and beside `mapping`; keys relative to the `rpu_config`.
std::vector<Problem> crossbar_problems(const RpuParameters& parameters);

/// `weight` is the layer's [outputs, inputs].
EngineFactory crossbar_engines(const circuit::CrossbarParameters& parameters, const MappingParameter& mapping,
                               ConstMatrixView weight);

}  // namespace tessera::tile
