#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/channel_product.hpp"
#include "tessera/kernels/code_sums.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/nn/graph.hpp"

/// The weighted layers of a graph: what can be put on analog tiles.
namespace tessera::nn {

/// Of an operator that works in two halves and may differ from others in the second only: product(x, v), then
/// periphery(v, y), gives forward(x, y) bit for bit.
class TwoStage {
 public:
  virtual ~TwoStage() = default;
  virtual std::int64_t product_columns() const = 0;
  /// v is vectors x product_columns(). `converted`: x has passed ConvertsInputs::convert(), with the sums of
  /// forward_converted().
  virtual void product(ConstMatrixView x, MatrixView v, std::uint64_t first_vector, Parallel parallel,
                       const std::optional<kernels::CodeSums>& converted) const = 0;
  virtual void periphery(ConstMatrixView v, MatrixView y, Parallel parallel) const = 0;
};

/// Of an operator that first converts its inputs, each element alike: the conversion may then be made before vectors are
/// gathered from an image, once for every pixel instead of once for every window.
class ConvertsInputs {
 public:
  virtual ~ConvertsInputs() = default;
  /// Operators of equal conversions convert alike.
  virtual kernels::InputConversion input_conversion() const = 0;
  /// z = input_conversion() of x, element by element.
  virtual void convert(std::span<const float> x, std::span<float> z) const = 0;
  /// Whether the sums of forward_converted() are wanted; else they are 0.
  virtual bool counts_codes() const = 0;
  /// forward() of converted vectors z: the bits that x would give. Over all calls for the vectors of an image, `codes` add
  /// up to the sums over these vectors: each pixel is counted in one of the calls, as often as windows see it.
  virtual void forward_converted(ConstMatrixView z, MatrixView y, std::uint64_t first_vector, Parallel parallel,
                                 const kernels::CodeSums& codes) const = 0;
};

/// Of an operator for products of two activations, whose weight is written for each call.
class TakesWeights {
 public:
  virtual ~TakesWeights() = default;
  /// y_v = W x_v; `written`: number of the matrix of its part in the whole data set.
  virtual void multiply(ConstMatrixView weight, ConstMatrixView x, MatrixView y, std::uint64_t first_vector,
                        std::uint64_t written, Parallel parallel) const = 0;
};

/// Of an operator whose results depend on all vectors of a batch together, as estimators of ranges do: forward() and
/// multiply() then only take note of the vectors, in their order if on one thread, and finish() gives the results of
/// all that came since the last one. A batch is what one pass of the executor brings; a recurrent layer has one per time
/// step.
class Collects {
 public:
  virtual ~Collects() = default;
  virtual void finish(MatrixView y) const = 0;
};

/// Operators of one output each that take their vectors side by side, every operator from a channel of its own: the groups
/// of a depthwise convolution. The bits of each operator's forward().
class SideBySide {
 public:
  virtual ~SideBySide() = default;
  /// z: x, pixels of all channels, as the operators convert their inputs before they are gathered; zeros stay zeros.
  virtual void convert(std::span<const float> x, std::span<float> z) const = 0;
  /// Whether count_inputs() is to be told what windows see, besides forward_converted().
  virtual bool counts_inputs() const = 0;
  /// x: pixels of all channels, each seen by `times` windows. Called from several threads at once, in any order.
  virtual void count_inputs(std::span<const float> x, std::int64_t times) const = 0;
  /// y: windows x operators. Windows are numbered from `first_vector` on.
  virtual void forward_converted(const kernels::ChannelWindows& z, MatrixView y, std::uint64_t first_vector) const = 0;
};

/// A matrix-vector product that may stand in for the float32 one: y_v = W x_v + b for vectors v = 0..rows-1.
/// `first_vector` is the number of row 0 among the vectors of the whole data set, so that noise does not depend on how
/// the work is cut. forward() is called from several threads at once, for disjoint vectors, in any order.
/// Whatever else an operator is able to do, it says by handing out the interface.
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;
  /// x: vectors x in; y: vectors x out, overwritten; the bias of the part is included.
  virtual void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const = 0;

  virtual const TwoStage* two_stage() const { return nullptr; }
  virtual const ConvertsInputs* converts_inputs() const { return nullptr; }
  virtual const TakesWeights* takes_weights() const { return nullptr; }
  virtual const Collects* collects() const { return nullptr; }
  /// All operators of a layer, of which this is the first, as one; null: they have to be called one by one.
  virtual std::unique_ptr<const SideBySide> side_by_side(std::span<const LinearOperator* const>) const {
    return nullptr;
  }
};

