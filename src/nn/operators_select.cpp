#include <algorithm>
#include <cstring>

#include "index_check.hpp"
#include "operator_list.hpp"

/// Operators that pick, mark or reorder elements: GatherND, OneHot, NonZero, Compress, EyeLike, ReverseSequence.
namespace tessera::nn {

namespace {

/// 1 where an element is not zero.
std::vector<bool> marks_of(const Array& array) {
  std::vector<bool> marks(static_cast<std::size_t>(array.size()));
  for (std::int64_t i = 0; i < array.size(); ++i)
    marks[static_cast<std::size_t>(i)] = array.is_float() ? array.floats()[i] != 0.0F : array.integers()[i] != 0;
  return marks;
}

std::vector<bool> known_marks(const InferContext& c, std::size_t i) {
  const ValueInfo& info = c.required(i);
  require<InputError>(info.known != nullptr,
                      "{}: which elements are chosen depends on the data, so the shape of the output would; only "
                      "constant sub-graphs are supported",
                      c.where());
  return marks_of(array_of(*info.known));
}

}  // namespace

// --- GatherND --------------------------------------------------------------------------------------------------------

void infer_gather_nd(const InferContext& c) {
  const Shape &data = c.shape(0), &indices = c.shape(1);
  const std::int64_t batch = c.node.integer("batch_dims", 0);
  require<InputError>(c.required(1).type == ElementType::int64 && !indices.empty() && indices.back() >= 1 &&
                          batch >= 0 && batch < c.rank(1) && batch + indices.back() <= c.rank(0),
                      "{}: indices of shape {} for data of shape {} with {} batch axes", c.where(), to_string(indices),
                      to_string(data), batch);
  require<InputError>(std::equal(data.begin(), data.begin() + batch, indices.begin()),
                      "{}: data of {} and indices of {} differ in their first {} axes", c.where(), to_string(data),
                      to_string(indices), batch);
  Shape out(indices.begin(), indices.end() - 1);
  out.insert(out.end(), data.begin() + batch + indices.back(), data.end());
  c.set(0, c.required(0).type, out);
}

void compute_gather_nd(const ComputeContext& c) {
  const Shape& data = c.in[0].shape;
  const Shape strides = strides_of(data);
  const auto batch = static_cast<std::size_t>(c.node.integer("batch_dims", 0));
  const auto depth = static_cast<std::size_t>(c.in[1].shape.back());
  std::int64_t batches = 1, slice = element_bytes(c.in[0].type);
  for (std::size_t i = 0; i < batch; ++i) batches *= data[i];
  for (std::size_t i = batch + depth; i < data.size(); ++i) slice *= data[i];
  const std::int64_t per_batch = batches == 0 ? 0 : c.in[0].size() / batches;
  const std::int64_t count = c.in[1].size() / c.in[1].shape.back(), own = batches == 0 ? 0 : count / batches;
  const std::int64_t* index = c.in[1].integers();
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t offset = i / own * per_batch;
    for (std::size_t d = 0; d < depth; ++d)
      offset += checked_index(index[static_cast<std::size_t>(i) * depth + d], data[batch + d], c) * strides[batch + d];
    std::memcpy(static_cast<char*>(c.out[0].data) + i * slice,
                static_cast<const char*>(c.in[0].data) + offset * element_bytes(c.in[0].type),
                static_cast<std::size_t>(slice));
  }
}

// --- OneHot ----------------------------------------------------------------------------------------------------------

namespace {

std::int64_t one_hot_axis(const Node& node, std::int64_t rank, const std::string& where) {
  return normal_axis(node.integer("axis", -1), rank + 1, where);
}

}  // namespace

/// Inputs: indices, depth, values [off, on].
void infer_one_hot(const InferContext& c) {
  const std::vector<float> depth = c.known_floats(1);
  require<InputError>(depth.size() == 1 && depth[0] >= 1.0F && depth[0] < static_cast<float>(largest_extent),
                      "{}: the depth must be one positive number", c.where());
  require<InputError>(element_count(c.shape(2)) == 2, "{}: values of shape {} (must be off and on)", c.where(),
                      to_string(c.shape(2)));
  Shape out = c.shape(0);
  out.insert(out.begin() + one_hot_axis(c.node, c.rank(0), c.where()), static_cast<std::int64_t>(depth[0]));
  c.set(0, c.required(2).type, out);
}

