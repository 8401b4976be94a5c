#include "cli/training_text.hpp"

#include "app/training_text.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"

namespace tessera::cli {

void print_training_summary(std::ostream& out, const std::vector<results::TrainingEpoch>& epochs,
                            const sim::TrainingParameters& parameters, const std::string& name) {
  out << name << "\n\n";
  TextTable table;
  table.add_column("epoch");
  table.add_column("phase", TextTable::Align::left);
  table.add_column("learning rate");
  table.add_column("loss");
  table.add_column("accuracy");
  table.add_column("float32");
  table.add_column("chips" + app::validation_time_text(parameters));
  table.add_column("", TextTable::Align::left);
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    const results::TrainingEpoch& epoch = epochs[e];
    table.add_row({std::to_string(e + 1), epoch.analog ? "analog" : "digital",
                   fmt::format("{:.3g}", epoch.learning_rate), fmt::format("{:.4f}", epoch.loss),
                   format_percent(epoch.accuracy), format_percent(epoch.reference_accuracy),
                   format_percent(app::last_validation(epoch, parameters)), epoch.best ? "best" : ""});
  }
  out << table.text() << "\n" << app::training_note(epochs, parameters) << "\n";
}

}  // namespace tessera::cli
