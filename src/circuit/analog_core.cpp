#include "tessera/circuit/analog_core.hpp"

#include <algorithm>
#include <type_traits>

namespace tessera::circuit {

AnalogCore::AnalogCore(const CrossbarParameters& parameters, ConstRealView weights, const random::Address& address,
                       Precision precision, Parallel parallel)
    : parameters_(parameters), weights_(weights), address_(address), inputs_(weights.cols), outputs_(weights.rows) {
  validate(parameters);
  if (parameters.adc.waits_for_calibration())
    throw ConfigError("xbar.adc.mvm.calibrated_range",
                      "the converters have no range, and there is no calibration here; give one pair per weight slice, "
                      "or choose adc_range_option: MAX");
  require<InputError>(inputs_ > 0 && outputs_ > 0, "a matrix of {}x{} weights has no cells", outputs_, inputs_);
  limits_ = weight_limits(parameters.core.weights, weights);
  build(parameters, weights, address, precision, parallel);
}

void AnalogCore::build(const CrossbarParameters& parameters, ConstRealView weights, const random::Address& address,
                       Precision precision, Parallel parallel) {
  const RealMatrix w = normalised_weights(parameters.core.weights, limits_, weights);
  random::Address own = address;
  for (const auto& [row0, row1] : partition(outputs_, output_partition(parameters)))
    for (const auto& [col0, col1] : partition(inputs_, input_partition(parameters))) {
      const RealMatrix part(w.view().rows_from(row0, row1 - row0).cols_from(col0, col1 - col0));
      tiles_.push_back(
          {row0, col0,
           CoreTile(parameters, program_cells(parameters, part.view(), own), limits_, own, precision, parallel)});
      ++own.tile;
    }
}

template <class T>
void AnalogCore::run(BasicMatrixView<const T> x, BasicMatrixView<T> y, const CallAddress& call,
                     TileCounts* counts) const {
  require<InputError>(x.cols == inputs_ && y.cols == outputs_ && x.rows == y.rows,
                      "a block of {}x{} inputs does not fit a core of {} inputs", x.rows, x.cols, inputs_);
  using Owning = std::conditional_t<std::is_same_v<T, float>, Matrix, RealMatrix>;
  for (std::int64_t r = 0; r < y.rows; ++r) std::fill_n(y.row(r), y.cols, T{0});
  for (const Placed& placed : tiles_) {
    Owning part(x.rows, placed.tile.outputs());
    placed.tile.multiply(x.cols_from(placed.first_input, placed.tile.inputs()), part.view(), call, counts);
    for (std::int64_t r = 0; r < y.rows; ++r)
      for (std::int64_t j = 0; j < part.cols(); ++j) y(r, placed.first_output + j) += part(r, j);
  }
}

RealMatrix AnalogCore::multiply(ConstRealView x, const CallAddress& call, TileCounts* counts) const {
  RealMatrix y(x.rows, outputs_);
  run<double>(x, y.view(), call, counts);
  return y;
}

void AnalogCore::multiply(ConstMatrixView x, MatrixView y, const CallAddress& call, TileCounts* counts) const {
  run<float>(x, y, call, counts);
}

RealMatrix AnalogCore::stored_weights() const {
  CrossbarParameters bare = parameters_;
  bare.array = {};
  bare.dac = {.is_signed = parameters_.dac.is_signed};
  bare.adc = {};
  bare.device.read_noise = {};
  bare.device.nonlinear_IV = {};
  bare.core.inputs.clipping = false;
  const AnalogCore core(bare, weights_.view(), address_);
  RealMatrix identity(inputs_, inputs_);
  for (std::int64_t i = 0; i < inputs_; ++i) identity(i, i) = 1.0;
  const RealMatrix columns = core.multiply(identity.view());
  RealMatrix stored(outputs_, inputs_);
  for (std::int64_t j = 0; j < outputs_; ++j)
    for (std::int64_t i = 0; i < inputs_; ++i) stored(j, i) = columns(i, j);
  return stored;
}

}  // namespace tessera::circuit
