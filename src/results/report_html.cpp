#include <algorithm>

#include "results/report_markup.hpp"
#include "tessera/results/report.hpp"

namespace tessera::results {
namespace {

constexpr std::size_t most_rows = 400;
constexpr std::size_t folded_rows = 40;  // longer tables are closed at first

constexpr const char* style = R"(
:root { color-scheme: light dark; --text: #1b2128; --quiet: #5b6672; --back: #ffffff; --line: #d9dee4; --soft: #f4f6f8; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e4e8ed; --quiet: #9aa5b1; --back: #14181d; --line: #343c46; --soft: #1d232a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 66rem; color: var(--text); background: var(--back);
       font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: 1rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
a { color: inherit; }
.quiet, figcaption, caption { color: var(--quiet); font-size: .88rem; }
.lead { font-size: 1.05rem; margin: .4rem 0; }
figure { margin: 1rem 0 1.6rem; }
figure svg { display: block; max-width: 100%; height: auto; }
figcaption { max-width: 760px; }
.scroll { overflow-x: auto; margin: .6rem 0 1.4rem; }
table { border-collapse: collapse; font-size: .88rem; overflow-wrap: normal; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .22rem .7rem .22rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td:not(.number) { min-width: 4.5rem; }
th { font-weight: 600; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { background: var(--soft); padding: .8rem; font-size: .8rem; line-height: 1.4; white-space: pre-wrap; }
summary { cursor: pointer; font-weight: 600; margin: .8rem 0; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding-right: .35rem; }
}
)";

std::string table_html(const ReportTable& table) {
  std::string html =
      fmt::format("<div class=\"scroll\"><table><caption>{}</caption>\n<thead><tr>", escaped(table.caption));
  for (std::size_t c = 0; c < table.headings.size(); ++c) {
    const bool number = !table.rows.empty() && table.rows.front()[c].number;
    html += fmt::format("<th{}>{}</th>", number ? " class=\"number\"" : "", escaped(table.headings[c]));
  }
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t r = 0; r < std::min(table.rows.size(), most_rows); ++r) {
    html += "<tr>";
    for (const ReportCell& cell : table.rows[r])
      html += fmt::format("<td{}>{}</td>", cell.number ? " class=\"number\"" : "", escaped(cell.text));
    html += "</tr>\n";
  }
  html += "</tbody></table></div>\n";
  if (table.rows.size() > most_rows)
    html +=
        fmt::format("<p class=\"quiet\">The first {} of {} rows; the others are in the tables written by --csv.</p>\n",
                    most_rows, table.rows.size());
  return html;
}

std::string section_html(const ReportSection& section) {
  std::string html = fmt::format("<section>\n<h3>{}</h3>\n", escaped(section.title));
  for (const std::string& note : section.notes) html += fmt::format("<p class=\"lead\">{}</p>\n", escaped(note));
  for (const ReportFigure& figure : section.figures)
    html += fmt::format("<figure>\n{}<figcaption>{}</figcaption>\n</figure>\n", figure.svg, escaped(figure.caption));
  for (const ReportTable& table : section.tables) {
    const bool folded = table.rows.size() > folded_rows;
    if (folded) html += fmt::format("<details><summary>Table: {} rows</summary>\n", table.rows.size());
    html += table_html(table);
    if (folded) html += "</details>\n";
  }
  for (std::size_t t = 0; t < section.texts.size(); ++t)
    html += fmt::format("<details{}><summary>{}</summary>\n<pre>{}</pre></details>\n", t == 0 ? " open=\"open\"" : "",
                        escaped(section.texts[t].title), escaped(section.texts[t].text));
  return html + "</section>\n";
}

}  // namespace

std::string html_page(std::span<const Report> reports) {
  std::string contents, body;
  std::string title = "Tessera report";
  std::size_t shown = 0;
  for (const Report& report : reports) {
    if (report.sections.empty()) continue;
    contents += fmt::format("<li><a href=\"#file{}\">{}</a></li>\n", shown, escaped(report.title));
    body += fmt::format("<article id=\"file{}\">\n<h2>{}</h2>\n", shown, escaped(report.title));
    for (const ReportSection& section : report.sections) body += section_html(section);
    body += "</article>\n";
    if (++shown == 1) title += ": " + report.title;
  }
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n";
  html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
  html += fmt::format("<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n", escaped(title), style);
  html += "<h1>Tessera report</h1>\n";
  if (shown > 1) html += "<nav><ul>\n" + contents + "</ul></nav>\n";
  return html + body + "</body>\n</html>\n";
}

}  // namespace tessera::results
