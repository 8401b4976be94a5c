#include "tessera/nn/graph.hpp"

#include <algorithm>
#include <queue>
#include <set>
#include <string_view>
#include <unordered_map>

namespace tessera::nn {

namespace {

template <class T>
T attribute(const Node& node, const std::string& key, const T& fallback, const char* type) {
  const auto found = node.attributes.find(key);
  if (found == node.attributes.end()) return fallback;
  const T* value = std::get_if<T>(&found->second);
  require<InputError>(value != nullptr, "node '{}' ({}): attribute '{}' is not {}; re-export the model", node.name,
                      node.op, key, type);
  return *value;
}

std::string unique_name(const std::string& wanted, const std::set<std::string>& taken) {
  if (!taken.contains(wanted)) return wanted;
  for (int i = 1;; ++i) {
    std::string candidate = fmt::format("{}_{}", wanted, i);
    if (!taken.contains(candidate)) return candidate;
  }
}

}  // namespace

const Shape& shape_of(const Constant& constant) {
  if (const auto* tensor = std::get_if<Tensor>(&constant)) return tensor->shape();
  return std::get<IntTensor>(constant).shape;
}

std::int64_t Node::integer(const std::string& key, std::int64_t fallback) const {
  return attribute<std::int64_t>(*this, key, fallback, "an integer");
}
float Node::real(const std::string& key, float fallback) const {
  return attribute<float>(*this, key, fallback, "a number");
}
std::string Node::text(const std::string& key, const std::string& fallback) const {
  return attribute<std::string>(*this, key, fallback, "a string");
}
std::vector<std::int64_t> Node::integers(const std::string& key, const std::vector<std::int64_t>& fallback) const {
  return attribute<std::vector<std::int64_t>>(*this, key, fallback, "a list of integers");
}
std::vector<float> Node::reals(const std::string& key, const std::vector<float>& fallback) const {
  return attribute<std::vector<float>>(*this, key, fallback, "a list of numbers");
}
std::vector<std::string> Node::texts(const std::string& key, const std::vector<std::string>& fallback) const {
  return attribute<std::vector<std::string>>(*this, key, fallback, "a list of strings");
}

ValueId Graph::add_value(const std::string& value_name, std::optional<Constant> constant) {
  std::set<std::string> taken;
  for (const Value& value : values) taken.insert(value.name);
  values.push_back({unique_name(value_name, taken), std::move(constant)});
  return static_cast<ValueId>(values.size()) - 1;
}

ValueId Graph::find_value(const std::string& value_name) const {
  const auto found = std::ranges::find(values, value_name, &Value::name);
  return found == values.end() ? no_value : static_cast<ValueId>(found - values.begin());
}

const Tensor* Graph::tensor(ValueId id) const {
  return is_constant(id) ? std::get_if<Tensor>(&*values[static_cast<std::size_t>(id)].constant) : nullptr;
}

const IntTensor* Graph::integers(ValueId id) const {
  return is_constant(id) ? std::get_if<IntTensor>(&*values[static_cast<std::size_t>(id)].constant) : nullptr;
}

std::vector<int> producers(const Graph& graph) {
  std::vector<int> result(graph.values.size(), -1);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (const ValueId id : graph.nodes[n].outputs)
      if (id != no_value) result[static_cast<std::size_t>(id)] = static_cast<int>(n);
  return result;
}

std::vector<std::vector<int>> consumers(const Graph& graph) {
  std::vector<std::vector<int>> result(graph.values.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n)
    for (const ValueId id : graph.nodes[n].inputs) {
      if (id == no_value) continue;
      std::vector<int>& readers = result[static_cast<std::size_t>(id)];
      if (readers.empty() || readers.back() != static_cast<int>(n)) readers.push_back(static_cast<int>(n));
    }
  return result;
}

void validate(const Graph& graph) {
  std::string problems;
  const auto problem = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
    if (!problems.empty()) problems += '\n';
    problems += fmt::format(format, std::forward<Args>(args)...);
  };
  const auto count = static_cast<ValueId>(graph.values.size());
  std::set<std::string> names;
  for (const Value& value : graph.values) {
    if (value.name.empty()) problem("a value has no name");
    if (!names.insert(value.name).second) problem("two values are named '{}'", value.name);
    if (value.constant)
      if (const auto* integers = std::get_if<IntTensor>(&*value.constant))
        if (element_count(integers->shape) != static_cast<std::int64_t>(integers->values.size()))
          problem("constant '{}': {} values for shape {}", value.name, integers->values.size(),
                  to_string(integers->shape));
  }
  std::vector<bool> defined(graph.values.size());
  for (std::size_t v = 0; v < graph.values.size(); ++v) defined[v] = graph.values[v].constant.has_value();
  for (const GraphInput& input : graph.inputs) {
    if (input.value < 0 || input.value >= count) {
      problem("a graph input refers to value {} of {}", input.value, count);
      continue;
    }
    if (defined[static_cast<std::size_t>(input.value)])
      problem("graph input '{}' is also a constant or given twice", graph.name_of(input.value));
    defined[static_cast<std::size_t>(input.value)] = true;
  }
  names.clear();
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.name.empty() || node.name.find('/') != std::string::npos)
      problem("node {} ({}): the name '{}' is empty or contains '/'", n, node.op, node.name);
    if (!names.insert(node.name).second) problem("node {} ({}): the name '{}' occurs twice", n, node.op, node.name);
    for (const ValueId id : node.inputs) {
      if (id == no_value) continue;
      if (id < 0 || id >= count)
        problem("node {} '{}' ({}) reads value {} of {}", n, node.name, node.op, id, count);
      else if (!defined[static_cast<std::size_t>(id)])
        problem("node {} '{}' ({}) reads '{}' before anything writes it", n, node.name, node.op, graph.name_of(id));
    }
    for (const ValueId id : node.outputs) {
      if (id == no_value) continue;
      if (id < 0 || id >= count) {
        problem("node {} '{}' ({}) writes value {} of {}", n, node.name, node.op, id, count);
        continue;
      }
      if (defined[static_cast<std::size_t>(id)])
        problem("node {} '{}' ({}) writes '{}', which is already defined", n, node.name, node.op, graph.name_of(id));
      defined[static_cast<std::size_t>(id)] = true;
    }
  }
  if (graph.outputs.empty()) problem("the graph has no output");
  for (const ValueId id : graph.outputs)
    if (id < 0 || id >= count || !defined[static_cast<std::size_t>(id)])
      problem("graph output '{}' is never written", id >= 0 && id < count ? graph.name_of(id) : fmt::format("#{}", id));
  require<InputError>(problems.empty(), "{}", problems);
}

