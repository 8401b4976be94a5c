#include "cli/sweep_summary.hpp"

#include <algorithm>
#include <cmath>

#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::cli {

namespace {

constexpr std::int64_t most_rows = 200;

/// Swept values of the i-th point.
std::vector<std::string> point_cells(const results::Reader& reader, std::int64_t i) {
  const std::vector<results::Axis> axes = reader.axes();
  std::vector<std::string> cells(reader.swept_axes());
  for (std::size_t a = reader.swept_axes(); a-- > 0;) {
    const auto at = static_cast<std::size_t>(i % axes[a].size());
    cells[a] = std::visit([at](const auto& values) { return fmt::format("{}", values[at]); }, axes[a].values);
    i /= axes[a].size();
  }
  return cells;
}

std::int64_t product_from(const Shape& shape, std::size_t first) {
  std::int64_t product = 1;
  for (std::size_t axis = first; axis < shape.size(); ++axis) product *= shape[axis];
  return product;
}

/// [point][time * chips + chip]: mean over the reads of a chip; missing where one is.
std::vector<std::vector<double>> chip_values(const results::Reader& reader, const results::NamedArray& array) {
  const std::vector<double> reads_of = reader.read("/read").values;
  const auto reads = static_cast<std::int64_t>(*std::max_element(reads_of.begin(), reads_of.end())) + 1;
  const std::int64_t each = product_from(array.shape, reader.swept_axes());
  std::vector<std::vector<double>> points;
  for (std::int64_t first = 0; first < std::ssize(array.values); first += each) {
    std::vector<double>& values = points.emplace_back();
    for (std::int64_t chip = 0; chip < each; chip += reads) {
      double sum = 0.0;
      for (std::int64_t read = 0; read < reads; ++read)
        sum += array.values[static_cast<std::size_t>(first + chip + read)];
      values.push_back(sum / static_cast<double>(reads));
    }
  }
  return points;
}

Moments moments_of(const std::vector<double>& values) {
  Moments moments;
  for (const double value : values)
    if (!std::isnan(value)) moments.add(value);
  return moments;
}

Moments differences(const std::vector<double>& values, const std::vector<double>& baseline) {
  Moments moments;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isnan(values[i] - baseline[i])) moments.add(values[i] - baseline[i]);
  return moments;
}

std::string signed_percent(double value) {
  return std::isnan(value) ? "" : fmt::format("{:+.2f}", 100.0 * value);
}

void print_accuracy(std::ostream& out, const results::Reader& reader) {
  const std::vector<std::vector<double>> points = chip_values(reader, reader.read(reader.score()));
  std::size_t best = 0;
  for (std::size_t p = 1; p < points.size(); ++p) {
    const double mean = moments_of(points[p]).mean(), highest = moments_of(points[best]).mean();
    if (mean > highest || (std::isnan(highest) && !std::isnan(mean))) best = p;
  }
  TextTable table;
  const std::vector<results::Axis> axes = reader.axes();
  for (std::size_t a = 0; a < reader.swept_axes(); ++a) table.add_column(axes[a].name);
  for (const char* heading : {reader.score().c_str() + 1, "± 95 %", "chips", "to best", "± 95 %"})
    table.add_column(heading);
  const std::int64_t count = std::ssize(points);
  const auto times = static_cast<std::size_t>(axes[reader.swept_axes()].size());
  for (std::int64_t i = 0; i < std::min(count, most_rows); ++i) {
    const auto p = static_cast<std::size_t>(i);
    std::vector<std::string> cells = point_cells(reader, i);
    const Moments accuracy = moments_of(points[p]);
    cells.push_back(format_percent(accuracy.mean()));
    cells.push_back(format_percent(accuracy.confidence_95()));
    cells.push_back(std::to_string(static_cast<std::size_t>(accuracy.count()) / times));
    const Moments difference = differences(points[p], points[best]);
    const bool paired = p != best && difference.count() > 0;
    cells.push_back(paired ? signed_percent(difference.mean()) : p == best ? "best" : "");
    cells.push_back(paired ? format_percent(difference.confidence_95()) : "");
    table.add_row(std::move(cells));
  }
  out << table.text();
  if (count > most_rows) out << "  ... and " << format_count(count - most_rows) << " more\n";
  out << "  to best: mean difference to the best point over common chips, percentage points; chips draw the same noise "
         "at every point\n";
}

void print_sensitivity(std::ostream& out, const results::Reader& reader) {
  const results::NamedArray sqnr = reader.read("/sqnr_db_isolated");
  const std::vector<results::LayerInfo> layers = reader.layers();
  TextTable table;
  const std::vector<results::Axis> axes = reader.axes();
  for (std::size_t a = 0; a < reader.swept_axes(); ++a) table.add_column(axes[a].name);
  for (const results::LayerInfo& layer : layers)
    if (layer.analog) table.add_column(layer.name);
  const std::int64_t each = product_from(sqnr.shape, reader.swept_axes());
  const std::int64_t count = each > 0 ? std::ssize(sqnr.values) / each : 0;
  for (std::int64_t i = 0; i < std::min(count, most_rows); ++i) {
    std::vector<std::string> cells = point_cells(reader, i);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      if (!layers[l].analog) continue;
      Moments moments;
      for (std::size_t at = l; at < static_cast<std::size_t>(each); at += layers.size()) {
        const double value = sqnr.values[static_cast<std::size_t>(i * each) + at];
        if (!std::isnan(value)) moments.add(value);
      }
      cells.push_back(format_decibel(moments.mean()));
    }
    table.add_row(std::move(cells));
  }
  out << "  SQNR (dB) of each layer alone, fed with float32 inputs; mean over times and repeats\n" << table.text();
  if (count > most_rows) out << "  ... and " << format_count(count - most_rows) << " more\n";
}

}  // namespace

void print_sweep_summary(std::ostream& out, const std::string& file) {
  const results::Reader reader(file);
  if (!reader.score().empty()) print_accuracy(out, reader);
  if (reader.has("/sqnr_db_isolated")) print_sensitivity(out, reader);
}

}  // namespace tessera::cli
