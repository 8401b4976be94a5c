#pragma once
#include <memory>
#include <vector>

#include "operator.hpp"
#include "tessera/kernels/limits.hpp"
#include "tessera/nn/linear.hpp"

/// A schedule for one set of input shapes: which operators run in which order, in which memory layout, in which
/// buffers.
namespace tessera::nn {

struct Slot {
  ElementType type = ElementType::float32;
  Shape shape;
  Layout layout = Layout::natural;
  int input = -1;                  ///< memory is the caller's input
  const void* constant = nullptr;  ///< memory is a constant
  int buffer = -1;                 ///< memory is a buffer of the workspace
};

struct Step {
  int node = -1;  ///< -1: copies slot in[0] to another layout
  const Operator* op = nullptr;
  std::vector<int> in, out;     ///< slots; -1 where absent
  int layer = -1;               ///< weighted layers
  kernels::Limits limits = {};  ///< a Relu or Clip after the layer is applied by it
};

struct Plan {
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<int> outputs;                                ///< slots of the graph outputs, natural layout
  std::vector<std::int64_t> buffer_bytes;                  ///< sizes of the buffers
  std::vector<std::shared_ptr<const Constant>> constants;  ///< kept alive
  std::int64_t peak_bytes() const;
};

/// Whether buffers are reused once their contents are dead, or all kept for a backward pass: then two slots have one
/// buffer only where they are the same memory under two shapes.
enum class BufferUse { reused, kept };

/// Plans a run. `layer_of_node` is -1 for nodes without weights. `observed`: outputs of layers must exist before any
/// activation function, so none is fused; nor is Clip for a backward pass.
Plan make_plan(const Graph& graph, const std::vector<Shape>& input_shapes, const std::vector<int>& layer_of_node,
               bool observed, BufferUse use = BufferUse::reused);

}  // namespace tessera::nn
