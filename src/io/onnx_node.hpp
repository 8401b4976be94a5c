#pragma once
#include <onnx/onnx_pb.h>

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "onnx_facts.hpp"
#include "onnx_tensor.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/graph.hpp"

/// The importer's view of one ONNX node, and the table of operators.
namespace tessera::io {

/// Names inside a sub-graph or function that is being inlined: inner names to those of the network.
struct Scope {
  const Scope* outer = nullptr;
  std::string prefix;  ///< of node names: "cond.then."; "" for the network itself
  std::unordered_map<std::string, std::string> names;
  std::map<std::string, int> opsets;  ///< by domain, of a function; empty: those outside

  /// The network's name for a name seen here; names that no scope knows are the network's own.
  const std::string& resolve(const std::string& name) const;
};

/// Builds the graph while nodes are imported.
class GraphBuilder {
 public:
  explicit GraphBuilder(nn::Graph& graph) : graph_(graph), facts_(graph) {}

  /// The value with this ONNX name; a new one if there is none. "" is no_value.
  nn::ValueId value(const std::string& name);
  bool has_value(const std::string& name) const { return by_name_.contains(name); }
  const std::string& name(nn::ValueId id) const { return graph_.name_of(id); }
  /// A value of the importer's own.
  nn::ValueId fresh(const std::string& hint);
  nn::ValueId constant(const std::string& hint, nn::Constant values);

  void mark_constant(nn::ValueId id) { constant_[static_cast<std::size_t>(id)] = true; }
  /// Whether a value is a constant, or computed from constants alone.
  bool is_constant(nn::ValueId id) const { return id != nn::no_value && constant_[static_cast<std::size_t>(id)]; }
  /// ONNX element type of an initialiser or input, 0 if unknown.
  int onnx_type(nn::ValueId id) const { return id == nn::no_value ? 0 : type_[static_cast<std::size_t>(id)]; }
  void set_onnx_type(nn::ValueId id, int type) { type_[static_cast<std::size_t>(id)] = type; }

  nn::Graph& graph() { return graph_; }

  /// Shapes and elements as far as they are known whatever the batch (onnx_facts.hpp).
  GraphFacts& facts() { return facts_; }
  /// Imports the nodes of a sub-graph with the given values for its inputs; returns those of its outputs.
  std::function<std::vector<nn::ValueId>(const onnx::GraphProto&, const std::vector<nn::ValueId>&, const Scope*,
                                         const std::string&)>
      inline_graph;
  /// Integer operators as float operators between quantizers (OnnxImportOptions).
  bool dequantize = false;

 private:
  nn::ValueId add(const std::string& name);

  nn::Graph& graph_;
  GraphFacts facts_;
  std::unordered_map<std::string, nn::ValueId> by_name_;
  std::vector<bool> constant_;
  std::vector<int> type_;
};

/// One node on its way into the graph. Functions throw InputError with the reason alone; the importer adds the place.
class NodeImport {
 public:
  NodeImport(const onnx::NodeProto& proto, int opset, ExternalData& external, GraphBuilder& builder,
             const Scope& scope);

  int opset() const { return opset_; }
  const std::string& op() const { return proto_.op_type(); }

  // Inputs and outputs. Absent ones are no_value.
  std::size_t input_count() const { return inputs_.size(); }
  nn::ValueId input(std::size_t i) const { return i < inputs_.size() ? inputs_[i] : nn::no_value; }
  bool has(std::size_t i) const { return input(i) != nn::no_value; }
  nn::ValueId output(std::size_t i = 0) const { return i < outputs_.size() ? outputs_[i] : nn::no_value; }
  bool is_constant(std::size_t i) const { return builder_.is_constant(input(i)); }
  /// Elements of a constant integer input that is stored in the file; null if it is computed or absent.
  const nn::IntTensor* stored_integers(std::size_t i) const { return builder_.graph().integers(input(i)); }
  const Tensor* stored_floats(std::size_t i) const { return builder_.graph().tensor(input(i)); }
  int onnx_type(std::size_t i) const { return builder_.onnx_type(input(i)); }

