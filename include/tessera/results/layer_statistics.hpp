#pragma once
#include <span>
#include <string_view>

#include "tessera/results/schema.hpp"

/// The one table of what is recorded of a layer at each point: recording fills the members of LayerPoint, everything
/// else (schema, writer, report, `inspect`, diagnosis) goes by the rows. A new number needs its member, its row, and the
/// line that computes it.
namespace tessera::results {

/// How a number reads in tables for people.
enum class StatisticFormat { none, decibel, fraction, number };

/// A statistic of a layer at a point; of the axes it has swept values, time and repeat.
struct LayerStatistic {
  std::string_view name;  ///< of the variable in /layers/<layer>
  std::string_view units;
  std::string_view meaning;
  Presence presence = Presence::analog_counts;
  double (*value)(const LayerPoint&) = nullptr;
  std::string_view heading = {};                   ///< in tables of layers; empty: it is not in them
  StatisticFormat format = StatisticFormat::none;  ///< there
};
std::span<const LayerStatistic> layer_statistics();
/// InputError if there is none of this name.
const LayerStatistic& layer_statistic(std::string_view name);

/// A statistic of a weight slice of a layer on crossbars; has the axis weight_slice, too.
struct SliceStatistic {
  std::string_view name;
  std::string_view units;
  std::string_view meaning;
  double SliceCounts::*member = nullptr;
};
std::span<const SliceStatistic> slice_statistics();

}  // namespace tessera::results
