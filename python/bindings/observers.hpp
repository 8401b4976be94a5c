#pragma once
#include <atomic>
#include <string>

#include "bindings.hpp"
#include "tessera/app/execution.hpp"

namespace tessera::python {

/// Progress, messages and Ctrl-C of one call that runs without the interpreter lock.
class Observers {
 public:
  /// `progress(done, total, unit)` and `message(is_warning, text)` are callables or None; an exception in one of them
  /// stops the computation and is raised when it has stopped.
  Observers(int threads, nb::object progress, nb::object message)
      : progress_(std::move(progress)), message_(std::move(message)) {
    if (threads > 0) execution_.parallel = {threads};
    execution_.environment.cancel = &cancel_;
    execution_.environment.progress = [this](std::int64_t done, std::int64_t total, const char* unit) {
      call([&] {
        if (!progress_.is_none()) progress_(done, total, unit);
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
      });
    };
    execution_.environment.message = [this](Severity severity, const std::string& text) {
      call([&] {
        if (!message_.is_none()) message_(severity == Severity::warning, text);
      });
    };
  }

  void warn(const std::string& text) const { execution_.environment.warn(text); }
  void note(const std::string& text) const { execution_.environment.note(text); }

  /// Runs `body` without the interpreter lock.
  template <class Body>
  auto run(const Body& body) {
    try {
      const nb::gil_scoped_release released;
      return body(execution_);
    } catch (...) {
      if (stopped_by_.is_none()) throw;
      PyErr_SetObject(stopped_by_.type().ptr(), stopped_by_.ptr());  // why, not what came of it
      throw nb::python_error();
    }
  }

  /// What stopped the computation: an exception to be raised, or None.
  nb::object stopped_by() const { return stopped_by_; }

 private:
  template <class Body>
  void call(const Body& body) {
    const nb::gil_scoped_acquire acquired;
    if (!stopped_by_.is_none()) return;
    try {
      body();
    } catch (nb::python_error& error) {
      stopped_by_ = nb::borrow(error.value());
      cancel_ = true;
    }
  }

  app::Execution execution_;
  nb::object progress_, message_;
  nb::object stopped_by_ = nb::none();
  std::atomic<bool> cancel_{false};
};

}  // namespace tessera::python
