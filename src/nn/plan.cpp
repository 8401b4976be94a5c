#include "plan.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <variant>

namespace tessera::nn {

std::int64_t Plan::peak_bytes() const {
  return std::accumulate(buffer_bytes.begin(), buffer_bytes.end(), std::int64_t{0});
}

namespace {

/// Builds steps and slots; memory is assigned afterwards. While building, a slot that owns memory has a root: itself,
/// or the slot whose memory it shares.
class Planner {
 public:
  Planner(const Graph& graph, const std::vector<Shape>& input_shapes, const std::vector<int>& layer_of_node,
          bool observed, BufferUse use)
      : graph_(graph),
        layer_of_node_(layer_of_node),
        observed_(observed),
        use_(use),
        infos_(infer_shapes(graph, input_shapes)),
        readers_(consumers(graph)),
        is_output_(graph.values.size()),
        slot_of_(graph.values.size(), {-1, -1}) {
    for (const ValueId id : graph.outputs) is_output_[static_cast<std::size_t>(id)] = true;
  }

  Plan build() {
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
      const ValueId id = graph_.inputs[i].value;
      const int slot = new_slot(id, Layout::natural);
      plan_.slots[static_cast<std::size_t>(slot)].input = static_cast<int>(i);
    }
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      if (!skip_[n]) add_node(n);
    for (const ValueId id : graph_.outputs) plan_.outputs.push_back(slot(id, Layout::natural));
    assign_buffers();
    return std::move(plan_);
  }

 private:
  const ValueInfo& info(ValueId id) const { return infos_[static_cast<std::size_t>(id)]; }
  Slot& at(int slot) { return plan_.slots[static_cast<std::size_t>(slot)]; }
  int& known_slot(ValueId id, Layout layout) {
    return slot_of_[static_cast<std::size_t>(id)][static_cast<std::size_t>(layout)];
  }

  int new_slot(ValueId id, Layout layout) {
    const auto index = static_cast<int>(plan_.slots.size());
    plan_.slots.push_back({.type = info(id).type, .shape = info(id).shape, .layout = layout});
    root_.push_back(index);
    known_slot(id, layout) = index;
    return index;
  }

  /// The slot that holds a value in a layout; adds a constant or a conversion where there is none yet.
  int slot(ValueId id, Layout layout) {
    if (id == no_value) return -1;
    if (const int found = known_slot(id, layout); found >= 0) return found;
    if (info(id).known != nullptr && layout == Layout::natural) {
      plan_.constants.push_back(info(id).known);
      const int index = new_slot(id, layout);
      at(index).constant = array_of(*info(id).known).data;
      return index;
    }
    const Layout other = layout == Layout::natural ? Layout::channels_last : Layout::natural;
    const int source = slot(id, other);
    const int index = new_slot(id, layout);
    if (layouts_coincide(info(id).shape))
      share(index, source);
    else
      plan_.steps.push_back({.node = -1, .op = nullptr, .in = {source}, .out = {index}});
    return index;
  }

  void share(int slot, int source) {
    at(slot).input = at(source).input;
    at(slot).constant = at(source).constant;
    root_[static_cast<std::size_t>(slot)] = root_[static_cast<std::size_t>(source)];
  }

  Layout produced_layout(ValueId id) {
    return id != no_value && known_slot(id, Layout::channels_last) >= 0 && known_slot(id, Layout::natural) < 0
               ? Layout::channels_last
               : Layout::natural;
  }

  Layout choose_layout(const Node& node, const Operator& op) {
    const ValueId first = node.input(0);
    const std::size_t rank = first == no_value ? 0 : info(first).shape.size();
    switch (op.layout) {
      case LayoutRule::natural:
        return Layout::natural;
      case LayoutRule::spatial:
        return rank == 3 || rank == 4 ? Layout::channels_last : Layout::natural;
      case LayoutRule::follow:
        return produced_layout(first);
      case LayoutRule::reduce:
        return reduces_positions(node) ? produced_layout(first) : Layout::natural;
      case LayoutRule::pointwise:
        break;
    }
    const std::size_t out_rank = info(node.output(0)).shape.size();
    Layout layout = Layout::natural;
    for (const ValueId id : node.inputs) {
      if (id == no_value || info(id).known != nullptr) continue;
      const bool whole = info(id).shape.size() == out_rank;
      if (!whole && element_count(info(id).shape) != 1) return Layout::natural;
      if (whole && produced_layout(id) == Layout::channels_last) layout = Layout::channels_last;
    }
    return layout;
  }

