#include "app/training_text.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/format.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::app {

using results::TrainingEpoch;

/// Mean accuracy of the chips at the last time; NaN where no chip was measured.
double last_validation(const TrainingEpoch& epoch, const sim::TrainingParameters& parameters) {
  const auto chips = static_cast<std::size_t>(parameters.validation.repeats);
  if (epoch.validation_accuracy.size() < chips) return results::missing;
  Moments moments;
  for (std::size_t i = epoch.validation_accuracy.size() - chips; i < epoch.validation_accuracy.size(); ++i)
    moments.add(epoch.validation_accuracy[i]);
  return moments.mean();
}

std::string validation_time_text(const sim::TrainingParameters& parameters) {
  if (parameters.validation.times.empty() || parameters.validation.times.back() == 0.0) return "";
  return " after " + format_duration(parameters.validation.times.back());
}

std::string epoch_line(const std::vector<TrainingEpoch>& epochs, const sim::TrainingParameters& parameters) {
  const TrainingEpoch& epoch = epochs.back();
  std::string line =
      fmt::format("epoch {}/{} {}: loss {:.4f}", epochs.size(), parameters.digital_epochs + parameters.analog_epochs,
                  epoch.analog ? "analog" : "digital", epoch.loss);
  if (!std::isnan(epoch.accuracy)) line += fmt::format(", accuracy {}", format_percent(epoch.accuracy));
  if (!std::isnan(epoch.reference_accuracy))
    line += fmt::format(", validation {} in float32", format_percent(epoch.reference_accuracy));
  else if (!std::isnan(epoch.reference_loss))
    line += fmt::format(", validation loss {:.4g} in float32", epoch.reference_loss);
  if (const double chips = last_validation(epoch, parameters); !std::isnan(chips))
    line += fmt::format(", {} on chips{}", format_percent(chips), validation_time_text(parameters));
  if (epoch.best) line += ", best";
  return line + fmt::format(", {}", format_duration(epoch.seconds));
}

std::string training_note(const std::vector<TrainingEpoch>& epochs, const sim::TrainingParameters& parameters) {
  std::string note = fmt::format("{} epoch{}", epochs.size(), epochs.size() == 1 ? "" : "s");
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    const bool kept = parameters.keep == sim::KeptModel::best ? epochs[e].best : e + 1 == epochs.size();
    const bool last_phase = epochs[e].analog == epochs.back().analog;
    if (!kept || !last_phase) continue;
    note += fmt::format("; kept epoch {}: float32 {}", e + 1, format_percent(epochs[e].reference_accuracy));
    if (const double chips = last_validation(epochs[e], parameters); !std::isnan(chips))
      note += fmt::format(", chips{} {}", validation_time_text(parameters), format_percent(chips));
  }
  return note;
}

}  // namespace tessera::app
