#include <iostream>

#include "bindings.hpp"
#include "observers.hpp"
#include "tessera/app/report.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/cli/command_line.hpp"
#include "tessera/core/error.hpp"
#include "tree.hpp"

namespace tessera::python {

namespace {

app::Simulation load(const std::string& path, const std::vector<std::string>& overrides) {
  return app::Simulation::load(path, overrides);
}

/// (samples [n, ...] as a network is given them, class indices or nothing)
nb::tuple data(const app::Simulation& simulation) {
  Tensor samples;
  std::vector<std::int32_t> labels;
  {
    const nb::gil_scoped_release released;
    const io::DataSet set(simulation.config().data);
    samples = set.read(0, set.size(), Parallel::all());
    labels.assign(set.labels().begin(), set.labels().end());
  }
  std::vector<std::size_t> sizes;
  for (const std::int64_t extent : samples.shape()) sizes.push_back(static_cast<std::size_t>(extent));
  const std::span<const float> values = samples.values();
  return nb::make_tuple(to_numpy(std::vector<float>(values.begin(), values.end()), sizes), labels);
}

/// (tree, exception that stopped it or None)
nb::tuple run(const app::Simulation& simulation, const std::string& file, int threads, nb::object progress,
              nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::RunResult result =
      observers.run([&](const app::Execution& execution) { return simulation.run({file}, execution); });
  return nb::make_tuple(to_tree(result.file), observers.stopped_by());
}

nb::tuple sweep(const app::Simulation& simulation, const std::string& file, int threads, nb::object progress,
                nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::SweepResult result =
      observers.run([&](const app::Execution& execution) { return simulation.sweep({.file = file}, execution); });
  return nb::make_tuple(to_tree(result.file), observers.stopped_by());
}

nb::tuple diagnose(const app::Simulation& simulation, const std::string& file, int threads, nb::object progress,
                   nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::DiagnosisResult result =
      observers.run([&](const app::Execution& execution) { return simulation.diagnose(execution); });
  for (const std::string& warning : result.diagnosis.warnings) observers.warn(warning);
  if (!file.empty()) results::write_diagnosis(result.record, file);
  return nb::make_tuple(to_tree({"", results::diagnosis_image(result.record)}), observers.stopped_by());
}

nb::tuple search(const app::Simulation& simulation, const std::string& file, const std::string& points, int threads,
                 nb::object progress, nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::SearchResult result = observers.run([&](const app::Execution& execution) {
    return simulation.search({file, points}, execution);
  });
  return nb::make_tuple(to_tree({"", results::search_image(result.record)}), observers.stopped_by(),
                        result.configuration);
}

/// ({node: {name: numbers}}, stopped by, how ranges were found)
nb::tuple calibrate(const app::Simulation& simulation, const std::string& file, int threads, nb::object progress,
                    nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::CalibrationResult result = observers.run([&](const app::Execution& execution) {
    app::CalibrationResult found = simulation.calibrate(execution);
    if (!file.empty()) io::write_model(found.model, file);
    return found;
  });
  nb::dict nodes;
  for (const auto& [node, numbers] : result.model.calibration) {
    nb::dict entry;
    for (const auto& [name, values] : numbers) entry[name.c_str()] = to_numpy(values, {values.size()});
    nodes[node.c_str()] = entry;
  }
  return nb::make_tuple(nodes, observers.stopped_by(), result.source);
}

/// (tree, stopped by, notes)
nb::tuple cost(const app::Simulation& simulation, const std::string& file, int threads, nb::object progress,
               nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::CostEstimate result = observers.run(
      [&](const app::Execution& execution) { return simulation.estimate_cost({.file = file}, execution); });
  for (const std::string& note : result.notes) observers.note(note);
  return nb::make_tuple(to_tree(result.file), observers.stopped_by());
}

/// (curves, stopped by)
nb::tuple train(const app::Simulation& simulation, const std::string& file, const std::string& curves, bool fresh,
                int threads, nb::object progress, nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::TrainingResult result = observers.run([&](const app::Execution& execution) {
    return simulation.train({.file = file, .curves = curves, .fresh = fresh}, execution);
  });
  return nb::make_tuple(to_tree({"", results::training_curves_image(result.curves)}), observers.stopped_by());
}

/// (layers that were written, why others were not, number of files, stopped by)
nb::tuple export_codes(const app::Simulation& simulation, const std::string& directory, std::int64_t samples,
                       std::int64_t vectors, int threads, nb::object progress, nb::object message) {
  Observers observers(threads, std::move(progress), std::move(message));
  const app::CodeExport result = observers.run([&](const app::Execution& execution) {
    return simulation.export_codes({.directory = directory, .samples = samples, .vectors = vectors}, execution);
  });
  return nb::make_tuple(result.layers, result.skipped, result.files, observers.stopped_by());
}

int command(const std::vector<std::string>& arguments, bool out_is_terminal, bool err_is_terminal) {
  const nb::gil_scoped_release released;
  return cli::run_command_line(arguments, {std::cout, std::cerr, out_is_terminal, err_is_terminal});
}

}  // namespace

void bind_simulation(nb::module_& module) {
  nb::class_<app::Simulation>(module, "Simulation")
      .def_static("load", &load, "path"_a, "overrides"_a)
      .def_static("parse", &app::Simulation::parse, "text"_a, "name"_a, "directory"_a, "overrides"_a)
      .def("resolved", [](const app::Simulation& self) { return spec::resolved_text(self.config()); })
      .def("data", &data)
      .def_prop_ro("name", [](const app::Simulation& self) { return self.source().name; })
      .def("run", &run, "file"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("sweep", &sweep, "file"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("diagnose", &diagnose, "file"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("search", &search, "file"_a, "points"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("calibrate", &calibrate, "file"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("cost", &cost, "file"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("train", &train, "file"_a, "curves"_a, "fresh"_a, "threads"_a, "progress"_a.none(), "message"_a.none())
      .def("export_codes", &export_codes, "directory"_a, "samples"_a, "vectors"_a, "threads"_a, "progress"_a.none(),
           "message"_a.none());
  module.def(
      "read",
      [](const std::string& path) {
        return to_tree({path, {}});
      },
      "path"_a);
  module.def(
      "report",
      [](const std::vector<std::string>& files, const std::string& html, const std::string& markdown,
         const std::string& csv_folder) {
        const nb::gil_scoped_release released;
        app::report(files, {.html = html, .markdown = markdown, .csv_folder = csv_folder});
      },
      "files"_a, "html"_a, "markdown"_a, "csv_folder"_a);
  module.def("command", &command, "arguments"_a, "out_is_terminal"_a, "err_is_terminal"_a);
}

}  // namespace tessera::python
