#include "cli/progress_bar.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/core/format.hpp"

namespace tessera::cli {

std::string ProgressBar::line(std::int64_t done, std::int64_t total, const char* unit, double seconds) {
  constexpr int width = 30;
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
  const auto filled = static_cast<std::size_t>(share * width);
  std::string text =
      fmt::format("[{}{}] {:3.0f} %  {}/{} {}", std::string(filled, '='),
                  std::string(width - std::min<std::size_t>(filled, width), ' '), share * 100.0, done, total, unit);
  if (seconds > 0.2 && done > 0) {
    const double rate = static_cast<double>(done) / seconds;
    text += fmt::format("  {} {}/s", format_rate(rate), unit);
    if (done < total) text += fmt::format("  {} left", format_duration(static_cast<double>(total - done) / rate));
  }
  return text;
}

void ProgressBar::update(std::int64_t done, std::int64_t total, const char* unit) {
  if (!enabled_) return;
  const Clock::time_point now = Clock::now();
  if (start_ == Clock::time_point{}) start_ = now;
  if (visible_ && done < total && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  visible_ = true;
  stream_ << '\r' << line(done, total, unit, std::chrono::duration<double>(now - start_).count()) << "\033[K"
          << std::flush;
}

void ProgressBar::clear() {
  if (!visible_) return;
  stream_ << "\r\033[K" << std::flush;
  visible_ = false;
}

}  // namespace tessera::cli
