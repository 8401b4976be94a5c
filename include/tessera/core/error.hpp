#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// Errors of the library. Nothing below the command line prints or exits: everything is thrown.
///
/// | type          | who made the mistake                                          | exit code of `tessera` |
/// |---------------|---------------------------------------------------------------|------------------------|
/// | UsageError    | the command line                                              | 2                      |
/// | ConfigError   | configuration: every problem found, each with its position    | 3                      |
/// | InputError    | a model, data or result file that is missing, broken or does not fit | 3               |
/// | RunError      | the run itself: a non-finite value, an unwritable output      | 4                      |
///
/// A message says what is wrong, where, and what to do: "problem (reason); suggestion".
namespace tessera {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class UsageError : public Error {
 public:
  using Error::Error;
};

class InputError : public Error {
 public:
  using Error::Error;
};

class RunError : public Error {
 public:
  using Error::Error;
};

/// One problem in a configuration. `line` and `column` count from 1; 0 means "no position" (a default, an override).
struct Problem {
  std::string file;
  int line = 0;
  int column = 0;
  std::string key;      ///< dotted path, e.g. "rpu_config.forward.out_res"
  std::string message;  ///< what is wrong and what would be right

  /// "file:line:column: key: message", leaving out what is unknown.
  std::string text() const;
};

/// All problems of one configuration at once. what() is one problem per line.
class ConfigError : public Error {
 public:
  explicit ConfigError(std::vector<Problem> problems);
  /// A single problem without a position, for parameters that were not read from a file.
  ConfigError(std::string key, std::string message);
  const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

/// The legal word nearest to `word` in edit distance, or "" if none is near (more than a third of its letters differ).
std::string nearest_word(const std::string& word, const std::vector<std::string>& legal);

/// Throws E with a formatted message unless `condition` holds. Always on: for input.
template <class E = Error, class... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw E(fmt::format(format, std::forward<Args>(args)...));
}

namespace detail {
[[noreturn]] void contract_failed(const char* expression, const char* file, int line);
}

}  // namespace tessera

/// A contract between functions of the library (not for input). Whether contracts are checked is decided when the
/// library is configured (TESSERA_CONTRACTS: debug and sanitized builds do) and comes with its targets: a program that
/// uses these headers sees the same inline functions as the library, whatever its own NDEBUG.
#if defined(TESSERA_CONTRACTS) && TESSERA_CONTRACTS
#define TESSERA_EXPECT(condition) \
  ((condition) ? static_cast<void>(0) : ::tessera::detail::contract_failed(#condition, __FILE__, __LINE__))
#else
#define TESSERA_EXPECT(condition) static_cast<void>(0)
#endif
