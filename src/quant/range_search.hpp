#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/quant/range_estimator.hpp"

namespace tessera::quant {

/// The error a trial range would cause on the values of one channel (or of a whole tensor).
class TrialLoss {
 public:
  /// Squared error.
  TrialLoss(const UniformQuantizerParameters& quantizer, std::vector<float> values);
  /// Cross-entropy of rows x classes x inner values, classes being the softmax dimension.
  TrialLoss(const UniformQuantizerParameters& quantizer, std::vector<float> values, std::int64_t classes,
            std::int64_t inner);

  double operator()(double low, double high) const;

 private:
  double cross_entropy(const UniformGrid& grid) const;

  UniformQuantizerParameters quantizer_;
  std::vector<float> values_;
  std::int64_t classes_ = 0;
  std::int64_t inner_ = 0;
  std::vector<double> probabilities_;
};

/// The borders of a search, fixed by the first batch.
struct SearchSpace {
  bool one_sided;  ///< only ranges (0, r)
  bool skewed;     ///< two-sided and asymmetric: shifts are tried too
  double largest;  ///< R
  double lower;    ///< M
  double upper;    ///< P
  int n_bits;
};

struct TrialRange {
  double low;
  double high;
};

/// Every range of the grid in the order in which ties are decided.
std::vector<TrialRange> grid_candidates(const SearchSpace& space, int num_candidates);

/// The range found by the bounded minimiser.
TrialRange golden_section_range(const SearchSpace& space, const TrialLoss& loss);

}  // namespace tessera::quant
