#include "results/report_svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "results/report_markup.hpp"

namespace tessera::results {
namespace {

const char* anchor_name(Anchor anchor) {
  return anchor == Anchor::start ? "start" : anchor == Anchor::middle ? "middle" : "end";
}

double character_width(unsigned char c) {
  if ((c & 0xC0) == 0x80) return 0.0;  // the rest of a UTF-8 sequence
  if (c >= 0xE0) return 1.0;
  constexpr std::string_view narrow = "iljtfrI.,:;|!'()[] ";
  constexpr std::string_view wide = "mwMWQ@%";
  const char letter = static_cast<char>(c);
  if (narrow.find(letter) != std::string_view::npos) return 0.4;
  if (wide.find(letter) != std::string_view::npos) return 0.95;
  return c >= 'A' && c <= 'Z' ? 0.72 : 0.63;
}

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

struct Color {
  double red, green, blue;
};

Color ramp(double fraction) {
  constexpr std::array<Color, 9> stops{{{68, 1, 84},
                                        {71, 44, 122},
                                        {59, 81, 139},
                                        {44, 113, 142},
                                        {33, 144, 141},
                                        {39, 173, 129},
                                        {92, 200, 99},
                                        {170, 220, 50},
                                        {253, 231, 37}}};
  const double place = std::clamp(fraction, 0.0, 1.0) * static_cast<double>(stops.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(place), stops.size() - 2);
  const double part = place - static_cast<double>(below);
  const auto mix = [&](double a, double b) { return a + part * (b - a); };
  const Color& a = stops[below];
  const Color& b = stops[below + 1];
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

double legend_entry_width(const LegendEntry& entry) {
  return 30.0 + std::min(text_width(entry.name), 320.0) + 18.0;
}

}  // namespace

double text_width(std::string_view text, double size) {
  double width = 0.0;
  for (const char c : text) width += character_width(static_cast<unsigned char>(c));
  return width * size;
}

std::string shortened(const std::string& text, double width, double size) {
  if (text_width(text, size) <= width) return text;
  std::string head, tail;
  const auto fits = [&](const std::string& begin, const std::string& end) {
    std::string whole = begin;
    whole.append("…").append(end);
    return text_width(whole, size) <= width;
  };
  std::size_t i = 0;
  std::size_t j = text.size();
  while (i < j) {
    std::size_t next = i + 1;
    while (next < j && !begins_character(text[next])) ++next;
    std::string longer = head + text.substr(i, next - i);
    if (!fits(longer, tail)) break;
    head = std::move(longer);
    i = next;
    std::size_t last = j - 1;
    while (last > i && !begins_character(text[last])) --last;
    if (last < i || j <= i) break;
    longer = text.substr(last, j - last) + tail;
    if (!fits(head, longer)) break;
    tail = std::move(longer);
    j = last;
  }
  return head + "…" + tail;
}

const char* series_color(std::size_t series) {
  constexpr std::array<const char*, 8> colors{"#2f7fd0", "#dd7a1f", "#2a9d6a", "#b565c8",
                                              "#d1495b", "#1a9fb5", "#9a7b2d", "#808a94"};
  return colors[series % colors.size()];
}

Marker series_marker(std::size_t series) {
  constexpr std::array<Marker, 4> shapes{Marker::circle, Marker::square, Marker::diamond, Marker::triangle};
  return shapes[series % shapes.size()];
}

std::string ramp_color(double fraction) {
  const Color color = ramp(fraction);
  return fmt::format("#{:02x}{:02x}{:02x}", static_cast<int>(std::lround(color.red)),
                     static_cast<int>(std::lround(color.green)), static_cast<int>(std::lround(color.blue)));
}

const char* ramp_text_color(double fraction) {
  const Color color = ramp(fraction);
  const double brightness = 0.299 * color.red + 0.587 * color.green + 0.114 * color.blue;
  return brightness > 120.0 ? "#000000" : "#ffffff";
}

SvgCanvas::SvgCanvas(double width, double height, std::string_view title)
    : svg_(fmt::format("<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" role=\"img\" "
                       "font-family=\"system-ui, 'DejaVu Sans', Arial, sans-serif\" fill=\"currentColor\">"
                       "<title>{2}</title>\n",
                       width, height, escaped(title))) {}

void SvgCanvas::line(double x1, double y1, double x2, double y2, std::string_view style) {
  svg_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, style);
}

void SvgCanvas::rectangle(double x, double y, double width, double height, std::string_view style,
                          std::string_view tip) {
  svg_ +=
      fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" {}>", x, y, width, height, style);
  if (!tip.empty()) svg_ += fmt::format("<title>{}</title>", escaped(tip));
  svg_ += "</rect>\n";
}

