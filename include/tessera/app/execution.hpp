#pragma once
#include <string>

#include "tessera/core/messages.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera::app {

/// How a computation goes on: threads, who is told of its progress and of what a user should know, and how it is
/// stopped. Never a part of what comes out.
struct Execution {
  Parallel parallel = Parallel::all();
  Environment environment = {};
  std::string command_line = {};  ///< as typed, for /runtime of a result file; "" outside a command
};

}  // namespace tessera::app
