#pragma once
#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

namespace tessera::cli {

/// One line on a terminal, redrawn at most ten times a second: share done, rate and time left. Erased when finished.
class ProgressBar {
 public:
  /// Draws nothing unless `enabled`.
  ProgressBar(std::ostream& stream, bool enabled) : stream_(stream), enabled_(enabled) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::int64_t done, std::int64_t total, const char* unit);
  /// Erases the line, so that other text can be printed.
  void clear();

  /// The line itself for `done` of `total` units after `seconds`.
  static std::string line(std::int64_t done, std::int64_t total, const char* unit, double seconds);

 private:
  using Clock = std::chrono::steady_clock;
  std::ostream& stream_;
  bool enabled_;
  bool visible_ = false;
  Clock::time_point start_{};
  Clock::time_point last_{};
};

}  // namespace tessera::cli
