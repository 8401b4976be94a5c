#pragma once
#include <ostream>
#include <string>
#include <vector>

/// The command `tessera`: arguments in, results to `out`, progress and messages to `err`, an exit code back.
namespace tessera::cli {

/// Where a command writes. Colour and the progress bar appear only on a terminal.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
};

enum class ExitCode { ok = 0, usage = 2, bad_input = 3, run_failed = 4 };

/// Runs one command. `arguments` excludes the program's name. Throws nothing: every error becomes a message on `err`
/// and an exit code: 0 ok, 2 usage, 3 bad configuration or input, 4 failed while running.
int run_command_line(const std::vector<std::string>& arguments, const Console& console);

}  // namespace tessera::cli
