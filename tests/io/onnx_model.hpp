#pragma once
#include <onnx/onnx_pb.h>

#include <map>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/messages.hpp"
#include "tessera/io/onnx_import.hpp"

/// ONNX models written in a few lines, for tests.
namespace tessera::io::test {

class OnnxModel {
 public:
  explicit OnnxModel(int opset = 13) {
    model.set_ir_version(7);
    opset_import("", opset);
  }

  void opset_import(const std::string& domain, int version) {
    auto* entry = model.add_opset_import();
    entry->set_domain(domain);
    entry->set_version(version);
  }
  /// An extent of 0 is a named, free one.
  OnnxModel& input(const std::string& name, const std::vector<std::int64_t>& shape,
                   int type = onnx::TensorProto::FLOAT) {
    auto* info = model.mutable_graph()->add_input();
    info->set_name(name);
    auto* tensor = info->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    tensor->mutable_shape();
    for (const std::int64_t extent : shape) {
      auto* dim = tensor->mutable_shape()->add_dim();
      if (extent == 0)
        dim->set_dim_param("N");
      else
        dim->set_dim_value(extent);
    }
    return *this;
  }
  OnnxModel& output(const std::string& name) {
    model.mutable_graph()->add_output()->set_name(name);
    return *this;
  }
  onnx::TensorProto& initializer(const std::string& name, const std::vector<std::int64_t>& shape,
                                 int type = onnx::TensorProto::FLOAT) {
    auto* tensor = model.mutable_graph()->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(type);
    for (const std::int64_t extent : shape) tensor->add_dims(extent);
    return *tensor;
  }
  OnnxModel& floats(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
    auto& tensor = initializer(name, shape);
    for (const float value : values) tensor.add_float_data(value);
    return *this;
  }
  OnnxModel& ints(const std::string& name, const std::vector<std::int64_t>& values) {
    auto& tensor = initializer(name, {static_cast<std::int64_t>(values.size())}, onnx::TensorProto::INT64);
    for (const std::int64_t value : values) tensor.add_int64_data(value);
    return *this;
  }
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "") {
    auto* node = model.mutable_graph()->add_node();
    node->set_op_type(op);
    node->set_name(name);
    for (const std::string& i : inputs) node->add_input(i);
    for (const std::string& o : outputs) node->add_output(o);
    return *node;
  }
  static void set_int(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::INT);
    attribute->set_i(value);
  }
  static void set_float(onnx::NodeProto& node, const std::string& name, float value) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::FLOAT);
    attribute->set_f(value);
  }
  static void set_ints(onnx::NodeProto& node, const std::string& name, const std::vector<std::int64_t>& values) {
    auto* attribute = node.add_attribute();
    attribute->set_name(name);
    attribute->set_type(onnx::AttributeProto::INTS);
    for (const std::int64_t value : values) attribute->add_ints(value);
  }

  std::string bytes() const { return model.SerializeAsString(); }
  nn::Graph import(const Environment& environment = {}, const OnnxImportOptions& options = {},
                   const std::string& folder = ".") const {
    return import_onnx_bytes(bytes(), "model.onnx", folder, environment, options);
  }
  /// The message of the InputError that the import throws; "" if it throws none.
  std::string error(const std::string& folder = ".") const {
    try {
      import({}, {}, folder);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  onnx::ModelProto model;
};

}  // namespace tessera::io::test
