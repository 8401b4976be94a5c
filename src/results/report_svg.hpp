#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Drawing primitives. Everything structural is drawn in currentColor, so a picture follows the text around it.
namespace tessera::results {

enum class Anchor { start, middle, end };
enum class Marker { circle, square, diamond, triangle };

inline constexpr double font_size = 12.0;

/// Width in pixels that a text needs at most in the usual sans-serif fonts; only estimated.
double text_width(std::string_view text, double size = font_size);
/// The text, or its beginning and end around "…" so that it fits.
std::string shortened(const std::string& text, double width, double size = font_size);

/// The colour of a series: legible on white and on dark, told apart by readers with colour blindness, and in grey
/// together with series_marker.
const char* series_color(std::size_t series);
Marker series_marker(std::size_t series);
/// Perceptually uniform, from dark violet (0) over green to yellow (1), as matplotlib's viridis.
std::string ramp_color(double fraction);
/// Black or white, whatever can be read on ramp_color(fraction).
const char* ramp_text_color(double fraction);

class SvgCanvas {
 public:
  /// `title` is read aloud and shown by a hovering pointer where nothing else is.
  SvgCanvas(double width, double height, std::string_view title);

  void line(double x1, double y1, double x2, double y2, std::string_view style);
  void rectangle(double x, double y, double width, double height, std::string_view style, std::string_view tip = "");
  void polyline(const std::vector<std::pair<double, double>>& points, std::string_view style);
  void marker(Marker shape, double x, double y, std::string_view color, std::string_view tip = "");
  void text(double x, double y, std::string_view text, Anchor anchor = Anchor::start, std::string_view style = "",
            double size = font_size);
  /// Shortened to `width`, with the whole text as its tip.
  void fitted_text(double x, double y, const std::string& text, double width, Anchor anchor = Anchor::start,
                   double size = font_size);
  /// Reading upwards, centred on (x, y).
  void vertical_text(double x, double y, std::string_view text);

  std::string finish() &&;

 private:
  std::string svg_;
};

inline constexpr const char* axis_style = "stroke=\"currentColor\" stroke-opacity=\"0.6\"";
inline constexpr const char* grid_style = "stroke=\"currentColor\" stroke-opacity=\"0.14\"";

/// Round numbers over [low, high] about `wanted` apart, for an axis.
struct Ticks {
  double first = 0.0;
  double step = 1.0;
  int count = 0;
  double at(int i) const { return first + step * i; }
  std::string text(int i) const;
};
Ticks round_ticks(double low, double high, int wanted);

struct LegendEntry {
  std::string name;
  std::string color;
  bool dashed = false;
  bool box = false;  ///< a filled box instead of line and marker
  Marker shape = Marker::circle;
};
/// Rows that a legend takes over this width, and drawing it with its first baseline at y.
int legend_rows(const std::vector<LegendEntry>& entries, double width);
void draw_legend(SvgCanvas& canvas, const std::vector<LegendEntry>& entries, double x, double y, double width);
inline constexpr double legend_row_height = 20.0;

}  // namespace tessera::results
