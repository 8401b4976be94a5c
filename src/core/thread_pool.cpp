#include "core/thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>

namespace tessera::detail {
namespace {

// The threads outlive main() asleep, so the pool is never destroyed.
std::atomic<ThreadPool*> current{nullptr};

/// Waits a moment, awake, for `done`: the next loop, or the end of the last task, is often near.
template <class Condition>
bool watch(Condition done) {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + std::chrono::microseconds(20);
  do {
    for (int i = 0; i < 50; ++i)
      if (done()) return true;
  } while (steady_clock::now() < end);
  return false;
}

}  // namespace

ThreadPool& ThreadPool::instance() {
  ThreadPool* pool = current.load();
  if (pool != nullptr) return *pool;
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current = nullptr; });
  static_cast<void>(registered);
  auto* made = new ThreadPool;
  if (current.compare_exchange_strong(pool, made)) return *made;
  delete made;
  return *pool;
}

ThreadPool::Invitation::Invitation(ThreadPool& pool, Region& region, int helpers)
    : pool_(pool), region_(region), places_(helpers) {
  {
    const std::lock_guard lock(pool_.mutex_);
    pool_.invitations_.push_back(this);
    ++pool_.invitation_count_;
    try {
      for (; pool_.threads_ < helpers; ++pool_.threads_) std::thread([&pool] { pool.help(); }).detach();
    } catch (const std::system_error&) {
      // No more threads to be had: those that are there do the work.
    }
  }
  if (helpers == 1)
    pool_.invited_.notify_one();
  else
    pool_.invited_.notify_all();
}

ThreadPool::Invitation::~Invitation() {
  std::unique_lock lock(pool_.mutex_);
  std::erase(pool_.invitations_, this);
  lock.unlock();
  if (watch([&] { return inside_.load() == 0; })) return;
  lock.lock();
  pool_.left_.wait(lock, [&] { return inside_.load() == 0; });
}

ThreadPool::Invitation* ThreadPool::open_invitation() const {
  const auto found = std::find_if(invitations_.begin(), invitations_.end(), [](const Invitation* invitation) {
    return invitation->places_ > 0 && invitation->region_.has_tasks();
  });
  return found == invitations_.end() ? nullptr : *found;
}

void ThreadPool::help() {
  std::unique_lock lock(mutex_);
  for (;;) {
    Invitation* const invitation = open_invitation();
    if (invitation == nullptr) {
      const unsigned seen = invitation_count_;
      lock.unlock();
      const bool more = watch([&] { return invitation_count_.load(std::memory_order_relaxed) != seen; });
      lock.lock();
      if (!more && invitation_count_ == seen) invited_.wait(lock);
      continue;
    }
    --invitation->places_;
    ++invitation->inside_;
    lock.unlock();
    invitation->region_.work();
    lock.lock();
    if (--invitation->inside_ == 0) left_.notify_all();
  }
}

}  // namespace tessera::detail
