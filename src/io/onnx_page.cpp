#include <vector>

#include "onnx_node.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

std::span<const OnnxOperatorInfo> onnx_operators() {
  static const std::vector<OnnxOperatorInfo> infos = [] {
    std::vector<OnnxOperatorInfo> result;
    for (const OnnxOperator& entry : onnx_operator_table()) result.push_back(entry.info);
    return result;
  }();
  return infos;
}

std::string onnx_operator_page() {
  std::string page = fmt::format(R"(# ONNX operators

This page is generated from the importer's table (`src/io/onnx_operators.cpp`); a test compares them.

Models of opset {} to {} are read. Everything that does not fit is listed, node by node, with what to do, before anything is built.

| placement | meaning |
|---|---|
| tiles | constant weights can be analog, one layer of `layers: match` each |
| digital | float32 |
| integer | integer codes, executed exactly and digitally; with `model.dequantize: true`, float32 layers between quantizers, whose weights can be analog |
| folded | gone after import |

float16, bfloat16 and double become float32; integers and booleans become int64; sums and products of integers below
32 bits wrap. Functions of the file are inlined. Of `If` the branch that is taken becomes part of the network, of `Loop` the iterations; what decides must be constant, or follow from
extents that are fixed. Operators of ONNX Runtime's optimiser (`com.microsoft`) are spelled out again. A product of two activations is
digital unless `layers:` puts it on tiles.

| operator | opsets | placement | restrictions |
|---|---|---|---|
)",
                                 smallest_opset, largest_opset);
  for (const OnnxOperatorInfo& info : onnx_operators()) {
    const std::string name = *info.domain == '\0' ? info.name : fmt::format("{}::{}", info.domain, info.name);
    page += fmt::format("| {} | {}-{} | {} | {} |\n", name, info.first_opset, info.last_opset, info.placement,
                        *info.restrictions == '\0' ? "–" : info.restrictions);
  }
  return page;
}

}  // namespace tessera::io
