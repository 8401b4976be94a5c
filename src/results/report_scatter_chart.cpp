#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"

namespace tessera::results {
namespace {

constexpr double width = 760, plot_height = 280, left = 70, right = 24, bottom = 52;

/// The last of several series is what stands behind the others: grey.
const char* color_of(const ScatterChart& chart, std::size_t series) {
  return series_color(series > 0 && series + 1 == chart.series.size() ? 7 : series);
}

class Scatter {
 public:
  explicit Scatter(const ScatterChart& chart) : chart_(chart) {
    for (const ScatterPoint& point : chart.points)
      if (std::isfinite(point.x) && point.y >= chart.floor && point.y <= chart.ceiling) points_.push_back(point);
    std::stable_sort(points_.begin(), points_.end(),
                     [](const ScatterPoint& a, const ScatterPoint& b) { return a.x < b.x; });
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
      const bool used = std::any_of(points_.begin(), points_.end(), [s](const auto& p) { return p.series == s; });
      if (used) legend_.push_back({chart.series[s], color_of(chart, s), false, s > 0, series_marker(s)});
    }
    if (std::isfinite(chart.reference)) legend_.push_back({chart.reference_name, "currentColor", true, false, {}});
    top_ = 12 + legend_row_height * legend_rows(legend_, width - left - right);
    for (const ScatterPoint& point : points_) {
      include(x_low_, x_high_, point.x);
      for (const double value : {point.y, point.low, point.high})
        if (std::isfinite(value)) include(y_low_, y_high_, std::clamp(value, chart.floor, chart.ceiling));
    }
    if (std::isfinite(chart.reference)) include(y_low_, y_high_, chart.reference);
    const double x_air = std::max(0.04 * (x_high_ - x_low_), 1e-9), y_air = std::max(0.06 * (y_high_ - y_low_), 1e-9);
    x_low_ -= x_air;
    x_high_ += x_air;
    y_low_ -= y_air;
    y_high_ = std::min(chart.ceiling, y_high_ + y_air);
  }

  bool empty() const { return points_.empty(); }

  std::string draw() const {
    SvgCanvas canvas(width, top_ + plot_height + bottom, chart_.title);
    draw_legend(canvas, legend_, left, 16, width - left - right);
    draw_axes(canvas);
    std::vector<std::pair<double, double>> line;
    for (const ScatterPoint& point : points_)
      if (point.series == 0) line.emplace_back(x(point.x), y(point.y));
    if (chart_.joined && line.size() > 1)
      canvas.polyline(line, fmt::format("stroke=\"{}\" stroke-width=\"2\" stroke-opacity=\"0.6\"", series_color(0)));
    // Series with few points last, on top.
    for (std::size_t s = chart_.series.size(); s-- > 0;)
      if (s > 0 && s + 1 == chart_.series.size()) draw_series(canvas, s);
    for (std::size_t s = 0; s + 1 < chart_.series.size(); ++s) draw_series(canvas, s);
    return std::move(canvas).finish();
  }

 private:
  static void include(double& low, double& high, double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  double x(double value) const { return left + (width - left - right) * (value - x_low_) / (x_high_ - x_low_); }
  double y(double value) const {
    const double inside = std::clamp(value, y_low_, y_high_);
    return top_ + plot_height * (y_high_ - inside) / (y_high_ - y_low_);
  }

  void draw_axes(SvgCanvas& canvas) const {
    const double base = top_ + plot_height;
    const Ticks levels = round_ticks(y_low_, y_high_, 6);
    for (int i = 0; i < levels.count; ++i) {
      canvas.line(left, y(levels.at(i)), width - right, y(levels.at(i)), grid_style);
      canvas.text(left - 8, y(levels.at(i)) + 4, levels.text(i), Anchor::end);
    }
    const Ticks ticks = round_ticks(x_low_, x_high_, 8);
    for (int i = 0; i < ticks.count; ++i) {
      canvas.line(x(ticks.at(i)), base, x(ticks.at(i)), base + 5, axis_style);
      canvas.text(x(ticks.at(i)), base + 19, ticks.text(i), Anchor::middle);
    }
    canvas.line(left, base, width - right, base, axis_style);
    canvas.line(left, top_, left, base, axis_style);
    canvas.text((left + width - right) / 2, base + 42, chart_.x_label, Anchor::middle);
    canvas.vertical_text(18, top_ + plot_height / 2, chart_.y_label);
    if (std::isfinite(chart_.reference))
      canvas.line(left, y(chart_.reference), width - right, y(chart_.reference),
                  "stroke=\"currentColor\" stroke-width=\"1.6\" stroke-dasharray=\"5 4\" stroke-opacity=\"0.8\"");
  }

  void draw_series(SvgCanvas& canvas, std::size_t s) const {
    const std::string style = fmt::format("stroke=\"{}\" stroke-width=\"1.5\"", color_of(chart_, s));
    for (const ScatterPoint& point : points_) {
      if (point.series != s) continue;
      const double centre = x(point.x);
      if (std::isfinite(point.low) && std::isfinite(point.high)) {
        canvas.line(centre, y(point.low), centre, y(point.high), style);
        canvas.line(centre - 4, y(point.low), centre + 4, y(point.low), style);
        canvas.line(centre - 4, y(point.high), centre + 4, y(point.high), style);
      }
      canvas.marker(series_marker(s), centre, y(point.y), color_of(chart_, s), point.tip);
    }
  }

  const ScatterChart& chart_;
  std::vector<ScatterPoint> points_;
  std::vector<LegendEntry> legend_;
  double x_low_ = HUGE_VAL, x_high_ = -HUGE_VAL, y_low_ = HUGE_VAL, y_high_ = -HUGE_VAL;
  double top_ = 0.0;
};

}  // namespace

std::string draw(const ScatterChart& chart) {
  const Scatter scatter(chart);
  return scatter.empty() ? "" : scatter.draw();
}

}  // namespace tessera::results
