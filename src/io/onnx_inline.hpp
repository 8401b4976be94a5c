#pragma once
#include <onnx/onnx_pb.h>

#include <string>
#include <vector>

#include "onnx_names.hpp"
#include "onnx_node.hpp"

namespace tessera::io {

/// Puts nodes into the graph: by the table of operators, or, for functions of the file and sub-graphs, the nodes they
/// consist of in their place. Everything throws InputError with the reason alone; the caller adds the place.
class NodeInliner {
 public:
  /// All three must outlive it.
  NodeInliner(const onnx::ModelProto& model, ExternalData& external, GraphBuilder& builder)
      : model_(model), external_(external), builder_(builder) {}

  void import_node(const onnx::NodeProto& node, const Scope& scope);

  /// The nodes of a sub-graph with the given values for its inputs (no_value: absent); returns those of its outputs.
  std::vector<nn::ValueId> inline_graph(const onnx::GraphProto& body, const std::vector<nn::ValueId>& inputs,
                                        const Scope* outer, const std::string& prefix);

  /// The version of a domain that holds in a scope, 0 if it is not imported.
  int opset_of(const std::string& domain, const Scope& scope) const;
  /// How messages name a node: "node 3 'conv1' (Conv, opset 13)".
  std::string place(const onnx::NodeProto& node, int index, const Scope& scope) const;

 private:
  void inline_function(const onnx::FunctionProto& function, const onnx::NodeProto& node, const Scope& outer);
  nn::ValueId defined_value(const std::string& name, const Scope& scope);
  void import_body(const OnnxNodes& nodes, Scope& scope);

  const onnx::ModelProto& model_;
  ExternalData& external_;
  GraphBuilder& builder_;
  int depth_ = 0;
};

}  // namespace tessera::io
