#include "onnx_names.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <set>
#include <unordered_map>

#include "tessera/core/error.hpp"
#include "tessera/io/onnx_import.hpp"

namespace tessera::io {

namespace {

/// Adds what the nodes of a sub-graph, and its outputs, take from outside.
void add_captured(const onnx::GraphProto& graph, std::set<std::string>& captured) {
  std::set<std::string> own;
  for (const auto& input : graph.input()) own.insert(input.name());
  for (const auto& tensor : graph.initializer()) own.insert(tensor.name());
  for (const auto& node : graph.node()) own.insert(node.output().begin(), node.output().end());
  std::set<std::string> read;
  for (const auto& node : graph.node())
    for (std::string& name : names_read(node)) read.insert(std::move(name));
  for (const auto& output : graph.output()) read.insert(output.name());
  for (const std::string& name : read)
    if (!name.empty() && !own.contains(name)) captured.insert(name);
}

}  // namespace

bool standard_domain(const std::string& domain) {
  return domain.empty() || domain == "ai.onnx";
}

std::map<std::string, int> opsets_of(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& imports) {
  std::map<std::string, int> versions;
  for (const auto& entry : imports)
    versions.emplace(standard_domain(entry.domain()) ? "" : entry.domain(),
                     static_cast<int>(std::clamp<std::int64_t>(entry.version(), 0, 9999)));
  return versions;
}

std::vector<std::string> names_read(const onnx::NodeProto& node) {
  std::vector<std::string> names;
  for (const std::string& name : node.input())
    if (!name.empty()) names.push_back(name);
  std::set<std::string> captured;
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) add_captured(attribute.g(), captured);
    for (const auto& graph : attribute.graphs()) add_captured(graph, captured);
  }
  names.insert(names.end(), captured.begin(), captured.end());
  return names;
}

NodeOrder order_of(const OnnxNodes& nodes) {
  std::unordered_map<std::string, int> writer;
  for (int n = 0; n < nodes.size(); ++n)
    for (const std::string& name : nodes[n].output()) writer.emplace(name, n);
  std::vector<int> missing(static_cast<std::size_t>(nodes.size()), 0);
  std::vector<std::vector<int>> readers(static_cast<std::size_t>(nodes.size()));
  for (int n = 0; n < nodes.size(); ++n)
    for (const std::string& name : names_read(nodes[n])) {
      const auto found = writer.find(name);
      if (found == writer.end()) continue;
      ++missing[static_cast<std::size_t>(n)];
      readers[static_cast<std::size_t>(found->second)].push_back(n);
    }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int n = 0; n < nodes.size(); ++n)
    if (missing[static_cast<std::size_t>(n)] == 0) ready.push(n);
  NodeOrder order;
  while (!ready.empty()) {
    const int n = ready.top();
    ready.pop();
    order.sorted.push_back(n);
    for (const int reader : readers[static_cast<std::size_t>(n)])
      if (--missing[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
  }
  for (int n = 0; n < nodes.size(); ++n)
    if (missing[static_cast<std::size_t>(n)] > 0) order.cyclic.push_back(n);
  return order;
}

const onnx::FunctionProto* find_function(const onnx::ModelProto& model, const onnx::NodeProto& node) {
  for (const onnx::FunctionProto& function : model.functions())
    if (function.name() == node.op_type() &&
        (function.domain() == node.domain() || (standard_domain(function.domain()) && standard_domain(node.domain()))))
      return &function;
  return nullptr;
}

OnnxNodes function_body(const onnx::FunctionProto& function, const onnx::NodeProto& node) {
  OnnxNodes nodes = function.node();
  for (onnx::NodeProto& inner : nodes) {
    google::protobuf::RepeatedPtrField<onnx::AttributeProto> attributes;
    for (const onnx::AttributeProto& attribute : inner.attribute()) {
      if (attribute.ref_attr_name().empty()) {
        *attributes.Add() = attribute;
        continue;
      }
      const auto given = std::find_if(node.attribute().begin(), node.attribute().end(),
                                      [&](const auto& a) { return a.name() == attribute.ref_attr_name(); });
      if (given == node.attribute().end()) continue;  // not given: the inner operator's default
      *attributes.Add() = *given;
      attributes.rbegin()->set_name(attribute.name());
    }
    inner.mutable_attribute()->Swap(&attributes);
  }
  return nodes;
}

std::string reason_unknown(const std::string& domain, const std::string& op) {
  if (domain == "ai.onnx.ml")
    return "operators of domain 'ai.onnx.ml' (trees, label encoders) are not supported; keep such steps outside of the "
           "network";
  std::vector<std::string> names;
  for (const OnnxOperatorInfo& info : onnx_operators())
    if (domain == info.domain) names.emplace_back(info.name);
  if (domain == "com.microsoft")
    return "this operator of ONNX Runtime is not supported (docs/onnx_ops.md lists those that are); export from the "
           "training framework, or optimise at a lower level (ORT_ENABLE_BASIC)";
  if (!domain.empty() && names.empty())
    return fmt::format("operators of domain '{}' are not supported, and the file has no function of this name", domain);
  if (op == "Scan") return "is not supported; export the model with a Loop, or unrolled";
  if (op.starts_with("String") || op == "RegexFullMatch" || op == "TfIdfVectorizer")
    return "works on text; keep such steps outside of the network";
  if (op.find("Sequence") != std::string::npos || op.starts_with("Optional"))
    return "works on sequences or optional values; only tensors are supported: export with fixed lengths";
  if (op.starts_with("Random") || op == "Bernoulli" || op == "Multinomial")
    return "draws random numbers; export the model for inference";
  if (op.ends_with("Loss")) return "is a training loss; export the model for inference";
  const std::string near = nearest_word(op, names);
  std::string reason = "the operator is not supported; docs/onnx_ops.md lists those that are";
  if (!near.empty() && near != op) reason += fmt::format(" (the nearest name is '{}')", near);
  return reason;
}

}  // namespace tessera::io
