#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/results/reader.hpp"
#include "tessera/results/report.hpp"

/// Numbers of a result file, reduced to what tables and figures show.
namespace tessera::results {

/// An axis as figures draw it.
struct AxisView {
  std::string name;
  std::string label;                ///< name and unit
  std::string key;                  ///< the configuration key of a swept axis
  std::vector<std::string> labels;  ///< of the values
  /// Where the values are drawn: proportional to the number, to its logarithm (geometric series), or evenly (words).
  std::vector<double> positions;
  /// May a line join the value to its neighbours? Not words, nor the value that switches a quantizer off, which is
  /// drawn beyond the largest.
  std::vector<bool> joined;
  bool logarithmic = false;

  std::size_t size() const { return labels.size(); }
};
AxisView view_axis(const Axis& axis);
/// Times on a logarithmic axis; 0 stands one decade before the first.
AxisView view_times(const Axis& axis);

/// "0 s", "1 min", "1 h", "30 d", "1 y".
std::string time_text(double seconds);

/// A mean with its uncertainty.
struct Estimate {
  double mean = missing;       ///< infinite only if every value is
  double deviation = missing;  ///< standard deviation over chips
  double half = missing;       ///< of the 95 % interval of the mean
  double lowest = missing;
  double highest = missing;
  std::int64_t chips = 0;   ///< independent values
  std::int64_t points = 0;  ///< values that are there,
  std::int64_t wanted = 0;  ///< of so many
};

/// A result file with its axes.
class ReportSource {
 public:
  /// Keeps a reference to `reader`. InputError if the file is damaged.
  explicit ReportSource(const Reader& reader);

  const Reader& reader() const { return reader_; }
  const std::vector<AxisView>& swept() const { return swept_; }
  const AxisView& times() const { return times_; }
  const std::vector<LayerInfo>& layers() const { return layers_; }
  /// "chips" or, with one chip only, "reads".
  const char* unit() const { return over_chips_ ? "chips" : "reads"; }
  std::size_t chips() const { return units_; }

  /// Values along (swept ..., time, repeat), or leading and further axes thereof; none if the variable is absent.
  /// InputError if its axes are not those of the file.
  std::optional<NamedArray> read(const std::string& variable) const;
  /// One estimate for each place of the axes `keep` (row-major, in that order), over everything else.
  std::vector<Estimate> estimates(const NamedArray& array, const std::vector<std::string>& keep) const;
  /// One for the whole array of a variable; nothing known if it is absent.
  Estimate estimate(const std::string& variable) const;

 private:
  const Reader& reader_;
  std::vector<AxisView> swept_;
  AxisView times_;
  std::vector<LayerInfo> layers_;
  std::vector<std::size_t> unit_of_repeat_;
  std::size_t units_ = 1;
  bool over_chips_ = true;
};

/// The part of the array at one place of an axis, without that axis; the array itself if it has no such axis.
NamedArray select(const NamedArray& array, const std::string& dim, std::int64_t index);

/// Half widths of the 95 % Wilson interval of `accuracy` on `count` samples, below and above; missing without samples.
struct Wilson {
  double low = missing;
  double high = missing;
};
Wilson wilson_interval(double accuracy, double count);

ReportCell text_cell(const std::string& text);
ReportCell count_cell(std::int64_t value);
ReportCell number_cell(double value, int digits = 3);
ReportCell percent_cell(double fraction);
/// Percentage points with sign.
ReportCell points_cell(double fraction);
ReportCell decibel_cell(double value);
std::string percent_text(double fraction);

}  // namespace tessera::results
