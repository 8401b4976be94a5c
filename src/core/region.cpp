#include "core/region.hpp"

#include <chrono>

namespace tessera::detail {
namespace {

thread_local bool inside = false;

class Inside {
 public:
  Inside() { inside = true; }
  ~Inside() { inside = false; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

std::int64_t now_nanoseconds() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace

bool inside_region() {
  return inside;
}

void Region::run(std::int64_t index) {
  try {
    function_(context_, index);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (index < first_failure_) {
      first_failure_ = index;
      exception_ = std::current_exception();
    }
  }
}

bool Region::finish_alone(double nanoseconds) {
  const Inside mark;
  const std::int64_t start = now_nanoseconds();
  std::int64_t busy = 0;
  std::int64_t index = 0;
  while (index < count_ && static_cast<double>(busy) < nanoseconds) {
    run(index++);
    busy = now_nanoseconds() - start;
  }
  next_ = index;
  busy_ += busy;
  return index == count_;
}

void Region::work() {
  const Inside mark;
  const std::int64_t start = now_nanoseconds();
  for (std::int64_t i = next_++; i < count_; i = next_++) run(i);
  busy_ += now_nanoseconds() - start;
}

void Region::rethrow() const {
  if (exception_) std::rethrow_exception(exception_);
}

}  // namespace tessera::detail
