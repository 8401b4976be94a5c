#include <cmath>

#include "results/report_charts.hpp"
#include "results/report_sections.hpp"

namespace tessera::results {

namespace {

std::vector<std::string> point_axes(const ReportSource& source) {
  std::vector<std::string> names;
  for (const AxisView& axis : source.swept()) names.push_back(axis.name);
  names.emplace_back("time");
  return names;
}

std::vector<std::string> class_names(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < count; ++c) names.push_back(fmt::format("{}", c));
  return names;
}

/// Mean over all points; float32 beside it.
void add_classes(const ReportSource& source, ReportSection& section) {
  const auto accuracy = source.read("/class_accuracy"), confusion = source.read("/confusion");
  if (!accuracy || !confusion) return;
  const std::vector<Estimate> analog = source.estimates(*accuracy, {"class"});
  std::vector<Estimate> reference;
  if (const auto read = source.read("/reference/class_accuracy")) reference = source.estimates(*read, {"class"});
  ReportTable table{"classes",
                    "Accuracy by class, means over all points.",
                    {"class", "accuracy", "± 95 %", "float32", "difference"},
                    {}};
  for (std::size_t c = 0; c < analog.size(); ++c) {
    const double float32 = c < reference.size() ? reference[c].mean : missing;
    table.rows.push_back({text_cell(fmt::format("{}", c)), percent_cell(analog[c].mean), percent_cell(analog[c].half),
                          percent_cell(float32), percent_cell(analog[c].mean - float32)});
  }
  section.tables.push_back(std::move(table));
  constexpr std::size_t most_classes = 20;
  if (analog.size() > most_classes) return;
  HeatMap map{.title = "Which class is taken for which",
              .row_label = "label",
              .column_label = "predicted class",
              .value_label = "samples of the label (%)",
              .rows = class_names(analog.size()),
              .columns = class_names(analog.size()),
              .values = {},
              .scale = 100.0,
              .digits = 1};
  const std::vector<Estimate> counts = source.estimates(*confusion, {"class", "predicted_class"});
  for (std::size_t row = 0; row < analog.size(); ++row) {
    double samples = 0.0;
    for (std::size_t c = 0; c < analog.size(); ++c) samples += counts[row * analog.size() + c].mean;
    for (std::size_t c = 0; c < analog.size(); ++c)
      map.values.push_back(samples > 0.0 ? counts[row * analog.size() + c].mean / samples : missing);
  }
  std::string picture = draw(map);
  if (!picture.empty())
    section.figures.push_back(
        {"confusion", "Samples of each class by predicted class, means over all points.", std::move(picture)});
}

void add_errors(const ReportSource& source, ReportSection& section) {
  const auto mse = source.read("/mse");
  if (!mse) return;
  const std::vector<std::string> axes = point_axes(source);
  const std::vector<Estimate> errors = source.estimates(*mse, axes);
  std::vector<Estimate> areas;
  if (const auto auc = source.read("/auc")) areas = source.estimates(*auc, axes);
  ReportTable table{"errors", "Mean squared error of the outputs by point.", {}, {}};
  if (!areas.empty())
    table.caption += " AUC: area under the ROC curve of the error of a sample, for finding anomalies.";
  table.headings = axes;
  for (const char* heading : {"mean squared error", "± 95 %", "float32"}) table.headings.emplace_back(heading);
  if (!areas.empty())
    for (const char* heading : {"AUC", "AUC ± 95 %", "AUC float32"}) table.headings.emplace_back(heading);
  const double reference = source.estimate("/reference/mse").mean, area = source.estimate("/reference/auc").mean;
  const std::size_t times = source.times().size();
  for (std::size_t p = 0; p < errors.size(); ++p) {
    std::vector<ReportCell> row(axes.size());
    std::size_t rest = p / times;
    for (std::size_t a = source.swept().size(); a-- > 0; rest /= source.swept()[a].size())
      row[a] = text_cell(source.swept()[a].labels[rest % source.swept()[a].size()]);
    row.back() = text_cell(source.times().labels[p % times]);
    for (const double value : {errors[p].mean, errors[p].half, reference}) row.push_back(number_cell(value, 5));
    if (!areas.empty())
      for (const double value : {areas[p].mean, areas[p].half, area}) row.push_back(number_cell(value, 4));
    table.rows.push_back(std::move(row));
  }
  section.tables.push_back(std::move(table));
}

void add_agreement(const ReportSource& source, ReportSection& section) {
  const auto agreement = source.read("/agreement");
  if (!agreement) return;
  const std::vector<std::string> axes = point_axes(source);
  std::vector<std::vector<Estimate>> columns;
  ReportTable table{"agreement",
                    "Outputs against those of the float32 network: the same largest entry, Kullback-Leibler divergence "
                    "of their distributions (nat), cosine.",
                    axes,
                    {}};
  for (const auto& [variable, heading] :
       {std::pair{"/agreement", "same largest output"}, std::pair{"/kl_divergence", "KL (nat)"},
        std::pair{"/output_cosine", "cosine"}, std::pair{"/perplexity", "perplexity"}}) {
    const auto values = source.read(variable);
    if (!values) continue;
    columns.push_back(source.estimates(*values, axes));
    table.headings.emplace_back(heading);
    table.headings.emplace_back("± 95 %");
  }
  const bool language = columns.size() > 3;
  if (language) table.headings.emplace_back("perplexity float32");
  const double reference = source.estimate("/reference/perplexity").mean;
  const std::size_t times = source.times().size();
  for (std::size_t p = 0; p < columns.front().size(); ++p) {
    std::vector<ReportCell> row(axes.size());
    std::size_t rest = p / times;
    for (std::size_t a = source.swept().size(); a-- > 0; rest /= source.swept()[a].size())
      row[a] = text_cell(source.swept()[a].labels[rest % source.swept()[a].size()]);
    row.back() = text_cell(source.times().labels[p % times]);
    for (const std::vector<Estimate>& column : columns)
      for (const double value : {column[p].mean, column[p].half}) row.push_back(number_cell(value, 5));
    if (language) row.push_back(number_cell(reference, 5));
    table.rows.push_back(std::move(row));
  }
  section.tables.push_back(std::move(table));
}

}  // namespace

ReportSection task_section(const ReportSource& source) {
  ReportSection section{"Classes and errors", {}, {}, {}, {}};
  add_classes(source, section);
  add_errors(source, section);
  add_agreement(source, section);
  return section;
}

}  // namespace tessera::results
