#include "packed_weights.hpp"

#include <algorithm>

#include "tessera/core/memory.hpp"

namespace tessera::nn {

namespace {

/// Columns from channel-major (c, ky, kx) to channels-innermost (ky, kx, c) order.
Matrix channels_innermost(ConstMatrixView weight, std::int64_t positions) {
  const std::int64_t channels = weight.cols / positions;
  Matrix result = Matrix::uninitialized(weight.rows, weight.cols);
  for (std::int64_t o = 0; o < weight.rows; ++o)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t k = 0; k < positions; ++k) result(o, k * channels + c) = weight(o, c * positions + k);
  return result;
}

Matrix channels_outermost(ConstMatrixView weight, std::int64_t positions) {
  return channels_innermost(weight, weight.cols / positions);
}

/// The same for rows.
Matrix outputs_innermost(ConstMatrixView weight, std::int64_t positions) {
  const std::int64_t outputs = weight.rows / positions;
  Matrix result = Matrix::uninitialized(weight.rows, weight.cols);
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t k = 0; k < positions; ++k)
      std::copy_n(weight.row(o * positions + k), weight.cols, result.view().row(k * outputs + o));
  return result;
}

/// A constant of the graph that exists in packed form only. Whoever reads it all the same gets a copy that is kept.
class PackedConstant final : public FloatSource {
 public:
  PackedConstant(std::shared_ptr<const PackedWeights> packed, std::size_t parts, bool transposed)
      : packed_(std::move(packed)), parts_(parts), transposed_(transposed) {}

  const float* values() const override {
    std::call_once(made_, [&] {
      for (std::size_t p = 0; p < parts_; ++p) {
        const Matrix part = packed_->matrix(p);
        const std::size_t begin = values_.size();
        values_.resize(begin + part.values().size());
        if (!transposed_) {
          std::ranges::copy(part.values(), values_.data() + begin);
          continue;
        }
        for (std::int64_t o = 0; o < part.rows(); ++o)
          for (std::int64_t k = 0; k < part.cols(); ++k)
            values_[static_cast<std::size_t>(k * part.rows() + o)] = part(o, k);
      }
    });
    return values_.data();
  }

 private:
  std::shared_ptr<const PackedWeights> packed_;
  std::size_t parts_;
  bool transposed_;
  mutable std::once_flag made_;
  mutable AlignedVector<float> values_;
};

/// Whether the packed weights say all that the constant does.
bool is_worth_keeping_packed(const Graph& graph, const LinearLayer& layer, const Node& node,
                             const std::vector<std::vector<int>>& readers) {
  const ValueId id = node.input(1);
  if (layer.kind != LinearKind::dense && layer.kind != LinearKind::convolution) return false;
  if (node.op == "Gemm" && node.real("alpha", 1.0F) != 1.0F) return false;
  return graph.tensor(id)->owns_values() && graph.tensor(id)->size() > 0 &&
         readers[static_cast<std::size_t>(id)].size() == 1 && std::ranges::count(node.inputs, id) == 1 &&
         std::ranges::find(graph.outputs, id) == graph.outputs.end();
}

}  // namespace

PackedWeights::PackedWeights(const LinearLayer& layer)
    : kind_(layer.kind), positions_(layer.window.kernel[0] * layer.window.kernel[1]) {
  for (const LinearPart& part : layer.parts) weights_.push_back(part.weight);
}

const std::vector<kernels::PackedMatrix>& PackedWeights::parts() const {
  if (const Parts* const ready = ready_.load(std::memory_order_acquire)) return *ready;
  const std::lock_guard lock(mutex_);
  if (packed_ != nullptr) return *packed_;
  Parts parts;
  bool large = false;
  for (const PartWeight& weight : weights_) {
    large = large || weight.rows() * weight.cols() * static_cast<std::int64_t>(sizeof(float)) >= large_copy_bytes;
    Matrix matrix = weight.matrix();
    if (kind_ == LinearKind::convolution)
      matrix = channels_innermost(matrix.view(), positions_);
    else if (kind_ == LinearKind::transposed_convolution)
      matrix = outputs_innermost(matrix.view(), positions_);
    parts.emplace_back(matrix.view());
  }
  if (large) give_back_freed();
  packed_ = std::make_unique<const Parts>(std::move(parts));
  ready_.store(packed_.get(), std::memory_order_release);
  return *packed_;
}

const std::vector<kernels::PackedMatrix>& PackedWeights::keep() const {
  only_copy_ = true;
  return parts();
}

void PackedWeights::forget() const {
  const std::lock_guard lock(mutex_);
  if (only_copy_) return;
  ready_ = nullptr;
  packed_.reset();
}

std::int64_t PackedWeights::forgettable_bytes() const {
  std::int64_t bytes = 0;
  for (const PartWeight& weight : weights_)
    bytes += weight.rows() * weight.cols() * static_cast<std::int64_t>(sizeof(float));
  return only_copy_ ? 0 : bytes;
}

Matrix PackedWeights::matrix(std::size_t part) const {
  Matrix unpacked = parts()[part].unpacked();
  if (kind_ == LinearKind::convolution && positions_ > 1) return channels_outermost(unpacked.view(), positions_);
  TESSERA_EXPECT(kind_ != LinearKind::transposed_convolution);
  return unpacked;
}

void keep_packed_only(Graph& graph, LinearLayer& layer, const std::shared_ptr<const PackedWeights>& packed,
                      const std::vector<std::vector<int>>& readers) {
  const Node& node = graph.nodes[static_cast<std::size_t>(layer.node)];
  if (!is_worth_keeping_packed(graph, layer, node, readers)) return;
  packed->keep();
  const bool as_is = layer.kind == LinearKind::convolution || (node.op == "Gemm" && node.integer("transB", 0) != 0);
  std::optional<Constant>& constant = graph.values[static_cast<std::size_t>(node.input(1))].constant;
  Shape shape = shape_of(*constant);
  constant = Tensor::from(std::move(shape), std::make_shared<const PackedConstant>(packed, layer.parts.size(), !as_is));
  for (std::size_t p = 0; p < layer.parts.size(); ++p) {
    PartWeight& weight = layer.parts[p].weight;
    weight = {weight.rows(), weight.cols(), [packed, p] { return packed->matrix(p); }};
  }
}

}  // namespace tessera::nn
