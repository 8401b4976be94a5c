#pragma once
#include "onnx_emit.hpp"

/// softmax(scale Q K^T + bias) V, spelled out.
namespace tessera::io {

struct AttentionValues {
  nn::ValueId q = nn::no_value, k = nn::no_value, v = nn::no_value;  ///< [batch, heads, positions, head size]
  std::optional<float> scale = {};                                   ///< absent: 1 / sqrt(head size)
  float softcap = 0.0F;                                              ///< scores become softcap * tanh(scores / softcap)
  std::vector<nn::ValueId> biases = {};                              ///< added to the scores
  bool may_mask_all = false;  ///< a row whose biases are all -infinity gives zeros
};

struct AttentionResult {
  nn::ValueId scores, capped, biased, weights, context;
};

/// [batch, positions, heads * size] to [batch, heads, positions, size], and back.
nn::ValueId to_heads(const Emit& emit, nn::ValueId x, std::int64_t heads);
nn::ValueId from_heads(const Emit& emit, nn::ValueId x);

/// 0 where a condition holds, else -infinity (or `masked`).
nn::ValueId bias_of_condition(const Emit& emit, nn::ValueId allowed);
nn::ValueId bias_of_condition(const Emit& emit, nn::ValueId allowed, float masked);

/// Which key j query i may see: i + offset - right <= ... see import_attention. Bounds of -1 are open. `offset` is a
/// scalar, or [batch, 1, 1, 1].
nn::ValueId visible(const Emit& emit, nn::ValueId q, nn::ValueId k, nn::ValueId offset, std::int64_t left,
                    std::int64_t right);

/// Emits the products ".scores" and ".context" and what is between them.
AttentionResult attend(const NodeImport& n, const AttentionValues& values);

}  // namespace tessera::io