void compute_one_hot(const ComputeContext& c) {
  const std::int64_t axis = one_hot_axis(c.node, c.in[0].rank(), c.where()), depth = c.out[0].dim(axis);
  std::int64_t inner = 1;
  for (std::int64_t d = axis; d < c.in[0].rank(); ++d) inner *= c.in[0].dim(d);
  const auto fill = [&](auto* out, const auto* values) {
    std::fill_n(out, c.out[0].size(), values[0]);
    for (std::int64_t i = 0; i < c.in[0].size(); ++i) {
      std::int64_t index = c.in[0].is_float() ? static_cast<std::int64_t>(c.in[0].floats()[i]) : c.in[0].integers()[i];
      if (index < -depth || index >= depth) continue;  // all off
      if (index < 0) index += depth;
      out[(i / inner * depth + index) * inner + i % inner] = values[1];
    }
  };
  if (c.out[0].is_float())
    fill(c.out[0].floats(), c.in[2].floats());
  else
    fill(c.out[0].integers(), c.in[2].integers());
}

// --- NonZero, Compress, EyeLike --------------------------------------------------------------------------------------

void infer_non_zero(const InferContext& c) {
  const std::vector<bool> marks = known_marks(c, 0);
  c.set(0, ElementType::int64, {c.rank(0), std::ranges::count(marks, true)});
}

void compute_non_zero(const ComputeContext& c) {
  const std::vector<bool> marks = marks_of(c.in[0]);
  const Shape strides = strides_of(c.in[0].shape);
  std::int64_t column = 0;
  for (std::int64_t i = 0; i < c.in[0].size(); ++i) {
    if (!marks[static_cast<std::size_t>(i)]) continue;
    for (std::size_t d = 0; d < strides.size(); ++d)
      c.out[0].integers()[static_cast<std::int64_t>(d) * c.out[0].dim(1) + column] = i / strides[d] % c.in[0].shape[d];
    ++column;
  }
}

/// Without an axis the input is flattened. The condition may be shorter than the axis.
void infer_compress(const InferContext& c) {
  const std::vector<bool> marks = known_marks(c, 1);
  const bool flat = !c.node.attributes.contains("axis");
  Shape out = flat ? Shape{element_count(c.shape(0))} : c.shape(0);
  const auto axis = flat ? 0 : normal_axis(c.node.integer("axis", 0), c.rank(0), c.where());
  std::int64_t& extent = out[static_cast<std::size_t>(axis)];
  require<InputError>(static_cast<std::int64_t>(marks.size()) <= extent, "{}: {} conditions for {} elements", c.where(),
                      marks.size(), extent);
  extent = std::ranges::count(marks, true);
  c.set(0, c.required(0).type, out);
}

void compute_compress(const ComputeContext& c) {
  const std::vector<bool> marks = marks_of(c.in[1]);
  const bool flat = !c.node.attributes.contains("axis");
  const std::int64_t axis = flat ? 0 : normal_axis(c.node.integer("axis", 0), c.in[0].rank(), c.where());
  const Shape in = flat ? Shape{c.in[0].size()} : c.in[0].shape;
  std::int64_t outer = 1, bytes = element_bytes(c.in[0].type);
  for (std::size_t d = 0; d < in.size(); ++d)
    if (static_cast<std::int64_t>(d) != axis) (static_cast<std::int64_t>(d) < axis ? outer : bytes) *= in[d];
  const std::int64_t extent = in[static_cast<std::size_t>(axis)];
  auto* to = static_cast<char*>(c.out[0].data);
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::size_t i = 0; i < marks.size(); ++i) {
      if (!marks[i]) continue;
      std::memcpy(to, static_cast<const char*>(c.in[0].data) + (o * extent + static_cast<std::int64_t>(i)) * bytes,
                  static_cast<std::size_t>(bytes));
      to += bytes;
    }
}

void infer_eye_like(const InferContext& c) {
  require<InputError>(c.rank(0) == 2, "{}: an input of {} (must be a matrix)", c.where(), to_string(c.shape(0)));
  const bool floats = c.node.integer("float", 1) != 0;
  c.set(0, floats ? ElementType::float32 : ElementType::int64, c.shape(0));
}

void compute_eye_like(const ComputeContext& c) {
  const std::int64_t k = c.node.integer("k", 0), cols = c.out[0].dim(1);
  for (std::int64_t i = 0; i < c.out[0].size(); ++i) {
    const bool one = i % cols - i / cols == k;
    if (c.out[0].is_float())
      c.out[0].floats()[i] = one ? 1.0F : 0.0F;
    else
      c.out[0].integers()[i] = one ? 1 : 0;
  }
}

