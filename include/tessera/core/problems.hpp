#pragma once
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera {

/// Collects what is wrong with parameters, so that all of it is said at once. Keys are dotted paths below `prefix`.
class Problems {
 public:
  explicit Problems(std::string prefix = {}) : prefix_(std::move(prefix)) {}

  /// A problem under `key` unless `good` holds; returns `good`.
  template <class... Args>
  bool require(bool good, const std::string& key, fmt::format_string<Args...> format, Args&&... args) {
    if (!good) add(key, fmt::format(format, std::forward<Args>(args)...));
    return good;
  }
  /// The same with a message as it is.
  bool expect(bool good, const std::string& key, std::string message) {
    if (!good) add(key, std::move(message));
    return good;
  }
  void add(const std::string& key, std::string message) {
    list_.push_back({.file = {}, .key = prefix_ + key, .message = std::move(message)});
  }
  /// That a value is finite and at least 0.
  bool not_negative(double value, const std::string& key) {
    return require(std::isfinite(value) && value >= 0.0, key, "must be finite and >= 0, not {}", value);
  }
  /// That a value is finite and above 0.
  bool positive(double value, const std::string& key) {
    return require(std::isfinite(value) && value > 0.0, key, "must be finite and > 0, not {}", value);
  }
  /// Runs `check` and keeps the problems that it throws, with `below` in front of their keys.
  template <class Check>
  void collect(const std::string& below, Check&& check) {
    try {
      check();
    } catch (const ConfigError& error) {
      for (Problem problem : error.problems()) {
        problem.key = prefix_ + below + problem.key;
        list_.push_back(std::move(problem));
      }
    }
  }

  bool empty() const { return list_.empty(); }
  std::vector<Problem> take() { return std::exchange(list_, {}); }
  /// ConfigError with all of them.
  void throw_if_any() {
    if (!list_.empty()) throw ConfigError(take());
  }

 private:
  std::string prefix_;
  std::vector<Problem> list_;
};

}  // namespace tessera
