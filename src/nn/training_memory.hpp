#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tessera/core/tensor.hpp"

namespace tessera::nn {

/// Float buffers that are handed out and given back many times per step; the best-fitting free one is used again.
class MemoryPool {
 public:
  /// Uninitialised memory of at least `count` floats.
  float* take(std::int64_t count) {
    const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, count));
    Block* best = nullptr;
    for (Block& block : blocks_)
      if (!block.taken && block.memory.size() >= size && (best == nullptr || block.memory.size() < best->memory.size()))
        best = &block;
    if (best == nullptr || best->memory.size() > 2 * size + 4096) {
      blocks_.emplace_back();
      best = &blocks_.back();
      best->memory.resize(size);
    }
    best->taken = true;
    return best->memory.data();
  }
  void release(const float* memory) {
    for (Block& block : blocks_)
      if (block.memory.data() == memory) block.taken = false;
  }
  void release_all() {
    for (Block& block : blocks_) block.taken = false;
  }

 private:
  struct Block {
    AlignedVector<float> memory;
    bool taken = false;
  };
  std::vector<Block> blocks_;
};

}  // namespace tessera::nn
