#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/graph.hpp"

/// Functions on the values between the operators of a network, such as the quantizers of digital low precision.
namespace tessera::nn {

/// What a transform sees. x and y have the same length and may be the same memory.
struct TransformCall {
  const Shape& shape;  ///< logical shape of the value
  std::span<const float> x;
  std::span<float> y;
  std::uint64_t first_sample = 0;  ///< number in the data set of the first of `samples` samples
  std::int64_t samples = 1;
  Parallel parallel = {};
};

/// A function from a value to another one of the same shape. So that results do not depend on how samples are cut into
/// batches, no element may depend on another sample.
class ValueTransform {
 public:
  virtual ~ValueTransform() = default;
  /// Whether the function depends on the position of an element, so that it needs row-major order.
  virtual bool needs_order() const { return false; }
  virtual void apply(const TransformCall& call) const = 0;
};

/// Told of every transform after it was applied: the node that stands for it, and what it read and wrote.
using TransformObserver = std::function<void(const std::string& node, const TransformCall& call)>;

/// By the name of the node that stands for them in the graph.
using Transforms = std::map<std::string, std::shared_ptr<const ValueTransform>>;

/// A node that applies `transform`, which belongs into ExecutorOptions::transforms under the same name.
Node transform_node(std::string name, ValueId input, ValueId output, const ValueTransform& transform);

/// Where a transform goes: after the first output of a node, seen by every reader of it; or in front of the first input
/// of a node, seen by that node alone.
enum class TransformSide { input, output };
struct TransformPlace {
  int node = -1;
  TransformSide side = TransformSide::output;
  std::shared_ptr<const ValueTransform> transform;
};

/// Inserts a node per place, called "<node>.input_transform" or "<node>.output_transform". Indices of `places` are
/// those before. The result belongs into ExecutorOptions::transforms. InputError: two transforms at one place, a node
/// without that input or output.
Transforms insert_transforms(Graph& graph, const std::vector<TransformPlace>& places);

/// The weighted node behind whose output a node stands, or "": what an observer is shown of a layer then is the value
/// after the transform.
std::string transformed_node(const Node& node);
bool is_transform(const Node& node);

}  // namespace tessera::nn
