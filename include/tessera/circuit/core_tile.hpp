#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/circuit/converters.hpp"
#include "tessera/circuit/weight_cells.hpp"

/// One tile of a crossbar: cells of all weight slices, their wires, converters and digital recombination.
///
/// Order of one product (gr = 1 - g0): inputs are scaled, converted by the DAC and cut into slices; for every input
/// slice k and weight slice s: line currents (wires, nonlinear cells, read noise), clipped to Icol_max, subtracted in
/// the array or not, converted now (adc_per_ibit) or after the shift-and-add over k with c_k; then, with v the DAC's
/// output,
///
///     BALANCED   u = (I+ - I-)/gr                     OFFSET   u = 2 (I - (gl + gr'/2) sum v)/gr', unit column
///     BITSLICED  u_s = (I+_s - I-_s)/gr or (I_s - g0 sum v)/gr or (I_js - I_0s)/gr,                2 (I_j - I_0)/gr'
///                u = [ (2^b - 1) sum_s 2^(b s) u_s - 2^(B-1) sum v (OFFSET, digital) ] / (2^(B-1) - 1)
///     y = u limit (max - min)/f,                      f = 2 if dac.signed else 1
namespace tessera::circuit {

/// How currents are summed.
enum class Precision {
  single,  ///< float32, on the packed product: for networks
  real     ///< double: the definition
};

/// What pre-distortion (`compensate: wires`, predistortion.hpp) leaves of the difference between wanted and effective
/// conductances, summed over cells; conductances in units of a fully-on cell.
struct CompensationLoss {
  double cells = 0.0;      ///< how many; 0: nothing is compensated
  double before = 0.0;     ///< sum of squared differences, uncompensated
  double remaining = 0.0;  ///< with the cells found
  double at_limit = 0.0;   ///< cells at the ends of their range
};

/// Programmed conductances of one tile, slice by slice.
struct CellState {
  std::vector<SliceCells> slices;
  CompensationLoss compensation = {};
};

/// What the cells are to be programmed to for weights w [outputs, inputs] in [-1, 1]: levels, and conductances that make
/// up for the wires (`compensate`); no error yet.
CellState target_cells(const CrossbarParameters& parameters, ConstRealView w);

/// All cells one array below the other, [arrays * lines, inputs]: slice by slice, the positive array of a pair first.
RealMatrix stacked(const CellState& state);
/// The inverse, for the arrays of `like`. InputError for another shape.
CellState unstacked(ConstRealView cells, const CellState& like);

/// Programs target weights w [outputs, inputs] in [-1, 1]: cell levels, programming error and drift at
/// `parameters.device.time` (programming error always applies; the peer drops it with time > 0). Each chip (address)
/// draws its own errors.
CellState program_cells(const CrossbarParameters& parameters, ConstRealView w, const random::Address& address);

/// What one call met, weight slice by weight slice. Currents are counted where a converter is, or would be.
struct TileCounts {
  std::vector<ConversionCounts> slices;
  std::int64_t line_clipped = 0;  ///< currents beyond Icol_max
  bool activity = false;          ///< whether the following are counted
  std::int64_t code_sum = 0;      ///< of |n|, n the DAC's code: magnitudes up to 2^m - 1
  std::int64_t bit_sum = 0;       ///< of the ones in |n|
  void add(const TileCounts& other);
};

/// What a tile's outputs are multiples of: y = step a, |a| <= largest_code. `problem`: why they are none.
struct OutputGrid {
  double step = 0.0;
  std::int64_t largest_code = 0;
  std::string problem;
};

/// Addresses of the draws of a call: vector r has the number first_vector + r in the data set.
struct CallAddress {
  std::uint64_t first_vector = 0;
  std::uint32_t pass = 0;
};

/// The same crossbar without converters, saturation, read noise and nonlinear cells: linear in its inputs, unless it is
/// gated.
CrossbarParameters without_converters(CrossbarParameters parameters);

/// The weights [outputs, inputs] in [-1, 1] (before limits) that the arrays with their wires compute with, likewise
/// bare; of gated arrays those of the cells.
RealMatrix computed_weights(const CrossbarParameters& parameters, const CellState& state,
                            const random::Address& address, Parallel parallel = {});

/// What the wires alone take from one tile: no converter, no noise. M is the effective conductance of a cell; of gated
/// arrays, whose currents are not linear in the gates, G (voltage across the cell)/supply while all gates are open:
/// the most that wires can take, and all of M of a line add up to its current.
struct WireLoss {
  double signal = 0.0;  ///< sum of w^2 over all weights
  double error = 0.0;   ///< sum of (w' - w)^2, w' the weight that the array with its wires computes with
  RealMatrix carried;   ///< [outputs, inputs]: sum of G over the cells of a position
  RealMatrix lost;      ///< sum of G - M; of interleaved pairs with an input source: of +-(G - M)
};

WireLoss wire_loss(const CrossbarParameters& parameters, const CellState& state, const random::Address& address,
                   Parallel parallel = {});

/// The weights [outputs, inputs] in [-1, 1] (before limits) that cells stand for, without wires, converters and noise.
RealMatrix stored_weights(const CrossbarParameters& parameters, const CellState& state);

class CoreTile {
 public:
  /// Parameters are valid; `address` names the chip and tile for mismatch and read noise.
  CoreTile(const CrossbarParameters& parameters, const CellState& state, const WeightLimits& limits,
           const random::Address& address, Precision precision, Parallel parallel = {});
  CoreTile(const CoreTile& other);
  CoreTile& operator=(const CoreTile& other);
  ~CoreTile();
  CoreTile(CoreTile&&) noexcept;
  CoreTile& operator=(CoreTile&&) noexcept;

  std::int64_t inputs() const;
  std::int64_t outputs() const;
  std::int64_t bytes() const;

  /// y = the tile's outputs for inputs x, [vectors, outputs] and [vectors, inputs]. Precision::single computes in
  /// float32 whatever the views are. Throws InputError for a voltage beyond a nonlinear law's range.
  void multiply(ConstMatrixView x, MatrixView y, const CallAddress& call, TileCounts* counts = nullptr) const;
  void multiply(ConstRealView x, RealView y, const CallAddress& call, TileCounts* counts = nullptr) const;

  /// The same tile with what calibration found for its converters, one setting per weight slice; cells and wires are
  /// shared, not solved again. Takes the place of ranges and levels that parameters().adc leaves to calibration
  /// (AdcParameters::waits_for_calibration); others stay as they are. InputError for another number of settings.
  CoreTile with_converters(std::span<const ConverterSetting> settings) const;
  /// The integers behind its outputs: codes of the converters after subtraction and shift-and-add.
  OutputGrid output_grid() const;
  /// Do its converters have ranges and levels? multiply() throws ConfigError otherwise.
  bool calibrated() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace tessera::circuit