void sort_topologically(Graph& graph) {
  const std::vector<int> producer = producers(graph);
  const std::size_t count = graph.nodes.size();
  std::vector<int> missing(count, 0);
  std::vector<std::vector<std::size_t>> readers(count);
  for (std::size_t n = 0; n < count; ++n)
    for (const ValueId id : graph.nodes[n].inputs) {
      if (id == no_value || producer[static_cast<std::size_t>(id)] < 0) continue;
      ++missing[n];
      readers[static_cast<std::size_t>(producer[static_cast<std::size_t>(id)])].push_back(n);
    }
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
  for (std::size_t n = 0; n < count; ++n)
    if (missing[n] == 0) ready.push(n);
  std::vector<std::size_t> order;
  while (!ready.empty()) {
    const std::size_t n = ready.top();
    ready.pop();
    order.push_back(n);
    for (const std::size_t reader : readers[n])
      if (--missing[reader] == 0) ready.push(reader);
  }
  if (order.size() != count) {
    std::string cycle;
    for (std::size_t n = 0; n < count; ++n)
      if (missing[n] > 0 && cycle.size() < 400)
        cycle += fmt::format("{}'{}' ({})", cycle.empty() ? "" : ", ", graph.nodes[n].name, graph.nodes[n].op);
    throw InputError(fmt::format("the graph has a cycle through or before {}; a network must be acyclic", cycle));
  }
  std::vector<Node> sorted;
  sorted.reserve(count);
  for (const std::size_t n : order) sorted.push_back(std::move(graph.nodes[n]));
  graph.nodes = std::move(sorted);
}

namespace {

/// Whether an operator is named after its weight: it has one, as input 1.
bool named_by_weight(const std::string& op) {
  static constexpr std::string_view ops[] = {"Conv",
                                             "ConvTranspose",
                                             "Gemm",
                                             "MatMul",
                                             "BatchNormalization",
                                             "LayerNormalization",
                                             "PRelu",
                                             "InstanceNormalization",
                                             "GroupNormalization",
                                             "LSTM",
                                             "GRU",
                                             "RNN"};
  return std::ranges::find(ops, op) != std::end(ops);
}

std::string replaced_slashes(std::string text) {
  std::ranges::replace(text, '/', '.');
  return text;
}

std::string module_name_of_weight(const Graph& graph, const Node& node) {
  const ValueId weight = node.input(1);
  if (!graph.is_constant(weight)) return {};
  const std::string& name = graph.name_of(weight);
  const std::size_t at = name.rfind(".weight");
  if (at == std::string::npos || at == 0) return {};
  const std::string_view rest = std::string_view(name).substr(at + 7);
  return rest.empty() || rest.front() == '_' ? name.substr(0, at) : std::string{};
}

std::string scope_name(const std::string& path, const std::string& op, bool weighted) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  if (weighted && parts.size() > 1 && parts.back().starts_with(op)) {
    const std::string_view rest = std::string_view(parts.back()).substr(op.size());
    if (rest.empty() || rest.front() == '_') parts.pop_back();
  }
  std::string name;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool repeated = i + 1 < parts.size() && parts[i + 1].starts_with(parts[i] + ".");
    if (!repeated) name += (name.empty() ? "" : ".") + parts[i];
  }
  return name;
}

}  // namespace

void assign_node_names(Graph& graph) {
  std::map<std::string, int> unnamed;
  std::set<std::string> taken;
  for (Node& node : graph.nodes) {
    const bool weighted = named_by_weight(node.op);
    std::string name = weighted ? replaced_slashes(module_name_of_weight(graph, node)) : std::string{};
    if (name.empty()) name = scope_name(node.name, node.op, weighted);
    if (name.empty() || name.find_first_not_of('.') == std::string::npos)
      name = fmt::format("{}_{}", node.op, unnamed[node.op]++);
    node.name = unique_name(name, taken);
    taken.insert(node.name);
  }
}

}  // namespace tessera::nn
