#pragma once
#include <atomic>

namespace tessera::cli {

/// While it lives, Ctrl-C (SIGINT) and SIGTERM set a flag instead of ending the process; a second one ends it at once.
/// At most one instance at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  const std::atomic<bool>* flag() const;
};

}  // namespace tessera::cli