// --- ReverseSequence -------------------------------------------------------------------------------------------------

void infer_reverse_sequence(const InferContext& c) {
  const std::int64_t batch = c.node.integer("batch_axis", 1), time = c.node.integer("time_axis", 0);
  require<InputError>(c.rank(0) >= 2 && batch != time && batch >= 0 && batch <= 1 && time >= 0 && time <= 1,
                      "{}: batch axis {} and time axis {} of {} (must be the first two)", c.where(), batch, time,
                      to_string(c.shape(0)));
  require<InputError>(c.required(1).type == ElementType::int64 &&
                          element_count(c.shape(1)) == c.shape(0)[static_cast<std::size_t>(batch)],
                      "{}: lengths of shape {} for an input of {}", c.where(), to_string(c.shape(1)),
                      to_string(c.shape(0)));
  c.set(0, c.required(0).type, c.shape(0));
}

void compute_reverse_sequence(const ComputeContext& c) {
  const bool time_first = c.node.integer("time_axis", 0) == 0;
  const std::int64_t rows = c.in[0].dim(0), cols = c.in[0].dim(1), steps = time_first ? rows : cols;
  const std::int64_t bytes = rows * cols == 0 ? 0 : c.in[0].size() / (rows * cols) * element_bytes(c.in[0].type);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < cols; ++k) {
      const std::int64_t length = c.in[1].integers()[time_first ? k : r], step = time_first ? r : k;
      if (length < 0 || length > steps)
        throw RunError(fmt::format("{}: a length of {} for {} steps", c.where(), length, steps));
      const std::int64_t source = step < length ? length - 1 - step : step;
      const std::int64_t from = time_first ? source * cols + k : r * cols + source;
      std::memcpy(static_cast<char*>(c.out[0].data) + (r * cols + k) * bytes,
                  static_cast<const char*>(c.in[0].data) + from * bytes, static_cast<std::size_t>(bytes));
    }
}

// --- TensorScatter ---------------------------------------------------------------------------------------------------

/// Inputs: a cache, rows to write along an axis, and where each sample's begin (0 if absent).
void infer_tensor_scatter(const InferContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", -2), c.rank(0), c.where());
  Shape update = c.shape(1);
  const bool fits = update.size() == c.shape(0).size() && axis > 0 &&
                    update[static_cast<std::size_t>(axis)] <= c.shape(0)[static_cast<std::size_t>(axis)];
  if (fits) update[static_cast<std::size_t>(axis)] = c.shape(0)[static_cast<std::size_t>(axis)];
  require<InputError>(fits && update == c.shape(0) && c.required(1).type == c.required(0).type,
                      "{}: an update of shape {} along axis {} of a cache of {}", c.where(), to_string(c.shape(1)),
                      axis, to_string(c.shape(0)));
  if (c.has(2))
    require<InputError>(c.required(2).type == ElementType::int64 && element_count(c.shape(2)) == c.shape(0)[0],
                        "{}: write indices of shape {} for {} samples", c.where(), to_string(c.shape(2)),
                        c.shape(0)[0]);
  c.set(0, c.required(0).type, c.shape(0));
}

void compute_tensor_scatter(const ComputeContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", -2), c.in[0].rank(), c.where());
  const bool circular = c.node.text("mode", "linear") == "circular";
  std::int64_t outer = 1, bytes = element_bytes(c.in[0].type);
  for (std::int64_t d = 0; d < c.in[0].rank(); ++d)
    if (d != axis) (d < axis ? outer : bytes) *= c.in[0].dim(d);
  const std::int64_t extent = c.in[0].dim(axis), count = c.in[1].dim(axis);
  const std::int64_t per_sample = c.in[0].dim(0) == 0 ? 1 : outer / c.in[0].dim(0);
  std::memcpy(c.out[0].data, c.in[0].data, static_cast<std::size_t>(outer * extent * bytes));
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t at = (c.has(2) ? c.in[2].integers()[o / per_sample] : 0) + i;
      if (circular) at = (at % extent + extent) % extent;
      if (at < 0 || at >= extent)
        throw RunError(fmt::format("{}: position {} is out of range for an axis of {}", c.where(), at, extent));
      std::memcpy(static_cast<char*>(c.out[0].data) + (o * extent + at) * bytes,
                  static_cast<const char*>(c.in[1].data) + (o * count + i) * bytes, static_cast<std::size_t>(bytes));
    }
}

}  // namespace tessera::nn
