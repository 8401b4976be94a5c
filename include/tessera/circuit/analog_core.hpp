#pragma once
#include <vector>

#include "tessera/circuit/core_tile.hpp"

/// A whole matrix on tiles of at most rows_max inputs and cols_max outputs. Each tile has its own converters and its
/// own wires; the outputs of tiles along the inputs are added digitally. The limits of the weights are those of the
/// whole matrix.
namespace tessera::circuit {

class AnalogCore {
 public:
  /// Programs W [outputs, inputs] on the chip `address`, tiles numbered row by row. Throws ConfigError for invalid
  /// parameters, InputError for weights that are not finite.
  AnalogCore(const CrossbarParameters& parameters, ConstRealView weights, const random::Address& address = {},
             Precision precision = Precision::real, Parallel parallel = {});

  /// y = W x, [vectors, outputs].
  RealMatrix multiply(ConstRealView x, const CallAddress& call = {}, TileCounts* counts = nullptr) const;
  void multiply(ConstMatrixView x, MatrixView y, const CallAddress& call = {}, TileCounts* counts = nullptr) const;

  std::int64_t inputs() const { return inputs_; }
  std::int64_t outputs() const { return outputs_; }
  std::size_t tiles() const { return tiles_.size(); }
  const WeightLimits& limits() const { return limits_; }
  /// What the chip holds, without converters: one vector per input, DAC and ADC left out.
  RealMatrix stored_weights() const;

 private:
  struct Placed {
    std::int64_t first_output = 0, first_input = 0;
    CoreTile tile;
  };
  void build(const CrossbarParameters& parameters, ConstRealView weights, const random::Address& address,
             Precision precision, Parallel parallel);
  template <class T>
  void run(BasicMatrixView<const T> x, BasicMatrixView<T> y, const CallAddress& call, TileCounts* counts) const;

  CrossbarParameters parameters_;
  RealMatrix weights_;
  random::Address address_;
  WeightLimits limits_;
  std::int64_t inputs_ = 0, outputs_ = 0;
  std::vector<Placed> tiles_;
};

}  // namespace tessera::circuit
