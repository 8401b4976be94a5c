#include "tessera/io/model_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <type_traits>
#include <utility>

#include "io/model_contents.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/core/version.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::io {
namespace {

constexpr std::string_view filetype = "tessera-model";
constexpr int schema_major = 1;
constexpr int schema_minor = 2;

const std::pair<nn::ElementType, const char*> element_names[] = {{nn::ElementType::float32, "float32"},
                                                                 {nn::ElementType::int64, "int64"}};
const std::pair<nn::BatchMode, const char*> batch_names[] = {
    {nn::BatchMode::any, "any"}, {nn::BatchMode::fixed, "fixed"}, {nn::BatchMode::fixed, "per_sample"}};

template <class E, std::size_t N>
std::string name_of(const std::pair<E, const char*> (&names)[N], E value) {
  for (const auto& [enumerator, name] : names) {
    if (enumerator == value) return name;
  }
  return "";
}

template <class E, std::size_t N>
E value_of(const std::pair<E, const char*> (&names)[N], const h5::Object& object, const char* attribute) {
  const auto text = object.attribute<std::string>(attribute);
  for (const auto& [enumerator, name] : names) {
    if (name == text) return enumerator;
  }
  throw InputError(fmt::format("attribute '{}' of {} in '{}' is '{}', which is none of its values", attribute,
                               object.path(), object.file_name(), text));
}

// --- writing
// -----------------------------------------------------------------------------------------------------------

/// Chunks of at most a mebibyte, for the checksums; none for scalars and empty arrays.
h5::DatasetOptions checked(const Shape& shape, std::int64_t element_bytes) {
  h5::DatasetOptions options;
  if (shape.empty() || element_count(shape) == 0) return options;
  std::int64_t left = (std::int64_t{1} << 20) / element_bytes;
  options.chunk = shape;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    options.chunk[axis] = std::clamp<std::int64_t>(left, 1, shape[axis]);
    left /= options.chunk[axis];
  }
  options.checksum = true;
  return options;
}

void write_constant(h5::Group& group, const std::string& name, const nn::Value& value) {
  const auto write = [&](const Shape& shape, auto values) {
    using T = std::remove_const_t<typename decltype(values)::element_type>;
    group.write<T>(name, shape, values, checked(shape, sizeof(T))).set_attribute("name", value.name);
  };
  if (const auto* tensor = std::get_if<Tensor>(&*value.constant)) {
    write(tensor->shape(), tensor->values());
  } else {
    const auto& integers = std::get<nn::IntTensor>(*value.constant);
    write(integers.shape, std::span<const std::int64_t>(integers.values));
  }
}

void write_node(h5::Group group, const nn::Node& node) {
  group.set_attribute("name", node.name);
  group.set_attribute("op", node.op);
  group.set_attribute("inputs", node.inputs);
  group.set_attribute("outputs", node.outputs);
  if (node.attributes.empty()) return;
  h5::Group attributes = group.create_group("attributes");
  for (const auto& [key, attribute] : node.attributes) {
    std::visit([&, &name = key](const auto& value) { attributes.set_attribute(name, value); }, attribute);
  }
}

void write_graph(h5::Group group, const nn::Graph& graph) {
  group.set_attribute("name", graph.name);
  group.set_attribute("batch", name_of(batch_names, graph.batch));
  if (graph.batch == nn::BatchMode::fixed) group.set_attribute("samples_at_a_time", graph.samples_at_a_time);
  std::vector<std::string> names;
  for (const nn::Value& value : graph.values) names.push_back(value.name);
  group.write("values", names);
  h5::Group constants = group.create_group("constants");
  for (std::size_t id = 0; id < graph.values.size(); ++id) {
    if (graph.values[id].constant) write_constant(constants, std::to_string(id), graph.values[id]);
  }
  h5::Group inputs = group.create_group("inputs");
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const nn::GraphInput& input = graph.inputs[i];
    h5::Group entry = inputs.create_group(std::to_string(i));
    entry.set_attribute("value", input.value);
    entry.set_attribute("type", name_of(element_names, input.type));
    entry.set_attribute("shape", input.shape);
    entry.set_attribute("batched", input.batched);
    if (std::ranges::any_of(input.axes, [](const std::string& name) { return !name.empty(); }))
      entry.set_attribute("axes", input.axes);
  }
  group.write("outputs", graph.outputs);
  h5::Group nodes = group.create_group("nodes");
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    write_node(nodes.create_group(std::to_string(i)), graph.nodes[i]);
  }
}

