#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "layer_classes.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {

/// One chip of a task at one time.
struct Point {
  std::size_t task = 0;
  PointIndex index;
};

/// Private: what is evaluated, in which order, and what of it is the same.
class EvaluationSchedule {
 public:
  explicit EvaluationSchedule(std::span<const EvaluationTask> tasks);

  /// All points, chip by chip, and for each chip time by time and read by read; all tasks at once.
  const std::vector<Point>& points() const { return points_; }
  const LayerClasses& classes() const { return classes_; }
  /// Number of the point's chip, counted over all runs.
  std::int64_t program(const Point& point) const;
  std::optional<double> time(const Point& point) const;
  std::int64_t read(const Point& point) const;

  /// Numbers for the layers at a point, equal where they are the same, wholly or up to the periphery quantizer: as in
  /// nn::BranchedRun.
  struct Numbers {
    std::vector<std::uint32_t> layers, products;
  };
  Numbers numbers(const Point& point);

 private:
  const EvaluationRequest& request(const Point& point) const { return *requests_[point.task]; }

  std::vector<const EvaluationRequest*> requests_;
  std::vector<Point> points_;
  LayerClasses classes_;
};

}  // namespace tessera::sim
