#include "cli/search_summary.hpp"

#include <algorithm>

#include "app/search_text.hpp"
#include "cli/text_table.hpp"
#include "tessera/app/search.hpp"
#include "tessera/core/format.hpp"

namespace tessera::cli {

namespace {

std::string bits_text(double bits) {
  return bits >= 32.0 ? std::string("off") : fmt::format("{:.4g}", bits);
}

}  // namespace

void print_search_summary(std::ostream& out, const results::SearchRecord& record) {
  for (const std::string& sentence : app::search_sentences(record)) out << "  " << sentence << "\n";
  const results::SearchPointRecord& found = record.points[static_cast<std::size_t>(record.found)];
  const bool chooses = record.keys.size() == 1 && record.keys.front() == "analog";
  const auto rung_text = [chooses](double bits) {
    return !chooses ? bits_text(bits) : bits > 0.0 ? std::string("digital") : std::string("analog");
  };
  TextTable layers;
  layers.add_column("layer", TextTable::Align::left);
  layers.add_column("key", TextTable::Align::left);
  for (const char* heading : {chooses ? "begins" : "bits given", "found", "SQNR alone dB"}) layers.add_column(heading);
  for (std::size_t k = 0; k < record.knobs.size(); ++k) {
    const results::SearchKnobRecord& knob = record.knobs[k];
    const auto rung = static_cast<std::size_t>(found.rungs[k]);
    layers.add_row({record.layers[static_cast<std::size_t>(knob.layer)],
                    record.keys[static_cast<std::size_t>(knob.key)], rung_text(knob.bits.front()),
                    rung_text(knob.bits[rung]),
                    chooses ? format_decibel(knob.sqnr_db.empty() ? results::missing : knob.sqnr_db.back())
                    : rung < knob.sqnr_db.size() ? format_decibel(knob.sqnr_db[rung])
                                                 : ""});
  }
  out << "\n" << layers.text();

  std::vector<std::size_t> front;
  for (std::size_t p = 0; p < record.points.size(); ++p)
    if (record.points[p].front || p == 0 || static_cast<std::int64_t>(p) == record.found) front.push_back(p);
  std::stable_sort(front.begin(), front.end(),
                   [&](std::size_t a, std::size_t b) { return record.points[a].cost > record.points[b].cost; });
  TextTable table;
  for (const std::string& heading : {record.cost_unit, record.measure, std::string("loss"),
                                     fmt::format("below ({:g} %)", 100.0 * record.confidence), std::string("")})
    table.add_column(heading);
  for (const std::size_t p : front) {
    const results::SearchPointRecord& point = record.points[p];
    std::string remark = point.within ? "" : "over budget";
    if (p == 0) remark = "as given";
    if (static_cast<std::int64_t>(p) == record.found) remark = p == 0 ? "as given, found" : "found";
    table.add_row({app::cost_text(point.cost), app::accuracy_text(record, p),
                   fmt::format("{:+.2f}", results::shown_loss(record, point.loss)),
                   p == 0 ? "" : fmt::format("{:.2f}", results::shown_loss(record, point.loss_bound)), remark});
  }
  out << "\n  Pareto front, the configuration as given and the found one (" << record.points.size()
      << " configurations evaluated; loss in " << results::loss_unit(record) << ")\n"
      << table.text();
}

}  // namespace tessera::cli