  // What is known of an input before any data is seen, whatever the batch: its rank, extents (-1 where they are not
  // known or depend on the batch), or elements.
  std::optional<std::size_t> rank(std::size_t i) const;
  std::size_t required_rank(std::size_t i) const;
  std::optional<Shape> shape(std::size_t i) const { return shape_of(input(i)); }
  std::optional<Shape> shape_of(nn::ValueId id) const;
  std::optional<std::vector<std::int64_t>> known_integers(std::size_t i) const { return known_integers_of(input(i)); }
  std::optional<std::vector<std::int64_t>> known_integers_of(nn::ValueId id) const;
  bool dequantize() const { return builder_.dequantize; }

  // Attributes.
  bool has_attribute(const char* name) const { return find(name) != nullptr; }
  std::int64_t integer(const char* name, std::int64_t fallback) const;
  float real(const char* name, float fallback) const;
  std::string text(const char* name, const std::string& fallback) const;
  std::vector<std::int64_t> integers(const char* name) const;
  std::vector<float> reals(const char* name) const;
  std::int64_t required_integer(const char* name) const;
  void require_attribute(const char* name) const;
  nn::Constant tensor(const char* name) const;
  const onnx::AttributeProto* attribute(const char* name) const { return find(name); }
  const onnx::GraphProto& graph(const char* name) const;

  // Requirements, with the sentence that goes into the message.
  void require_constant(std::size_t i, const char* what) const;
  void require_absent_output(std::size_t i, const char* what) const;
  void require_absent_input(std::size_t i, const char* what) const;

  /// Inlines a sub-graph of the node with these values for its inputs; returns its outputs.
  std::vector<nn::ValueId> inline_graph(const char* attribute, const std::vector<nn::ValueId>& inputs,
                                        const std::string& prefix) const;

  // Output.
  std::size_t output_count() const { return outputs_.size(); }
  void set_onnx_type(nn::ValueId id, int type) const { builder_.set_onnx_type(id, type); }
  int onnx_type_of(nn::ValueId id) const { return builder_.onnx_type(id); }
  nn::ValueId fresh(const char* hint) const;
  nn::ValueId constant(const char* hint, nn::Constant values) const;
  nn::ValueId integers_constant(const char* hint, const std::vector<std::int64_t>& values) const;
  nn::ValueId scalar(const char* hint, float value) const;
  /// A node of the graph with the given attributes. The one called with suffix "" gets the ONNX node's name.
  nn::Node& emit(const std::string& op, std::vector<nn::ValueId> inputs, std::vector<nn::ValueId> outputs,
                 const char* suffix = "") const;
  /// The node as it is: inputs, the first output, and those of the listed attributes that are present.
  nn::Node& emit_same(std::initializer_list<const char*> attributes, std::size_t outputs = 1) const;
  /// Emits an intermediate node and returns its only output.
  nn::ValueId emit_value(const std::string& op, std::vector<nn::ValueId> inputs, const char* suffix) const;
  nn::ValueId emit_value(const std::string& op, std::vector<nn::ValueId> inputs, const char* suffix,
                         std::map<std::string, nn::Attribute> attributes) const;
  void copy_attributes(nn::Node& node, std::initializer_list<const char*> attributes) const;
  void define_constant(nn::Constant values) const;

 private:
  const onnx::AttributeProto* find(const char* name) const;
  const onnx::AttributeProto* find(const char* name, onnx::AttributeProto::AttributeType type) const;

  const onnx::NodeProto& proto_;
  int opset_;
  ExternalData& external_;
  GraphBuilder& builder_;
  const Scope& scope_;
  std::vector<nn::ValueId> inputs_, outputs_;
};

struct OnnxOperator {
  OnnxOperatorInfo info;
  void (*import)(const NodeImport&);
};

/// The table; sorted by domain and name.
std::span<const OnnxOperator> onnx_operator_table();

/// The entry for a domain and operator, or null.
const OnnxOperator* find_onnx_operator(const std::string& domain, const std::string& name);

}  // namespace tessera::io
