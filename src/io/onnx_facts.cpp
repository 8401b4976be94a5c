#include "onnx_facts.hpp"

#include "tessera/core/error.hpp"

namespace tessera::io {

void GraphFacts::follow(Assumption& assumption, std::size_t first_node) const {
  auto& infos = assumption.infos;
  infos.resize(graph_.values.size());
  for (std::size_t v = 0; v < infos.size(); ++v)
    if (const auto& constant = graph_.values[v].constant) infos[v] = nn::info_of(*constant);  // values may have moved
  for (const nn::GraphInput& input : graph_.inputs) {
    auto& info = infos[static_cast<std::size_t>(input.value)];
    if (info) continue;
    info.emplace();
    info->type = input.type;
    info->shape = input.shape;
    for (std::size_t d = 0; d < input.shape.size(); ++d) {
      if (d == 0 && input.batched && input.shape[0] <= 1)
        info->shape[0] = assumption.batch;
      else if (input.shape[d] < 0)
        info->shape[d] = assumption.free_extent;
    }
  }
  for (std::size_t n = first_node; n < graph_.nodes.size(); ++n) {
    const nn::Node& node = graph_.nodes[n];
    std::vector<const nn::ValueInfo*> in;
    bool ready = true;
    for (const nn::ValueId id : node.inputs) {
      const auto* info = id == nn::no_value ? nullptr : &infos[static_cast<std::size_t>(id)];
      ready = ready && (info == nullptr || info->has_value());
      in.push_back(info == nullptr || !info->has_value() ? nullptr : &**info);
    }
    if (!ready) continue;
    try {
      // Shapes, indices and conditions are small; whole weights are folded later, once.
      constexpr std::int64_t largest_known = std::int64_t{1} << 12;
      std::vector<nn::ValueInfo> out = nn::infer_node(node, in, largest_known);
      for (std::size_t i = 0; i < out.size(); ++i)
        if (node.outputs[i] != nn::no_value) infos[static_cast<std::size_t>(node.outputs[i])] = std::move(out[i]);
    } catch (const InputError&) {
      continue;  // reported with all others once the graph is complete
    }
  }
}

void GraphFacts::follow() {
  for (Assumption& assumption : assumptions_) follow(assumption, followed_);
  followed_ = graph_.nodes.size();
}

std::optional<Shape> GraphFacts::shape(nn::ValueId id) {
  if (id == nn::no_value) return std::nullopt;
  follow();
  const auto &a = assumptions_[0].infos[static_cast<std::size_t>(id)],
             &b = assumptions_[1].infos[static_cast<std::size_t>(id)];
  if (!a || (b && a->shape.size() != b->shape.size())) return std::nullopt;
  // A file made for batches of one may fit no other: then extents of 1 may be the batch.
  Shape shape = a->shape;
  for (std::size_t d = 0; d < shape.size(); ++d)
    if (b ? shape[d] != b->shape[d] : shape[d] == 1) shape[d] = -1;
  return shape;
}

std::optional<std::vector<std::int64_t>> GraphFacts::integers(nn::ValueId id) {
  if (id == nn::no_value) return std::nullopt;
  follow();
  const auto &a = assumptions_[0].infos[static_cast<std::size_t>(id)],
             &b = assumptions_[1].infos[static_cast<std::size_t>(id)];
  if (!a || a->known == nullptr || (b && b->known == nullptr)) return std::nullopt;
  const auto *x = std::get_if<nn::IntTensor>(&*a->known), *y = b ? std::get_if<nn::IntTensor>(&*b->known) : x;
  return x != nullptr && y != nullptr && *x == *y ? std::optional(x->values) : std::nullopt;
}

}  // namespace tessera::io
