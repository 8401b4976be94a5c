#pragma once
#include <cstdint>

#include "array.hpp"
#include "tessera/nn/sample_axis.hpp"

/// Some samples of an array, in another order where that is wanted.
namespace tessera::nn {

/// The first `count` samples of an array. `grouped`: what is before the samples on their axis goes behind them, so that
/// a sample's entries lie together: [before, N, after] becomes [N, before, after].
struct SamplePart {
  SampleAxis samples;
  std::int64_t count = 0;
  bool grouped = false;

  SampleAxis axis() const {
    return grouped && samples.any() ? SampleAxis{samples.axis, 1, samples.entries()} : samples;
  }
};

/// The part in memory of its own. Arrays without samples are copied whole.
class PartMemory {
 public:
  PartMemory(const Array& all, const SamplePart& part);
  const Array& array() const { return array_; }
  /// Fills the part from the whole array.
  void take();
  /// Writes the part back, and copies of its last sample in place of the samples that it leaves out.
  void put();

 private:
  template <class Copy>
  void for_each_block(Copy copy) const;

  Array all_, array_;
  SamplePart part_;
  AlignedVector<std::byte> memory_;
};

}  // namespace tessera::nn
