#pragma once
#include <span>
#include <string>
#include <vector>

#include "tessera/results/diagnosis_record.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/results/search_record.hpp"

/// What a result file says, as tables and pictures for people: build it from a Reader, then write it as one HTML page,
/// as Markdown, or as CSV. Nothing here prints, starts a program or needs a network: pictures are SVG made here.
namespace tessera::results {

/// One field of a table.
struct ReportCell {
  std::string text;     ///< for people: rounded, with unit
  std::string exact;    ///< for programs: all digits, SI or the unit of the heading, empty where missing
  bool number = false;  ///< aligned right
};

struct ReportTable {
  std::string name;     ///< a file name without extension: letters, digits, '_' and '-'
  std::string caption;  ///< what it shows and over what was averaged
  std::vector<std::string> headings;
  std::vector<std::vector<ReportCell>> rows;  ///< each as long as headings
};

struct ReportFigure {
  std::string name;
  std::string caption;
  /// An SVG element without namespace declaration, for HTML: text and axes in the colour of the surrounding text
  /// (currentColor), data in colours that are legible on white and on dark.
  std::string svg;
};

struct ReportText {
  std::string title;
  std::string text;
};

struct ReportSection {
  std::string title;
  std::vector<std::string> notes;  ///< sentences: what is missing, how numbers are to be read
  std::vector<ReportFigure> figures;
  std::vector<ReportTable> tables;
  std::vector<ReportText> texts;  ///< shown as they are: configuration
};

/// Everything about one file, or, from compare_reports, about several.
struct Report {
  std::string title;
  std::string file;
  std::vector<ReportSection> sections;
};

/// Statistics. A point of a sweep is evaluated on several chips (and reads of each). Numbers are means over chips, with
/// the 95 % Student-t interval of that mean; reads of one chip count as one value, unless there is only one chip.
/// Where a figure has no room for an axis it shows means over that axis, taken chip by chip first; the captions say
/// which. Accuracies also have the 95 % Wilson interval that the number of test samples allows (Wilson 1927), which
/// does not shrink with the number of chips.
///
/// InputError if the file is damaged.
Report make_report(const Reader& reader);

/// A search for the fewest bits: what was found, its Pareto front, the sensitivities that ordered its moves. `path` is
/// where the file lies.
Report search_report(const SearchRecord& record, const std::string& path);

/// A diagnosis: what each mechanism costs, layer by layer.
Report diagnosis_report(const DiagnosisRecord& record, const std::string& path);

/// Side by side: accuracy by file, SQNR by layer and file. No sections for fewer than two files.
Report compare_reports(std::span<const Reader> readers);

/// One page with everything in it: no scripts, fonts or pictures from elsewhere; light or dark as the reader's system
/// is set, black on white on paper.
std::string html_page(std::span<const Report> reports);

/// The tables and notes, for a README or an issue.
std::string markdown_text(std::span<const Report> reports);

/// RFC 4180 with a heading line and exact numbers.
std::string csv_text(const ReportTable& table);

}  // namespace tessera::results
