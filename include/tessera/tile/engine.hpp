#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/circuit/core_tile.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/channel_product.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/statistics.hpp"

/// What turns the values on the lines of a tile into the values of its columns. A tile has everything else: input
/// range, managements, DAC and encodings in front, read noise, output stage and ADC behind. The packed product (v = W
/// z, with quadratic IR drop) is one engine; a circuit with wires is another.
namespace tessera::tile {

/// Working memory of one task, for the engine's own use; grows and is used again.
struct EngineScratch {
  AlignedVector<float> magnitude;
  AlignedVector<float> square;
};

/// A block of vectors through an engine. Shapes: z [vectors, inputs], v and variance [vectors, outputs].
struct EngineCall {
  ConstMatrixView z;         ///< what the lines carry; full scale of the DAC is its inp_bound
  MatrixView v;              ///< receives the column values, in units of weight times z
  MatrixView variance;       ///< if it has rows: receives sum_k |w_ik| z_k^2, the variance of v_i under read noise
                             ///< of variance |w_ik| in every weight (PCM_READ); stride as v
  std::span<Matrix> record;  ///< empty, or Engine::recorded() matrices [vectors, outputs] for the backward pass

  // Of the pass that the block belongs to; engines with noise or converters of their own need it.
  std::uint64_t first_vector = 0;         ///< number of the first vector in the data set
  std::uint32_t event = 0;                ///< of ForwardCall
  LayerStatistics* statistics = nullptr;  ///< counts are added to it if given
};

/// Derivatives of an engine at its weights, for one layer that learns. dL/dv = e and dL/dvariance = h are given, both
/// [vectors, outputs]; h has no rows where no variance was asked for. Without a record v = W z is differentiated.
class EngineBackward {
 public:
  virtual ~EngineBackward() = default;

  /// Forgets the sums of the weights' gradient.
  virtual void begin() = 0;
  /// What is done once for some vectors of a pass: e and what run() recorded may change in place, and come as they
  /// are then to the following two.
  virtual void prepare(MatrixView e, std::span<const MatrixView> record) const = 0;
  /// dz = (dv/dz)^T e + (dvariance/dz)^T h for some vectors.
  virtual void lines(ConstMatrixView z, ConstMatrixView e, ConstMatrixView h, std::span<const MatrixView> record,
                     MatrixView dz) const = 0;
  /// Adds the gradient of the weights from all vectors of a pass; bit-identical for any number of threads.
  virtual void add_weights(ConstMatrixView z, ConstMatrixView e, ConstMatrixView h, std::span<const MatrixView> record,
                           Parallel parallel) = 0;
  /// The sum since begin(): [outputs, inputs].
  virtual Matrix weight_gradient() const = 0;
};

/// What an engine can do whose outputs may have windows of their own: groups of a depthwise convolution side by side.
class ColumnEngine {
 public:
  virtual ~ColumnEngine() = default;
  /// Engine::run() where output i has the windows of channel first_channel + i. `variance` may have no rows.
  virtual void run_columns(const kernels::ChannelWindows& z, std::int64_t first_channel, MatrixView v,
                           MatrixView variance) const = 0;
};

/// Constant once built; passes run in parallel. Results must not depend on how vectors are split into calls.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual std::int64_t inputs() const = 0;
  virtual std::int64_t outputs() const = 0;
  virtual std::int64_t bytes() const = 0;
  /// The weights in use [outputs, inputs], and the same engine with others of as many inputs.
  virtual Matrix weights() const = 0;
  virtual std::shared_ptr<const Engine> with_weights(ConstMatrixView weights) const = 0;

  virtual void run(const EngineCall& call, EngineScratch& scratch) const = 0;

  /// Outputs with windows of their own; null: the engine has one vector for all.
  virtual const ColumnEngine* columns() const { return nullptr; }

  // Engines of circuits (crossbar_engine.hpp); a product has nothing of the kind.
  /// What devices are programmed to: normalised conductances of all cells, [arrays * lines, inputs]. No rows: weights.
  virtual Matrix cells() const { return {}; }
  /// The same engine with these conductances in its cells, and no error of its own upon them.
  virtual std::shared_ptr<const Engine> with_cells(ConstMatrixView) const { return nullptr; }
  /// The same engine with what calibration found for its converters; null: it has none.
  virtual std::shared_ptr<const Engine> with_converters(std::span<const circuit::ConverterSetting>) const {
    return nullptr;
  }
  /// Whether its converters have ranges; run() throws ConfigError otherwise.
  virtual bool calibrated() const { return true; }
  /// What its outputs are whole multiples of, where converters of its own make them; nothing without any.
  virtual std::optional<circuit::OutputGrid> output_grid() const { return std::nullopt; }
  /// What its wires alone take; nothing where there are none to be solved.
  virtual std::optional<circuit::WireLoss> wire_loss(Parallel) const { return std::nullopt; }
  /// What making up for the wires leaves of their loss.
  virtual circuit::CompensationLoss compensation_loss() const { return {}; }

  /// Matrices that run() records on request.
  virtual std::size_t recorded() const { return 0; }
  virtual std::unique_ptr<EngineBackward> backward() const = 0;
};

/// The engine of a tile: `weights` [outputs, inputs] in tile units, `address` with the tile's number.
using EngineFactory =
    std::function<std::shared_ptr<const Engine>(ConstMatrixView weights, const random::Address& address)>;

}  // namespace tessera::tile
