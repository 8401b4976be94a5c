#include "cli/training_text.hpp"

#include <algorithm>
#include <cmath>

#include "cli/format.hpp"
#include "cli/progress_bar.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::cli {

namespace {

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

std::string time_text(const sim::TrainingParameters& parameters) {
  if (parameters.validation.times.empty() || parameters.validation.times.back() == 0.0) return "";
  return " after " + format_duration(parameters.validation.times.back());
}

std::string percent(double fraction) {
  return std::isnan(fraction) ? "-" : format_percent(fraction);
}

}  // namespace

std::string epoch_line(const std::vector<TrainingEpoch>& epochs, const sim::TrainingParameters& parameters) {
  const TrainingEpoch& epoch = epochs.back();
  std::string line =
      fmt::format("epoch {}/{} {}: loss {:.4f}", epochs.size(), parameters.digital_epochs + parameters.analog_epochs,
                  epoch.analog ? "analog" : "digital", epoch.loss);
  if (!std::isnan(epoch.accuracy)) line += fmt::format(", accuracy {}", percent(epoch.accuracy));
  if (!std::isnan(epoch.reference_accuracy))
    line += fmt::format(", validation {} in float32", percent(epoch.reference_accuracy));
  else if (!std::isnan(epoch.reference_loss))
    line += fmt::format(", validation loss {:.4g} in float32", epoch.reference_loss);
  if (const double chips = last_validation(epoch, parameters); !std::isnan(chips))
    line += fmt::format(", {} on chips{}", percent(chips), time_text(parameters));
  if (epoch.best) line += ", best";
  return line + fmt::format(", {}", format_duration(epoch.seconds));
}

std::string training_note(const std::vector<TrainingEpoch>& epochs, const sim::TrainingParameters& parameters) {
  std::string note = fmt::format("{} epoch{}", epochs.size(), epochs.size() == 1 ? "" : "s");
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    const bool kept = parameters.keep == sim::KeptModel::best ? epochs[e].best : e + 1 == epochs.size();
    const bool last_phase = epochs[e].analog == epochs.back().analog;
    if (!kept || !last_phase) continue;
    note += fmt::format("; kept epoch {}: float32 {}", e + 1, percent(epochs[e].reference_accuracy));
    if (const double chips = last_validation(epochs[e], parameters); !std::isnan(chips))
      note += fmt::format(", chips{} {}", time_text(parameters), percent(chips));
  }
  return note;
}

void print_training_summary(std::ostream& out, const std::vector<TrainingEpoch>& epochs,
                            const sim::TrainingParameters& parameters, const std::string& name) {
  out << name << "\n\n";
  TextTable table;
  table.add_column("epoch");
  table.add_column("phase", TextTable::Align::left);
  table.add_column("learning rate");
  table.add_column("loss");
  table.add_column("accuracy");
  table.add_column("float32");
  table.add_column("chips" + time_text(parameters));
  table.add_column("", TextTable::Align::left);
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    const TrainingEpoch& epoch = epochs[e];
    table.add_row({std::to_string(e + 1), epoch.analog ? "analog" : "digital",
                   fmt::format("{:.3g}", epoch.learning_rate), fmt::format("{:.4f}", epoch.loss),
                   percent(epoch.accuracy), percent(epoch.reference_accuracy),
                   percent(last_validation(epoch, parameters)), epoch.best ? "best" : ""});
  }
  out << table.text() << "\n" << training_note(epochs, parameters) << "\n";
}

}  // namespace tessera::cli
