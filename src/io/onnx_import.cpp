#include "tessera/io/onnx_import.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <string_view>
#include <unordered_set>

#include <google/protobuf/unknown_field_set.h>

#include "onnx_inline.hpp"
#include "onnx_moved.hpp"
#include "onnx_names.hpp"
#include "onnx_node.hpp"
#include "onnx_parse.hpp"
#include "onnx_tensor.hpp"
#include "onnx_types.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::io {

namespace {

constexpr std::size_t listed_problems = 100;

/// The entry of NodeProto::metadata_props (field 9) with this key, or "". Versions of ONNX before 1.16 do not know the
/// field, but keep it.
std::string metadata_of(const onnx::NodeProto& node, std::string_view key) {
  constexpr int field_number = 9;
  const auto& unknown = node.unknown_fields();
  for (int i = 0; i < unknown.field_count(); ++i) {
    const google::protobuf::UnknownField& field = unknown.field(i);
    onnx::StringStringEntryProto entry;
    if (field.number() == field_number && field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED &&
        entry.ParseFromString(field.length_delimited()) && entry.key() == key)
      return entry.value();
  }
  const auto known = [&](const auto& of) -> std::string {
    if constexpr (requires { of.metadata_props(); })
      for (const auto& entry : of.metadata_props())
        if (entry.key() == key) return entry.value();
    return {};
  };
  return known(node);
}

class Import {
 public:
  Import(onnx::ModelProto& model, std::string name, ExternalData external, const Environment& environment,
         const OnnxImportOptions& options)
      : model_(model),
        name_(std::move(name)),
        external_(std::move(external)),
        environment_(environment),
        options_(options) {}

  nn::Graph run() {
    builder_.dequantize = options_.dequantize;
    builder_.inline_graph = [this](const onnx::GraphProto& body, const std::vector<nn::ValueId>& inputs,
                                   const Scope* outer, const std::string& prefix) {
      return nodes_.inline_graph(body, inputs, outer, prefix);
    };
    check_model();
    name_by_scopes();
    graph_.name = model_.graph().name();
    if (!options_.batched) graph_.batch = nn::BatchMode::none;
    add_initializers();
    add_inputs();
    check_fills();
    check_names();
    const std::vector<int> order = topological_order();
    throw_problems();
    for (const int index : order) add_node(index);
    add_outputs();
    throw_problems();
    finish();
    return std::move(graph_);
  }

 private:
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    ++problem_count_;
    if (problem_count_ <= listed_problems) problems_ += "\n  " + fmt::format(format, std::forward<Args>(args)...);
  }

  void throw_problems() const {
    if (problem_count_ == 0) return;
    std::string more;
    if (problem_count_ > listed_problems) more = fmt::format("\n  and {} more", problem_count_ - listed_problems);
    throw InputError(
        fmt::format("{}: {} problem{}{}{}", name_, problem_count_, problem_count_ == 1 ? "" : "s", problems_, more));
  }

  std::string place(int index) const { return nodes_.place(model_.graph().node(index), index, scope_); }

  void check_model() {
    require<InputError>(model_.has_graph() && (model_.graph().node_size() > 0 || model_.graph().output_size() > 0),
                        "{}: not an ONNX model, or an empty one", name_);
    scope_.opsets = opsets_of(model_.opset_import());
    const int opset = nodes_.opset_of("", scope_);
    if (opset < smallest_opset || opset > largest_opset)
      problem("the model has opset {} (must be {} to {}); convert or re-export it", opset, smallest_opset,
              largest_opset);
    throw_problems();
  }

  /// The default exporter of torch numbers its nodes and writes the module of each beside: "['', 'layers.0',
  /// 'layers.0.query', 'linear']". Nodes get the names that the older exporter gives them.
  void name_by_scopes() {
    for (onnx::NodeProto& node : *model_.mutable_graph()->mutable_node()) {
      if (!node.name().starts_with("node_")) continue;
      const std::string text = metadata_of(node, "pkg.torch.onnx.name_scopes");
      std::vector<std::string> scopes;
      for (std::size_t at = text.find('\''); at != std::string::npos;) {
        const std::size_t end = text.find('\'', at + 1);
        if (end == std::string::npos) break;
        scopes.push_back(text.substr(at + 1, end - at - 1));
        at = text.find('\'', end + 1);
      }
      if (scopes.size() >= 2 && !scopes[scopes.size() - 2].empty())
        node.set_name(fmt::format("{}/{}", scopes[scopes.size() - 2], node.op_type()));
    }
  }

