#pragma once
#include <onnx/onnx_pb.h>

#include <map>
#include <string>
#include <vector>

/// Names, domains and functions of ONNX files.
namespace tessera::io {

using OnnxNodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;

/// Whether a domain is that of the standard operators.
bool standard_domain(const std::string& domain);

/// Versions by domain, "" for the standard one, between 0 and 9999.
std::map<std::string, int> opsets_of(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& imports);

/// What a node reads: its inputs, and what its sub-graphs take from outside. Not empty names.
std::vector<std::string> names_read(const onnx::NodeProto& node);

/// Nodes in an order in which each follows what it reads, file order where that is one; `cyclic` are those that have
/// none.
struct NodeOrder {
  std::vector<int> sorted, cyclic;
};
NodeOrder order_of(const OnnxNodes& nodes);

/// The function of the file that a node calls, or null.
const onnx::FunctionProto* find_function(const onnx::ModelProto& model, const onnx::NodeProto& node);

/// The function's nodes with the attributes that `node` gives.
OnnxNodes function_body(const onnx::FunctionProto& function, const onnx::NodeProto& node);

/// Why an operator that is not in the table cannot be imported, and what to do.
std::string reason_unknown(const std::string& domain, const std::string& op);

}  // namespace tessera::io