void SvgCanvas::polyline(const std::vector<std::pair<double, double>>& points, std::string_view style) {
  svg_ += "<polyline points=\"";
  for (const auto& [x, y] : points) svg_ += fmt::format("{:.1f},{:.1f} ", x, y);
  svg_ += fmt::format("\" fill=\"none\" {}/>\n", style);
}

void SvgCanvas::marker(Marker shape, double x, double y, std::string_view color, std::string_view tip) {
  constexpr double r = 4.0;
  std::string d;
  switch (shape) {
    case Marker::circle:
      d = fmt::format("M{:.1f},{:.1f}a{r},{r} 0 1,0 {e},0a{r},{r} 0 1,0 -{e},0z", x - r, y, fmt::arg("r", r),
                      fmt::arg("e", 2 * r));
      break;
    case Marker::square:
      d = fmt::format("M{:.1f},{:.1f}h7v7h-7z", x - 3.5, y - 3.5);
      break;
    case Marker::diamond:
      d = fmt::format("M{:.1f},{:.1f}l5,5l-5,5l-5,-5z", x, y - 5);
      break;
    case Marker::triangle:
      d = fmt::format("M{:.1f},{:.1f}l4.8,8.4h-9.6z", x, y - 5.2);
      break;
  }
  svg_ += fmt::format("<path d=\"{}\" fill=\"{}\">", d, color);
  if (!tip.empty()) svg_ += fmt::format("<title>{}</title>", escaped(tip));
  svg_ += "</path>\n";
}

void SvgCanvas::text(double x, double y, std::string_view text, Anchor anchor, std::string_view style, double size) {
  svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{:g}\" {}>{}</text>\n", x, y,
                      anchor_name(anchor), size, style, escaped(text));
}

void SvgCanvas::fitted_text(double x, double y, const std::string& text, double width, Anchor anchor, double size) {
  const std::string shown = shortened(text, width, size);
  svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{:g}\">{}", x, y,
                      anchor_name(anchor), size, escaped(shown));
  if (shown != text) svg_ += fmt::format("<title>{}</title>", escaped(text));
  svg_ += "</text>\n";
}

void SvgCanvas::vertical_text(double x, double y, std::string_view text) {
  svg_ += fmt::format(
      "<text transform=\"translate({:.1f} {:.1f}) rotate(-90)\" text-anchor=\"middle\" font-size=\"{:g}\">{}</text>\n",
      x, y, font_size, escaped(text));
}

std::string SvgCanvas::finish() && {
  return std::move(svg_) + "</svg>\n";
}

std::string Ticks::text(int i) const {
  const int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  const double value = std::abs(at(i)) < step * 1e-9 ? 0.0 : at(i);
  return fmt::format("{:.{}f}", value, std::min(digits, 9));
}

Ticks round_ticks(double low, double high, int wanted) {
  const double raw = (high - low) / std::max(1, wanted);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double rest = raw / power;
  Ticks ticks;
  ticks.step = (rest <= 1.4 ? 1.0 : rest <= 3.0 ? 2.0 : rest <= 7.0 ? 5.0 : 10.0) * power;
  ticks.first = std::ceil(low / ticks.step - 1e-9) * ticks.step;
  ticks.count = std::clamp(static_cast<int>(std::floor((high - ticks.first) / ticks.step + 1e-9)) + 1, 0, 100);
  return ticks;
}

int legend_rows(const std::vector<LegendEntry>& entries, double width) {
  if (entries.empty()) return 0;
  int rows = 1;
  double used = 0.0;
  for (const LegendEntry& entry : entries) {
    const double needed = legend_entry_width(entry);
    if (used > 0.0 && used + needed > width) {
      ++rows;
      used = 0.0;
    }
    used += needed;
  }
  return rows;
}

void draw_legend(SvgCanvas& canvas, const std::vector<LegendEntry>& entries, double x, double y, double width) {
  double used = 0.0;
  for (const LegendEntry& entry : entries) {
    const double needed = legend_entry_width(entry);
    if (used > 0.0 && used + needed > width) {
      y += legend_row_height;
      used = 0.0;
    }
    const double left = x + used;
    if (entry.box) {
      canvas.rectangle(left + 8, y - 9, 14, 10, fmt::format("fill=\"{}\"", entry.color));
    } else {
      canvas.line(left, y - 4, left + 24, y - 4,
                  fmt::format("stroke=\"{}\" stroke-width=\"2\"{}", entry.color,
                              entry.dashed ? " stroke-dasharray=\"5 4\"" : ""));
      if (!entry.dashed) canvas.marker(entry.shape, left + 12, y - 4, entry.color);
    }
    canvas.fitted_text(left + 30, y, entry.name, 320.0);
    used += needed;
  }
}

}  // namespace tessera::results
