#pragma once
#include <memory>
#include <optional>

#include "tessera/circuit/cell_law.hpp"
#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/ladder.hpp"
#include "tessera/circuit/sensitivity.hpp"
#include "tessera/kernels/product.hpp"

/// Private: currents of the output lines of one array for line voltages v.
namespace tessera::circuit::detail {

/// A matrix in the precision in which its products are summed.
class CurrentMatrix {
 public:
  CurrentMatrix() = default;
  CurrentMatrix(ConstRealView m, Precision precision);
  void multiply(ConstMatrixView v, MatrixView out) const;
  void multiply(ConstRealView v, RealView out) const;
  std::int64_t bytes() const;

 private:
  RealMatrix real_;
  kernels::PackedMatrix packed_;
};

/// Independent noise of every cell per read, referred to the output lines (sensitivity.hpp).
class ReadNoise {
 public:
  ReadNoise(const NoiseMatrices& matrices, Precision precision);
  /// out += sqrt(variance(v)) * xi, with the draws (first_vector + r) * outputs + j of an event.
  template <class T>
  void add(BasicMatrixView<const T> v, const ConversionDraws& draws, BasicMatrixView<T> out) const;
  std::int64_t bytes() const { return square_.bytes() + mixed_.bytes(); }

 private:
  CurrentMatrix square_, mixed_;
  std::vector<double> mean_;
  bool has_mean_ = false;
};

/// The cells of one array, or of both arrays of a pair whose currents meet.
struct ArrayCells {
  RealMatrix positive;
  RealMatrix negative;  ///< may be empty
};

class LineCurrents {
 public:
  /// `separate`: the two arrays have wires of their own and their currents meet at the converter; else they are one
  /// interleaved array (or there is only one).
  LineCurrents(const CrossbarParameters& parameters, ArrayCells cells, bool separate, const Wires& wires,
               Precision precision, Parallel parallel);

  std::int64_t outputs() const { return outputs_; }
  /// out [vectors, outputs] = currents for v [vectors, inputs], read noise included.
  template <class T>
  void run(BasicMatrixView<const T> v, const ConversionDraws& draws, BasicMatrixView<T> out) const;
  std::int64_t bytes() const;

 private:
  void solve_linear(const CrossbarParameters& p, bool separate, Precision precision, Parallel parallel);
  void prepare_noise(const CrossbarParameters& p, bool separate, Precision precision, Parallel parallel);
  std::vector<double> solve_one(const Cells& cells, std::span<const double> v) const;
  void solve_each(ConstRealView v, const ConversionDraws& draws, RealView out) const;
  ArrayCells noisy_cells(const ConversionDraws& draws, std::int64_t r) const;
  void run_gated(ConstMatrixView gates, MatrixView out) const;
  void run_noisy_gated(ConstMatrixView gates, const ConversionDraws& draws, MatrixView out) const;
  void run_gated(ConstRealView gates, RealView out) const;
  Cells cells() const;

  std::int64_t outputs_ = 0;
  ArrayCells array_;  ///< kept where vectors are solved one by one
  bool separate_ = false;
  bool each_vector_ = false;
  Wires wires_;
  SimulationParameters simulation_;
  CellParameters device_;
  bool series_sources_ = false;
  bool noisy_gates_ = false;
  std::vector<std::shared_ptr<const GatedArray>> gated_;  ///< the second subtracted; none: not gated, or noisy cells
  CurrentMatrix linear_;
  std::optional<std::array<CurrentMatrix, 2>> powers_;  ///< of v^2 and v^3: nonlinear cells without wires
  std::optional<ReadNoise> noise_;
};

/// The law of nonlinear cells.
CellLaw cell_law(const CellParameters& device);

}  // namespace tessera::circuit::detail
