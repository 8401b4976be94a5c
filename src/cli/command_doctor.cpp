#include <cmath>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/text_table.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/core/format.hpp"
#include "tessera/results/diagnosis_record.hpp"

namespace tessera::cli {

namespace {

struct DoctorArguments {
  std::string config;
  std::vector<std::string> outputs;
  CommonOptions common;
};

struct Table {
  std::string title;
  std::vector<std::string> headings;  ///< the first column is text
  std::vector<std::vector<std::string>> rows;
};

std::string points_text(const Moments& moments) {
  if (moments.count() == 0) return "";
  std::string text = fmt::format("{:+.2f}", 100.0 * moments.mean());
  if (moments.count() > 1) text += fmt::format(" ± {:.2f}", 100.0 * moments.confidence_95());
  return text;
}

double weakest(const std::vector<double>& decibels, std::size_t& layer) {
  double least = HUGE_VAL;
  for (std::size_t l = 0; l < decibels.size(); ++l)
    if (decibels[l] < least) {
      least = decibels[l];
      layer = l;
    }
  return least;
}

Table stage_table(const sim::Diagnosis& diagnosis) {
  Table table{
      "Accuracy: what each mechanism costs alone, and what leaving it out gains (percentage points)",
      {"mechanism", "alone", "cost alone", "without it", "gain without", "output SQNR alone dB", "weakest layer"},
      {}};
  const auto row = [&](const std::string& name, const sim::DoctorRun& run) {
    table.rows.push_back(
        {name, format_percent(run.mean_accuracy()), "", "", "", format_decibel(run.sqnr_db.back()), ""});
  };
  row("ideal", diagnosis.ideal);
  for (const sim::DoctorStage& stage : diagnosis.stages) {
    std::size_t layer = 0;
    const double least = weakest(stage.only.alone_db, layer);
    const auto without = [&](const std::string& text) { return stage.removable ? text : std::string("-"); };
    table.rows.push_back(
        {stage.name, format_percent(stage.only.mean_accuracy()),
         points_text(sim::accuracy_difference(diagnosis.ideal, stage.only)),
         without(format_percent(stage.without.mean_accuracy())),
         without(points_text(sim::accuracy_difference(stage.without, diagnosis.configured))),
         format_decibel(stage.only.sqnr_db.back()),
         std::isfinite(least) ? fmt::format("{} {}", diagnosis.layers[layer], format_decibel(least)) : ""});
  }
  row("all, as configured", diagnosis.configured);
  return table;
}

Table layer_table(const sim::Diagnosis& diagnosis) {
  Table table{"SQNR (dB) of each layer fed with float32 inputs, by mechanism alone", {"layer"}, {}};
  for (const sim::DoctorStage& stage : diagnosis.stages) table.headings.push_back(stage.name);
  table.headings.insert(table.headings.end(), {"all", "all, in the network"});
  for (std::size_t l = 0; l < diagnosis.layers.size(); ++l) {
    std::vector<std::string> row{diagnosis.layers[l]};
    for (const sim::DoctorStage& stage : diagnosis.stages) row.push_back(format_decibel(stage.only.alone_db[l]));
    row.push_back(format_decibel(diagnosis.configured.alone_db[l]));
    row.push_back(format_decibel(diagnosis.configured.sqnr_db[l]));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// Which layers to look at, or to leave digital, first.
Table ranking_table(const sim::Diagnosis& diagnosis) {
  const bool scored = !diagnosis.configured.accuracy.empty();
  Table table{"Layers by what each alone costs at the output (it as configured, all others digital)",
              {"layer", "output SQNR dB"},
              {}};
  if (scored) table.headings.insert(table.headings.end(), {"accuracy", "cost (percentage points)"});
  for (const sim::DoctorLayer& layer : diagnosis.ranking) {
    std::vector<std::string> row{diagnosis.layers[layer.layer], format_decibel(layer.output_sqnr_db)};
    if (scored) {
      Moments accuracy;
      for (const double value : layer.accuracy) accuracy.add(value);
      row.push_back(format_percent(accuracy.mean()));
      row.push_back(points_text(layer.cost(diagnosis.ideal.accuracy)));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string plain_text(const Table& table) {
  TextTable text;
  for (std::size_t h = 0; h < table.headings.size(); ++h)
    text.add_column(table.headings[h], h == 0 ? TextTable::Align::left : TextTable::Align::right);
  for (const auto& row : table.rows) text.add_row(row);
  return table.title + "\n" + text.text();
}

std::string markdown(const Table& table) {
  std::string text = fmt::format("## {}\n\n| {} |\n|", table.title, fmt::join(table.headings, " | "));
  for (std::size_t h = 0; h < table.headings.size(); ++h) text += h == 0 ? "---|" : "---:|";
  for (const auto& row : table.rows) text += fmt::format("\n| {} |", fmt::join(row, " | "));
  return text + "\n";
}

std::string ideal_text(const sim::Diagnosis& diagnosis) {
  return fmt::format(
      "Ideal equals float32: {} (largest deviation {:.1e} of the largest output, {} of {} predictions differ)",
      diagnosis.ideal_is_ideal() ? "yes" : "NO", diagnosis.ideal_deviation, diagnosis.ideal_changed,
      diagnosis.ideal_samples);
}

std::string accuracy_text(const sim::Diagnosis& diagnosis, const sim::EvaluationRequest& request) {
  if (diagnosis.configured.accuracy.empty()) return "The task has no classes: only errors are compared.";
  if (sim::task_of(request) == sim::Task::agreement)
    return fmt::format(
        "The data has no labels: accuracy is agreement with the classes of float32, as configured {} of {} samples "
        "and {} {}",
        format_percent(diagnosis.configured.mean_accuracy()), format_count(request.data.size()),
        request.evaluation.repeats, request.evaluation.repeats == 1 ? "chip" : "chips");
  return fmt::format("Accuracy: float32 {}, as configured {}, on {} samples and {} {}",
                     format_percent(diagnosis.reference.accuracy()),
                     format_percent(diagnosis.configured.mean_accuracy()), format_count(request.data.size()),
                     request.evaluation.repeats, request.evaluation.repeats == 1 ? "chip" : "chips");
}

/// The mechanisms by what leaving them out gains, or one sentence that nothing does.
std::string verdict(const sim::Diagnosis& diagnosis) {
  const sim::DoctorStage* worst = nullptr;
  double most = 0.0;
  for (const sim::DoctorStage& stage : diagnosis.stages) {
    const Moments cost = sim::accuracy_difference(diagnosis.ideal, stage.only);
    if (cost.count() == 0 || cost.mean() <= most) continue;
    most = cost.mean();
    worst = &stage;
  }
  if (diagnosis.stages.empty() || diagnosis.configured.accuracy.empty()) return "";
  if (worst == nullptr) return "No mechanism alone costs accuracy.";
  std::size_t layer = 0;
  weakest(worst->only.alone_db, layer);
  return fmt::format("Costs most alone: {} ({}), {:.2f} percentage points; weakest layer '{}'", worst->name,
                     worst->keys, 100.0 * most, diagnosis.layers[layer]);
}

bool is_hdf5_name(const std::string& name) {
  return name.ends_with(".h5") || name.ends_with(".hdf5") || name.ends_with(".nc");
}

void write_markdown(const std::string& output, const std::string& name, const std::vector<std::string>& sentences,
                    const std::vector<Table>& tables, const std::vector<std::string>& warnings) {
  std::string text = "# " + name + "\n";
  for (const std::string& sentence : sentences) text += "\n" + sentence + "\n";
  for (const Table& table : tables) text += "\n" + markdown(table);
  for (const std::string& warning : warnings) text += "\n- " + warning;
  write_file(output, text + "\n");
}

void doctor(const DoctorArguments& arguments, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, arguments.common);
  const InterruptGuard interrupt;
  const app::Execution execution = console.execution(invocation, arguments.common, interrupt.flag());
  const app::DiagnosisResult result =
      app::Simulation::load(arguments.config, arguments.common.overrides()).diagnose(execution);
  console.finish_progress();
  const sim::Diagnosis& diagnosis = result.diagnosis;
  std::vector<std::string> sentences{ideal_text(diagnosis), accuracy_text(diagnosis, result.setup->request),
                                     verdict(diagnosis)};
  std::erase(sentences, "");
  const std::vector<Table> tables{stage_table(diagnosis), layer_table(diagnosis), ranking_table(diagnosis)};
  std::ostream& out = invocation.summary(arguments.common);
  for (const std::string& sentence : sentences) out << sentence << "\n";
  for (const Table& table : tables) out << "\n" << plain_text(table);
  for (const std::string& warning : diagnosis.warnings) execution.environment.warn(warning);
  for (const std::string& output : arguments.outputs) {
    if (is_hdf5_name(output))
      results::write_diagnosis(result.record, output);
    else
      write_markdown(output, result.setup->config.name, sentences, tables, diagnosis.warnings);
    out << "\nresults: " << output << "\n";
  }
  require<RunError>(diagnosis.ideal_is_ideal(),
                    "the ideal network does not agree with float32: deviation {:.1e} of the largest output",
                    diagnosis.ideal_deviation);
}

}  // namespace

void add_doctor_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("doctor", "Which mechanism costs the accuracy? Each alone, and all but each");
  auto options = std::make_shared<DoctorArguments>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML)")->required();
  command
      ->add_option("-o,--output", options->outputs,
                   "Also write the tables: Markdown, or HDF5 for tessera report (FILE.h5); repeatable")
      ->type_name("FILE")
      ->allow_extra_args(false);
  add_common_flags(*command, options->common);
  command->footer("Example: tessera doctor configs/quickstart.yaml --limit 200; docs/guide/doctor.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { doctor(*options, invocation); }; });
}

}  // namespace tessera::cli