/// Stands in for a node that adds two values, e.g. one that adds integer codes. Called from several threads at once, for
/// disjoint elements, in any order.
class SumOperator {
 public:
  virtual ~SumOperator() = default;
  /// y = a + b, in its own way; all of one length, y may be the memory of a or b.
  virtual void add(std::span<const float> a, std::span<const float> b, std::span<float> y) const = 0;
};

enum class LinearKind { dense, convolution, transposed_convolution, recurrent, product };

/// The matrix of a part. Networks may be as large as memory allows once, so it is not stored twice: it stays where it
/// lies, in the graph or packed in an executor, and is made when it is asked for.
class PartWeight {
 public:
  PartWeight() = default;
  PartWeight(Matrix values);  // NOLINT(google-explicit-constructor): a matrix is one
  /// `make` gives [rows, cols], the same in every call and from any thread.
  PartWeight(std::int64_t rows, std::int64_t cols, std::function<Matrix()> make);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  /// A copy, made in this call.
  Matrix matrix() const { return make_ ? make_() : Matrix(rows_, cols_); }

 private:
  std::int64_t rows_ = 0, cols_ = 0;
  std::function<Matrix()> make_;  // none: zeros
};

/// One product of a layer.
struct LinearPart {
  std::string name;         ///< "" for the only part; "group0", ...; recurrent: see below
  PartWeight weight;        ///< [out, in]; zeros of that size for a product of two activations
  std::vector<float> bias;  ///< out values, or empty: added digitally after the product
};

/// Sliding window over one or two spatial axes; a 1-d window has kernel[0] = 1 and so on for the first axis.
struct Window {
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 2> dilation{1, 1};
  std::array<std::int64_t, 2> pad_begin{0, 0};
  std::array<std::int64_t, 2> pad_end{0, 0};
  std::array<std::int64_t, 2> output_padding{0, 0};  ///< transposed convolution only
  std::string auto_pad = "NOTSET";  ///< SAME_UPPER, SAME_LOWER, VALID: pads follow from the input extent
  int axes = 2;                     ///< spatial axes of the tensors: 1 or 2
};

/// A node with a constant weight, or a product of two activations that ExecutorOptions::products asks for.
///
/// dense: Gemm, MatMul with constant second operand. One part. Vectors of a sample: the rows of the input, which are 1,
///   or all leading extents but the batch.
/// convolution: Conv. A part per group; out = outputs of the group, in = channel-major, then kernel row-major (im2col).
///   Vectors: the output positions, row-major.
/// transposed_convolution: ConvTranspose. A part per group; in = channels of the group, out = channel-major, then
///   kernel row-major; overlapping outputs and the bias are added digitally. Vectors: the input positions.
/// recurrent: LSTM, GRU, RNN. Per direction the parts "W" and "R" (GRU: "W", "R", "Rh"), gates in ONNX order, suffix
///   "_reverse" for the backward direction. Vectors: the time steps.
/// product: MatMul of two activations A [.., m, k] and B [.., k, n]. A part ("head0", ...) for each matrix of a sample;
///   out = n, in = k: the weight is the transpose of B's matrix. Vectors: the m rows of A's matrix.
///
/// Vectors are numbered sample * vectors_per_sample + v; a recurrent layer, and a dense layer whose samples do not come
/// first (sample_axis.hpp), number them step * 2^32 + sample.
struct LinearLayer {
  int node = -1;     ///< index into Graph::nodes
  std::string name;  ///< of the node
  LinearKind kind = LinearKind::dense;
  std::vector<LinearPart> parts;
  std::int64_t groups = 1;
  Window window;  ///< convolutions only
  /// "name" for the only part, else "name.part".
  std::string part_name(std::size_t part) const;
};

/// Every weighted node in node order. The position in this list is the `layer` of executor.hpp and the layer number of
/// random streams. Scale factors (Gemm's alpha and beta, transB) are folded into weight and bias. Weights are read from
/// `graph` when they are asked for: it must outlive the layers, in its place.
std::vector<LinearLayer> linear_layers(const Graph& graph);

/// Names of the products of two activations, in node order: digital unless ExecutorOptions::products names them.
std::vector<std::string> activation_products(const Graph& graph);

/// Whether a node would appear in linear_layers().
bool is_linear(const Graph& graph, const Node& node);

}  // namespace tessera::nn
