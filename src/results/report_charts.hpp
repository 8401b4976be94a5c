#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "results/report_svg.hpp"
#include "results/report_values.hpp"

/// The kinds of figures. Values that are missing are left out; a chart without any value is the empty string.
namespace tessera::results {

struct LineSeries {
  std::string name;
  std::vector<Estimate> values;  ///< by value of the x axis
};

struct LineChart {
  std::string title;
  AxisView x;
  std::string y_label;
  std::vector<LineSeries> series;
  /// Drawn dashed, without intervals; may be empty.
  LineSeries reference;
  double scale = 1.0;                            ///< of what is drawn: 100 for percent
  double floor = -HUGE_VAL, ceiling = HUGE_VAL;  ///< what a value can be, after scaling
};
std::string draw(const LineChart& chart);

struct BarSeries {
  std::string name;
  std::vector<Estimate> values;  ///< by row
};

/// Horizontal bars in groups; whiskers from the lowest to the highest value.
struct BarChart {
  std::string title;
  std::vector<std::string> rows;
  std::string x_label;
  std::vector<BarSeries> series;
  double scale = 1.0;
  int digits = 1;  ///< of the numbers at the bars
  bool whiskers = true;
};
std::string draw(const BarChart& chart);

struct StackedSeries {
  std::string name;
  std::vector<double> values;  ///< by row
};

/// Horizontal bars made of parts; their sums stand at the ends.
struct StackedChart {
  std::string title;
  std::vector<std::string> rows;
  std::string x_label;
  std::vector<StackedSeries> series;
  double scale = 1.0;
};
std::string draw(const StackedChart& chart);

struct HeatMap {
  std::string title;
  std::string row_label, column_label, value_label;
  std::vector<std::string> rows, columns;
  std::vector<double> values;  ///< [rows, columns]
  double scale = 1.0;
  int digits = 1;
};
std::string draw(const HeatMap& map);

/// A point with its interval; missing ends draw none.
struct ScatterPoint {
  double x = 0.0, y = 0.0;
  double low = missing, high = missing;
  std::size_t series = 0;
  std::string tip;
};

/// Points over two numeric axes; those of series 0 are joined in order of x. What lies outside [floor, ceiling] is left
/// out.
struct ScatterChart {
  std::string title;
  std::string x_label, y_label;
  std::vector<std::string> series;
  std::vector<ScatterPoint> points;
  double reference = missing;  ///< a dashed line across
  std::string reference_name;
  double floor = -HUGE_VAL, ceiling = HUGE_VAL;
  bool joined = true;  ///< the points of the first series, by a line
};
std::string draw(const ScatterChart& chart);

/// Two histograms over the same bins, as fractions on a logarithmic axis.
struct HistogramPanel {
  std::string name;
  double maximum = 1.0;  ///< of the x axis
  std::vector<double> programmed, target;
};
struct HistogramChart {
  std::string title;
  std::string x_label;
  std::vector<HistogramPanel> panels;
};
std::string draw(const HistogramChart& chart);

}  // namespace tessera::results
