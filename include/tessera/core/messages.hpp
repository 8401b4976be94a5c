#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

/// What a long computation tells its caller. The library never prints; the command line decides what is shown.
namespace tessera {

enum class Severity { note, warning };

/// Receives every fallback, default or skipped thing that a user should know of. May be empty.
using MessageSink = std::function<void(Severity, const std::string&)>;

/// Receives progress: units done, units in all, and what a unit is ("images"). Called from one thread. May be empty.
using ProgressSink = std::function<void(std::int64_t done, std::int64_t total, const char* unit)>;

/// Set (by a signal handler, say) to ask a long computation to stop at the next safe point. May be null.
using CancelFlag = const std::atomic<bool>*;

/// What a long computation needs from its caller.
struct Environment {
  MessageSink message;
  ProgressSink progress;
  CancelFlag cancel = nullptr;

  void note(const std::string& text) const {
    if (message) message(Severity::note, text);
  }
  void warn(const std::string& text) const {
    if (message) message(Severity::warning, text);
  }
  bool cancelled() const { return cancel != nullptr && cancel->load(std::memory_order_relaxed); }
};

}  // namespace tessera
