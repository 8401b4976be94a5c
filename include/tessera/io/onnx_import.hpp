#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/nn/graph.hpp"
#include "tessera/nn/states.hpp"

/// Reading networks from ONNX files (opset 6 to 25, and operators that have not changed since an earlier one). The
/// result is a plain graph in the canonical operators of module nn; mapping it to hardware is a later step.
namespace tessera::io {

struct OnnxImportOptions {
  /// Dimension 0 of every input is the batch (nn/batching.hpp). False: the graph is evaluated exactly as it is.
  bool batched = true;
  /// Inputs that are to be constants with these values: weights or shapes that the file leaves open.
  std::map<std::string, nn::Constant> constants;
  /// Integer operators (QLinearConv, MatMulInteger, ...) are executed exactly, digitally. True: as the float32 layers
  /// between quantizers that they stand for, whose weights can be put on tiles.
  bool dequantize = false;
  /// Inputs of rank 0 that are to have these values: constants, so that conditions that depend on them can be decided.
  std::map<std::string, double> fills = {};
  /// Outputs that are fed back to inputs (nn::carry_states); the graph is then evaluated one sample at a time.
  std::vector<nn::StateLink> states = {};
};

/// Reads a network. What is stored beside the file (external data) is looked for in its folder.
///
/// Conversions: float16, bfloat16 and double become float32, other integers and booleans int64 (with one note);
/// initialisers that are listed as inputs too are constants; constant sub-graphs are evaluated; Dropout and Identity
/// disappear; Conv, Gemm or MatMul followed by Add become one layer with a bias. BatchNormalization is kept: folding is
/// the simulation's choice (nn::fold_batchnorm).
///
/// InputError, naming the file: a file that is missing or not ONNX; and, all in one message, every node that cannot be
/// imported, with its index, name, operator, the reason and what to do, every tensor that is missing, damaged or holds
/// NaN, every value that nothing defines, cycles, and shapes that do not fit. Nothing is returned unless all is well.
nn::Graph import_onnx(const std::string& path, const Environment& environment, const OnnxImportOptions& options = {});

/// The same from memory; `name` is used in messages, external data is looked for in `folder`.
nn::Graph import_onnx_bytes(std::span<const char> bytes, const std::string& name, const std::string& folder,
                            const Environment& environment, const OnnxImportOptions& options = {});

/// Reads a file that holds one serialized TensorProto (the inputs and outputs of ONNX test data), where
/// NaN is a value like others. InputError as above.
nn::Constant read_onnx_tensor(const std::string& path);

/// What the importer knows of one ONNX operator.
struct OnnxOperatorInfo {
  const char* domain;  ///< "" for the standard operators
  const char* name;
  int first_opset, last_opset;
  /// "tiles" if its weights can be analog, "digital", "integer" (exact and digital, or on tiles with `dequantize`), or
  /// "folded" (gone after import)
  const char* placement;
  const char* restrictions;  ///< "" if none
};

/// All importable operators, sorted by domain and name.
std::span<const OnnxOperatorInfo> onnx_operators();

/// The text of docs/onnx_ops.md.
std::string onnx_operator_page();

inline constexpr int smallest_opset = 1;
inline constexpr int largest_opset = 25;

}  // namespace tessera::io
