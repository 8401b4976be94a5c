#pragma once
#include <map>

#include "tessera/cost/uncertainty.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/writer.hpp"

namespace tessera::sim {

/// Energies and areas of a sweep over those of its first point, with common coefficients: from the costs that every
/// point keeps with each coefficient at its ends. The first point comes first; what it lacks stays missing.
class RelativeCosts {
 public:
  explicit RelativeCosts(results::Writer& writer) : writer_(writer) {}

  /// A point's file (of one chip, all times and reads), whose repeats begin at `first_repeat`.
  void add(bool first_point, const std::vector<std::int64_t>& swept, const h5::File& point, std::int64_t first_repeat);

 private:
  results::Writer& writer_;
  std::map<std::int64_t, std::vector<cost::EndValues>> first_energy_;  ///< by first repeat: times x reads
  std::optional<cost::EndValues> first_area_;
};

}  // namespace tessera::sim
