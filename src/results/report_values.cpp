#include "results/report_values.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tessera/core/error.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::results {
namespace {

std::string axis_label(const Axis& axis) {
  return axis.units.empty() || axis.units == "1" ? axis.name : fmt::format("{} ({})", axis.name, axis.units);
}

/// Is a value that is not positive the sign for "no quantization"?
bool zero_means_off(const Axis& axis) {
  const std::string& name = axis.long_name.empty() ? axis.name : axis.long_name;
  return name.ends_with("bits") || name.ends_with("_res") || axis.name.ends_with("bits");
}

/// Are steps of the logarithm more alike than those of the numbers?
bool is_geometric(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  if (values.size() < 3 || values.front() <= 0.0 || values.back() / values.front() < 8.0) return false;
  const auto unevenness = [&](auto position) {
    double least = HUGE_VAL, most = 0.0;
    for (std::size_t i = 1; i < values.size(); ++i) {
      const double step = position(values[i]) - position(values[i - 1]);
      least = std::min(least, step);
      most = std::max(most, step);
    }
    return most / least;
  };
  return unevenness([](double v) { return std::log(v); }) < unevenness([](double v) { return v; });
}

AxisView view_words(const std::vector<std::string>& words) {
  AxisView view;
  for (std::size_t i = 0; i < words.size(); ++i) {
    view.labels.push_back(words[i].empty() ? "\"\"" : words[i]);
    view.positions.push_back(static_cast<double>(i));
  }
  view.joined.assign(words.size(), false);
  return view;
}

AxisView view_numbers(const std::vector<double>& numbers, bool off_at_zero) {
  AxisView view;
  const auto off = [&](double v) { return off_at_zero && v <= 0.0; };
  std::vector<double> on;
  for (const double v : numbers)
    if (!off(v) && std::isfinite(v)) on.push_back(v);
  view.logarithmic = is_geometric(on);
  const auto place = [&](double v) { return view.logarithmic ? std::log10(v) : v; };
  const auto [least, most] = std::minmax_element(on.begin(), on.end());
  const double first = on.empty() ? 0.0 : place(*least);
  const double last = on.empty() ? 0.0 : place(*most);
  const double step = on.size() > 1 ? (last - first) / static_cast<double>(on.size() - 1) : 1.0;
  const double beyond = last + (step > 0.0 ? step : 1.0);
  for (const double v : numbers) {
    const bool ordinary = !off(v) && std::isfinite(v);
    view.labels.push_back(off(v) ? fmt::format("{:.6g} (off)", v) : fmt::format("{:.6g}", v));
    view.positions.push_back(ordinary ? place(v) : beyond);
    view.joined.push_back(ordinary);
  }
  return view;
}

std::string without_padding(double value, const char* unit) {
  return fmt::format("{:.3g} {}", value, unit);
}

}  // namespace

std::string time_text(double seconds) {
  constexpr double minute = 60, hour = 3600, day = 86400, year = 365 * day;
  if (seconds < minute) return without_padding(seconds, "s");
  if (seconds < hour) return without_padding(seconds / minute, "min");
  if (seconds < day) return without_padding(seconds / hour, "h");
  if (seconds < year) return without_padding(seconds / day, "d");
  return without_padding(seconds / year, "y");
}

AxisView view_axis(const Axis& axis) {
  AxisView view;
  if (const auto* words = std::get_if<std::vector<std::string>>(&axis.values))
    view = view_words(*words);
  else
    view = view_numbers(std::get<std::vector<double>>(axis.values), zero_means_off(axis));
  view.name = axis.name;
  view.label = axis_label(axis);
  view.key = axis.long_name;
  return view;
}

AxisView view_times(const Axis& axis) {
  AxisView view;
  view.name = axis.name;
  view.label = "time after programming";
  view.logarithmic = true;
  const auto* seconds = std::get_if<std::vector<double>>(&axis.values);
  require<InputError>(seconds != nullptr, "the axis '{}' holds words instead of times (the file is damaged)",
                      axis.name);
  double first = HUGE_VAL;
  for (const double s : *seconds)
    if (s > 0.0) first = std::min(first, s);
  for (const double s : *seconds) {
    view.labels.push_back(time_text(s));
    view.positions.push_back(s > 0.0 ? std::log10(s) : std::isfinite(first) ? std::log10(first) - 1.0 : 0.0);
    view.joined.push_back(true);
  }
  return view;
}

