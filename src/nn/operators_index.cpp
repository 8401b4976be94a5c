#include <algorithm>
#include <cstring>

#include "index_check.hpp"
#include "operator_list.hpp"

/// Operators that read or write elements at indices given as data.
namespace tessera::nn {

// --- Gather, GatherElements, ScatterND, ScatterElements --------------------------------------------------------------

std::int64_t checked_index(std::int64_t index, std::int64_t extent, const ComputeContext& c) {
  if (index < -extent || index >= extent)
    throw RunError(fmt::format("{}: index {} is out of range for an axis of {}", c.where(), index, extent));
  return index < 0 ? index + extent : index;
}

namespace {

struct AxisSplit {
  std::int64_t outer = 1, extent = 1, inner = 1;
};

AxisSplit split_at(const Shape& shape, std::int64_t axis) {
  AxisSplit split;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    (at < axis ? split.outer : at == axis ? split.extent : split.inner) *= shape[i];
  }
  return split;
}

}  // namespace

void infer_gather(const InferContext& c) {
  const Shape& in = c.shape(0);
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.rank(0), c.where());
  require<InputError>(c.required(1).type == ElementType::int64, "{}: indices must be integers", c.where());
  const std::int64_t extent = in[static_cast<std::size_t>(axis)];
  if (c.required(1).known)
    for (const std::int64_t index : c.known_integers(1))
      require<InputError>(index >= -extent && index < extent, "{}: index {} is out of range for an axis of {}",
                          c.where(), index, extent);
  Shape out(in.begin(), in.begin() + axis);
  out.insert(out.end(), c.shape(1).begin(), c.shape(1).end());
  out.insert(out.end(), in.begin() + axis + 1, in.end());
  c.set(0, c.required(0).type, out);
}

void compute_gather(const ComputeContext& c) {
  const AxisSplit split = split_at(c.in[0].shape, normal_axis(c.node.integer("axis", 0), c.in[0].rank(), c.where()));
  const std::int64_t count = c.in[1].size();
  const auto bytes = static_cast<std::size_t>(split.inner * element_bytes(c.in[0].type));
  const char* in = static_cast<const char*>(c.in[0].data);
  char* out = static_cast<char*>(c.out[0].data);
  for (std::int64_t o = 0; o < split.outer; ++o)
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t index = checked_index(c.in[1].integers()[i], split.extent, c);
      std::memcpy(out, in + static_cast<std::size_t>(o * split.extent + index) * bytes, bytes);
      out += bytes;
    }
}

void infer_gather_elements(const InferContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.rank(0), c.where());
  require<InputError>(c.shape(1).size() == c.shape(0).size() && c.required(1).type == ElementType::int64,
                      "{}: indices must be integers of the data's rank", c.where());
  for (std::size_t i = 0; i < c.shape(0).size(); ++i)
    require<InputError>(static_cast<std::int64_t>(i) == axis || c.shape(1)[i] <= c.shape(0)[i],
                        "{}: indices of shape {} for data of shape {}", c.where(), to_string(c.shape(1)),
                        to_string(c.shape(0)));
  c.set(0, c.required(0).type, c.shape(1));
}

namespace {

/// Calls body(linear index into `indices`, offset of the addressed element in data of shape `data`).
template <class Body>
void for_each_element_index(const ComputeContext& c, const Array& indices, const Shape& data, std::int64_t axis,
                            Body body) {
  const Shape strides = strides_of(data);
  std::vector<std::int64_t> at(indices.shape.size(), 0);
  for (std::int64_t i = 0; i < indices.size(); ++i) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < at.size(); ++d) {
      const bool chosen = static_cast<std::int64_t>(d) == axis;
      offset += (chosen ? checked_index(indices.integers()[i], data[d], c) : at[d]) * strides[d];
    }
    body(i, offset);
    for (std::size_t d = at.size(); d-- > 0;) {
      if (++at[d] < indices.shape[d]) break;
      at[d] = 0;
    }
  }
}

template <class T>
T reduced(T old, T update, const std::string& reduction) {
  if (reduction == "add") return old + update;
  if (reduction == "mul") return old * update;
  if (reduction == "max") return std::max(old, update);
  if (reduction == "min") return std::min(old, update);
  return update;
}