void write_numbers(h5::Group group, const LayerNumbers& numbers, const std::string& owner) {
  for (const auto& [name, values] : numbers) {
    require<InputError>(!name.empty() && name.find('/') == std::string::npos && name.front() != '.',
                        "cannot save calibration '{}' of '{}' (not a name)", name, owner);
    const Shape shape{static_cast<std::int64_t>(values.size())};
    group.write(name, shape, std::span<const double>(values), checked(shape, sizeof(double)));
  }
}

void write_calibration(h5::Group group, const Model& model) {
  std::set<std::string> nodes;
  for (const nn::Node& node : model.graph.nodes) nodes.insert(node.name);
  for (const auto& [layer, numbers] : model.calibration) {
    require<InputError>(nodes.contains(layer), "cannot save calibration of '{}' (the graph has no such node)", layer);
    write_numbers(group.create_group(layer), numbers, layer);
  }
}

// --- reading
// -----------------------------------------------------------------------------------------------------------

/// The children "0", "1", ... of a group.
std::vector<h5::Group> numbered_groups(const h5::Group& group) {
  const std::size_t count = group.children().size();
  std::vector<h5::Group> entries;
  for (std::size_t i = 0; i < count; ++i) entries.push_back(group.group(std::to_string(i)));
  return entries;
}

nn::ValueId parse_id(const h5::Dataset& dataset, std::size_t count) {
  const std::string name = dataset.name();
  std::size_t id = count;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id);
  require<InputError>(parsed.ec == std::errc() && parsed.ptr == name.data() + name.size() && id < count,
                      "{} in '{}' is not the number of one of the {} values", dataset.path(), dataset.file_name(),
                      count);
  return static_cast<nn::ValueId>(id);
}

nn::Constant read_constant(const h5::Dataset& dataset) {
  if (dataset.type() == h5::ElementType::int64) return nn::IntTensor{dataset.shape(), dataset.read<std::int64_t>()};
  require<InputError>(dataset.type() == h5::ElementType::float32, "{} in '{}' holds {} (expected float32 or int64)",
                      dataset.path(), dataset.file_name(), h5::to_string(dataset.type()));
  Tensor tensor = dataset.read_tensor();
  require<InputError>(
      std::none_of(tensor.values().begin(), tensor.values().end(), [](float v) { return std::isnan(v); }),
      "{} ('{}') in '{}' holds a NaN (its training diverged, or the file is damaged)", dataset.path(),
      dataset.attribute<std::string>("name", ""), dataset.file_name());
  return tensor;
}

nn::Attribute read_attribute(const h5::Object& object, const h5::AttributeInfo& info) {
  const bool scalar = info.shape.empty();
  switch (info.type) {
    case h5::ElementType::int64:
      if (scalar) return object.attribute<std::int64_t>(info.name);
      return object.attribute_values<std::int64_t>(info.name);
    case h5::ElementType::float32:
      if (scalar) return object.attribute<float>(info.name);
      return object.attribute_values<float>(info.name);
    case h5::ElementType::string:
      if (scalar) return object.attribute<std::string>(info.name);
      return object.attribute_values<std::string>(info.name);
    default:
      throw InputError(fmt::format("attribute '{}' of {} in '{}' holds {} (expected int64, float32 or string)",
                                   info.name, object.path(), object.file_name(), h5::to_string(info.type)));
  }
}

nn::Node read_node(const h5::Group& group) {
  nn::Node node;
  node.name = group.attribute<std::string>("name");
  node.op = group.attribute<std::string>("op");
  node.inputs = group.attribute_values<nn::ValueId>("inputs");
  node.outputs = group.attribute_values<nn::ValueId>("outputs");
  if (group.contains("attributes")) {
    const h5::Group attributes = group.group("attributes");
    for (const h5::AttributeInfo& info : attributes.attributes()) {
      node.attributes.emplace(info.name, read_attribute(attributes, info));
    }
  }
  return node;
}

/// Files of older versions do not say how many samples: one at a time where their inputs leave the batch free.
void read_fixed_batch(const h5::Group& group, nn::Graph& graph) {
  const auto stored = group.attribute<std::int64_t>("samples_at_a_time", 0);
  for (nn::GraphInput& input : graph.inputs) {
    if (!input.batched) continue;
    if (stored == 0 && !input.shape.empty() && input.shape[0] < 0) input.shape[0] = 1;
    const std::int64_t samples = input.shape.empty() ? 0 : input.shape[0];
    require<InputError>(samples >= 1 && (stored == 0 || samples == stored),
                        "input {} of {} in '{}' takes {} samples at a time, which is not what the file says elsewhere",
                        input.value, group.path(), group.file_name(), samples);
    graph.samples_at_a_time = samples;
  }
}

