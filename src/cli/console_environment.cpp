#include "cli/console_environment.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

namespace tessera::cli {

namespace {

spdlog::level::level_enum level_of(const CommonOptions& options) {
  if (options.quiet) return spdlog::level::err;
  return options.verbose > 0 ? spdlog::level::debug : spdlog::level::info;
}

}  // namespace

ConsoleEnvironment::ConsoleEnvironment(const Console& console, const CommonOptions& options)
    : logger_(std::make_shared<spdlog::logger>("tessera",
                                               std::make_shared<spdlog::sinks::ostream_sink_st>(console.err, true))),
      bar_(console.err, console.err_is_terminal && !options.no_progress && !options.quiet) {
  logger_->set_pattern("%v");
  logger_->set_level(level_of(options));
}

ConsoleEnvironment::~ConsoleEnvironment() = default;

Environment ConsoleEnvironment::environment(CancelFlag cancel) {
  Environment environment;
  environment.message = [this](Severity severity, const std::string& text) {
    if (!said_.insert(text).second) return;
    bar_.clear();
    if (severity == Severity::warning)
      logger_->warn("warning: {}", text);
    else
      logger_->info("note: {}", text);
  };
  environment.progress = [this](std::int64_t done, std::int64_t total, const char* unit) {
    bar_.update(done, total, unit);
  };
  environment.cancel = cancel;
  return environment;
}

}  // namespace tessera::cli
