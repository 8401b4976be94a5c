#pragma once
#include <memory>
#include <set>
#include <string>

#include "cli/commands.hpp"
#include "cli/progress_bar.hpp"
#include "tessera/app/execution.hpp"
#include "tessera/core/messages.hpp"

namespace spdlog {
class logger;
}

namespace tessera::cli {

/// Notes, warnings and progress of a library call, as lines and a bar on standard error. Notes and warnings appear
/// unless -q, each once however often it is said (by the points of a sweep), the bar on a terminal unless
/// --no-progress.
class ConsoleEnvironment {
 public:
  ConsoleEnvironment(const Console& console, const CommonOptions& options);
  ~ConsoleEnvironment();
  ConsoleEnvironment(const ConsoleEnvironment&) = delete;
  ConsoleEnvironment& operator=(const ConsoleEnvironment&) = delete;

  /// Refers to this object.
  Environment environment(CancelFlag cancel = nullptr);
  /// The same with threads, and the words of the command line.
  app::Execution execution(const Invocation& invocation, const CommonOptions& options, CancelFlag cancel = nullptr) {
    return {options.parallel(), environment(cancel), invocation.command_line};
  }
  void finish_progress() { bar_.clear(); }

 private:
  std::shared_ptr<spdlog::logger> logger_;
  ProgressBar bar_;
  std::set<std::string> said_;
};

}  // namespace tessera::cli
