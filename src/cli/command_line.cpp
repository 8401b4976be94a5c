#include "tessera/cli/command_line.hpp"

#include <new>

#include "cli/commands.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/format.hpp"
#include "tessera/core/version.hpp"

namespace tessera::cli {

namespace {

int fail(const Console& console, ExitCode code, const std::string& message) {
  const char* const red = console.err_is_terminal ? "\033[1;31m" : "";
  const char* const plain = console.err_is_terminal ? "\033[0m" : "";
  console.err << red << "error: " << plain << message << "\n";
  return static_cast<int>(code);
}

int report_config_error(const Console& console, const ConfigError& error) {
  const std::size_t count = error.problems().size();
  std::string text = fmt::format("{} problem{} in the configuration", count, count == 1 ? "" : "s");
  for (const Problem& problem : error.problems()) text += "\n  " + problem.text();
  return fail(console, ExitCode::bad_input, text);
}

}  // namespace

std::vector<std::string> CommonOptions::overrides() const {
  std::vector<std::string> result = set;
  if (seed) result.push_back(fmt::format("seed={}", *seed));
  if (limit) result.push_back(fmt::format("data.limit={}", *limit));
  if (batch_size) result.push_back(fmt::format("data.batch_size={}", *batch_size));
  return result;
}

Parallel CommonOptions::parallel() const {
  return threads > 0 ? Parallel{threads} : Parallel::all();
}

void add_override_flags(CLI::App& command, CommonOptions& options) {
  command.add_option("--set", options.set, "Override one key: --set rpu_config.forward.out_noise=0.02 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command.add_option("--seed", options.seed, "Seed of every random number (overrides seed:)");
  command.add_option("--limit", options.limit, "Use only the first N samples (overrides data.limit)")->type_name("N");
  command.add_option("--batch-size", options.batch_size, "Samples per batch; never changes a result")->type_name("N");
}

void add_common_flags(CLI::App& command, CommonOptions& options) {
  add_override_flags(command, options);
  command.add_option("--threads", options.threads, "Threads (default: all processors); never changes a result")
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  command.add_flag("-v,--verbose", options.verbose, "Say more");
  command.add_flag("-q,--quiet", options.quiet, "Say nothing but errors: no notes, no summary");
  command.add_flag("--no-progress", options.no_progress, "No progress bar");
}

int run_command_line(const std::vector<std::string>& arguments, const Console& console) {
  CLI::App app{"Tessera simulates neural networks on analog in-memory computing tiles.", "tessera"};
  app.set_version_flag("--version", std::string("tessera ") + version());
  app.set_help_flag("-h,--help", "Print this help");
  app.require_subcommand(1);
  app.fallthrough(false);
  app.failure_message(CLI::FailureMessage::simple);
  app.footer(
      "Exit codes: 0 ok, 2 usage, 3 bad configuration or input, 4 failed while running.\n"
      "Start with: tessera run configs/quickstart.yaml -o results.h5");

  Invocation invocation(console);
  for (const std::string& argument : arguments) invocation.command_line += " " + shell_quoted(argument);
  add_run_command(app, invocation);
  add_sweep_command(app, invocation);
  add_calibrate_command(app, invocation);
  add_train_command(app, invocation);
  add_search_command(app, invocation);
  add_merge_command(app, invocation);
  add_doctor_command(app, invocation);
  add_cost_command(app, invocation);
  add_export_command(app, invocation);
  add_report_command(app, invocation);
  add_inspect_command(app, invocation);
  add_config_command(app, invocation);
  add_schema_command(app, invocation);
  add_import_command(app, invocation);
  add_data_command(app, invocation);
  add_help_command(app, invocation);

  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    if (invocation.action) invocation.action();
    console.out.flush();
    if (!console.out) throw RunError("cannot write to standard output");
    return static_cast<int>(ExitCode::ok);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, console.out, console.err);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  } catch (const UsageError& error) {
    return fail(console, ExitCode::usage, error.what());
  } catch (const ConfigError& error) {
    return report_config_error(console, error);
  } catch (const InputError& error) {
    return fail(console, ExitCode::bad_input, error.what());
  } catch (const std::bad_alloc&) {
    return fail(console, ExitCode::run_failed, "out of memory; try a smaller --batch-size or fewer evaluation.repeats");
  } catch (const std::exception& error) {
    return fail(console, ExitCode::run_failed, error.what());
  }
}

}  // namespace tessera::cli
