#include "onnx_inline.hpp"

#include <algorithm>

#include "onnx_types.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

namespace {

/// Counts how deep sub-graphs are nested.
class Deeper {
 public:
  explicit Deeper(int& depth) : depth_(depth) { ++depth_; }
  ~Deeper() { --depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  int& depth_;
};

}  // namespace

std::string NodeInliner::place(const onnx::NodeProto& node, int index, const Scope& scope) const {
  std::string op = node.op_type();
  if (!standard_domain(node.domain())) op = fmt::format("{}::{}", node.domain(), op);
  return fmt::format("node {} '{}' ({}, opset {})", index, node.name(), op, opset_of(node.domain(), scope));
}

int NodeInliner::opset_of(const std::string& domain, const Scope& scope) const {
  for (const Scope* s = &scope; s != nullptr; s = s->outer)
    if (const auto found = s->opsets.find(standard_domain(domain) ? "" : domain); found != s->opsets.end())
      return found->second;
  return 0;
}

void NodeInliner::import_node(const onnx::NodeProto& node, const Scope& scope) {
  const std::string domain = standard_domain(node.domain()) ? "" : node.domain();
  const auto& outputs = node.output();
  require<InputError>(std::any_of(outputs.begin(), outputs.end(), [](const auto& name) { return !name.empty(); }),
                      "has no outputs");
  const OnnxOperator* entry = find_onnx_operator(domain, node.op_type());
  if (const onnx::FunctionProto* function = find_function(model_, node); function != nullptr && entry == nullptr)
    return inline_function(*function, node, scope);
  require<InputError>(entry != nullptr, "{}", reason_unknown(domain, node.op_type()));
  const int opset = opset_of(node.domain(), scope);
  // Domains of their own often come without a version.
  if (domain.empty())
    require<InputError>(opset >= entry->info.first_opset && opset <= entry->info.last_opset,
                        "is known in opset {} to {} only; convert or re-export the model", entry->info.first_opset,
                        entry->info.last_opset);
  const NodeImport import(node, opset, external_, builder_, scope);
  entry->import(import);
  set_output_types(import);
}

std::vector<nn::ValueId> NodeInliner::inline_graph(const onnx::GraphProto& body, const std::vector<nn::ValueId>& inputs,
                                                   const Scope* outer, const std::string& prefix) {
  require<InputError>(static_cast<std::size_t>(body.input_size()) == inputs.size(),
                      "its sub-graph has {} inputs instead of {}", body.input_size(), inputs.size());
  Scope scope{.outer = outer, .prefix = prefix, .names = {}, .opsets = {}};
  for (std::size_t i = 0; i < inputs.size(); ++i)
    scope.names[body.input(static_cast<int>(i)).name()] = inputs[i] == nn::no_value ? "" : builder_.name(inputs[i]);
  for (const onnx::TensorProto& tensor : body.initializer()) {
    const nn::ValueId id = builder_.constant(prefix + tensor.name(), convert_tensor(tensor, external_));
    builder_.set_onnx_type(id, tensor.data_type());
    scope.names[tensor.name()] = builder_.name(id);
  }
  import_body(body.node(), scope);
  std::vector<nn::ValueId> outputs;
  for (const onnx::ValueInfoProto& output : body.output()) outputs.push_back(defined_value(output.name(), scope));
  return outputs;
}

void NodeInliner::inline_function(const onnx::FunctionProto& function, const onnx::NodeProto& node,
                                  const Scope& outer) {
  Scope scope{.outer = nullptr, .prefix = outer.prefix, .names = {}, .opsets = opsets_of(function.opset_import())};
  if (!node.name().empty()) scope.prefix += node.name() + ".";
  for (int i = 0; i < function.input_size(); ++i)
    scope.names[function.input(i)] = i < node.input_size() ? outer.resolve(node.input(i)) : "";
  import_body(function_body(function, node), scope);
  for (int i = 0; i < function.output_size() && i < node.output_size(); ++i) {
    if (node.output(i).empty()) continue;
    const nn::ValueId from = defined_value(function.output(i), scope),
                      to = builder_.value(outer.resolve(node.output(i)));
    if (builder_.is_constant(from)) builder_.mark_constant(to);
    builder_.set_onnx_type(to, builder_.onnx_type(from));
    builder_.graph().nodes.push_back(
        {.name = "", .op = "Identity", .inputs = {from}, .outputs = {to}, .attributes = {}});
  }
}

nn::ValueId NodeInliner::defined_value(const std::string& name, const Scope& scope) {
  require<InputError>(name.empty() || builder_.has_value(scope.resolve(name)), "'{}' is not defined by anything", name);
  return builder_.value(scope.resolve(name));
}

/// The nodes of a sub-graph or function; every reason why one cannot be imported in one message.
void NodeInliner::import_body(const OnnxNodes& nodes, Scope& scope) {
  constexpr int deepest = 64;
  constexpr std::size_t most_nodes = 1'000'000;
  const Deeper deeper(depth_);
  require<InputError>(depth_ <= deepest, "sub-graphs nested more than {} deep", deepest);
  for (const onnx::NodeProto& node : nodes)
    for (const std::string& name : node.output())
      if (!name.empty()) scope.names[name] = builder_.name(builder_.fresh(scope.prefix + name));
  const NodeOrder order = order_of(nodes);
  std::vector<std::string> reasons;
  for (const int n : order.cyclic) reasons.push_back(place(nodes[n], n, scope) + ": is part of a cycle");
  for (const int n : order.sorted) {
    try {
      require<InputError>(builder_.graph().nodes.size() < most_nodes, "more than {} operators once all is inlined",
                          most_nodes);
      for (const std::string& name : names_read(nodes[n])) defined_value(name, scope);
      import_node(nodes[n], scope);
    } catch (const InputError& error) {
      reasons.push_back(fmt::format("{}: {}", place(nodes[n], n, scope), error.what()));
    }
  }
  require<InputError>(reasons.empty(), "in its sub-graph, {}", fmt::join(reasons, "; "));
}

}  // namespace tessera::io
