#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"

namespace tessera::results {
namespace {

constexpr double width = 760, top = 14, bar_room = 104, bottom = 52;

/// The scale of colours with its two ends and the middle.
void draw_scale(SvgCanvas& canvas, const HeatMap& map, double low, double high, double x, double height) {
  constexpr int steps = 48;
  const double bar_height = std::min(height, 220.0);
  for (int i = 0; i < steps; ++i)
    canvas.rectangle(x, top + bar_height * i / steps, 14, bar_height / steps + 0.6,
                     fmt::format("fill=\"{}\"", ramp_color(1.0 - (i + 0.5) / steps)));
  const int labels = bar_height < 50 ? 2 : 3;
  for (int i = 0; i < labels; ++i) {
    const double part = static_cast<double>(i) / (labels - 1);
    canvas.text(x + 19, top + 10 + (bar_height - 12) * part,
                fmt::format("{:.{}f}", high + part * (low - high), map.digits), Anchor::start, "", 11);
  }
}

}  // namespace

std::string draw(const HeatMap& map) {
  const std::size_t rows = map.rows.size(), columns = map.columns.size();
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const double value : map.values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, map.scale * value);
    high = std::max(high, map.scale * value);
  }
  const bool any = std::any_of(map.values.begin(), map.values.end(), [](double v) { return !std::isnan(v); });
  if (rows == 0 || columns == 0 || !any) return "";
  if (low > high) low = high = 0.0;
  double label_width = 30.0;
  for (const std::string& row : map.rows) label_width = std::max(label_width, std::min(text_width(row), 190.0));
  const double left = 30 + label_width + 8;
  const double cell_width = std::min(96.0, (width - left - bar_room) / static_cast<double>(columns));
  const double cell_height = std::clamp(300.0 / static_cast<double>(rows), 15.0, 34.0);
  const double base = top + cell_height * static_cast<double>(rows);

  SvgCanvas canvas(width, base + std::max(bottom, top + 70 - base), map.title);
  for (std::size_t r = 0; r < rows; ++r) {
    const double y = top + cell_height * static_cast<double>(r);
    canvas.fitted_text(left - 8, y + cell_height / 2 + 4, map.rows[r], label_width, Anchor::end);
    for (std::size_t c = 0; c < columns; ++c) {
      const double value = map.scale * map.values[r * columns + c];
      const double x = left + cell_width * static_cast<double>(c);
      const std::string shown = std::isnan(value)   ? "–"
                                : std::isinf(value) ? (value > 0 ? "exact" : "−∞")
                                                    : fmt::format("{:.{}f}", value, map.digits);
      const std::string tip = fmt::format("{}, {}: {}", map.rows[r], map.columns[c], shown);
      const double level = std::isinf(value) ? (value > 0 ? 1.0 : 0.0)
                           : high > low      ? (value - low) / (high - low)
                                             : 0.5;
      const std::string fill = std::isnan(value) ? "fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.3\""
                                                 : fmt::format("fill=\"{}\"", ramp_color(level));
      canvas.rectangle(x + 0.5, y + 0.5, std::max(cell_width - 1, 0.5), cell_height - 1, fill, tip);
      if (text_width(shown, 11) > cell_width - 4) continue;
      canvas.text(x + cell_width / 2, y + cell_height / 2 + 4, shown, Anchor::middle,
                  std::isnan(value) ? "pointer-events=\"none\""
                                    : fmt::format("fill=\"{}\" pointer-events=\"none\"", ramp_text_color(level)),
                  11);
    }
  }
  double free_from = 0.0;
  for (std::size_t c = 0; c < columns; ++c) {
    const double x = left + cell_width * (static_cast<double>(c) + 0.5);
    const std::string label = shortened(map.columns[c], std::max(cell_width - 6, 40.0));
    const double half = text_width(label) / 2;
    if (x - half < free_from) continue;
    canvas.text(x, base + 17, label, Anchor::middle);
    free_from = x + half + 5;
  }
  canvas.text(left, base + 40, fmt::format("{}; colour: {}", map.column_label, map.value_label));
  canvas.vertical_text(16, std::max((top + base) / 2, text_width(map.row_label) / 2), map.row_label);
  draw_scale(canvas, map, low, high, left + cell_width * static_cast<double>(columns) + 28, base - top);
  return std::move(canvas).finish();
}

}  // namespace tessera::results
