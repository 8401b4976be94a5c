#include "tessera/app/report.hpp"

#include <filesystem>
#include <memory>

#include "tessera/core/atomic_file.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/diagnosis_record.hpp"
#include "tessera/results/search_record.hpp"

namespace tessera::app {

namespace {

namespace fs = std::filesystem;

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

void refuse_overwriting_inputs(const std::vector<std::string>& files, const ReportOutputs& options) {
  for (const std::string& output : {options.html, options.markdown}) {
    for (const std::string& input : files) {
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

}  // namespace

std::vector<results::Report> report(const std::vector<std::string>& files, const ReportOutputs& to) {
  refuse_overwriting_inputs(files, to);
  for (const std::string& file : files) require<InputError>(fs::exists(file), "{}: no such file", file);

  std::vector<results::Reader> readers;
  std::vector<results::Report> reports;
  for (const std::string& file : files) reports.push_back(report_on(file, readers));
  if (readers.size() > 1) reports.insert(reports.begin(), results::compare_reports(readers));

  OutputSet outputs;
  if (!to.html.empty()) outputs.write(to.html, results::html_page(reports));
  if (!to.markdown.empty()) outputs.write(to.markdown, results::markdown_text(reports));
  if (!to.csv_folder.empty()) write_tables(outputs, to.csv_folder, reports);
  outputs.commit();
  return reports;
}

}  // namespace tessera::app
