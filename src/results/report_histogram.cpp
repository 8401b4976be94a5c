#include <algorithm>
#include <cmath>
#include <numeric>

#include "results/report_charts.hpp"

namespace tessera::results {
namespace {

constexpr double width = 760, panel_width = 375, panel_height = 210, left = 58, right = 12, head = 24, foot = 44;
constexpr int decades = 4;  // from 0.01 % to 100 %

std::vector<double> fractions(const std::vector<double>& counts) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  std::vector<double> result;
  for (const double count : counts) result.push_back(total > 0.0 ? count / total : 0.0);
  return result;
}

class PanelArea {
 public:
  PanelArea(double x, double y) : x_(x), y_(y) {}
  double x(double part) const { return x_ + left + (panel_width - left - right) * part; }
  /// Fractions from 1e-4 up; less lies on the axis.
  double y(double fraction) const {
    const double level = fraction > 0.0 ? std::max(0.0, 1.0 + std::log10(fraction) / decades) : 0.0;
    return y_ + head + (panel_height - head - foot) * (1.0 - level);
  }

  void draw_axes(SvgCanvas& canvas, const HistogramPanel& panel, const std::string& x_label) const {
    canvas.fitted_text(x(0.0), y_ + 14, panel.name, panel_width - left - right);
    for (int d = 0; d <= decades; ++d) {
      const double fraction = std::pow(10.0, -d);
      canvas.line(x(0.0), y(fraction), x(1.0), y(fraction), grid_style);
      canvas.text(x(0.0) - 6, y(fraction) + 4, fmt::format("{:g}", 100.0 * fraction), Anchor::end, "", 11);
    }
    const Ticks ticks = round_ticks(0.0, panel.maximum, 5);
    for (int i = 0; i < ticks.count; ++i) {
      const double at = x(ticks.at(i) / panel.maximum);
      canvas.line(at, y(0.0), at, y(0.0) + 4, axis_style);
      canvas.text(at, y(0.0) + 16, ticks.text(i), Anchor::middle, "", 11);
    }
    canvas.line(x(0.0), y(0.0), x(1.0), y(0.0), axis_style);
    canvas.text((x(0.0) + x(1.0)) / 2, y(0.0) + 33, x_label, Anchor::middle, "", 11);
    canvas.vertical_text(x_ + 14, (y(1.0) + y(0.0)) / 2, "devices (%)");
  }

  void draw_steps(SvgCanvas& canvas, const std::vector<double>& values, std::size_t series) const {
    const auto bins = static_cast<double>(values.size());
    std::vector<std::pair<double, double>> points{{x(0.0), y(0.0)}};
    for (std::size_t i = 0; i < values.size(); ++i) {
      points.emplace_back(x(static_cast<double>(i) / bins), y(values[i]));
      points.emplace_back(x(static_cast<double>(i + 1) / bins), y(values[i]));
    }
    points.emplace_back(x(1.0), y(0.0));
    canvas.polyline(points, fmt::format("stroke=\"{}\" stroke-width=\"1.6\"", series_color(series)));
  }

 private:
  double x_, y_;
};

}  // namespace

std::string draw(const HistogramChart& chart) {
  if (chart.panels.empty()) return "";
  const std::vector<LegendEntry> legend{{"programmed", series_color(0), false, true, {}},
                                        {"target", series_color(1), false, true, {}}};
  const std::size_t rows = (chart.panels.size() + 1) / 2;
  SvgCanvas canvas(width, 26 + panel_height * static_cast<double>(rows), chart.title);
  draw_legend(canvas, legend, left, 14, width - left);
  for (std::size_t i = 0; i < chart.panels.size(); ++i) {
    const HistogramPanel& panel = chart.panels[i];
    const std::size_t row = i / 2, column = i % 2;
    const PanelArea area((panel_width + 10) * static_cast<double>(column),
                         26 + panel_height * static_cast<double>(row));
    area.draw_axes(canvas, panel, chart.x_label);
    area.draw_steps(canvas, fractions(panel.target), 1);
    area.draw_steps(canvas, fractions(panel.programmed), 0);
  }
  return std::move(canvas).finish();
}

}  // namespace tessera::results
