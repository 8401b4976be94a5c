#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "cli/commands.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/report.hpp"

namespace tessera::cli {

namespace {

namespace fs = std::filesystem;

struct ReportOptions {
  std::vector<std::string> files;
  std::string html;
  std::string markdown;
  std::string csv_folder;
};

/// Files that appear together: all are written before the first gets its name, and a folder made for them goes again
/// if that fails.
class OutputSet {
 public:
  OutputSet() = default;
  OutputSet(const OutputSet&) = delete;
  OutputSet& operator=(const OutputSet&) = delete;
  ~OutputSet() {
    files_.clear();
    std::error_code ignored;
    if (!made_folder_.empty()) fs::remove(made_folder_, ignored);
  }

  void make_folder(const std::string& folder) {
    std::error_code error;
    if (fs::is_directory(folder, error)) return;
    require<RunError>(fs::create_directory(folder, error) && !error, "cannot create the folder '{}' ({})", folder,
                      error ? error.message() : "something else has this name");
    made_folder_ = folder;
  }

  void write(const std::string& path, const std::string& text) {
    auto file = std::make_unique<AtomicFile>(path);
    file->write(text);
    files_.push_back(std::move(file));
  }

  void commit() {
    for (auto& file : files_) file->commit();
    made_folder_.clear();
  }

 private:
  std::vector<std::unique_ptr<AtomicFile>> files_;
  std::string made_folder_;
};

void refuse_overwriting_inputs(const ReportOptions& options) {
  for (const std::string& output : {options.html, options.markdown}) {
    for (const std::string& input : options.files) {
      std::error_code error;
      if (!output.empty() && fs::equivalent(output, input, error) && !error)
        throw UsageError(fmt::format("'{}' would be overwritten by the report on it; give another name", input));
    }
  }
  if (!options.html.empty() && options.html == options.markdown)
    throw UsageError(fmt::format("'{}' cannot be both HTML and Markdown", options.html));
}

/// Tables of one file stand under their names; of several under the number and name of the file.
void write_tables(OutputSet& outputs, const std::string& folder, const std::vector<results::Report>& reports) {
  outputs.make_folder(folder);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const std::string prefix = reports.size() == 1 || reports[i].file.empty()
                                   ? ""
                                   : fmt::format("{}-{}-", i, fs::path(reports[i].file).stem().string());
    for (const results::ReportSection& section : reports[i].sections)
      for (const results::ReportTable& table : section.tables)
        outputs.write((fs::path(folder) / (prefix + table.name + ".csv")).string(), results::csv_text(table));
  }
}

/// By what is in the file; results of runs and sweeps are kept for a comparison.
results::Report report_on(const std::string& file, std::vector<results::Reader>& readers) {
  const std::string filetype = h5::File::open(file).attribute<std::string>("filetype", "");
  if (filetype == results::search_filetype) return results::search_report(results::read_search_record(file), file);
  if (filetype == results::diagnosis_filetype) return results::diagnosis_report(results::read_diagnosis(file), file);
  readers.emplace_back(file);
  return results::make_report(readers.back());
}

void report(const ReportOptions& options, const Console& console) {
  if (options.html.empty() && options.markdown.empty() && options.csv_folder.empty())
    throw UsageError("where should the report go? Give -o report.html, --md FILE or --csv FOLDER");
  refuse_overwriting_inputs(options);
  for (const std::string& file : options.files) require<InputError>(fs::exists(file), "{}: no such file", file);

  std::vector<results::Reader> readers;
  std::vector<results::Report> reports;
  for (const std::string& file : options.files) reports.push_back(report_on(file, readers));
  if (readers.size() > 1) reports.insert(reports.begin(), results::compare_reports(readers));

  OutputSet outputs;
  if (!options.html.empty()) outputs.write(options.html, results::html_page(reports));
  if (!options.markdown.empty()) outputs.write(options.markdown, results::markdown_text(reports));
  if (!options.csv_folder.empty()) write_tables(outputs, options.csv_folder, reports);
  outputs.commit();

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
