#include <unistd.h>

#include <iostream>

#include "tessera/cli/command_line.hpp"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const tessera::cli::Console console{std::cout, std::cerr, isatty(STDOUT_FILENO) != 0, isatty(STDERR_FILENO) != 0};
  return tessera::cli::run_command_line({argv + 1, argv + argc}, console);
}
