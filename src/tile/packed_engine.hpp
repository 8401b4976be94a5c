#pragma once
#include <memory>
#include <vector>

#include "tessera/tile/engine.hpp"
#include "tessera/tile/parameters.hpp"

/// Private: the engine of weights packed for the vectorised product.
namespace tessera::tile {

/// v = W z less its quadratic IR drop (reference section 4.6.1), one sweep over the weights.
class PackedEngine final : public Engine, public ColumnEngine {
 public:
  PackedEngine(const IOParameters& io, ConstMatrixView weights);

  std::int64_t inputs() const override { return packed_.inputs(); }
  std::int64_t outputs() const override { return packed_.outputs(); }
  std::int64_t bytes() const override { return packed_.bytes(); }
  Matrix weights() const override { return packed_.unpacked(); }
  std::shared_ptr<const Engine> with_weights(ConstMatrixView weights) const override;
  void run(const EngineCall& call, EngineScratch& scratch) const override;
  const ColumnEngine* columns() const override { return this; }
  void run_columns(const kernels::ChannelWindows& z, std::int64_t first_channel, MatrixView v,
                   MatrixView variance) const override;
  std::size_t recorded() const override { return ir_drop_ > 0.0F ? 2 : 0; }
  std::unique_ptr<EngineBackward> backward() const override;

  const kernels::PackedMatrix& packed() const { return packed_; }

 private:
  void record_drop(ConstMatrixView z, std::span<Matrix> record) const;
  float n_over_g(std::int64_t lines) const { return static_cast<float>(static_cast<double>(lines) / g_ratio_); }

  kernels::PackedMatrix packed_;
  float ir_drop_ = 0.0F;  // 0: none
  double g_ratio_ = 1.0;  // of a wire segment to the largest device
};

}  // namespace tessera::tile
