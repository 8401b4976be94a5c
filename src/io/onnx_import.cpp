#include "tessera/io/onnx_import.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <queue>
#include <set>
#include <unordered_set>

#include "onnx_node.hpp"
#include "onnx_tensor.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::io {

namespace {

constexpr std::size_t listed_problems = 100;

std::string read_file(const std::string& path) {
  std::error_code error;
  require<InputError>(std::filesystem::exists(path, error), "{}: no such file", path);
  require<InputError>(std::filesystem::is_regular_file(path, error), "{}: not a file", path);
  std::ifstream file(path, std::ios::binary);
  require<InputError>(file.is_open(), "{}: cannot be opened", path);
  const auto size = std::filesystem::file_size(path, error);
  require<InputError>(!error && size < std::numeric_limits<std::int32_t>::max(),
                      "{}: larger than 2 GB; store the weights as external data", path);
  std::string bytes(size, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  require<InputError>(static_cast<std::size_t>(file.gcount()) == size, "{}: cannot be read", path);
  return bytes;
}

/// protobuf reports what it cannot parse on stderr; the message that matters is thrown.
template <class Message>
bool parse(Message& message, std::span<const char> bytes) {
  const google::protobuf::LogSilencer silence;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

class Import {
 public:
  Import(const onnx::ModelProto& model, std::string name, std::string folder, const Environment& environment,
         const OnnxImportOptions& options)
      : model_(model),
        name_(std::move(name)),
        folder_(std::move(folder)),
        environment_(environment),
        options_(options) {}

  nn::Graph run() {
    check_model();
    graph_.name = model_.graph().name();
    if (!options_.batched) graph_.batch = nn::BatchMode::none;
    add_initializers();
    add_inputs();
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

  std::string place(int index) const {
    const onnx::NodeProto& node = model_.graph().node(index);
    std::string op = node.op_type();
    if (!standard(node.domain())) op = fmt::format("{}::{}", node.domain(), op);
    return fmt::format("node {} '{}' ({}, opset {})", index, node.name(), op, opset_of(node.domain()));
  }

  static bool standard(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

  int opset_of(const std::string& domain) const {
    for (const auto& entry : model_.opset_import())
      if (entry.domain() == domain || (standard(domain) && standard(entry.domain())))
        return static_cast<int>(std::clamp<std::int64_t>(entry.version(), 0, 9999));
    return 0;
  }

  void check_model() {
    require<InputError>(model_.has_graph() && (model_.graph().node_size() > 0 || model_.graph().output_size() > 0),
                        "{}: not an ONNX model, or an empty one", name_);
    const int opset = opset_of("");
    if (opset < smallest_opset || opset > largest_opset)
      problem("the model has opset {} (must be {} to {}); convert or re-export it", opset, smallest_opset,
              largest_opset);
    throw_problems();
  }

  void add_initializers() {
    for (const onnx::TensorProto& tensor : model_.graph().initializer()) {
      if (tensor.name().empty() || builder_.has_value(tensor.name())) {
        problem("initialiser '{}' has no name or occurs twice", tensor.name());
        continue;
      }
      const nn::ValueId id = builder_.value(tensor.name());
      try {
        graph_.values[static_cast<std::size_t>(id)].constant = convert_tensor(tensor, folder_);
      } catch (const InputError& error) {
        problem("initialiser '{}': {}", tensor.name(), error.what());
      }
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
      }
      graph_.inputs.push_back(std::move(input));
    }
  }

  void check_names() {
    const auto& nodes = model_.graph().node();
    for (int n = 0; n < nodes.size(); ++n)
      for (const std::string& name : nodes[n].output())
        if (!name.empty() && !defined_.insert(name).second)
          problem("{}: writes '{}', which something else defines too", place(n), name);
    for (int n = 0; n < nodes.size(); ++n)
      for (const std::string& name : nodes[n].input())
        if (!name.empty() && !defined_.contains(name))
          problem("{}: reads '{}', which nothing defines (a missing initialiser or node)", place(n), name);
  }

  /// Nodes in an order in which each follows what it reads; file order where that is one.
  std::vector<int> topological_order() {
    const auto& nodes = model_.graph().node();
    std::unordered_map<std::string, int> writer;
    for (int n = 0; n < nodes.size(); ++n)
      for (const std::string& name : nodes[n].output()) writer.emplace(name, n);
    std::vector<int> missing(static_cast<std::size_t>(nodes.size()), 0);
    std::vector<std::vector<int>> readers(static_cast<std::size_t>(nodes.size()));
    for (int n = 0; n < nodes.size(); ++n)
      for (const std::string& name : nodes[n].input()) {
        const auto found = writer.find(name);
        if (name.empty() || found == writer.end()) continue;
        ++missing[static_cast<std::size_t>(n)];
        readers[static_cast<std::size_t>(found->second)].push_back(n);
      }
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    for (int n = 0; n < nodes.size(); ++n)
      if (missing[static_cast<std::size_t>(n)] == 0) ready.push(n);
    std::vector<int> order;
    while (!ready.empty()) {
      const int n = ready.top();
      ready.pop();
      order.push_back(n);
      for (const int reader : readers[static_cast<std::size_t>(n)])
        if (--missing[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
    }
    if (order.size() != static_cast<std::size_t>(nodes.size()))
      for (int n = 0; n < nodes.size(); ++n)
        if (missing[static_cast<std::size_t>(n)] > 0)
          problem("{}: is part of a cycle, or reads from one; a network must be acyclic", place(n));
    return order;
  }

  void add_node(int index) {
    const onnx::NodeProto& node = model_.graph().node(index);
    const std::string domain = standard(node.domain()) ? "" : node.domain();
    const OnnxOperator* entry = find_onnx_operator(domain, node.op_type());
    try {
      require<InputError>(entry != nullptr, "{}", reason_unknown(domain, node.op_type()));
      const int opset = opset_of(node.domain());
      // Domains of their own often come without a version.
      if (domain.empty())
        require<InputError>(opset >= entry->info.first_opset && opset <= entry->info.last_opset,
                            "is known in opset {} to {} only; convert or re-export the model", entry->info.first_opset,
                            entry->info.last_opset);
      const auto& outputs = node.output();
      require<InputError>(std::any_of(outputs.begin(), outputs.end(), [](const auto& name) { return !name.empty(); }),
                          "has no outputs");
      const std::size_t before = graph_.nodes.size();
      entry->import(NodeImport(node, opset, folder_, builder_));
      for (std::size_t n = before; n < graph_.nodes.size(); ++n) source_.push_back(index);
    } catch (const InputError& error) {
      problem("{}: {}", place(index), error.what());
    }
  }

  static std::string reason_unknown(const std::string& domain, const std::string& op) {
    if (domain == "com.microsoft" || domain == "ai.onnx.ml" || domain.starts_with("com.microsoft"))
      return fmt::format(
          "operators of domain '{}' are not supported; export from the training framework, not from an "
          "optimised runtime session",
          domain);
    if (!domain.empty()) return fmt::format("operators of domain '{}' are not supported", domain);
    if (op == "If" || op == "Loop" || op == "Scan")
      return "control flow is not supported; export a traced model for one path";
    if (op.starts_with("QLinear") || op.ends_with("Integer"))
      return "integer operators are not supported; export with QuantizeLinear and DequantizeLinear pairs";
    std::vector<std::string> names;
    for (const OnnxOperatorInfo& info : onnx_operators()) names.emplace_back(info.name);
    const std::string near = nearest_word(op, names);
    std::string reason = "the operator is not supported; docs/onnx_ops.md lists those that are";
    if (!near.empty() && near != op) reason += fmt::format(" (the nearest name is '{}')", near);
    return reason;
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
      nn::simplify(graph_, environment_);
    } catch (const InputError& error) {
      if (problem_count_ > 0) throw;
      throw InputError(fmt::format("{}: {}", name_, error.what()));
    }
  }

  /// Every node whose shapes do not fit, not only the first: values behind such a node are unknown and not reported.
  void check_shapes();

  const onnx::ModelProto& model_;
  std::string name_, folder_;
  const Environment& environment_;
  OnnxImportOptions options_;
  nn::Graph graph_;
  GraphBuilder builder_{graph_};
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

}  // namespace

nn::Graph import_onnx_bytes(std::span<const char> bytes, const std::string& name, const std::string& folder,
                            const Environment& environment, const OnnxImportOptions& options) {
  onnx::ModelProto model;
  require<InputError>(
      bytes.size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) && parse(model, bytes),
      "{}: not an ONNX model, or damaged (it cannot be parsed); export or copy it again", name);
  return Import(model, name, folder, environment, options).run();
}

nn::Graph import_onnx(const std::string& path, const Environment& environment, const OnnxImportOptions& options) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return import_onnx_bytes(read_file(path), path, folder.empty() ? "." : folder, environment, options);
}

nn::Constant read_onnx_tensor(const std::string& path) {
  onnx::TensorProto tensor;
  require<InputError>(parse(tensor, read_file(path)), "{}: not an ONNX tensor, or damaged", path);
  try {
    return convert_tensor(tensor, std::filesystem::path(path).parent_path().string());
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", path, error.what()));
  }
}

}  // namespace tessera::io
