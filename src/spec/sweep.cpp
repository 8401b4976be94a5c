#include "tessera/spec/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "axis_values.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/config/section.hpp"
#include "tessera/results/schema.hpp"

namespace tessera::spec {

namespace {

using config::Node;

struct Axis {
  std::string key;
  std::vector<Node> values;
};

[[noreturn]] void fail(const Node& node, const std::string& key, const std::string& message) {
  throw ConfigError({Problem{node.position.file(), node.position.line, node.position.column, key, message}});
}

std::vector<double> numbers(const Node& node, const std::string& key, std::size_t least, std::size_t most) {
  std::vector<double> values;
  if (!node.is_list() || node.items.size() < least || node.items.size() > most)
    fail(node, key,
         fmt::format("takes a list of {} numbers",
                     least == most ? std::to_string(most) : fmt::format("{} or {}", least, most)));
  for (const Node& item : node.items) values.push_back(config::read(item, config::real()));
  return values;
}

/// Whole numbers are written as such, so that integer keys take them.
Node number_node(double value) {
  return value == std::round(value) && std::abs(value) < 1e15 ? Node::integer(static_cast<std::int64_t>(value))
                                                              : Node::real(value);
}

void check_count(const Node& node, const std::string& key, double count) {
  if (!(count >= 1.0 && count <= static_cast<double>(most_sweep_points)))
    fail(node, key, fmt::format("has {} values; 1 to {} are possible", count, most_sweep_points));
}

std::vector<Node> range_values(const Node& node, const std::string& key) {
  const std::vector<double> ends = numbers(node, key, 2, 3);
  const double step = ends.size() == 3 ? ends[2] : 1.0;
  if (step == 0.0 || (ends[1] - ends[0]) / step < 0.0) fail(node, key, "the step does not lead from first to last");
  const double steps = std::floor((ends[1] - ends[0]) / step * (1.0 + 1e-12) + 1e-9);
  check_count(node, key, steps + 1.0);
  std::vector<Node> values;
  for (int i = 0; i <= static_cast<int>(steps); ++i) values.push_back(number_node(ends[0] + i * step));
  return values;
}

std::vector<Node> spaced_values(const Node& node, const std::string& key, bool logarithmic) {
  const std::vector<double> ends = numbers(node, key, 3, 3);
  check_count(node, key, ends[2]);
  if (ends[2] != std::floor(ends[2])) fail(node, key, "the count is a whole number");
  if (logarithmic && !(ends[0] > 0.0 && ends[1] > 0.0)) fail(node, key, "logspace needs ends above 0");
  std::vector<Node> values;
  const int count = static_cast<int>(ends[2]);
  for (int i = 0; i < count; ++i) {
    const double share = count > 1 ? i / (ends[2] - 1.0) : 0.0;
    const bool last = i + 1 == count && count > 1;
    const double value =
        logarithmic ? ends[0] * std::pow(ends[1] / ends[0], share) : ends[0] + share * (ends[1] - ends[0]);
    values.push_back(number_node(last ? ends[1] : value));
  }
  return values;
}

}  // namespace

std::vector<Node> axis_values(const Node& node, const std::string& key) {
  if (node.is_list()) {
    if (node.items.empty()) fail(node, key, "has no values");
    return node.items;
  }
  if (node.is_map() && node.entries.size() == 1) {
    const Node::Entry& entry = node.entries.front();
    if (entry.key == "range") return range_values(entry.value, key);
    if (entry.key == "linspace") return spaced_values(entry.value, key, false);
    if (entry.key == "logspace") return spaced_values(entry.value, key, true);
  }
  fail(node, key, "takes a list of values, {range: [first, last, step]}, {linspace: [...]} or {logspace: [...]}");
}

namespace {

bool is_number(const Node& node) {
  if (!node.is_scalar() || node.quoted) return false;
  char* end = nullptr;
  std::strtod(node.scalar.c_str(), &end);
  return !node.scalar.empty() && *end == '\0';
}

results::Axis coordinates(const std::string& name, const Axis& axis) {
  results::Axis result{name, "1", axis.key, {}};
  if (std::all_of(axis.values.begin(), axis.values.end(), is_number)) {
    std::vector<double> values;
    for (const Node& value : axis.values) values.push_back(std::strtod(value.scalar.c_str(), nullptr));
    result.values = std::move(values);
  } else {
    std::vector<std::string> values;
    for (const Node& value : axis.values) values.push_back(value.is_scalar() ? value.scalar : config::to_flow(value));
    result.values = std::move(values);
  }
  return result;
}

/// Ends of a dotted key, shortest first: "c", "b.c", "a.b.c".
std::vector<std::string> key_ends(const std::string& key) {
  std::vector<std::string> ends;
  for (std::size_t dot = key.rfind('.'); dot != std::string::npos && dot > 0; dot = key.rfind('.', dot - 1))
    ends.push_back(key.substr(dot + 1));
  ends.push_back(key);
  return ends;
}

std::vector<std::string> axis_names(const std::vector<Axis>& axes) {
  // Names that a result file gives to something else.
  std::set<std::string> taken{"config", "reference", "layers", "runtime", "time",       "repeat",
                              "sample", "layer",     "tile",   "output",  "conductance"};
  for (const results::Variable& variable : results::variables()) taken.emplace(variable.name);
  std::vector<std::string> names;
  for (const Axis& axis : axes) {
    std::string name = axis.key;
    for (const std::string& end : key_ends(axis.key)) {
      const auto shares_end = [&](const Axis& other) {
        const std::vector<std::string> ends = key_ends(other.key);
        return other.key != axis.key && std::find(ends.begin(), ends.end(), end) != ends.end();
      };
      if (taken.contains(end) || std::any_of(axes.begin(), axes.end(), shares_end)) continue;
      name = end;
      break;
    }
    names.push_back(name);
  }
  return names;
}

using Setting = std::pair<std::string, Node>;

/// Turns settings into checked configurations; problems are collected over all points.
class PointReader {
 public:
  explicit PointReader(Node document) : document_(std::move(document)) {}

