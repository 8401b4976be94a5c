#include "app/search_text.hpp"

#include <fmt/format.h>

#include <cmath>

#include "tessera/app/search.hpp"
#include "tessera/core/format.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::app {

std::string accuracy_text(const results::SearchRecord& record, std::size_t point) {
  Moments accuracy;
  for (const double value : record.accuracy(point)) accuracy.add(value);
  if (record.measure == "perplexity") {
    const double perplexity = results::shown_quality(record, accuracy.mean());
    std::string text = fmt::format("{:.4g}", perplexity);
    if (accuracy.count() > 1) text += fmt::format(" ± {:.2g}", perplexity * accuracy.confidence_95());
    return text;
  }
  std::string text = format_percent(accuracy.mean());
  if (accuracy.count() > 1) text += fmt::format(" ± {:.2f}", 100.0 * accuracy.confidence_95());
  return text;
}

std::string cost_text(double cost) {
  if (cost > 0.0 && cost < 10.0) return fmt::format("{:.4g}", cost);  // of hardware
  return cost == std::round(cost) ? format_count(static_cast<std::int64_t>(cost)) : fmt::format("{:.1f}", cost);
}

std::vector<std::string> search_sentences(const results::SearchRecord& record) {
  std::vector<std::string> sentences;
  const std::string unit = results::loss_unit(record);
  const auto shown = [&](double loss) { return results::shown_loss(record, loss); };
  const auto found = static_cast<std::size_t>(record.found);
  const results::SearchPointRecord& point = record.points[found];
  const results::SearchPointRecord& given = record.points.front();
  const bool chooses = record.keys.size() == 1 && record.keys.front() == "analog";
  if (chooses) {
    std::vector<std::string> digital;
    for (std::size_t k = 0; k < record.knobs.size(); ++k)
      if (point.rungs[k] == 0) digital.push_back(record.layers[static_cast<std::size_t>(record.knobs[k].layer)]);
    sentences.push_back(digital.empty() ? std::string("every layer can be analog")
                                        : fmt::format("{} of {} layers stay digital: {}", digital.size(),
                                                      record.knobs.size(), fmt::join(digital, ", ")));
  }
  sentences.push_back(fmt::format(
      "{} {}; {} {}; float32 {}; {} {}{}, {} samples", record.measure, accuracy_text(record, found),
      chooses ? "all digital" : "as given", accuracy_text(record, 0),
      results::quality_text(record, record.reference_accuracy), record.chips, record.chips == 1 ? "chip" : "chips",
      record.chips > 1 ? " (± 95 % interval over them)" : "", format_count(record.samples)));
  if (found == 0)
    sentences.push_back(fmt::format("{} is within the budget of {:.2f} {} at {:g} % confidence",
                                    chooses ? "no layer on tiles" : "nothing narrower", 100.0 * record.budget, unit,
                                    100.0 * record.confidence));
  else
    sentences.push_back(
        fmt::format("loss against {} {:.2f} {}, {:g} % interval {:.2f} to "
                    "{:.2f}; below {:.2f} "
                    "with {:g} % confidence (budget {:.2f})",
                    chooses ? "the digital network" : "the configuration as given", shown(point.loss), unit,
                    100.0 * record.confidence, shown(point.loss_low), shown(point.loss_high), shown(point.loss_bound),
                    100.0 * record.confidence, 100.0 * record.budget));
  if (!std::isnan(record.confirmed_loss))
    sentences.push_back(
        fmt::format("on samples that the search did not see: loss {:.2f} {}, below {:.2f} with {:g} % confidence",
                    shown(record.confirmed_loss), unit, shown(record.confirmed_loss_bound), 100.0 * record.confidence));
  sentences.push_back(fmt::format("{}: {} -> {} ({:.1f} % saved)", record.cost_unit, cost_text(given.cost),
                                  cost_text(point.cost), 100.0 * (1.0 - point.cost / given.cost)));
  if (record.energy_ratio > 0.0)
    sentences.push_back(
        fmt::format("with measured activity and common coefficients: energy x {:.3f} [{:.3f}, {:.3f}], "
                    "area x {:.3f} [{:.3f}, {:.3f}] of the configuration as given",
                    record.energy_ratio, record.energy_ratio_low, record.energy_ratio_high, record.area_ratio,
                    record.area_ratio_low, record.area_ratio_high));
  if (point.columns_per_converter > 0.0)
    sentences.push_back(fmt::format("columns per converter: {:g}", point.columns_per_converter));
  if (!record.complete)
    sentences.emplace_back(chooses ? "the search was stopped: more layers may be possible"
                                   : "the search was stopped: fewer bits may be possible");
  return sentences;
}

}  // namespace tessera::app
