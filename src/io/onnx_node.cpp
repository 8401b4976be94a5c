#include "onnx_node.hpp"

#include <algorithm>

#include "onnx_tensor.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using Attribute = onnx::AttributeProto;

nn::ValueId GraphBuilder::add(const std::string& name) {
  const auto id = static_cast<nn::ValueId>(graph_.values.size());
  graph_.values.push_back({.name = name, .constant = std::nullopt});
  by_name_.emplace(name, id);
  constant_.push_back(false);
  type_.push_back(0);
  return id;
}

nn::ValueId GraphBuilder::value(const std::string& name) {
  if (name.empty()) return nn::no_value;
  const auto found = by_name_.find(name);
  return found != by_name_.end() ? found->second : add(name);
}

nn::ValueId GraphBuilder::fresh(const std::string& hint) {
  std::string name = hint;
  for (std::size_t i = graph_.values.size(); by_name_.contains(name); ++i) name = fmt::format("{}_{}", hint, i);
  return add(name);
}

nn::ValueId GraphBuilder::constant(const std::string& hint, nn::Constant values) {
  const nn::ValueId id = fresh(hint);
  graph_.values[static_cast<std::size_t>(id)].constant = std::move(values);
  mark_constant(id);
  return id;
}

const std::string& Scope::resolve(const std::string& name) const {
  for (const Scope* scope = this; scope != nullptr && !name.empty(); scope = scope->outer)
    if (const auto found = scope->names.find(name); found != scope->names.end()) return found->second;
  return name;
}

NodeImport::NodeImport(const onnx::NodeProto& proto, int opset, ExternalData& external, GraphBuilder& builder,
                       const Scope& scope)
    : proto_(proto), opset_(opset), external_(external), builder_(builder), scope_(scope) {
  for (const std::string& name : proto.input()) inputs_.push_back(builder.value(scope.resolve(name)));
  for (const std::string& name : proto.output()) outputs_.push_back(builder.value(scope.resolve(name)));
  while (!inputs_.empty() && inputs_.back() == nn::no_value) inputs_.pop_back();
}

