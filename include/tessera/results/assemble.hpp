#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tessera/h5/file.hpp"

/// Putting sweeps together from parts.
namespace tessera::results {

/// A variable of a sweep that points bring values for.
struct CopyTarget {
  std::string path;
  h5::Dataset* dataset;  ///< not owned
  std::optional<std::size_t> repeat_axis = {};
};

/// Copies files without swept axes (points) to places on the swept axes of one file.
class PointCopier {
 public:
  explicit PointCopier(std::vector<CopyTarget> targets) : targets_(std::move(targets)) {}
  /// Values of `point` to `index` on the swept axes, its repeats to `first_repeat` and on. What the point does not have
  /// stays missing. InputError if the files do not describe the same network, times, repeats and samples.
  void copy(const h5::File& point, const std::vector<std::int64_t>& index, std::int64_t first_repeat = 0);

 private:
  std::vector<CopyTarget> targets_;
};

/// Places on the swept axes where a time or a repeat is missing; with a stop rule, of the chips that the point needs.
std::int64_t missing_places(const h5::File& sweep);

/// Puts the finished points of several files of the same sweep (shards) into one. Points that are in several files must
/// be the same. The output appears under its name when it is complete; its attribute `complete` is 1 if no point is
/// missing. InputError if the files are not parts of one sweep (their task_id differs).
/// Returns how many points are still missing.
std::int64_t merge_files(const std::vector<std::string>& files, const std::string& output);

}  // namespace tessera::results