  void add_initializers() {
    for (onnx::TensorProto& tensor : *model_.mutable_graph()->mutable_initializer()) {
      if (tensor.name().empty() || builder_.has_value(tensor.name())) {
        problem("initialiser '{}' has no name or occurs twice", tensor.name());
        continue;
      }
      const nn::ValueId id = builder_.value(tensor.name());
      try {
        graph_.values[static_cast<std::size_t>(id)].constant = convert_tensor(tensor, external_);
      } catch (const InputError& error) {
        problem("initialiser '{}': {}", tensor.name(), error.what());
      }
      delete tensor.release_raw_data();
      builder_.mark_constant(id);
      builder_.set_onnx_type(id, tensor.data_type());
      note_type(tensor.data_type());
      defined_.insert(tensor.name());
    }
    for (const onnx::SparseTensorProto& tensor : model_.graph().sparse_initializer())
      problem("initialiser '{}' is sparse; store it densely", tensor.values().name());
  }

  void note_type(int type) {
    using Proto = onnx::TensorProto;
    if (type == Proto::DOUBLE || type == Proto::FLOAT16 || type == Proto::BFLOAT16)
      converted_.insert(onnx_type_name(type));
  }

  void add_inputs() {
    for (const onnx::ValueInfoProto& info : model_.graph().input()) {
      if (defined_.contains(info.name())) {
        const nn::ValueId id = builder_.value(info.name());
        if (builder_.is_constant(id)) continue;
      }
      if (const auto given = options_.constants.find(info.name()); given != options_.constants.end()) {
        defined_.insert(info.name());
        const nn::ValueId id = builder_.value(info.name());
        graph_.values[static_cast<std::size_t>(id)].constant = given->second;
        builder_.mark_constant(id);
        builder_.set_onnx_type(id, info.type().tensor_type().elem_type());
        continue;
      }
      if (info.name().empty() || !defined_.insert(info.name()).second) {
        problem("input '{}' has no name or occurs twice", info.name());
        continue;
      }
      const onnx::TypeProto& type = info.type();
      if (!type.has_tensor_type() || !type.tensor_type().has_shape()) {
        problem("input '{}' is not a tensor with a shape; re-export with input shapes", info.name());
        continue;
      }
      if (const auto fill = options_.fills.find(info.name());
          fill != options_.fills.end() && type.tensor_type().shape().dim().empty()) {
        add_filled(info, fill->second);
        continue;
      }
      nn::GraphInput input;
      input.value = builder_.value(info.name());
      input.batched = options_.batched;
      try {
        const int element = type.tensor_type().elem_type();
        input.type = is_floating_type(element) ? nn::ElementType::float32 : nn::ElementType::int64;
        note_type(element);
        builder_.set_onnx_type(input.value, element);
      } catch (const InputError& error) {
        problem("input '{}': {}", info.name(), error.what());
      }
      for (const auto& dim : type.tensor_type().shape().dim()) {
        const std::int64_t extent = dim.has_dim_value() ? dim.dim_value() : 0;
        if (extent < 0 || extent > (std::int64_t{1} << 31))
          problem("input '{}' has an extent of {}", info.name(), extent);
        // 0 is how some exporters write "free".
        input.shape.push_back(extent > 0 || (dim.has_dim_value() && !options_.batched) ? extent : -1);
        input.axes.push_back(dim.dim_param());
      }
      graph_.inputs.push_back(std::move(input));
    }
  }

  void check_fills() {
    std::vector<std::string> inputs;
    for (const onnx::ValueInfoProto& info : model_.graph().input()) inputs.push_back(info.name());
    for (const auto& [name, value] : options_.fills) {
      if (std::ranges::find(inputs, name) != inputs.end()) continue;
      const std::string near = nearest_word(name, inputs);
      problem("there is no input '{}', which is to be {}{}; there are {}", name, value,
              near.empty() ? std::string() : fmt::format("; did you mean '{}'?", near), fmt::join(inputs, ", "));
    }
  }

  void add_filled(const onnx::ValueInfoProto& info, double value) {
    const int element = info.type().tensor_type().elem_type();
    const nn::ValueId id = builder_.value(info.name());
    nn::Value& filled = graph_.values[static_cast<std::size_t>(id)];
    if (is_floating_type(element))
      filled.constant = Tensor(Shape{}, std::vector<float>{static_cast<float>(value)});
    else if (value == std::trunc(value) && std::fabs(value) < 9.2e18)
      filled.constant = nn::IntTensor{{}, {static_cast<std::int64_t>(value)}};
    else
      return problem("input '{}' takes integers, got the constant {}", info.name(), value);
    builder_.mark_constant(id);
    builder_.set_onnx_type(id, element);
  }

  void check_names() {
    const auto& nodes = model_.graph().node();
    for (int n = 0; n < nodes.size(); ++n)
      for (const std::string& name : nodes[n].output())
        if (!name.empty() && !defined_.insert(name).second)
          problem("{}: writes '{}', which something else defines too", place(n), name);
    for (int n = 0; n < nodes.size(); ++n)
      for (const std::string& name : names_read(nodes[n]))
        if (!defined_.contains(name))
          problem("{}: reads '{}', which nothing defines (a missing initialiser or node)", place(n), name);
  }