ReportSource::ReportSource(const Reader& reader) : reader_(reader), layers_(reader.layers()) {
  const std::vector<Axis> axes = reader.axes();
  for (std::size_t i = 0; i < reader.swept_axes(); ++i) swept_.push_back(view_axis(axes[i]));
  times_ = view_times(axes[reader.swept_axes()]);
  const auto repeats = static_cast<std::size_t>(axes.back().size());
  unit_of_repeat_.resize(repeats);
  std::iota(unit_of_repeat_.begin(), unit_of_repeat_.end(), std::size_t{0});
  units_ = repeats;
  if (!reader.has("/program")) return;
  const std::vector<double> programs = reader.read("/program").values;
  require<InputError>(programs.size() == repeats, "'{}' has {} chips for {} repeats (the file is damaged)",
                      reader.path(), programs.size(), repeats);
  const std::set<double> distinct(programs.begin(), programs.end());
  over_chips_ = distinct.size() > 1 || repeats == 1;
  if (distinct.size() < 2) return;
  units_ = distinct.size();
  for (std::size_t r = 0; r < repeats; ++r)
    unit_of_repeat_[r] = static_cast<std::size_t>(std::distance(distinct.begin(), distinct.find(programs[r])));
}

std::optional<NamedArray> ReportSource::read(const std::string& variable) const {
  if (!reader_.has(variable)) return std::nullopt;
  NamedArray array = reader_.read(variable);
  std::vector<std::pair<std::string, std::size_t>> known;
  for (const AxisView& axis : swept_) known.emplace_back(axis.name, axis.size());
  known.emplace_back("time", times_.size());
  known.emplace_back("repeat", unit_of_repeat_.size());
  std::size_t next = 0;
  for (std::size_t d = 0; d < array.dims.size(); ++d) {
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const auto& k) { return k.first == array.dims[d]; });
    const bool in_order = found == known.end() || static_cast<std::size_t>(found - known.begin()) >= next;
    require<InputError>(!array.dims[d].empty() && in_order &&
                            (found == known.end() || static_cast<std::int64_t>(found->second) == array.shape[d]),
                        "{} in '{}' does not have the axes of the file (the file is damaged)", variable,
                        reader_.path());
    if (found != known.end()) next = static_cast<std::size_t>(found - known.begin()) + 1;
  }
  require<InputError>(next > 0 || swept_.empty() || array.dims.empty(),
                      "{} in '{}' does not have the axes of the file (the file is damaged)", variable, reader_.path());
  return array;
}

std::vector<Estimate> ReportSource::estimates(const NamedArray& array, const std::vector<std::string>& keep) const {
  const std::size_t rank = array.dims.size();
  std::vector<std::size_t> stride(rank, 0);
  std::size_t cells = 1;
  for (auto name = keep.rbegin(); name != keep.rend(); ++name) {
    const auto dim = std::find(array.dims.begin(), array.dims.end(), *name);
    if (dim == array.dims.end()) continue;
    const auto d = static_cast<std::size_t>(dim - array.dims.begin());
    stride[d] = cells;
    cells *= static_cast<std::size_t>(array.shape[d]);
  }
  const auto repeat =
      static_cast<std::size_t>(std::find(array.dims.begin(), array.dims.end(), "repeat") - array.dims.begin());
  const std::size_t units = repeat < rank ? units_ : 1;
  std::vector<Moments> by_unit(cells * units);
  std::vector<Estimate> result(cells);
  std::vector<bool> infinite(cells, false);
  std::vector<std::size_t> at(rank, 0);
  for (const double value : array.values) {
    std::size_t cell = 0;
    for (std::size_t d = 0; d < rank; ++d) cell += stride[d] * at[d];
    Estimate& estimate = result[cell];
    ++estimate.wanted;
    if (!std::isnan(value)) {
      ++estimate.points;
      estimate.lowest = std::fmin(estimate.lowest, value);
      estimate.highest = std::fmax(estimate.highest, value);
      if (std::isfinite(value))
        by_unit[cell * units + (repeat < rank ? unit_of_repeat_[at[repeat]] : 0)].add(value);
      else
        infinite[cell] = true;
    }
    for (std::size_t d = rank; d-- > 0;) {
      if (++at[d] < static_cast<std::size_t>(array.shape[d])) break;
      at[d] = 0;
    }
  }
  for (std::size_t cell = 0; cell < cells; ++cell) {
    Moments moments;
    for (std::size_t u = 0; u < units; ++u)
      if (by_unit[cell * units + u].count() > 0) moments.add(by_unit[cell * units + u].mean());
    Estimate& estimate = result[cell];
    estimate.chips = moments.count();
    estimate.mean = moments.count() > 0 ? moments.mean() : infinite[cell] ? estimate.highest : missing;
    estimate.deviation = moments.standard_deviation();
    estimate.half = moments.confidence_95();
  }
  return result;
}