  bool reduces_positions(const Node& node) const {
    const auto rank = static_cast<std::int64_t>(info(node.input(0)).shape.size());
    if (rank < 3 || node.input(1) == no_value || info(node.input(1)).known == nullptr) return false;
    std::vector<std::int64_t> axes = std::get<IntTensor>(*info(node.input(1)).known).values;
    for (std::int64_t& axis : axes) axis = axis < 0 ? axis + rank : axis;
    std::ranges::sort(axes);
    std::vector<std::int64_t> wanted(static_cast<std::size_t>(rank - 2));
    std::iota(wanted.begin(), wanted.end(), std::int64_t{2});
    return axes == wanted;
  }

  /// A constant operand of an element-wise node in channels-last order, with as many axes as the output.
  int constant_operand(ValueId id, std::size_t rank) {
    const Constant& constant = *info(id).known;
    if (element_count(shape_of(constant)) == 1) return slot(id, Layout::natural);
    Constant full = constant;
    Shape shape = shape_of(constant);
    shape.insert(shape.begin(), rank - shape.size(), 1);
    if (auto* tensor = std::get_if<Tensor>(&full))
      *tensor = std::move(*tensor).reshaped(shape);
    else
      std::get<IntTensor>(full).shape = shape;
    Constant converted = full;
    Array target = array_of(converted);
    target.layout = Layout::channels_last;
    convert_layout(array_of(full), target, {});
    plan_.constants.push_back(std::make_shared<const Constant>(std::move(converted)));
    plan_.slots.push_back({.type = info(id).type,
                           .shape = shape,
                           .layout = Layout::channels_last,
                           .constant = array_of(*plan_.constants.back()).data});
    root_.push_back(static_cast<int>(plan_.slots.size()) - 1);
    return static_cast<int>(plan_.slots.size()) - 1;
  }

  int operand(const Node& node, const Operator& op, std::size_t i, Layout layout) {
    const ValueId id = node.inputs[i];
    if (id == no_value) return -1;
    if (layout == Layout::natural) return slot(id, layout);
    if (op.layout == LayoutRule::pointwise) {
      if (info(id).known != nullptr) return constant_operand(id, info(node.output(0)).shape.size());
      return element_count(info(id).shape) == 1 && info(id).shape.size() != info(node.output(0)).shape.size()
                 ? slot(id, Layout::natural)
                 : slot(id, layout);
    }
    return i == 0 || node.op == "Concat" ? slot(id, layout) : slot(id, Layout::natural);
  }

  void add_node(std::size_t n) {
    const Node& node = graph_.nodes[n];
    bool all_known = true;
    for (const ValueId id : node.outputs) all_known = all_known && (id == no_value || info(id).known != nullptr);
    if (all_known) return;
    const Operator& op = *find_operator(node.op);
    const int layer = layer_of_node_[n];
    require<InputError>(layer >= 0 || op.compute != nullptr,
                        "node '{}' ({}): the weight is not constant; only constant weights are supported", node.name,
                        node.op);
    const Layout layout = choose_layout(node, op);
    Step step{.node = static_cast<int>(n), .op = &op, .in = {}, .out = {}, .layer = layer};
    const bool recurrent = node.op == "LSTM" || node.op == "GRU" || node.op == "RNN";
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      const std::size_t last_weight = recurrent ? 3 : 2;
      const bool weight =
          layer >= 0 && i > 0 && i <= last_weight && (node.inputs[i] == no_value || graph_.is_constant(node.inputs[i]));
      step.in.push_back(weight ? -1 : operand(node, op, i, layout));
    }
    std::vector<ValueId> outputs = node.outputs;
    if (layer >= 0 && !recurrent && !observed_) step.limits = fuse_limits(outputs);
    for (const ValueId id : outputs) {
      const Layout out_layout = op.layout == LayoutRule::reduce ? Layout::natural : layout;
      step.out.push_back(id == no_value ? -1 : new_slot(id, out_layout));
    }
    if (op.view) share(step.out[0], step.in[0]);
    if (!op.view) plan_.steps.push_back(std::move(step));
  }

  /// If the only reader of a layer's only output is a Relu, or a Clip with constant bounds, the layer writes that node's
  /// output instead.
  kernels::Limits fuse_limits(std::vector<ValueId>& outputs) {
    if (outputs.size() != 1 || is_output_[static_cast<std::size_t>(outputs[0])]) return {};
    const std::vector<int>& readers = readers_[static_cast<std::size_t>(outputs[0])];
    if (readers.size() != 1) return {};
    const Node& reader = graph_.nodes[static_cast<std::size_t>(readers[0])];
    const std::optional<kernels::Limits> limits = limits_of(reader);
    if (!limits || reader.input(0) != outputs[0]) return {};
    skip_[static_cast<std::size_t>(readers[0])] = true;
    outputs[0] = reader.outputs[0];
    return *limits;
  }