  void add(SweepPlan& plan, std::vector<std::int64_t> index, const std::vector<Setting>& settings) {
    SweepPoint point;
    point.index = std::move(index);
    Node root = document_;
    try {
      for (const auto& [key, value] : settings) {
        point.settings.push_back(key + "=" + config::to_flow(value));
        config::set_path(root, key, value, {"layers"});
      }
      point.config = read_run_config(root);
      plan.points.push_back(std::move(point));
    } catch (const ConfigError& error) {
      ++refused_;
      for (Problem problem : error.problems()) {
        if (problems_.size() >= most_problems || !seen_.insert(problem.text()).second) continue;
        problem.message += fmt::format(" (first at the sweep's point {})", fmt::join(point.settings, ", "));
        problems_.push_back(std::move(problem));
      }
    }
  }
  bool full() const { return problems_.size() >= most_problems || refused_ >= most_refused; }
  void throw_if_any() const {
    if (!problems_.empty()) throw ConfigError(problems_);
  }

 private:
  static constexpr std::size_t most_problems = 20;
  static constexpr int most_refused = 1000;  // points
  Node document_;
  std::vector<Problem> problems_;
  int refused_ = 0;
  std::set<std::string> seen_;
};

void add_grid(SweepPlan& plan, PointReader& reader, const std::vector<Axis>& axes, const Node& section) {
  std::int64_t count = 1;
  for (const Axis& axis : axes)
    if (__builtin_mul_overflow(count, std::ssize(axis.values), &count)) count = most_sweep_points + 1;
  if (count > most_sweep_points)
    fail(section, "sweep.axes", fmt::format("more than {} points; sweep fewer values", most_sweep_points));
  const std::vector<std::string> names = axis_names(axes);
  for (std::size_t a = 0; a < axes.size(); ++a) plan.axes.push_back(coordinates(names[a], axes[a]));
  for (std::int64_t i = 0; i < count && !reader.full(); ++i) {
    std::vector<std::int64_t> index(axes.size());
    std::int64_t rest = i;
    for (std::size_t a = axes.size(); a-- > 0;) {
      index[a] = rest % std::ssize(axes[a].values);
      rest /= std::ssize(axes[a].values);
    }
    std::vector<Setting> settings;
    for (std::size_t a = 0; a < axes.size(); ++a)
      settings.emplace_back(axes[a].key, axes[a].values[static_cast<std::size_t>(index[a])]);
    reader.add(plan, std::move(index), settings);
  }
}

/// zip and list: one axis of points.
void add_points(SweepPlan& plan, PointReader& reader, const std::vector<std::vector<Setting>>& points) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < points.size(); ++i) {
    std::string text;
    for (const auto& [key, value] : points[i])
      text += fmt::format("{}{}={}", text.empty() ? "" : ", ", key, config::to_flow(value));
    labels.push_back(std::move(text));
    if (!reader.full()) reader.add(plan, {static_cast<std::int64_t>(i)}, points[i]);
  }
  plan.axes.push_back({"point", "1", "settings of the point", std::move(labels)});
}

}  // namespace

