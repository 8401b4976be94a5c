#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"

namespace tessera::results {
namespace {

constexpr double width = 760, right = 70, bar = 13, gap = 10, bottom = 48;

std::string value_text(double value, int digits) {
  if (std::isinf(value)) return value > 0 ? "exact" : "−∞";
  return fmt::format("{:.{}f}", value, digits);
}

}  // namespace

std::string draw(const BarChart& chart) {
  double low = 0.0, high = 0.0, label_width = 60.0;
  bool any = false;
  for (const BarSeries& series : chart.series) {
    for (const Estimate& e : series.values) {
      any = any || !std::isnan(e.mean);
      for (const double value : {e.mean, chart.whiskers ? e.lowest : e.mean, chart.whiskers ? e.highest : e.mean}) {
        if (!std::isfinite(value)) continue;
        low = std::min(low, chart.scale * value);
        high = std::max(high, chart.scale * value);
      }
    }
  }
  if (!any) return "";
  if (high == low) high = low + 1.0;
  for (const std::string& row : chart.rows) label_width = std::max(label_width, std::min(text_width(row), 200.0));

  std::vector<LegendEntry> legend;
  for (std::size_t s = 0; s < chart.series.size(); ++s)
    legend.push_back({chart.series[s].name, series_color(s), false, true, {}});
  if (legend.size() == 1) legend.clear();
  const double left = label_width + 16;
  const double top = 12 + legend_row_height * legend_rows(legend, width - left);
  const double group = bar * static_cast<double>(chart.series.size()) + gap;
  const double base = top + group * static_cast<double>(chart.rows.size());
  const auto x = [&](double value) { return left + (width - right - left) * (value - low) / (high - low); };

  SvgCanvas canvas(width, base + bottom, chart.title);
  draw_legend(canvas, legend, left, 16, width - left);
  const Ticks ticks = round_ticks(low, high, 7);
  for (int i = 0; i < ticks.count; ++i) {
    canvas.line(x(ticks.at(i)), top, x(ticks.at(i)), base, grid_style);
    canvas.text(x(ticks.at(i)), base + 17, ticks.text(i), Anchor::middle);
  }
  for (std::size_t r = 0; r < chart.rows.size(); ++r) {
    const double row_top = top + group * static_cast<double>(r) + gap / 2;
    canvas.fitted_text(left - 8, row_top + (group - gap) / 2 + 4, chart.rows[r], label_width, Anchor::end);
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
      const Estimate& e = chart.series[s].values[r];
      if (std::isnan(e.mean)) continue;
      const double middle = row_top + bar * (static_cast<double>(s) + 0.5);
      const double mean = chart.scale * e.mean;
      double end = x(0.0);
      if (std::isfinite(mean)) {
        end = std::max(end, x(mean));
        canvas.rectangle(
            std::min(x(0.0), x(mean)), middle - bar / 2 + 1, std::abs(x(mean) - x(0.0)), bar - 2,
            fmt::format("fill=\"{}\"", series_color(s)),
            fmt::format("{}, {}: {}", chart.rows[r], chart.series[s].name, value_text(mean, chart.digits + 1)));
      }
      if (chart.whiskers && std::isfinite(e.lowest) && std::isfinite(e.highest) && e.highest > e.lowest) {
        const double from = x(chart.scale * e.lowest), to = x(chart.scale * e.highest);
        canvas.line(from, middle, to, middle, "stroke=\"currentColor\" stroke-width=\"1.2\"");
        for (const double at : {from, to})
          canvas.line(at, middle - 3, at, middle + 3, "stroke=\"currentColor\" stroke-width=\"1.2\"");
        end = std::max(end, to);
      }
      canvas.text(end + 5, middle + 4, value_text(mean, chart.digits), Anchor::start, "", 11);
    }
  }
  canvas.line(x(0.0), top, x(0.0), base, axis_style);
  canvas.text((left + width - right) / 2, base + 38, chart.x_label, Anchor::middle);
  return std::move(canvas).finish();
}

}  // namespace tessera::results