  std::optional<kernels::Limits> limits_of(const Node& node) const {
    if (node.op == "Relu") return kernels::rectifier;
    if (node.op != "Clip" || use_ == BufferUse::kept) return std::nullopt;
    kernels::Limits limits;
    for (std::size_t i = 1; i < 3; ++i) {
      const ValueId id = node.input(i);
      if (id == no_value) continue;
      const Tensor* bound = info(id).known == nullptr ? nullptr : std::get_if<Tensor>(info(id).known.get());
      if (bound == nullptr) return std::nullopt;
      (i == 1 ? limits.low : limits.high) = bound->data()[0];
    }
    return limits;
  }

  void assign_buffers() {
    // Last step that touches each root; graph outputs live to the end.
    std::vector<int> last(plan_.slots.size(), -1);
    const auto touch = [&](int slot, int when) {
      if (slot >= 0) last[static_cast<std::size_t>(root_[static_cast<std::size_t>(slot)])] = when;
    };
    const auto count = static_cast<int>(plan_.steps.size());
    for (int s = 0; s < count; ++s) {
      for (const int slot : plan_.steps[static_cast<std::size_t>(s)].in) touch(slot, s);
      for (const int slot : plan_.steps[static_cast<std::size_t>(s)].out) touch(slot, s);
    }
    for (const int slot : plan_.outputs) touch(slot, count);

    std::vector<int> free;
    for (int s = 0; s < count; ++s) {
      const Step& step = plan_.steps[static_cast<std::size_t>(s)];
      for (std::size_t o = 0; o < step.out.size(); ++o) {
        const int slot = step.out[o];
        if (slot < 0) continue;
        if (o == 0 && reuse_input(step, s, last)) continue;
        at(slot).buffer = take_buffer(free, element_count(at(slot).shape) * element_bytes(at(slot).type));
      }
      for (const auto* slots : {&step.in, &step.out})
        for (const int slot : *slots) {
          if (slot < 0) continue;
          const int root = root_[static_cast<std::size_t>(slot)];
          const int buffer = at(root).buffer;
          if (use_ == BufferUse::reused && last[static_cast<std::size_t>(root)] == s && buffer >= 0 &&
              std::ranges::find(free, buffer) == free.end())
            free.push_back(buffer);
        }
    }
    for (std::size_t i = 0; i < plan_.slots.size(); ++i) plan_.slots[i].buffer = at(root_[i]).buffer;
  }

  /// Gives the first output the memory of an input that dies here, where the operator allows it.
  bool reuse_input(const Step& step, int s, std::vector<int>& last) {
    if (use_ == BufferUse::kept || step.op == nullptr || !step.op->in_place) return false;
    const Slot& out = at(step.out[0]);
    for (const int slot : step.in) {
      if (slot < 0) continue;
      const auto root = static_cast<std::size_t>(root_[static_cast<std::size_t>(slot)]);
      const Slot& in = at(slot);
      if (last[root] != s || at(static_cast<int>(root)).buffer < 0 || in.shape != out.shape || in.type != out.type ||
          in.layout != out.layout)
        continue;
      // From here on the output's root owns the buffer, so the input must not release it.
      const int buffer = at(static_cast<int>(root)).buffer;
      const int own = step.out[0];
      at(own).buffer = buffer;
      last[root] = -1;
      return true;
    }
    return false;
  }

  int take_buffer(std::vector<int>& free, std::int64_t bytes) {
    // The smallest free buffer that is large enough; else the largest one, enlarged.
    const auto size = [&](int buffer) { return plan_.buffer_bytes[static_cast<std::size_t>(buffer)]; };
    int best = -1;
    for (const int buffer : free) {
      if (best < 0) {
        best = buffer;
      } else {
        const bool fits = size(buffer) >= bytes, best_fits = size(best) >= bytes;
        if (fits != best_fits ? fits : fits ? size(buffer) < size(best) : size(buffer) > size(best)) best = buffer;
      }
    }
    if (best < 0) {
      plan_.buffer_bytes.push_back(bytes);
      return static_cast<int>(plan_.buffer_bytes.size()) - 1;
    }
    free.erase(std::ranges::find(free, best));
    std::int64_t& current = plan_.buffer_bytes[static_cast<std::size_t>(best)];
    current = std::max(current, bytes);
    return best;
  }

  const Graph& graph_;
  const std::vector<int>& layer_of_node_;
  bool observed_;
  BufferUse use_;
  std::vector<ValueInfo> infos_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> is_output_;
  std::vector<std::array<int, 2>> slot_of_;
  std::vector<bool> skip_ = std::vector<bool>(graph_.nodes.size());
  std::vector<int> root_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const Graph& graph, const std::vector<Shape>& input_shapes, const std::vector<int>& layer_of_node,
               bool observed, BufferUse use) {
  return Planner(graph, input_shapes, layer_of_node, observed, use).build();
}

}  // namespace tessera::nn
