#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/nn/graph.hpp"

/// Rewriting of graphs. Every pass keeps the function that the graph computes (to rounding) and the names of the nodes
/// that remain, can be repeated, and leaves a graph that validate() accepts.
namespace tessera::nn {

/// What is known of a value for given input shapes. `known` points to its elements where they do not depend on input
/// data: constants (of the graph, which must outlive it), shapes, and whatever is computed from them. Null otherwise.
struct ValueInfo {
  ElementType type = ElementType::float32;
  Shape shape;
  std::shared_ptr<const Constant> known;
};

/// What is known of a constant, which must outlive the result.
ValueInfo info_of(const Constant& constant);

/// Elements of the largest constant that is made of smaller ones.
inline constexpr std::int64_t largest_folded = std::int64_t{1} << 24;

/// Shapes and types of a node's outputs, with the elements of those of at most `largest_known` elements that follow
/// from known inputs. Absent inputs are null. InputError as infer_shapes().
std::vector<ValueInfo> infer_node(const Node& node, const std::vector<const ValueInfo*>& in,
                                  std::int64_t largest_known = largest_folded);

/// Shapes and types of all values, for one complete shape per graph input (in order of graph.inputs).
/// InputError names the node, its operator and the shapes that do not fit, and outputs of more than 2^34 elements.
std::vector<ValueInfo> infer_shapes(const Graph& graph, const std::vector<Shape>& input_shapes);

/// Number of axes of every value, with free extents assumed; nothing where it is not known.
std::vector<std::optional<std::size_t>> ranks_of(const Graph& graph);

/// One node whose shapes do not fit.
struct NodeProblem {
  int node;
  std::string reason;
};

/// All of them, where infer_shapes() throws at the first. Nodes behind one are not judged.
std::vector<NodeProblem> shape_problems(const Graph& graph, const std::vector<Shape>& input_shapes);

/// Input shapes with the batch set to `batch`; free extents are taken from `sample_shapes` (one per input, without the
/// batch; may be empty). InputError that names an extent that stays free.
std::vector<Shape> input_shapes(const Graph& graph, std::int64_t batch, const std::vector<Shape>& sample_shapes = {});

/// Replaces nodes whose outputs depend on constants only by constants, unless they would be larger than largest_folded
/// and than all of these. What depends on the shape of an input as well is
/// evaluated when an executor plans a run.
void fold_constants(Graph& graph);

/// Removes Identity and Dropout, nodes that no output needs, and values that nothing uses.
void remove_dead_nodes(Graph& graph);

/// Adds of a constant vector along the outputs directly after Conv, ConvTranspose, Gemm or MatMul become that layer's
/// bias, if the layer has no other reader: what a file writes as MatMul + Add, or Conv + Add, is one layer with its own
/// digital bias. (The canonical MatMul has an optional third input for it.)
void merge_bias(Graph& graph);

/// MatMul with a constant [1, .., k, n] as second operand, or with a constant matrix as first, becomes the MatMul with a
/// constant matrix as second operand that is a layer; transposes are put around the latter where there are none.
void canonicalize_products(Graph& graph);

/// Folds BatchNormalization into the weights and bias of the Conv, Gemm, MatMul or ConvTranspose before it, if that
/// layer has no other reader:  w' = w * s,  b' = (b - mean) * s + shift,  s = scale / sqrt(variance + epsilon)  per
/// output, evaluated in double. Returns the number of folded nodes; others stay digital.
int fold_batchnorm(Graph& graph);

/// The passes every import ends with: fold_constants, canonicalize_products, remove_dead_nodes, merge_bias, and
/// make_batchable (batching.hpp).
void simplify(Graph& graph, const Environment& environment);

}  // namespace tessera::nn
