#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"

namespace tessera::results {
namespace {

constexpr double width = 760, right = 90, bar = 18, gap = 8, bottom = 48;

}  // namespace

std::string draw(const StackedChart& chart) {
  double high = 0.0, label_width = 60.0;
  std::vector<double> sums(chart.rows.size(), 0.0);
  for (const StackedSeries& series : chart.series)
    for (std::size_t r = 0; r < sums.size(); ++r)
      if (std::isfinite(series.values[r])) sums[r] += series.values[r];
  for (const double sum : sums) high = std::max(high, chart.scale * sum);
  if (!(high > 0.0)) return "";
  for (const std::string& row : chart.rows) label_width = std::max(label_width, std::min(text_width(row), 200.0));

  std::vector<LegendEntry> legend;
  for (std::size_t s = 0; s < chart.series.size(); ++s)
    legend.push_back({chart.series[s].name, series_color(s), false, true, {}});
  const double left = label_width + 16;
  const double top = 12 + legend_row_height * legend_rows(legend, width - left);
  const double base = top + (bar + gap) * static_cast<double>(chart.rows.size());
  const auto x = [&](double value) { return left + (width - right - left) * value / high; };

  SvgCanvas canvas(width, base + bottom, chart.title);
  draw_legend(canvas, legend, left, 16, width - left);
  const Ticks ticks = round_ticks(0.0, high, 7);
  for (int i = 0; i < ticks.count; ++i) {
    canvas.line(x(ticks.at(i)), top, x(ticks.at(i)), base, grid_style);
    canvas.text(x(ticks.at(i)), base + 17, ticks.text(i), Anchor::middle);
  }
  for (std::size_t r = 0; r < chart.rows.size(); ++r) {
    const double row_top = top + (bar + gap) * static_cast<double>(r) + gap / 2;
    canvas.fitted_text(left - 8, row_top + bar / 2 + 4, chart.rows[r], label_width, Anchor::end);
    double from = 0.0;
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
      const double value = chart.scale * chart.series[s].values[r];
      if (!(value > 0.0)) continue;
      canvas.rectangle(x(from), row_top, std::max(x(from + value) - x(from), 0.2), bar,
                       fmt::format("fill=\"{}\"", series_color(s)),
                       fmt::format("{}, {}: {:.3g} ({:.1f} %)", chart.rows[r], chart.series[s].name, value,
                                   100.0 * value / (chart.scale * sums[r])));
      from += value;
    }
    canvas.text(x(from) + 5, row_top + bar / 2 + 4, fmt::format("{:.3g}", from), Anchor::start, "", 11);
  }
  canvas.line(x(0.0), top, x(0.0), base, axis_style);
  canvas.text((left + width - right) / 2, base + 38, chart.x_label, Anchor::middle);
  return std::move(canvas).finish();
}

}  // namespace tessera::results
