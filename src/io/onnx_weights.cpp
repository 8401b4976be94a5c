#include "tessera/io/onnx_weights.hpp"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>

#include "tessera/core/atomic_file.hpp"
#include "tessera/io/onnx_import.hpp"

namespace tessera::io {

namespace {

static_assert(std::endian::native == std::endian::little, "raw data of ONNX are little-endian");

onnx::ModelProto parsed(const std::string& path) {
  onnx::ModelProto model;
  std::ifstream file(path, std::ios::binary);
  require<InputError>(file.good() && model.ParseFromIstream(&file) && model.has_graph(), "{}: not an ONNX model", path);
  return model;
}

bool same_constant(const std::optional<nn::Constant>& a, const std::optional<nn::Constant>& b) {
  if (a.has_value() != b.has_value() || (a && a->index() != b->index())) return false;
  if (!a || !std::holds_alternative<Tensor>(*a)) return true;  // integers are never learned
  const Tensor &x = std::get<Tensor>(*a), &y = std::get<Tensor>(*b);
  return x.shape() == y.shape() && std::ranges::equal(x.values(), y.values());
}

bool same_constants(const nn::Graph& a, const nn::Graph& b) {
  if (a.values.size() != b.values.size() || a.nodes.size() != b.nodes.size()) return false;
  const auto same_value = [](const nn::Value& x, const nn::Value& y) {
    return x.name == y.name && same_constant(x.constant, y.constant);
  };
  const auto same_node = [](const nn::Node& x, const nn::Node& y) {
    return x.name == y.name && x.inputs == y.inputs && x.attributes == y.attributes;
  };
  return std::ranges::equal(a.values, b.values, same_value) && std::ranges::equal(a.nodes, b.nodes, same_node);
}

}  // namespace

void write_onnx_weights(const std::string& source, const nn::Graph& graph,
                        const std::map<std::string, std::string>& notes, const std::string& path) {
  onnx::ModelProto model = parsed(source);
  for (onnx::TensorProto& tensor : *model.mutable_graph()->mutable_initializer()) {
    const auto found = std::ranges::find(graph.values, tensor.name(), &nn::Value::name);
    if (found == graph.values.end() || !found->constant || tensor.data_type() != onnx::TensorProto::FLOAT) continue;
    const Tensor* values = std::get_if<Tensor>(&*found->constant);
    if (values == nullptr || !std::ranges::equal(values->shape(), tensor.dims())) continue;
    tensor.clear_float_data();
    tensor.clear_external_data();
    tensor.clear_data_location();
    tensor.set_raw_data(values->data(), static_cast<std::size_t>(values->size()) * sizeof(float));
  }
  model.clear_metadata_props();
  for (const auto& [key, text] : notes) {
    onnx::StringStringEntryProto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(text);
  }
  const std::string bytes = model.SerializeAsString();
  const std::string folder = std::filesystem::path(source).parent_path().string();
  const nn::Graph again = import_onnx_bytes(bytes, source, folder.empty() ? "." : folder, {});
  require<InputError>(same_constants(graph, again),
                      "{}: the trained weights cannot be put back into this file (they are computed, folded or scaled "
                      "there); use the model file",
                      source);
  write_file(path, bytes);
}

}  // namespace tessera::io