Estimate ReportSource::estimate(const std::string& variable) const {
  const std::optional<NamedArray> array = read(variable);
  return array && !array->values.empty() ? estimates(*array, {}).front() : Estimate{};
}

NamedArray select(const NamedArray& array, const std::string& dim, std::int64_t index) {
  const auto found = std::find(array.dims.begin(), array.dims.end(), dim);
  if (found == array.dims.end()) return array;
  const auto d = static_cast<std::size_t>(found - array.dims.begin());
  NamedArray part{array.dims, array.shape, {}};
  part.dims.erase(part.dims.begin() + static_cast<std::ptrdiff_t>(d));
  part.shape.erase(part.shape.begin() + static_cast<std::ptrdiff_t>(d));
  std::size_t inner = 1;
  for (std::size_t k = d + 1; k < array.shape.size(); ++k) inner *= static_cast<std::size_t>(array.shape[k]);
  const auto extent = static_cast<std::size_t>(array.shape[d]);
  for (std::size_t i = 0; i < array.values.size(); ++i)
    if ((i / inner) % extent == static_cast<std::size_t>(index)) part.values.push_back(array.values[i]);
  return part;
}

Wilson wilson_interval(double accuracy, double count) {
  if (std::isnan(accuracy) || !(count > 0.0)) return {};
  constexpr double z = 1.959963984540054;
  const double shrink = 1.0 + z * z / count;
  const double centre = (accuracy + z * z / (2.0 * count)) / shrink;
  const double half = z / shrink * std::sqrt(accuracy * (1.0 - accuracy) / count + z * z / (4.0 * count * count));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

ReportCell text_cell(const std::string& text) {
  return {text, text, false};
}

ReportCell count_cell(std::int64_t value) {
  return {std::to_string(value), std::to_string(value), true};
}

ReportCell number_cell(double value, int digits) {
  if (std::isnan(value)) return {"–", "", true};
  return {fmt::format("{:.{}g}", value, digits), fmt::format("{}", value), true};
}

std::string percent_text(double fraction) {
  return std::isnan(fraction) ? "–" : fmt::format("{:.2f} %", 100.0 * fraction);
}

ReportCell percent_cell(double fraction) {
  return {percent_text(fraction), std::isnan(fraction) ? "" : fmt::format("{}", fraction), true};
}

ReportCell points_cell(double fraction) {
  if (std::isnan(fraction)) return {"", "", true};
  return {fmt::format("{:+.2f}", 100.0 * fraction), fmt::format("{}", 100.0 * fraction), true};
}

ReportCell decibel_cell(double value) {
  if (std::isnan(value)) return {"–", "", true};
  if (std::isinf(value)) return {value > 0 ? "exact" : "−∞", value > 0 ? "inf" : "-inf", true};
  return {fmt::format("{:.1f}", value), fmt::format("{}", value), true};
}

}  // namespace tessera::results