  std::vector<int> topological_order() {
    NodeOrder order = order_of(model_.graph().node());
    for (const int n : order.cyclic)
      problem("{}: is part of a cycle, or reads from one; a network must be acyclic", place(n));
    return std::move(order.sorted);
  }

  void add_node(int index) {
    const std::size_t before = graph_.nodes.size();
    try {
      nodes_.import_node(model_.graph().node(index), scope_);
    } catch (const InputError& error) {
      problem("{}: {}", place(index), error.what());
    }
    source_.resize(source_.size() + graph_.nodes.size() - before, index);
  }

  void add_outputs() {
    for (const onnx::ValueInfoProto& info : model_.graph().output()) {
      if (!defined_.contains(info.name())) {
        problem("output '{}' is not defined by anything", info.name());
        continue;
      }
      graph_.outputs.push_back(builder_.value(info.name()));
    }
    if (graph_.outputs.empty()) problem("the graph has no output");
    if (graph_.inputs.empty() && options_.batched) problem("the graph has no input");
  }

  void finish() {
    try {
      nn::assign_node_names(graph_);
      check_shapes();
      throw_problems();
      if (!converted_.empty())
        environment_.note(
            fmt::format("{}: values of type {} were converted to float32", name_, fmt::join(converted_, ", ")));
      nn::carry_states(graph_, options_.states);
      nn::simplify(graph_, environment_);
    } catch (const InputError& error) {
      if (problem_count_ > 0) throw;
      throw InputError(fmt::format("{}: {}", name_, error.what()));
    }
  }

  /// Every node whose shapes do not fit, not only the first: values behind such a node are unknown and not reported.
  void check_shapes();

  onnx::ModelProto& model_;  ///< gives the bytes of its initialisers away as they are converted
  std::string name_;
  ExternalData external_;
  const Environment& environment_;
  OnnxImportOptions options_;
  nn::Graph graph_;
  GraphBuilder builder_{graph_};
  NodeInliner nodes_{model_, external_, builder_};
  Scope scope_;  ///< of the network itself
  std::unordered_set<std::string> defined_;
  std::set<std::string> converted_;
  std::vector<int> source_;  ///< index of the ONNX node behind each node
  std::string problems_;
  std::size_t problem_count_ = 0;
};

void Import::check_shapes() {
  for (const nn::GraphInput& input : graph_.inputs)
    for (std::size_t d = 0; d < input.shape.size(); ++d)
      if (input.shape[d] < 0 && !(d == 0 && input.batched)) return;  // free extents: known when the data is
  for (const nn::NodeProblem& bad : nn::shape_problems(graph_, nn::input_shapes(graph_, 1))) {
    const auto n = static_cast<std::size_t>(bad.node);
    const std::string own_place = fmt::format("node '{}' ({}): ", graph_.nodes[n].name, graph_.nodes[n].op);
    const bool repeated = bad.reason.starts_with(own_place);
    problem("{}: {}", place(source_[n]), repeated ? bad.reason.substr(own_place.size()) : bad.reason);
  }
}

nn::Graph import_model(onnx::ModelProto& model, bool parsed, const std::string& name, ExternalData external,
                       const Environment& environment, const OnnxImportOptions& options) {
  require<InputError>(parsed, "{}: not an ONNX model, or damaged (it cannot be parsed); export or copy it again", name);
  return Import(model, name, std::move(external), environment, options).run();
}

}  // namespace

nn::Graph import_onnx_bytes(std::span<const char> bytes, const std::string& name, const std::string& folder,
                            const Environment& environment, const OnnxImportOptions& options) {
  onnx::ModelProto model;
  const bool parsed = parse(model, bytes);
  return import_model(model, parsed, name, ExternalData(folder), environment, options);
}

nn::Graph import_onnx(const std::string& path, const Environment& environment, const OnnxImportOptions& options) {
  onnx::ModelProto model;
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string folder = parent.empty() ? "." : parent;
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error) &&
      std::filesystem::file_size(path, error) >= static_cast<std::uintmax_t>(MappedFile::large)) {
    const auto file = std::make_shared<const MappedFile>(path);
    const std::span<const char> bytes = file->bytes(0, file->size());
    if (const std::optional<std::string> small = with_moved_weights(bytes)) {
      file->release(bytes);
      const bool parsed = parse(model, *small);
      return import_model(model, parsed, path, ExternalData(folder, file), environment, options);
    }
  }
  const bool parsed = parse_file(model, path);
  return import_model(model, parsed, path, ExternalData(folder), environment, options);
}

nn::Constant read_onnx_tensor(const std::string& path) {
  onnx::TensorProto tensor;
  require<InputError>(parse_file(tensor, path), "{}: not an ONNX tensor, or damaged", path);
  try {
    ExternalData external(std::filesystem::path(path).parent_path().string());
    return convert_tensor(tensor, external, true);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", path, error.what()));
  }
}

}  // namespace tessera::io
