#include <algorithm>
#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_markup.hpp"
#include "results/report_sections.hpp"

namespace tessera::results {
namespace {

constexpr std::size_t most_series = 6;

/// Accuracies of a file with what they are compared to, point by point (swept axes, then time).
struct Scores {
  NamedArray accuracy;
  std::vector<Estimate> points;
  std::vector<Estimate> reference, loss;  ///< empty if absent
  std::vector<Estimate> samples;
};

std::vector<std::string> swept_names(const ReportSource& source) {
  std::vector<std::string> names;
  for (const AxisView& axis : source.swept()) names.push_back(axis.name);
  return names;
}

std::optional<Scores> read_scores(const ReportSource& source) {
  std::optional<NamedArray> accuracy = source.read("/accuracy");
  if (!accuracy) return std::nullopt;
  std::vector<std::string> keep = swept_names(source);
  Scores scores;
  if (const auto reference = source.read("/reference/accuracy")) scores.reference = source.estimates(*reference, keep);
  keep.emplace_back("time");
  scores.points = source.estimates(*accuracy, keep);
  if (const auto loss = source.read("/loss")) scores.loss = source.estimates(*loss, keep);
  if (const auto count = source.read("/count")) scores.samples = source.estimates(*count, keep);
  scores.accuracy = std::move(*accuracy);
  return scores;
}

/// Index along each swept axis of the p-th place.
std::vector<std::size_t> place(const ReportSource& source, std::size_t p) {
  std::vector<std::size_t> at(source.swept().size());
  for (std::size_t a = at.size(); a-- > 0;) {
    at[a] = p % source.swept()[a].size();
    p /= source.swept()[a].size();
  }
  return at;
}

std::string point_text(const ReportSource& source, std::size_t point) {
  const std::size_t times = source.times().size();
  const std::vector<std::size_t> at = place(source, point / times);
  std::string text;
  for (std::size_t a = 0; a < at.size(); ++a)
    text += fmt::format("{}{} = {}", a ? ", " : "", source.swept()[a].name, source.swept()[a].labels[at[a]]);
  if (times > 1)
    text += fmt::format("{}{} after programming", text.empty() ? "" : ", ", source.times().labels[point % times]);
  return text;
}

Estimate at_or_missing(const std::vector<Estimate>& values, std::size_t i) {
  return i < values.size() ? values[i] : Estimate{};
}

/// Accuracy minus that of the best point at the same time, chip by chip: chips draw the same noise at every point.
std::vector<Estimate> differences_to_best(const ReportSource& source, const Scores& scores) {
  const std::size_t times = source.times().size();
  const std::size_t places = scores.points.size() / times;
  NamedArray difference = scores.accuracy;
  const std::size_t repeats = places > 0 ? difference.values.size() / (places * times) : 0;
  for (std::size_t t = 0; t < times; ++t) {
    std::size_t best = 0;
    for (std::size_t p = 1; p < places; ++p) {
      const double mean = scores.points[p * times + t].mean, highest = scores.points[best * times + t].mean;
      if (mean > highest || (std::isnan(highest) && !std::isnan(mean))) best = p;
    }
    for (std::size_t p = 0; p < places; ++p)
      for (std::size_t r = 0; r < repeats; ++r)
        difference.values[(p * times + t) * repeats + r] -= scores.accuracy.values[(best * times + t) * repeats + r];
  }
  std::vector<std::string> keep = swept_names(source);
  keep.emplace_back("time");
  return source.estimates(difference, keep);
}

ReportTable point_table(const ReportSource& source, const Scores& scores) {
  ReportTable table{
      "accuracy",
      fmt::format("Accuracy by point. ± and SD are over {0}; “to best” is the mean difference to the best "
                  "point with the 95 % interval of the paired differences, {0} by {0}; the last interval "
                  "is what the number of test samples allows (Wilson).",
                  source.unit()),
      {},
      {}};
  for (const AxisView& axis : source.swept()) table.headings.push_back(axis.name);
  for (const std::string& heading :
       {std::string("time"), std::string("accuracy"), std::string("± 95 %"), std::string("SD"),
        std::string(source.unit()), std::string("float32"), std::string("difference"), std::string("loss (nat)"),
        std::string("test set low"), std::string("test set high"), std::string("to best"), std::string("± paired")})
    table.headings.push_back(heading);
  const std::size_t times = source.times().size();
  const std::vector<Estimate> to_best = differences_to_best(source, scores);
  for (std::size_t p = 0; p < scores.points.size(); ++p) {
    const Estimate& accuracy = scores.points[p];
    const double reference = at_or_missing(scores.reference, p / times).mean;
    const Wilson wilson = wilson_interval(accuracy.mean, at_or_missing(scores.samples, p).mean);
    std::vector<ReportCell> row;
    const std::vector<std::size_t> at = place(source, p / times);
    for (std::size_t a = 0; a < at.size(); ++a) row.push_back(text_cell(source.swept()[a].labels[at[a]]));
    row.push_back(text_cell(source.times().labels[p % times]));
    for (const double value : {accuracy.mean, accuracy.half, accuracy.deviation}) row.push_back(percent_cell(value));
    row.push_back(count_cell(accuracy.chips));
    row.push_back(percent_cell(reference));
    row.push_back(percent_cell(accuracy.mean - reference));
    row.push_back(number_cell(at_or_missing(scores.loss, p).mean, 4));
    row.push_back(percent_cell(wilson.low));
    row.push_back(percent_cell(wilson.high));
    row.push_back(percent_cell(to_best[p].mean));
    row.push_back(percent_cell(to_best[p].half));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// The axis that makes the lines of a figure: words before numbers, few values before many; -1 if none fits.
int series_axis(const ReportSource& source, std::size_t x) {
  int best = -1;
  const auto rank = [&](std::size_t a) {
    const AxisView& axis = source.swept()[a];
    const bool words = std::none_of(axis.joined.begin(), axis.joined.end(), [](bool j) { return j; });
    return (words ? 0 : most_series) + axis.size();
  };
  for (std::size_t a = 0; a < source.swept().size(); ++a) {
    const std::size_t size = source.swept()[a].size();
    if (a == x || size < 2 || size > most_series) continue;
    if (best < 0 || rank(a) < rank(static_cast<std::size_t>(best))) best = static_cast<int>(a);
  }
  return best;
}

/// "Means over a, b. " for the axes that a figure does not show.
std::string averaged_text(const ReportSource& source, const std::vector<std::string>& shown) {
  std::string text;
  for (const AxisView& axis : source.swept())
    if (axis.size() > 1 && std::find(shown.begin(), shown.end(), axis.name) == shown.end())
      text += (text.empty() ? "Mean over " : ", ") + axis.name;
  return text.empty() ? "" : text + ". ";
}

/// What to say where a mean stands for fewer points than its neighbours.
std::string gaps_text(const std::vector<Estimate>& estimates) {
  const bool gaps = std::any_of(estimates.begin(), estimates.end(),
                                [](const Estimate& e) { return e.points > 0 && e.points < e.wanted; });
  return gaps ? "Some points are missing: there the mean is over fewer than next to it. " : "";
}

std::string interval_text(const ReportSource& source) {
  return source.chips() > 1
             ? fmt::format("Whiskers: 95 % interval of the mean over {} {}. ", source.chips(), source.unit())
             : std::string("One chip: no interval. ");
}

/// Accuracy against one axis (a swept one or time), one line per value of another.
ReportFigure axis_figure(const ReportSource& source, const Scores& scores, const AxisView& x, const std::string& name,
                         std::size_t x_index) {
  const bool over_time = x.name == "time";
  const NamedArray array = over_time ? scores.accuracy : select(scores.accuracy, "time", 0);
  const int lines = series_axis(source, x_index);
  LineChart chart{.title = "Accuracy against " + x.name,
                  .x = x,
                  .y_label = "accuracy (%)",
                  .series = {},
                  .reference = {},
                  .scale = 100.0,
                  .floor = 0.0,
                  .ceiling = 100.0};
  std::vector<std::string> shown{x.name};
  if (lines < 0) {
    chart.series.push_back({"", source.estimates(array, {x.name})});
  } else {
    const AxisView& axis = source.swept()[static_cast<std::size_t>(lines)];
    shown.push_back(axis.name);
    for (std::size_t v = 0; v < axis.size(); ++v)
      chart.series.push_back({fmt::format("{} = {}", axis.name, axis.labels[v]),
                              source.estimates(select(array, axis.name, static_cast<std::int64_t>(v)), {x.name})});
  }
  if (const auto reference = source.read("/reference/accuracy")) {
    chart.reference = {"float32", source.estimates(*reference, {x.name})};
    if (chart.reference.values.size() != x.size())
      chart.reference.values.assign(x.size(), chart.reference.values.at(0));
  }
  std::string caption = fmt::format("Accuracy against {}. ", x.key.empty() || over_time ? x.label : x.key);
  if (!over_time && source.times().size() > 1)
    caption += fmt::format("At {} after programming. ", source.times().labels[0]);
  caption += averaged_text(source, shown) + interval_text(source);
  for (const LineSeries& series : chart.series) {
    const std::string gaps = gaps_text(series.values);
    caption += gaps;
    if (!gaps.empty()) break;
  }
  if (over_time)
    for (const std::string& label : x.labels)
      if (label == "0 s") caption += "0 s stands one decade before the first later time. ";
  return {name, caption, draw(chart)};
}

ReportFigure pair_figure(const ReportSource& source, const Scores& scores, const AxisView& a, const AxisView& b) {
  const AxisView& rows = a.size() <= b.size() ? a : b;
  const AxisView& columns = a.size() <= b.size() ? b : a;
  HeatMap map{.title = fmt::format("Accuracy by {} and {}", rows.name, columns.name),
              .row_label = rows.label,
              .column_label = columns.label,
              .value_label = "accuracy (%)",
              .rows = rows.labels,
              .columns = columns.labels,
              .values = {},
              .scale = 100.0,
              .digits = 1};
  const std::vector<Estimate> means = source.estimates(select(scores.accuracy, "time", 0), {rows.name, columns.name});
  for (const Estimate& e : means) map.values.push_back(e.mean);
  return {
      identifier(fmt::format("accuracy-{}-{}", a.name, b.name)),
      fmt::format("Accuracy (%) by {} and {}. {}{}{}", rows.key, columns.key,
                  averaged_text(source, {rows.name, columns.name}), gaps_text(means),
                  source.times().size() > 1 ? fmt::format("At {} after programming.", source.times().labels[0]) : ""),
      draw(map)};
}

void add(std::vector<ReportFigure>& figures, ReportFigure figure) {
  if (!figure.svg.empty()) figures.push_back(std::move(figure));
}

std::string with_interval(const ReportSource& source, const Estimate& e) {
  std::string text = percent_text(e.mean);
  if (!std::isnan(e.half)) text += fmt::format(" ± {} (95 %, {} {})", percent_text(e.half), e.chips, source.unit());
  return text;
}

}  // namespace

ReportSection summary_section(const ReportSource& source) {
  ReportSection section{"Summary", {}, {}, {}, {}};
  if (const std::string note = source.reader().version_note(); !note.empty()) section.notes.push_back(note + ".");
  if (const auto finished = source.read("/finished")) {
    const auto done = std::count(finished->values.begin(), finished->values.end(), 1.0);
    section.notes.push_back(fmt::format("{} of {} points are evaluated{}.", done, finished->values.size(),
                                        source.reader().complete() ? ""
                                                                   : ": this file is incomplete; means are over "
                                                                     "what is there"));
  }
  const std::optional<Scores> scores = read_scores(source);
  if (!scores) {
    if (source.read("/sqnr_db_isolated"))
      section.notes.emplace_back(
          "An isolated sweep: each layer alone, fed with float32 inputs; see the sensitivity of the layers. There is "
          "no "
          "accuracy.");
    else if (!source.read("/mse"))
      section.notes.emplace_back("The data had no labels: there is no accuracy.");
    return section;
  }
  std::size_t best = scores->points.size(), worst = best;
  for (std::size_t p = 0; p < scores->points.size(); ++p) {
    const double mean = scores->points[p].mean;
    if (std::isnan(mean)) continue;
    if (best == scores->points.size() || mean > scores->points[best].mean) best = p;
    if (worst == scores->points.size() || mean < scores->points[worst].mean) worst = p;
  }
  if (best == scores->points.size()) {
    section.notes.emplace_back("No point is finished: there is no accuracy yet.");
    return section;
  }
  const auto sentence = [&](const std::string& what, std::size_t p) {
    const std::string where = point_text(source, p);
    const double reference = at_or_missing(scores->reference, p / source.times().size()).mean;
    const Wilson wilson = wilson_interval(scores->points[p].mean, at_or_missing(scores->samples, p).mean);
    std::string text = fmt::format("{} {}", what, with_interval(source, scores->points[p]));
    if (!where.empty()) text += " at " + where;
    if (!std::isnan(wilson.low))
      text += fmt::format("; {:.0f} test samples allow {} to {}", scores->samples[p].mean, percent_text(wilson.low),
                          percent_text(wilson.high));
    if (!std::isnan(reference))
      text += fmt::format("; float32 {}, a difference of {:+.2f} percentage points", percent_text(reference),
                          100.0 * (scores->points[p].mean - reference));
    return text + ".";
  };
  if (scores->points.size() == 1) {
    section.notes.push_back(sentence("Accuracy", best));
  } else {
    section.notes.push_back(sentence("Highest accuracy", best));
    section.notes.push_back(sentence("Lowest accuracy", worst));
  }
  return section;
}

ReportSection accuracy_section(const ReportSource& source) {
  ReportSection section{"Accuracy", {}, {}, {}, {}};
  const std::optional<Scores> scores = read_scores(source);
  if (!scores) return section;
  const std::vector<AxisView>& swept = source.swept();
  for (std::size_t a = 0; a < swept.size(); ++a)
    if (swept[a].size() > 1)
      add(section.figures, axis_figure(source, *scores, swept[a], identifier("accuracy-" + swept[a].name), a));
  for (std::size_t a = 0; a < swept.size(); ++a)
    for (std::size_t b = a + 1; b < swept.size(); ++b)
      if (swept[a].size() > 1 && swept[b].size() > 1)
        add(section.figures, pair_figure(source, *scores, swept[a], swept[b]));
  if (source.times().size() > 1)
    add(section.figures, axis_figure(source, *scores, source.times(), "accuracy-time", swept.size()));
  section.tables.push_back(point_table(source, *scores));
  return section;
}

}  // namespace tessera::results
