#include <malloc.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "tessera/cli/command_line.hpp"

int main(int argc, char** argv) {
#ifdef __GLIBC__
  // Every batch takes the same large arrays again: kept in the heap, they are not handed back and cleared each time.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
#endif
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` fails like one to a full disk, with a message
  std::ios::sync_with_stdio(false);
  const tessera::cli::Console console{std::cout, std::cerr, isatty(STDOUT_FILENO) != 0, isatty(STDERR_FILENO) != 0};
  return tessera::cli::run_command_line({argv + 1, argv + argc}, console);
}