SweepPlan read_sweep(const std::string& path, const std::vector<std::string>& overrides, config::Report* report) {
  return read_sweep(load_run_document(path, overrides), report);
}

SweepPlan read_sweep(Node document, config::Report* report) {
  const RunConfig base = read_run_config(document, report);
  if (!base.sweep)
    throw ConfigError({Problem{document.position.file(), 0, 0, "sweep",
                               "the configuration has no sweep: section; see docs/guide/sweeps.md"}});
  const Node section = *document.find("sweep");
  document.erase("sweep");
  const SweepParameters& sweep = *base.sweep;
  const bool is_list = sweep.mode == SweepMode::list;
  if (is_list ? sweep.points.empty() || !sweep.axes.empty() : sweep.axes.empty() || !sweep.points.empty())
    fail(section, "sweep",
         is_list ? "mode list takes points: and no axes:" : "modes grid and zip take axes: and no points:");

  std::vector<Axis> axes;
  for (const auto& [key, values] : sweep.axes) axes.push_back({key, axis_values(values, "sweep.axes." + key)});
  if (sweep.isolated && sweep.stop)
    fail(section, "sweep.stop", "looks at the accuracy, which an isolated sweep does not compute");
  SweepPlan plan;
  plan.isolated = sweep.isolated;
  plan.stop = sweep.stop;
  PointReader reader(std::move(document));
  if (sweep.mode == SweepMode::grid) {
    add_grid(plan, reader, axes, section);
  } else {
    std::vector<std::vector<Setting>> points;
    if (is_list) {
      for (const Node& point : sweep.points) {
        if (!point.is_map() || point.entries.empty())
          fail(point, "sweep.points", "a point is a map from keys to values");
        points.emplace_back();
        for (const Node::Entry& entry : point.entries) points.back().emplace_back(entry.key, entry.value);
      }
    } else {
      for (const Axis& axis : axes) {
        if (axis.values.size() != axes.front().values.size())
          fail(section, "sweep.axes",
               fmt::format("mode zip needs axes of equal length: '{}' has {} values, '{}' has {}", axes.front().key,
                           axes.front().values.size(), axis.key, axis.values.size()));
      }
      for (std::size_t i = 0; i < axes.front().values.size(); ++i) {
        points.emplace_back();
        for (const Axis& axis : axes) points.back().emplace_back(axis.key, axis.values[i]);
      }
    }
    add_points(plan, reader, points);
  }
  reader.throw_if_any();
  return plan;
}

}  // namespace tessera::spec