const Attribute* NodeImport::find(const char* name) const {
  for (const Attribute& attribute : proto_.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

const Attribute* NodeImport::find(const char* name, Attribute::AttributeType type) const {
  const Attribute* attribute = find(name);
  if (attribute == nullptr) return nullptr;
  // Files of IR version 1 and 2 may leave the type out.
  require<InputError>(attribute->type() == type || attribute->type() == Attribute::UNDEFINED,
                      "attribute '{}' has the wrong type; re-export the model", name);
  return attribute;
}

std::int64_t NodeImport::integer(const char* name, std::int64_t fallback) const {
  const Attribute* attribute = find(name, Attribute::INT);
  return attribute != nullptr ? attribute->i() : fallback;
}
float NodeImport::real(const char* name, float fallback) const {
  const Attribute* attribute = find(name, Attribute::FLOAT);
  return attribute != nullptr ? attribute->f() : fallback;
}
std::string NodeImport::text(const char* name, const std::string& fallback) const {
  const Attribute* attribute = find(name, Attribute::STRING);
  return attribute != nullptr ? attribute->s() : fallback;
}
std::vector<std::int64_t> NodeImport::integers(const char* name) const {
  const Attribute* attribute = find(name, Attribute::INTS);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}
std::vector<float> NodeImport::reals(const char* name) const {
  const Attribute* attribute = find(name, Attribute::FLOATS);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}
void NodeImport::require_attribute(const char* name) const {
  require<InputError>(has_attribute(name), "attribute '{}' is missing; re-export the model", name);
}
std::int64_t NodeImport::required_integer(const char* name) const {
  require_attribute(name);
  return integer(name, 0);
}
nn::Constant NodeImport::tensor(const char* name) const {
  const Attribute* attribute = find(name, Attribute::TENSOR);
  require<InputError>(attribute != nullptr && attribute->has_t(), "attribute '{}' is missing; re-export the model",
                      name);
  return convert_tensor(attribute->t(), external_);
}

void NodeImport::require_constant(std::size_t i, const char* what) const {
  require<InputError>(has(i), "{} (input {}) is missing", what, i);
  require<InputError>(is_constant(i), "{} depends on the data; only a constant {} is supported", what, what);
}
void NodeImport::require_absent_output(std::size_t i, const char* what) const {
  require<InputError>(output(i) == nn::no_value, "its output {} ({}) is not supported; export the model for inference",
                      i, what);
}
void NodeImport::require_absent_input(std::size_t i, const char* what) const {
  require<InputError>(!has(i), "its input {} ({}) is not supported", i, what);
}

const onnx::GraphProto& NodeImport::graph(const char* name) const {
  const Attribute* attribute = find(name, Attribute::GRAPH);
  require<InputError>(attribute != nullptr && attribute->has_g(), "attribute '{}' is missing; re-export the model",
                      name);
  return attribute->g();
}

std::optional<Shape> NodeImport::shape_of(nn::ValueId id) const {
  return builder_.facts().shape(id);
}
std::optional<std::size_t> NodeImport::rank(std::size_t i) const {
  const std::optional<Shape> known = shape(i);
  return known ? std::optional(known->size()) : std::nullopt;
}
std::size_t NodeImport::required_rank(std::size_t i) const {
  require<InputError>(has(i), "input {} is missing", i);
  const std::optional<std::size_t> known = rank(i);
  require<InputError>(known.has_value(), "the number of axes of input {} is not known; export with input shapes", i);
  return *known;
}
std::optional<std::vector<std::int64_t>> NodeImport::known_integers_of(nn::ValueId id) const {
  return builder_.facts().integers(id);
}
std::vector<nn::ValueId> NodeImport::inline_graph(const char* attribute, const std::vector<nn::ValueId>& inputs,
                                                  const std::string& prefix) const {
  const std::string& own = proto_.name().empty() ? op() : proto_.name();
  return builder_.inline_graph(graph(attribute), inputs, &scope_, fmt::format("{}{}.{}.", scope_.prefix, own, prefix));
}

nn::ValueId NodeImport::fresh(const char* hint) const {
  const std::string& base = proto_.output_size() > 0 ? scope_.resolve(proto_.output(0)) : proto_.name();
  return builder_.fresh(fmt::format("{}:{}", base, hint));
}

nn::ValueId NodeImport::constant(const char* hint, nn::Constant values) const {
  const std::string& base = proto_.output_size() > 0 ? scope_.resolve(proto_.output(0)) : proto_.name();
  return builder_.constant(fmt::format("{}:{}", base, hint), std::move(values));
}

nn::ValueId NodeImport::integers_constant(const char* hint, const std::vector<std::int64_t>& values) const {
  return constant(hint, nn::IntTensor{{static_cast<std::int64_t>(values.size())}, values});
}

nn::ValueId NodeImport::scalar(const char* hint, float value) const {
  return constant(hint, Tensor(Shape{}, std::span<const float>(&value, 1)));
}

nn::Node& NodeImport::emit(const std::string& op, std::vector<nn::ValueId> inputs, std::vector<nn::ValueId> outputs,
                           const char* suffix) const {
  const bool all_constant =
      std::ranges::all_of(inputs, [&](nn::ValueId id) { return id == nn::no_value || builder_.is_constant(id); });
  if (all_constant && !inputs.empty())
    for (const nn::ValueId id : outputs)
      if (id != nn::no_value) builder_.mark_constant(id);
  nn::Node node;
  if (!proto_.name().empty())
    node.name = fmt::format("{}{}{}{}", scope_.prefix, proto_.name(), *suffix == '\0' ? "" : ".", suffix);
  node.op = op;
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  builder_.graph().nodes.push_back(std::move(node));
  return builder_.graph().nodes.back();
}

nn::Node& NodeImport::emit_same(std::initializer_list<const char*> attributes, std::size_t outputs) const {
  std::vector<nn::ValueId> results;
  for (std::size_t i = 0; i < std::max<std::size_t>(1, std::min(outputs, outputs_.size())); ++i)
    results.push_back(output(i));
  nn::Node& node = emit(op(), inputs_, results);
  copy_attributes(node, attributes);
  return node;
}

nn::ValueId NodeImport::emit_value(const std::string& op, std::vector<nn::ValueId> inputs, const char* suffix) const {
  const nn::ValueId id = fresh(suffix);
  emit(op, std::move(inputs), {id}, suffix);
  return id;
}

nn::ValueId NodeImport::emit_value(const std::string& op, std::vector<nn::ValueId> inputs, const char* suffix,
                                   std::map<std::string, nn::Attribute> attributes) const {
  const nn::ValueId id = fresh(suffix);
  emit(op, std::move(inputs), {id}, suffix).attributes = std::move(attributes);
  return id;
}

void NodeImport::copy_attributes(nn::Node& node, std::initializer_list<const char*> attributes) const {
  for (const char* name : attributes) {
    const Attribute* attribute = find(name);
    if (attribute == nullptr) continue;
    switch (attribute->type()) {
      case Attribute::INT:
        node.attributes[name] = attribute->i();
        break;
      case Attribute::FLOAT:
        node.attributes[name] = attribute->f();
        break;
      case Attribute::STRING:
        node.attributes[name] = attribute->s();
        break;
      case Attribute::INTS:
        node.attributes[name] = std::vector<std::int64_t>(attribute->ints().begin(), attribute->ints().end());
        break;
      case Attribute::FLOATS:
        node.attributes[name] = std::vector<float>(attribute->floats().begin(), attribute->floats().end());
        break;
      case Attribute::STRINGS:
        node.attributes[name] = std::vector<std::string>(attribute->strings().begin(), attribute->strings().end());
        break;
      default:
        throw InputError(fmt::format("attribute '{}' has an unexpected type; re-export the model", name));
    }
  }
}

void NodeImport::define_constant(nn::Constant values) const {
  require<InputError>(output() != nn::no_value, "it has no output");
  builder_.graph().values[static_cast<std::size_t>(output())].constant = std::move(values);
  builder_.mark_constant(output());
}

}  // namespace tessera::io
