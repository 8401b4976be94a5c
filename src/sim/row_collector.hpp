#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "tessera/core/statistics.hpp"
#include "tessera/kernels/product.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/sim/calibrate.hpp"

namespace tessera::sim {

/// What the tiles on one slice of a part's inputs see, batch after batch, as far as a calibration needs it.
class RowStatistics {
 public:
  /// `address` selects the random choice of rows.
  RowStatistics(const InputCalibration& parameters, double std_alpha, const random::Address& address);

  /// Rows `first_vector`, ... of a batch. From several threads, for disjoint rows.
  void add(ConstMatrixView rows, std::uint64_t first_vector);
  /// Ends a batch. The batch's value v of the moving types (reference D.5), if it has one.
  std::optional<float> finish_batch();
  /// The range after all batches, for MAX and CACHE_QUANTILE; none where only zeros were seen.
  std::optional<float> range() const;

 private:
  struct Row {
    std::uint64_t key = 0;     ///< the rows with the smallest keys are kept
    std::uint64_t number = 0;  ///< of the vector: decides between equal keys
    std::vector<float> values;
    bool operator<(const Row& other) const { return key != other.key ? key < other.key : number < other.number; }
  };

  void keep_row(std::uint64_t key, std::uint64_t number, std::span<const float> values);

  const InputCalibration& parameters_;
  double std_alpha_;
  random::Stream stream_;
  std::mutex mutex_;
  float largest_ = 0.0F;
  std::vector<Row> cache_;                              ///< a heap, the largest key in front
  std::map<std::uint64_t, Moments> moments_;            ///< of this batch, by first vector
  std::map<std::uint64_t, std::vector<float>> values_;  ///< of this batch, by first vector
};

/// Stands in for one part of a layer: shows its inputs to the statistics of each slice. Its own output is that of
/// `then`, or zero without one.
class RowCollector final : public nn::LinearOperator, private nn::TakesWeights {
 public:
  /// `slices`: first input and inputs of each statistics.
  RowCollector(std::vector<RowStatistics*> statistics, std::vector<std::pair<std::int64_t, std::int64_t>> slices,
               const nn::LinearOperator* then)
      : statistics_(std::move(statistics)), slices_(std::move(slices)), then_(then) {}
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override;
  void multiply(ConstMatrixView, ConstMatrixView x, MatrixView y, std::uint64_t first_vector, std::uint64_t,
                Parallel parallel) const override {
    forward(x, y, first_vector, parallel);
  }
  const nn::TakesWeights* takes_weights() const override { return this; }

 private:
  std::vector<RowStatistics*> statistics_;
  std::vector<std::pair<std::int64_t, std::int64_t>> slices_;
  const nn::LinearOperator* then_;
};

/// One part in float32.
class FloatOperator final : public nn::LinearOperator {
 public:
  explicit FloatOperator(const nn::LinearPart& part) : packed_(part.weight.matrix().view()), bias_(part.bias) {}
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t, Parallel parallel) const override {
    kernels::multiply(packed_, x, y, parallel, bias_);
  }

 private:
  kernels::PackedMatrix packed_;
  const std::vector<float>& bias_;
};

}  // namespace tessera::sim
