#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "core/region.hpp"

/// Private: the threads that help with parallel loops. They sleep between loops, and nobody waits for one that has not
/// begun: on a busy machine a helper that gets no processor costs nothing.
namespace tessera::detail {

class ThreadPool {
 public:
  /// One for the process (and one more for each process forked from it, whose threads are gone).
  static ThreadPool& instance();

  /// While it lives up to `helpers` threads may join the region; its end waits for those that did.
  class Invitation {
   public:
    Invitation(ThreadPool& pool, Region& region, int helpers);
    ~Invitation();
    Invitation(const Invitation&) = delete;
    Invitation& operator=(const Invitation&) = delete;

   private:
    friend class ThreadPool;
    ThreadPool& pool_;
    Region& region_;
    int places_;
    std::atomic<int> inside_{0};
  };

 private:
  void help();
  Invitation* open_invitation() const;

  std::mutex mutex_;
  std::condition_variable invited_;
  std::condition_variable left_;
  std::vector<Invitation*> invitations_;
  std::atomic<unsigned> invitation_count_{0};
  int threads_ = 0;
};

}  // namespace tessera::detail