void check_reduction(const InferContext& c) {
  const std::string reduction = c.node.text("reduction", "none");
  require<InputError>(
      reduction == "none" || reduction == "add" || reduction == "mul" || reduction == "max" || reduction == "min",
      "{}: reduction '{}' is not known", c.where(), reduction);
  require<InputError>(c.required(1).type == ElementType::int64 && c.required(2).type == c.required(0).type,
                      "{}: indices must be integers and updates of the data's type", c.where());
}

}  // namespace

void compute_gather_elements(const ComputeContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.in[0].rank(), c.where());
  for_each_element_index(c, c.in[1], c.in[0].shape, axis, [&](std::int64_t i, std::int64_t offset) {
    if (c.out[0].is_float())
      c.out[0].floats()[i] = c.in[0].floats()[offset];
    else
      c.out[0].integers()[i] = c.in[0].integers()[offset];
  });
}

void infer_scatter_elements(const InferContext& c) {
  check_reduction(c);
  normal_axis(c.node.integer("axis", 0), c.rank(0), c.where());
  require<InputError>(c.shape(1) == c.shape(2) && c.shape(1).size() == c.shape(0).size(),
                      "{}: indices and updates must have the same shape and the data's rank", c.where());
  for (std::size_t i = 0; i < c.shape(0).size(); ++i)
    require<InputError>(c.shape(1)[i] <= c.shape(0)[i], "{}: indices of shape {} for data of shape {}", c.where(),
                        to_string(c.shape(1)), to_string(c.shape(0)));
  c.set(0, c.required(0).type, c.shape(0));
}

void compute_scatter_elements(const ComputeContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.in[0].rank(), c.where());
  const std::string reduction = c.node.text("reduction", "none");
  std::memcpy(c.out[0].data, c.in[0].data, static_cast<std::size_t>(c.in[0].size() * element_bytes(c.in[0].type)));
  for_each_element_index(c, c.in[1], c.in[0].shape, axis, [&](std::int64_t i, std::int64_t offset) {
    if (c.out[0].is_float())
      c.out[0].floats()[offset] = reduced(c.out[0].floats()[offset], c.in[2].floats()[i], reduction);
    else
      c.out[0].integers()[offset] = reduced(c.out[0].integers()[offset], c.in[2].integers()[i], reduction);
  });
}

void infer_scatter_nd(const InferContext& c) {
  check_reduction(c);
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  require<InputError>(
      !indices.empty() && indices.back() >= 1 && indices.back() <= static_cast<std::int64_t>(data.size()),
      "{}: indices of shape {} for data of shape {}", c.where(), to_string(indices), to_string(data));
  Shape updates(indices.begin(), indices.end() - 1);
  updates.insert(updates.end(), data.begin() + indices.back(), data.end());
  require<InputError>(c.shape(2) == updates, "{}: updates of shape {} (must be {})", c.where(), to_string(c.shape(2)),
                      to_string(updates));
  c.set(0, c.required(0).type, data);
}

void compute_scatter_nd(const ComputeContext& c) {
  const std::string reduction = c.node.text("reduction", "none");
  std::memcpy(c.out[0].data, c.in[0].data, static_cast<std::size_t>(c.in[0].size() * element_bytes(c.in[0].type)));
  const Shape& data = c.in[0].shape;
  const Shape strides = strides_of(data);
  const std::int64_t depth = c.in[1].shape.back();
  const std::int64_t count = c.in[1].size() / depth;
  const std::int64_t slice = count == 0 ? 0 : c.in[2].size() / count;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t offset = 0;
    for (std::int64_t d = 0; d < depth; ++d)
      offset += checked_index(c.in[1].integers()[i * depth + d], data[static_cast<std::size_t>(d)], c) *
                strides[static_cast<std::size_t>(d)];
    for (std::int64_t k = 0; k < slice; ++k)
      if (c.out[0].is_float())
        c.out[0].floats()[offset + k] =
            reduced(c.out[0].floats()[offset + k], c.in[2].floats()[i * slice + k], reduction);
      else
        c.out[0].integers()[offset + k] =
            reduced(c.out[0].integers()[offset + k], c.in[2].integers()[i * slice + k], reduction);
  }
}

}  // namespace tessera::nn
