#pragma once
#include <memory>
#include <vector>

#include "tessera/circuit/wires.hpp"

/// How the sensed currents of an array with wires depend on its cells. With D_c(V) the voltage across cell c and L_c^j
/// the adjoint drop (output side minus input side of the cell, all drivers at 0, 1 V at sense node j; 1 on line j and 0
/// elsewhere without wires), Tellegen's theorem gives
///
///     dI_j = sum_c dG_c D_c(V) L_c^j,        dM[j][i] = sum_c dG_c L_c^j D_c(unit voltage at input i).
///
/// Everything comes from one descent through the tree of merges: the voltages of the joint nodes of a merge are
/// -S^-1 C v for the port voltages v of the union.
namespace tessera::circuit {

/// Of one set of cells, [outputs, inputs].
struct NoiseSensitivity {
  RealMatrix adjoint;    ///< L_ij: cell (j, i) for its own output j
  RealMatrix own_drop;   ///< d_ij: voltage across the cell for 1 at input i alone
  RealMatrix ones_drop;  ///< voltage across the cell for 1 at all inputs
};

/// The array with everything a descent needs; about 70 doubles per cell for 512x512.
class FactoredArray {
 public:
  /// Input source. Throws as effective_matrix.
  FactoredArray(const Cells& cells, const Wires& wires, Parallel parallel = {});
  ~FactoredArray();
  FactoredArray(FactoredArray&&) noexcept;
  FactoredArray& operator=(FactoredArray&&) noexcept;

  /// One per set. Interleaved: input i drives +1 and -1.
  std::vector<NoiseSensitivity> noise_sensitivities(Parallel parallel = {}) const;

  /// dL/dG of every cell of every set for dL/dM [outputs, inputs]: the exact adjoint of the merges.
  std::vector<RealMatrix> conductance_gradient(ConstRealView matrix_gradient, Parallel parallel = {}) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// Variance of the sensed currents for independent cell noise of standard deviation sigma_c, exact to first order but
/// for the noise of other lines' cells (below 0.04 %) and in mean field of the voltages,
///     D_ij(V) = d_ij V_i + e_ij Vbar,  e_ij = D_ij(ones) - d_ij,  Vbar the mean of V:
///     var_j = sum_i s d^2 V_i^2 + 2 Vbar sum_i s d e V_i + Vbar^2 sum_i s e^2,   s = (sigma L)^2.
struct NoiseMatrices {
  RealMatrix square;         ///< s d^2
  RealMatrix mixed;          ///< 2 s d e
  std::vector<double> mean;  ///< sum_i s e^2

  /// Adds the cells of a set.
  void add(const NoiseSensitivity& sensitivity, ConstRealView sigma);
};

/// Standard deviations [vectors, outputs] for voltages V [vectors, inputs].
RealMatrix noise_deviations(const NoiseMatrices& noise, ConstRealView voltages);

}  // namespace tessera::circuit
