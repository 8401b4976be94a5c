#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tessera/cli/command_line.hpp"
#include "tessera/core/messages.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera::cli {

/// Flags that every command which computes understands.
struct CommonOptions {
  std::vector<std::string> set;
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> limit;
  std::optional<std::int64_t> batch_size;
  int threads = 0;
  int verbose = 0;
  bool quiet = false;
  bool no_progress = false;

  /// The overrides that the flags stand for, in the form of --set.
  std::vector<std::string> overrides() const;
  Parallel parallel() const;
};

void add_common_flags(CLI::App& command, CommonOptions& options);
/// --set and the flags that stand for overrides, without --threads and progress: for commands that only read.
void add_override_flags(CLI::App& command, CommonOptions& options);

/// What a chosen command does after parsing. Set by the callbacks of the commands below.
using Action = std::function<void()>;

/// The words of the command line, for the provenance of result files, and where the command writes.
class Invocation {
 public:
  explicit Invocation(const Console& to) : console(to) {}

  const Console& console;
  std::string command_line = "tessera";
  Action action;

  /// For summaries: standard output, or nowhere with -q.
  std::ostream& summary(const CommonOptions& options) const { return options.quiet ? nowhere_ : console.out; }

 private:
  mutable std::ostream nowhere_{nullptr};
};

void add_run_command(CLI::App& app, Invocation& invocation);
void add_sweep_command(CLI::App& app, Invocation& invocation);
void add_calibrate_command(CLI::App& app, Invocation& invocation);
void add_train_command(CLI::App& app, Invocation& invocation);
void add_search_command(CLI::App& app, Invocation& invocation);
void add_merge_command(CLI::App& app, Invocation& invocation);
void add_doctor_command(CLI::App& app, Invocation& invocation);
void add_cost_command(CLI::App& app, Invocation& invocation);
void add_export_command(CLI::App& app, Invocation& invocation);
void add_report_command(CLI::App& app, Invocation& invocation);
void add_inspect_command(CLI::App& app, Invocation& invocation);
void add_config_command(CLI::App& app, Invocation& invocation);
void add_schema_command(CLI::App& app, Invocation& invocation);
void add_import_command(CLI::App& app, Invocation& invocation);
void add_data_command(CLI::App& app, Invocation& invocation);
void add_help_command(CLI::App& app, Invocation& invocation);

}  // namespace tessera::cli
