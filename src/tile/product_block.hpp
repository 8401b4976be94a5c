#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/kernels/fixed_point.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/engine.hpp"
#include "tessera/tile/frozen.hpp"
#include "tessera/tile/parameters.hpp"
#include "tessera/tile/statistics.hpp"

/// Private: a block of vectors on its way through one tile, and what is kept of it.
namespace tessera::tile {

/// What the backward pass needs of one pass through the array (one of several with POS_NEG_* and digit encodings).
/// Matrices are [vectors, inputs] or [vectors, outputs]; those of effects that are off have no rows.
struct PhaseTrace {
  Matrix z;                    ///< what the lines carried
  Matrix line_slope;           ///< d z / d (what the DAC and the encoding gave)
  Matrix slope;                ///< d o / d v: v the engine's column values, o the tile's output
  Matrix variance;             ///< d o / d (sum |W| z^2), PCM_READ, or d o / d (sum z^2), ADDITIVE_CONSTANT
  Matrix slope_sum;            ///< d o / d (sum z) of voltage offsets and series resistance
  std::vector<Matrix> engine;  ///< what the engine recorded
};

/// A pass of many vectors, written block by block; blocks may be written in parallel.
struct ProductTrace {
  Matrix o;                  ///< [vectors, outputs]: what the scale of the periphery multiplies
  std::vector<float> scale;  ///< c, per vector: z = DAC(x c)
  std::vector<PhaseTrace> phases;
  std::vector<float> z_share;         ///< per pass: its part in the derivative of a digit encoding
  std::vector<std::int64_t> clipped;  ///< outputs of every vector at 0.999 out_bound or beyond
};

/// The same for the vectors of one round.
struct RoundRecord {
  std::vector<PhaseTrace> phases;
  std::vector<std::int64_t> clipped;
};

/// Working memory of one task; grows to what a block needs and is reused by the next block.
struct ProductScratch {
  AlignedVector<float> input;      // x after the input range, with the constant line of an analog bias
  AlignedVector<float> gathered;   // vectors that bound management repeats
  AlignedVector<float> converted;  // z, what the DAC puts on the lines
  AlignedVector<float> phase;      // the part of z that one pass sends
  EngineScratch engine;
  AlignedVector<float> product;   // v
  AlignedVector<float> sum;       // over passes
  AlignedVector<float> variance;  // of the read noise
  AlignedVector<float> result;    // of repeated vectors
  AlignedVector<float> draws;     // noise of the DAC, then of the ADC
  AlignedVector<float> dither;
  AlignedVector<std::int32_t> narrow_sums;  // of the fixed-point periphery, over tiles
  AlignedVector<std::int64_t> wide_sums;
  AlignedVector<double> real_sums;
  std::vector<kernels::FixedPointWords> words;
  std::vector<float> largest;  // per vector of the block
  std::vector<float> a;        // noise-management scale
  std::vector<float> g;        // bound-management reduction
  std::vector<float> scale;    // per pending vector: c
  std::vector<float> unscale;  // per pending vector: out_scale / c
  std::vector<std::int64_t> pending;
  std::vector<std::int32_t> above;
  std::vector<std::int32_t> below;
  std::vector<std::int32_t> phase_above;
  std::vector<std::int32_t> phase_below;
  std::vector<std::uint32_t> last_round;  // per vector: the round that gave the result
  std::vector<float> peaks;
  std::vector<float> phase_peaks;
};

/// The streams of tiles of one output each that pass side by side, by purpose.
using ColumnStreams = std::map<random::Purpose, std::vector<random::Stream>>;

/// A block of vectors through one tile.
struct ProductCall {
  ConstMatrixView x;  ///< the tile's slice of the input, without the line of an analog bias
  MatrixView y;
  std::uint64_t first_vector = 0;
  std::uint32_t event = 0;       ///< of the call: the high half of the streams' event
  float input_range = 0.0F;      ///< 0: off
  const float* scale = nullptr;  ///< one per output, or null
  const float* bias = nullptr;   ///< one per output, or null
  float average = 0.0F;          ///< of AVERAGE_ABS_MAX; 0: each vector counts as the first
  float bias_line = 0.0F;        ///< drive of the line of an analog bias, which x lacks; 0: there is none
  bool bias_line_clips = false;  ///< the line is clipped at the bound of the DAC like an input
  bool converted = false;        ///< x has been through the input range and input_conversion()
  LayerStatistics* statistics = nullptr;
  const ColumnStreams* columns = nullptr;  ///< every output is a tile of its own, with draws of its own
};

/// Such a block on its way.
struct Block {
  const ProductCall& call;
  ConstMatrixView x;              // all lines of the tile
  ConstMatrixView z;              // what the DAC puts on the lines
  float range = 0.0F;             // still to be applied to x
  std::int64_t pending = 0;       // vectors of the current round
  bool contiguous = true;         // the pending vectors are the whole block
  bool scaled = false;            // some c differs from 1
  bool unscaled = false;          // some out_scale / c differs from 1
  bool counting = false;          // bound test or statistics wanted
  RoundRecord* record = nullptr;  // for the backward pass: what the round leaves; counts nothing then
};

}  // namespace tessera::tile