nn::Graph read_graph(const h5::Group& group) {
  nn::Graph graph;
  graph.name = group.attribute<std::string>("name");
  graph.batch = value_of(batch_names, group, "batch");
  for (std::string& name : group.dataset("values").read<std::string>()) graph.values.push_back({std::move(name), {}});
  const h5::Group constants = group.group("constants");
  for (const std::string& name : constants.dataset_names()) {
    const h5::Dataset dataset = constants.dataset(name);
    const nn::ValueId id = parse_id(dataset, graph.values.size());
    graph.values[static_cast<std::size_t>(id)].constant = read_constant(dataset);
  }
  for (const h5::Group& entry : numbered_groups(group.group("inputs"))) {
    nn::GraphInput input;
    input.value = entry.attribute<nn::ValueId>("value");
    input.type = value_of(element_names, entry, "type");
    input.shape = entry.attribute_values<std::int64_t>("shape");
    input.batched = entry.attribute<bool>("batched");
    if (entry.has_attribute("axes")) input.axes = entry.attribute_values<std::string>("axes");
    if (input.axes.size() != input.shape.size()) input.axes.clear();
    graph.inputs.push_back(std::move(input));
  }
  if (graph.batch == nn::BatchMode::fixed) read_fixed_batch(group, graph);
  graph.outputs = group.dataset("outputs").read<nn::ValueId>();
  for (const h5::Group& entry : numbered_groups(group.group("nodes"))) graph.nodes.push_back(read_node(entry));
  return graph;
}

std::map<std::string, LayerNumbers> calibration_of(const h5::File& file) {
  std::map<std::string, LayerNumbers> result;
  const h5::Group calibration = file.group("calibration");
  for (const std::string& layer : calibration.group_names()) {
    const h5::Group entry = calibration.group(layer);
    LayerNumbers& numbers = result[layer];
    for (const std::string& name : entry.dataset_names()) numbers[name] = entry.dataset(name).read<double>();
  }
  return result;
}

}  // namespace

void require_model_file(const h5::File& file) {
  const std::string& path = file.file_name();
  require<InputError>(file.attribute<std::string>("filetype", "") == filetype,
                      "'{}' is not a model file of tessera (it has no attribute filetype = {})", path, filetype);
  const auto version = file.attribute<std::string>("schema_version");
  int major = -1;
  std::from_chars(version.data(), version.data() + version.size(), major);
  require<InputError>(major == schema_major,
                      "'{}' has schema version {}, this program reads {}.x (written by tessera {})", path, version,
                      schema_major, file.attribute<std::string>("tessera_version", "unknown"));
}

void write_contents(h5::File& file, const Model& model) {
  nn::validate(model.graph);
  file.set_attribute("filetype", filetype);
  file.set_attribute("schema_version", fmt::format("{}.{}", schema_major, schema_minor));
  file.set_attribute("tessera_version", version());
  write_graph(file.create_group("graph"), model.graph);
  write_calibration(file.create_group("calibration"), model);
  h5::Group notes = file.create_group("notes");
  for (const auto& [key, text] : model.notes) notes.set_attribute(key, text);
  if (!model.progress.empty()) write_numbers(file.create_group("progress"), model.progress, "progress");
}

void write_model(const Model& model, const std::string& path) {
  nn::validate(model.graph);
  h5::NewFile file(path, h5::Format::checked);
  write_contents(file, model);
  file.commit();
}

Model read_model(const std::string& path) {
  const h5::File file = h5::File::open(path);
  require_model_file(file);
  Model model;
  model.graph = read_graph(file.group("graph"));
  try {
    nn::validate(model.graph);
  } catch (const InputError& error) {
    throw InputError(fmt::format("the graph in '{}' is not valid (the file is damaged):\n{}", path, error.what()));
  }
  model.calibration = calibration_of(file);
  const h5::Group notes = file.group("notes");
  for (const h5::AttributeInfo& info : notes.attributes()) {
    model.notes[info.name] = notes.attribute<std::string>(info.name);
  }
  if (file.contains("progress")) {
    const h5::Group progress = file.group("progress");
    for (const std::string& name : progress.dataset_names())
      model.progress[name] = progress.dataset(name).read<double>();
  }
  return model;
}

std::map<std::string, LayerNumbers> read_calibration(const std::string& path) {
  const h5::File file = h5::File::open(path);
  require_model_file(file);
  return calibration_of(file);
}

void save_model(const nn::Graph& graph, const std::string& path) {
  write_model({graph, {}, {}}, path);
}

nn::Graph load_model(const std::string& path) {
  return read_model(path).graph;
}

}  // namespace tessera::io
