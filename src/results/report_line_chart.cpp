#include <algorithm>
#include <cmath>
#include <numeric>

#include "results/report_charts.hpp"

namespace tessera::results {
namespace {

constexpr double width = 760, plot_height = 260, left = 70, right = 24, bottom = 52;

struct Range {
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

/// The vertical range: all means and intervals, some air, within what a value can be.
Range value_range(const LineChart& chart) {
  Range range;
  const auto include = [&](const LineSeries& series) {
    for (const Estimate& e : series.values) {
      const double half = std::isnan(e.half) ? 0.0 : e.half;
      range.include(std::clamp(chart.scale * (e.mean - half), chart.floor, chart.ceiling));
      range.include(std::clamp(chart.scale * (e.mean + half), chart.floor, chart.ceiling));
    }
  };
  for (const LineSeries& series : chart.series) include(series);
  if (range.low > range.high) return range;
  include(chart.reference);
  const double air = std::max({0.06 * (range.high - range.low), 1e-3 * std::abs(range.high), 1e-9});
  range.low = std::max(chart.floor, range.low - air);
  range.high = std::min(chart.ceiling, range.high + air);
  if (range.low >= range.high) range.low = range.high - air;
  return range;
}

class Plot {
 public:
  Plot(const LineChart& chart, Range range) : chart_(chart), range_(range), order_(chart.x.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return chart.x.positions[a] < chart.x.positions[b]; });
    const auto [first, last] = std::minmax_element(chart.x.positions.begin(), chart.x.positions.end());
    first_ = *first;
    last_ = *last;
    for (std::size_t s = 0; s < chart.series.size(); ++s)
      if (chart.series.size() > 1 || !chart.series[s].name.empty())
        legend_.push_back({chart.series[s].name, series_color(s), false, false, series_marker(s)});
    if (!chart.reference.values.empty()) legend_.push_back({chart.reference.name, "currentColor", true, false, {}});
    top_ = 12 + legend_row_height * legend_rows(legend_, width - left - right);
  }

  std::string draw() const {
    SvgCanvas canvas(width, top_ + plot_height + bottom, chart_.title);
    draw_legend(canvas, legend_, left, 16, width - left - right);
    draw_axes(canvas);
    draw_reference(canvas);
    for (std::size_t s = 0; s < chart_.series.size(); ++s) draw_series(canvas, s);
    return std::move(canvas).finish();
  }

 private:
  double x(std::size_t i) const {
    constexpr double margin = 34;
    const double span = width - left - right - 2 * margin;
    if (last_ == first_) return left + margin + span / 2;
    return left + margin + span * (chart_.x.positions[i] - first_) / (last_ - first_);
  }
  double y(double value) const {
    const double inside = std::clamp(value, range_.low, range_.high);
    return top_ + plot_height * (range_.high - inside) / (range_.high - range_.low);
  }

  void draw_axes(SvgCanvas& canvas) const {
    const Ticks ticks = round_ticks(range_.low, range_.high, 6);
    for (int i = 0; i < ticks.count; ++i) {
      canvas.line(left, y(ticks.at(i)), width - right, y(ticks.at(i)), grid_style);
      canvas.text(left - 8, y(ticks.at(i)) + 4, ticks.text(i), Anchor::end);
    }
    const double base = top_ + plot_height;
    canvas.line(left, base, width - right, base, axis_style);
    canvas.line(left, top_, left, base, axis_style);
    double free_from = 0.0;
    for (const std::size_t i : order_) {
      canvas.line(x(i), base, x(i), base + 5, axis_style);
      const std::string label = shortened(chart_.x.labels[i], 110);
      const double half = text_width(label) / 2;
      if (x(i) - half < free_from) continue;
      canvas.text(x(i), base + 19, label, Anchor::middle);
      free_from = x(i) + half + 6;
    }
    canvas.text((left + width - right) / 2, base + 42,
                chart_.x.label + (chart_.x.logarithmic ? " (logarithmic axis)" : ""), Anchor::middle);
    canvas.vertical_text(18, top_ + plot_height / 2, chart_.y_label);
  }

  /// Calls draw(points) for every run of neighbours that may be joined and are there.
  template <class Draw>
  void runs(const std::vector<Estimate>& values, double shift, const Draw& draw) const {
    std::vector<std::pair<double, double>> points;
    const auto flush = [&] {
      if (points.size() > 1) draw(points);
      points.clear();
    };
    for (const std::size_t i : order_) {
      if (!chart_.x.joined[i] || !std::isfinite(values[i].mean)) {
        flush();
        continue;
      }
      points.emplace_back(x(i) + shift, y(chart_.scale * values[i].mean));
    }
    flush();
  }

  void draw_reference(SvgCanvas& canvas) const {
    constexpr const char* style =
        "stroke=\"currentColor\" stroke-width=\"1.6\" stroke-dasharray=\"5 4\" stroke-opacity=\"0.8\"";
    const std::vector<Estimate>& values = chart_.reference.values;
    if (values.empty()) return;
    const bool constant =
        std::all_of(values.begin(), values.end(), [&](const Estimate& e) { return e.mean == values.front().mean; });
    if (constant) {
      canvas.line(left, y(chart_.scale * values.front().mean), width - right, y(chart_.scale * values.front().mean),
                  style);
      return;
    }
    for (const std::size_t i : order_) {
      if (!std::isfinite(values[i].mean)) continue;
      const double level = y(chart_.scale * values[i].mean);
      canvas.line(x(i) - 16, level, x(i) + 16, level, style);
    }
  }

  void draw_series(SvgCanvas& canvas, std::size_t s) const {
    const std::string color = series_color(s);
    const std::vector<Estimate>& values = chart_.series[s].values;
    const double shift = 7.0 * (static_cast<double>(s) - (static_cast<double>(chart_.series.size()) - 1) / 2);
    runs(values, shift, [&](const auto& points) {
      canvas.polyline(points, fmt::format("stroke=\"{}\" stroke-width=\"2\" stroke-opacity=\"0.75\"", color));
    });
    for (const std::size_t i : order_) {
      const Estimate& e = values[i];
      if (!std::isfinite(e.mean)) continue;
      const double centre = x(i) + shift;
      std::string tip = fmt::format("{}{}: {:.4g}", chart_.series[s].name.empty() ? "" : chart_.series[s].name + ", ",
                                    chart_.x.labels[i], chart_.scale * e.mean);
      if (!std::isnan(e.half)) {
        tip += fmt::format(" ± {:.3g} (95 %)", chart_.scale * e.half);
        const double low = y(chart_.scale * (e.mean - e.half));
        const double high = y(chart_.scale * (e.mean + e.half));
        const std::string style = fmt::format("stroke=\"{}\" stroke-width=\"1.5\"", color);
        canvas.line(centre, low, centre, high, style);
        canvas.line(centre - 4, low, centre + 4, low, style);
        canvas.line(centre - 4, high, centre + 4, high, style);
      }
      canvas.marker(series_marker(s), centre, y(chart_.scale * e.mean), color, tip);
    }
  }

  const LineChart& chart_;
  Range range_;
  std::vector<std::size_t> order_;
  double first_ = 0.0, last_ = 0.0;
  std::vector<LegendEntry> legend_;
  double top_ = 0.0;
};

}  // namespace

std::string draw(const LineChart& chart) {
  const Range range = value_range(chart);
  if (range.low > range.high || chart.x.size() == 0) return "";
  return Plot(chart, range).draw();
}

}  // namespace tessera::results
