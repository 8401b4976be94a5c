#include <algorithm>
#include <cmath>
#include <cstring>

#include "operator_list.hpp"

/// Operators on shapes: the same memory under another one, shapes as values, constants of a shape.
namespace tessera::nn {

namespace {

/// Axes given as an integer input, normalised and checked for repetition.
std::vector<std::int64_t> axes_input(const InferContext& c, std::size_t i, std::int64_t rank) {
  std::vector<std::int64_t> axes = c.known_integers(i);
  std::vector<bool> seen(static_cast<std::size_t>(rank));
  for (std::int64_t& axis : axes) {
    axis = normal_axis(axis, rank, c.where());
    require<InputError>(!seen[static_cast<std::size_t>(axis)], "{}: axis {} is given twice", c.where(), axis);
    seen[static_cast<std::size_t>(axis)] = true;
  }
  return axes;
}

}  // namespace

// --- Reshape, Flatten, Squeeze, Unsqueeze: the same memory under another shape ---------------------------------------

void infer_reshape(const InferContext& c) {
  const Shape& in = c.shape(0);
  Shape target = c.known_integers(1);
  const bool keep_zero = c.node.integer("allowzero", 0) != 0;
  std::int64_t known = 1, free = -1;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && !keep_zero) {
      require<InputError>(i < in.size(), "{}: entry {} of the target copies an axis that {} does not have", c.where(),
                          i, to_string(in));
      target[i] = in[i];
    }
    if (target[i] == -1) {
      require<InputError>(free < 0, "{}: the target shape has two entries of -1", c.where());
      free = static_cast<std::int64_t>(i);
      continue;
    }
    require<InputError>(target[i] >= 0 && target[i] < largest_extent, "{}: target extent {}", c.where(), target[i]);
    require<InputError>(!__builtin_mul_overflow(known, target[i], &known), "{}: the target shape is too large",
                        c.where());
  }
  const std::int64_t count = element_count(in);
  if (free >= 0) {
    require<InputError>(known > 0 && count % known == 0, "{}: {} does not fit the target shape", c.where(),
                        to_string(in));
    target[static_cast<std::size_t>(free)] = count / known;
    known = count;
  }
  require<InputError>(known == count, "{}: cannot reshape {} to {}", c.where(), to_string(in), to_string(target));
  c.set(0, c.required(0).type, target);
}

void infer_flatten(const InferContext& c) {
  const Shape& in = c.shape(0);
  const auto rank = static_cast<std::int64_t>(in.size());
  std::int64_t axis = c.node.integer("axis", 1);
  require<InputError>(axis >= -rank && axis <= rank, "{}: axis {} is out of range for rank {}", c.where(), axis, rank);
  if (axis < 0) axis += rank;
  std::int64_t before = 1, after = 1;
  for (std::int64_t i = 0; i < rank; ++i) (i < axis ? before : after) *= in[static_cast<std::size_t>(i)];
  c.set(0, c.required(0).type, {before, after});
}

void infer_squeeze(const InferContext& c) {
  const Shape& in = c.shape(0);
  std::vector<bool> drop(in.size());
  if (c.has(1)) {
    for (const std::int64_t axis : axes_input(c, 1, c.rank(0))) {
      require<InputError>(in[static_cast<std::size_t>(axis)] == 1, "{}: axis {} of {} is not 1", c.where(), axis,
                          to_string(in));
      drop[static_cast<std::size_t>(axis)] = true;
    }
  } else {
    for (std::size_t i = 0; i < in.size(); ++i) drop[i] = in[i] == 1;
  }
  Shape out;
  for (std::size_t i = 0; i < in.size(); ++i)
    if (!drop[i]) out.push_back(in[i]);
  c.set(0, c.required(0).type, out);
}

void infer_unsqueeze(const InferContext& c) {
  const Shape& in = c.shape(0);
  const std::int64_t rank = c.rank(0) + static_cast<std::int64_t>(c.known_integers(1).size());
  require<InputError>(rank <= 64, "{}: rank {} is too large", c.where(), rank);
  std::vector<std::int64_t> axes = axes_input(c, 1, rank);
  std::ranges::sort(axes);
  Shape out = in;
  for (const std::int64_t axis : axes) out.insert(out.begin() + axis, 1);
  c.set(0, c.required(0).type, out);
}

void infer_same(const InferContext& c) {
  c.set(0, c.required(0).type, c.shape(0));
}

void compute_view(const ComputeContext& c) {
  if (c.out[0].data != c.in[0].data)
    std::memcpy(c.out[0].data, c.in[0].data, static_cast<std::size_t>(c.in[0].size() * element_bytes(c.in[0].type)));
}

// --- Shape, Size, ConstantOfShape, Range -----------------------------------------------------------------------------

void infer_shape(const InferContext& c) {
  const auto rank = c.rank(0);
  const auto clamp = [rank](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const std::int64_t start = clamp(c.node.integer("start", 0));
  const std::int64_t end = std::max(start, clamp(c.node.integer("end", rank)));
  const Shape& in = c.shape(0);
  c.set(0, ElementType::int64, {end - start});
  c.out[0].known = std::make_shared<const Constant>(IntTensor{{end - start}, {in.begin() + start, in.begin() + end}});
}

void infer_size(const InferContext& c) {
  c.set(0, ElementType::int64, {});
  c.out[0].known = std::make_shared<const Constant>(IntTensor{{}, {element_count(c.shape(0))}});
}

void infer_constant_of_shape(const InferContext& c) {
  const Shape shape = c.known_integers(0);
  for (const std::int64_t extent : shape)
    require<InputError>(extent >= 0 && extent < largest_extent, "{}: extent {}", c.where(), extent);
  const bool integer = c.node.attributes.contains("integer_value");
  c.set(0, integer ? ElementType::int64 : ElementType::float32, shape);
}

void compute_constant_of_shape(const ComputeContext& c) {
  if (c.out[0].is_float())
    std::fill_n(c.out[0].floats(), c.out[0].size(), c.node.real("value", 0.0F));
  else
    std::fill_n(c.out[0].integers(), c.out[0].size(), c.node.integer("integer_value", 0));
}

void infer_range(const InferContext& c) {
  const ElementType type = c.required(0).type;
  std::int64_t count = 0;
  if (type == ElementType::int64) {
    const std::int64_t start = c.known_integers(0).at(0), limit = c.known_integers(1).at(0),
                       delta = c.known_integers(2).at(0);
    require<InputError>(delta != 0, "{}: a step of 0", c.where());
    const double exact = (static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta);
    require<InputError>(exact < 1e9, "{}: more than 1e9 values", c.where());
    count = static_cast<std::int64_t>(std::max(0.0, std::ceil(exact)));
  } else {
    const float start = c.known_floats(0).at(0), limit = c.known_floats(1).at(0), delta = c.known_floats(2).at(0);
    const double exact = (static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta);
    require<InputError>(delta != 0.0F && exact < 1e9, "{}: range from {} to {} by {}", c.where(), start, limit, delta);
    count = static_cast<std::int64_t>(std::max(0.0, std::ceil(exact)));
  }
  c.set(0, type, {count});
}

void compute_range(const ComputeContext& c) {
  for (std::int64_t i = 0; i < c.out[0].size(); ++i)
    if (c.out[0].is_float())
      c.out[0].floats()[i] = c.in[0].floats()[0] + static_cast<float>(i) * c.in[2].floats()[0];
    else
      c.out[0].integers()[i] = c.in[0].integers()[0] + i * c.in[2].integers()[0];
}

}  // namespace tessera::nn
