#include "cli/search_summary.hpp"

#include <algorithm>
#include <cmath>

#include "cli/format.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::cli {

namespace {

Moments accuracy_of(const results::SearchRecord& record, std::size_t point) {
  Moments moments;
  for (const double value : record.accuracy(point)) moments.add(value);
  return moments;
}

std::string accuracy_text(const Moments& accuracy) {
  std::string text = format_percent(accuracy.mean());
  if (accuracy.count() > 1) text += fmt::format(" ± {:.2f}", 100.0 * accuracy.confidence_95());
  return text;
}

std::string bits_text(double bits) {
  return bits >= 32.0 ? std::string("off") : fmt::format("{:.4g}", bits);
}

std::string cost_text(double cost) {
  return cost == std::round(cost) ? format_count(static_cast<std::int64_t>(cost)) : fmt::format("{:.1f}", cost);
}

}  // namespace

std::vector<std::string> search_sentences(const results::SearchRecord& record) {
  std::vector<std::string> sentences;
  const auto found = static_cast<std::size_t>(record.found);
  const results::SearchPointRecord& point = record.points[found];
  const results::SearchPointRecord& given = record.points.front();
  sentences.push_back(
      fmt::format("accuracy {}; as given {}; float32 {}; {} {}{}, {} samples",
                  accuracy_text(accuracy_of(record, found)), accuracy_text(accuracy_of(record, 0)),
                  format_percent(record.reference_accuracy), record.chips, record.chips == 1 ? "chip" : "chips",
                  record.chips > 1 ? " (± 95 % interval over them)" : "", format_count(record.samples)));
  if (found == 0)
    sentences.push_back(
        fmt::format("nothing narrower is within the budget of {:.2f} percentage points at {:g} % confidence",
                    100.0 * record.budget, 100.0 * record.confidence));
  else
    sentences.push_back(
        fmt::format("loss against the configuration as given {:.2f} percentage points, {:g} % interval {:.2f} to "
                    "{:.2f}; below {:.2f} "
                    "with {:g} % confidence (budget {:.2f})",
                    100.0 * point.loss, 100.0 * record.confidence, 100.0 * point.loss_low, 100.0 * point.loss_high,
                    100.0 * point.loss_bound, 100.0 * record.confidence, 100.0 * record.budget));
  if (!std::isnan(record.confirmed_loss))
    sentences.push_back(fmt::format(
        "on samples that the search did not see: loss {:.2f} percentage points, below {:.2f} with {:g} % confidence",
        100.0 * record.confirmed_loss, 100.0 * record.confirmed_loss_bound, 100.0 * record.confidence));
  sentences.push_back(fmt::format("{}: {} -> {} ({:.1f} % saved)", record.cost_unit, cost_text(given.cost),
                                  cost_text(point.cost), 100.0 * (1.0 - point.cost / given.cost)));
  if (!record.complete) sentences.emplace_back("the search was stopped: fewer bits may be possible");
  return sentences;
}

void print_search_summary(std::ostream& out, const results::SearchRecord& record) {
  for (const std::string& sentence : search_sentences(record)) out << "  " << sentence << "\n";
  const results::SearchPointRecord& found = record.points[static_cast<std::size_t>(record.found)];
  TextTable layers;
  layers.add_column("layer", TextTable::Align::left);
  layers.add_column("key", TextTable::Align::left);
  for (const char* heading : {"bits given", "found", "SQNR alone dB"}) layers.add_column(heading);
  for (std::size_t k = 0; k < record.knobs.size(); ++k) {
    const results::SearchKnobRecord& knob = record.knobs[k];
    const auto rung = static_cast<std::size_t>(found.rungs[k]);
    layers.add_row({record.layers[static_cast<std::size_t>(knob.layer)],
                    record.keys[static_cast<std::size_t>(knob.key)], bits_text(knob.bits.front()),
                    bits_text(knob.bits[rung]), rung < knob.sqnr_db.size() ? format_decibel(knob.sqnr_db[rung]) : ""});
  }
  out << "\n" << layers.text();

  std::vector<std::size_t> front;
  for (std::size_t p = 0; p < record.points.size(); ++p)
    if (record.points[p].front || p == 0 || static_cast<std::int64_t>(p) == record.found) front.push_back(p);
  std::stable_sort(front.begin(), front.end(),
                   [&](std::size_t a, std::size_t b) { return record.points[a].cost > record.points[b].cost; });
  TextTable table;
  for (const std::string& heading : {record.cost_unit, std::string("accuracy"), std::string("loss"),
                                     fmt::format("below ({:g} %)", 100.0 * record.confidence), std::string("")})
    table.add_column(heading);
  for (const std::size_t p : front) {
    const results::SearchPointRecord& point = record.points[p];
    std::string remark = point.within ? "" : "over budget";
    if (p == 0) remark = "as given";
    if (static_cast<std::int64_t>(p) == record.found) remark = p == 0 ? "as given, found" : "found";
    table.add_row({cost_text(point.cost), accuracy_text(accuracy_of(record, p)),
                   fmt::format("{:+.2f}", 100.0 * point.loss),
                   p == 0 ? "" : fmt::format("{:.2f}", 100.0 * point.loss_bound), remark});
  }
  out << "\n  Pareto front, the configuration as given and the found one (" << record.points.size()
      << " configurations evaluated; loss in percentage points)\n"
      << table.text();
}

}  // namespace tessera::cli
