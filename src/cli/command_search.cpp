#include <filesystem>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/search_summary.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::cli {

namespace {

namespace fs = std::filesystem;

struct SearchArguments {
  std::string config;
  std::string output;
  std::string points;
  CommonOptions common;
};

/// Where the evaluated configurations go, unless it is said: found.yaml -> found.h5.
std::string points_file(const SearchArguments& arguments) {
  return arguments.points.empty() ? fs::path(arguments.output).replace_extension(".h5").string() : arguments.points;
}

void check_outputs(const SearchArguments& arguments) {
  if (arguments.output.empty()) throw UsageError("where should the configuration go? Give -o found.yaml");
  const std::string points = points_file(arguments);
  if (points == arguments.output)
    throw UsageError(
        fmt::format("'{}' cannot be both the configuration and the points; give --points FILE.h5", points));
  std::error_code error;
  if (fs::equivalent(arguments.output, arguments.config, error) && !error)
    throw UsageError(fmt::format("'{}' would be overwritten by what is found; give another name", arguments.config));
  require<InputError>(!fs::exists(points) || h5::is_hdf5(points),
                      "{}: exists and is no file of tessera search; give another --points FILE.h5", points);
  if (fs::exists(points)) {
    const std::string filetype = h5::File::open(points).attribute<std::string>("filetype", "unknown");
    require<InputError>(filetype == results::search_filetype,
                        "{}: exists and is no file of tessera search (its filetype is '{}'); give another --points "
                        "FILE.h5",
                        points, filetype);
  }
}

void search(const SearchArguments& arguments, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, arguments.common);
  const InterruptGuard interrupt;
  const auto simulation = app::Simulation::load(arguments.config, arguments.common.overrides());
  check_outputs(arguments);
  const std::string points = points_file(arguments);
  const app::SearchResult result =
      simulation.search({arguments.output, points}, console.execution(invocation, arguments.common, interrupt.flag()));
  console.finish_progress();
  std::ostream& out = invocation.summary(arguments.common);
  print_search_summary(out, result.record);
  out << "\n  configuration: " << arguments.output << "\n  results: " << points << "\n";
  if (result.cancelled)
    throw RunError(fmt::format("interrupted; the same command continues with the configurations kept in {}", points));
}

}  // namespace

void add_search_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "search", "The fewest bits per layer within a budget of accuracy or perplexity; continues where it was stopped");
  auto options = std::make_shared<SearchArguments>();
  command->add_option("CONFIG", options->config, "Configuration file with a search: section (YAML)")->required();
  command->add_option("-o,--output", options->output, "The configuration that is found (YAML), ready to run")
      ->type_name("FILE.yaml");
  command
      ->add_option("--points", options->points,
                   "Every configuration that is evaluated (HDF5), for tessera report; default: the output's name with "
                   ".h5")
      ->type_name("FILE.h5");
  add_common_flags(*command, options->common);
  command->footer("Example: tessera search configs/search_periphery.yaml -o found.yaml; docs/guide/search.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { search(*options, invocation); }; });
}

}  // namespace tessera::cli
