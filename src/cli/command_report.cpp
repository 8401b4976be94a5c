#include "cli/commands.hpp"
#include "tessera/app/report.hpp"
#include "tessera/core/error.hpp"

namespace tessera::cli {

namespace {

struct ReportOptions {
  std::vector<std::string> files;
  std::string html;
  std::string markdown;
  std::string csv_folder;
};

void report(const ReportOptions& options, const Console& console) {
  if (options.html.empty() && options.markdown.empty() && options.csv_folder.empty())
    throw UsageError("where should the report go? Give -o report.html, --md FILE or --csv FOLDER");
  const std::vector<results::Report> reports =
      app::report(options.files, {options.html, options.markdown, options.csv_folder});

  std::size_t figures = 0, tables = 0;
  for (const results::Report& part : reports) {
    for (const results::ReportSection& section : part.sections) {
      figures += section.figures.size();
      tables += section.tables.size();
    }
    if (part.sections.empty()) continue;
    for (const std::string& note : part.sections.front().notes)
      console.out << (options.files.size() > 1 ? part.title + ": " : "") << note << "\n";
  }
  for (const auto& [output, what] : std::vector<std::pair<std::string, std::string>>{
           {options.html, fmt::format("{} figures, {} tables", figures, tables)},
           {options.markdown, fmt::format("{} tables", tables)},
           {options.csv_folder, fmt::format("{} tables", tables)}})
    if (!output.empty()) console.out << "report: " << output << " (" << what << ")\n";
}

}  // namespace

void add_report_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("report", "Tables and plots of result files as one page");
  auto options = std::make_shared<ReportOptions>();
  command->add_option("RESULTS", options->files, "Result files (HDF5) of tessera run, sweep, search or doctor")
      ->required();
  command->add_option("-o,--output", options->html, "The page: one HTML file that needs nothing else");
  command->add_option("--md", options->markdown, "Tables as Markdown")->type_name("FILE");
  command->add_option("--csv", options->csv_folder, "Tables as CSV with all digits, one file each")
      ->type_name("FOLDER");
  command->footer("Example: tessera report results.h5 -o report.html\nWhat it shows: docs/guide/reports.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { report(*options, invocation.console); }; });
}

}  // namespace tessera::cli
