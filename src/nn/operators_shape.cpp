#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "index_map.hpp"
#include "operator_list.hpp"

/// Operators that reshape, move, select and repeat elements.
namespace tessera::nn {

namespace {

constexpr std::int64_t largest_extent = std::int64_t{1} << 40;

std::int64_t rank_of(const InferContext& c, std::size_t i) {
  return static_cast<std::int64_t>(c.shape(i).size());
}

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

std::vector<std::int64_t> values_of(const Array& array) {
  return {array.integers(), array.integers() + array.size()};
}

std::vector<AxisMap> identity_maps(const Array& in) {
  std::vector<AxisMap> maps;
  for (const std::int64_t extent : physical_shape(in.shape, in.layout)) maps.push_back(identity_map(extent));
  return maps;
}

AxisMap& map_of_axis(std::vector<AxisMap>& maps, const Array& in, std::int64_t axis) {
  return maps[static_cast<std::size_t>(physical_axis(axis, in.rank(), in.layout))];
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
    for (const std::int64_t axis : axes_input(c, 1, rank_of(c, 0))) {
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
  const std::int64_t rank = rank_of(c, 0) + static_cast<std::int64_t>(c.known_integers(1).size());
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
  const auto rank = rank_of(c, 0);
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

// --- Transpose, Slice, Pad, Tile, Expand, Resize by nearest neighbour ------------------------------------------------

namespace {
std::vector<std::int64_t> permutation_of(const Node& node, std::int64_t rank) {
  std::vector<std::int64_t> permutation = node.integers("perm");
  if (permutation.empty())
    for (std::int64_t i = rank; i-- > 0;) permutation.push_back(i);
  return permutation;
}
}  // namespace

void infer_transpose(const InferContext& c) {
  const Shape& in = c.shape(0);
  const std::vector<std::int64_t> permutation = permutation_of(c.node, rank_of(c, 0));
  std::vector<bool> seen(in.size());
  Shape out;
  for (const std::int64_t axis : permutation) {
    require<InputError>(
        permutation.size() == in.size() && axis >= 0 && axis < rank_of(c, 0) && !seen[static_cast<std::size_t>(axis)],
        "{}: perm is not a permutation of the axes of {}", c.where(), to_string(in));
    seen[static_cast<std::size_t>(axis)] = true;
    out.push_back(in[static_cast<std::size_t>(axis)]);
  }
  require<InputError>(out.size() == in.size(), "{}: perm has {} entries for {}", c.where(), out.size(), to_string(in));
  c.set(0, c.required(0).type, out);
}

void compute_transpose(const ComputeContext& c) {
  permute(c.out[0], c.in[0], permutation_of(c.node, c.in[0].rank()), c.parallel);
}

namespace {

/// One axis of a Slice: first index, number of elements, step.
struct SliceAxis {
  std::int64_t axis, start, count, step;
};

std::vector<SliceAxis> slice_axes(const std::string& where, const Shape& in, const std::vector<std::int64_t>& starts,
                                  const std::vector<std::int64_t>& ends, std::vector<std::int64_t> axes,
                                  std::vector<std::int64_t> steps) {
  const std::size_t count = starts.size();
  if (axes.empty())
    for (std::size_t i = 0; i < count; ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (steps.empty()) steps.assign(count, 1);
  require<InputError>(ends.size() == count && axes.size() == count && steps.size() == count && count <= in.size(),
                      "{}: starts, ends, axes and steps differ in length or exceed the rank of {}", where,
                      to_string(in));
  std::vector<SliceAxis> result;
  std::vector<bool> seen(in.size());
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t axis = normal_axis(axes[i], static_cast<std::int64_t>(in.size()), where);
    require<InputError>(!seen[static_cast<std::size_t>(axis)], "{}: axis {} is sliced twice", where, axis);
    seen[static_cast<std::size_t>(axis)] = true;
    const std::int64_t extent = in[static_cast<std::size_t>(axis)], step = steps[i];
    require<InputError>(step != 0, "{}: a step of 0", where);
    if (extent == 0) {
      result.push_back({axis, 0, 0, step});
      continue;
    }
    // The bounds may be the extremes of int64 ("to the end"); clamping before any arithmetic keeps them harmless.
    const auto bounded = [extent](std::int64_t index, std::int64_t low, std::int64_t high) {
      if (index < 0) index = index < -extent ? -1 : index + extent;
      return std::clamp(index, low, high);
    };
    SliceAxis slice{axis, 0, 0, step};
    if (step > 0) {
      slice.start = bounded(starts[i] < -extent ? -extent : starts[i], 0, extent);
      const std::int64_t end = bounded(ends[i] < -extent ? -extent : ends[i], 0, extent);
      slice.count = end > slice.start ? (end - slice.start - 1) / step + 1 : 0;
    } else {
      slice.start = bounded(starts[i] < -extent ? -extent : starts[i], 0, extent - 1);
      const std::int64_t end = bounded(ends[i], -1, extent - 1);
      const std::uint64_t stride = std::uint64_t{0} - static_cast<std::uint64_t>(step);
      slice.count = extent > 0 && slice.start > end
                        ? static_cast<std::int64_t>(static_cast<std::uint64_t>(slice.start - end - 1) / stride) + 1
                        : 0;
    }
    result.push_back(slice);
  }
  return result;
}

}  // namespace

void infer_slice(const InferContext& c) {
  Shape out = c.shape(0);
  const std::vector<std::int64_t> none;
  for (const SliceAxis& slice :
       slice_axes(c.where(), c.shape(0), c.known_integers(1), c.known_integers(2),
                  c.has(3) ? c.known_integers(3) : none, c.has(4) ? c.known_integers(4) : none))
    out[static_cast<std::size_t>(slice.axis)] = slice.count;
  c.set(0, c.required(0).type, out);
}

void compute_slice(const ComputeContext& c) {
  const Array& in = c.in[0];
  std::vector<AxisMap> maps = identity_maps(in);
  const std::vector<std::int64_t> none;
  for (const SliceAxis& slice :
       slice_axes(c.where(), in.shape, values_of(c.in[1]), values_of(c.in[2]), c.has(3) ? values_of(c.in[3]) : none,
                  c.has(4) ? values_of(c.in[4]) : none)) {
    AxisMap& map = map_of_axis(maps, in, slice.axis);
    map.resize(static_cast<std::size_t>(slice.count));
    for (std::size_t i = 0; i < map.size(); ++i) map[i] = slice.start + static_cast<std::int64_t>(i) * slice.step;
  }
  gather_by_maps(c.out[0], in, maps, {}, c.parallel);
}

namespace {

/// Paddings per axis (begin, end) of a Pad node.
std::vector<std::array<std::int64_t, 2>> paddings(const std::string& where, std::int64_t rank,
                                                  const std::vector<std::int64_t>& pads,
                                                  const std::vector<std::int64_t>* axes) {
  std::vector<std::array<std::int64_t, 2>> result(static_cast<std::size_t>(rank), {0, 0});
  const std::size_t count = axes != nullptr ? axes->size() : static_cast<std::size_t>(rank);
  require<InputError>(pads.size() == 2 * count, "{}: {} paddings for {} axes", where, pads.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t axis = axes != nullptr ? normal_axis((*axes)[i], rank, where) : static_cast<std::int64_t>(i);
    for (const std::int64_t pad : {pads[i], pads[i + count]})
      require<InputError>(pad > -largest_extent && pad < largest_extent, "{}: a padding of {}", where, pad);
    result[static_cast<std::size_t>(axis)] = {pads[i], pads[i + count]};
  }
  return result;
}

std::int64_t padded_source(std::int64_t i, std::int64_t extent, const std::string& mode) {
  if (i >= 0 && i < extent) return i;
  if (mode == "constant" || extent == 0) return -1;
  if (mode == "edge") return std::clamp<std::int64_t>(i, 0, extent - 1);
  if (mode == "wrap") return ((i % extent) + extent) % extent;
  const std::int64_t period = std::max<std::int64_t>(1, 2 * (extent - 1));  // reflect
  const std::int64_t phase = ((i % period) + period) % period;
  return phase < extent ? phase : period - phase;
}

}  // namespace

void infer_pad(const InferContext& c) {
  Shape out = c.shape(0);
  const std::string mode = c.node.text("mode", "constant");
  require<InputError>(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap",
                      "{}: mode '{}' is not known", c.where(), mode);
  const auto pads = paddings(c.where(), rank_of(c, 0), c.known_integers(1), c.has(3) ? &c.known_integers(3) : nullptr);
  if (c.has(2))
    require<InputError>(element_count(c.shape(2)) == 1 && c.required(2).type == c.required(0).type,
                        "{}: the padding value must be a scalar of the input's type", c.where());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t extent = out[i] + pads[i][0] + pads[i][1];
    require<InputError>(extent >= 0 && (extent == 0 || out[i] > 0 || mode == "constant"),
                        "{}: axis {} of extent {} padded by {} and {}", c.where(), i, out[i], pads[i][0], pads[i][1]);
    out[i] = extent;
  }
  c.set(0, c.required(0).type, out);
}

void compute_pad(const ComputeContext& c) {
  const Array& in = c.in[0];
  const std::string mode = c.node.text("mode", "constant");
  std::vector<std::int64_t> axes;
  if (c.has(3)) axes = values_of(c.in[3]);
  const auto pads = paddings(c.where(), in.rank(), values_of(c.in[1]), c.has(3) ? &axes : nullptr);
  std::vector<AxisMap> maps = identity_maps(in);
  for (std::int64_t axis = 0; axis < in.rank(); ++axis) {
    const std::array<std::int64_t, 2>& pad = pads[static_cast<std::size_t>(axis)];
    AxisMap& map = map_of_axis(maps, in, axis);
    map.resize(static_cast<std::size_t>(c.out[0].dim(axis)));
    for (std::size_t i = 0; i < map.size(); ++i)
      map[i] = padded_source(static_cast<std::int64_t>(i) - pad[0], in.dim(axis), mode);
  }
  gather_by_maps(c.out[0], in, maps, c.has(2) ? c.in[2] : Array{}, c.parallel);
}

void infer_tile(const InferContext& c) {
  Shape out = c.shape(0);
  const std::vector<std::int64_t>& repeats = c.known_integers(1);
  require<InputError>(repeats.size() == out.size(), "{}: {} repeats for {}", c.where(), repeats.size(), to_string(out));
  for (std::size_t i = 0; i < out.size(); ++i) {
    require<InputError>(repeats[i] >= 0 && repeats[i] < largest_extent, "{}: {} repeats", c.where(), repeats[i]);
    require<InputError>(!__builtin_mul_overflow(out[i], repeats[i], &out[i]), "{}: the result is too large", c.where());
  }
  c.set(0, c.required(0).type, out);
}

void compute_tile(const ComputeContext& c) {
  std::vector<AxisMap> maps;
  for (std::int64_t axis = 0; axis < c.in[0].rank(); ++axis) {
    maps.push_back(identity_map(c.out[0].dim(axis)));
    for (std::int64_t& index : maps.back()) index %= std::max<std::int64_t>(1, c.in[0].dim(axis));
  }
  gather_by_maps(c.out[0], c.in[0], maps, {}, c.parallel);
}

void infer_expand(const InferContext& c) {
  const std::vector<Shape> shapes = {c.shape(0), c.known_integers(1)};
  for (const std::int64_t extent : shapes[1])
    require<InputError>(extent >= 0 && extent < largest_extent, "{}: extent {}", c.where(), extent);
  c.set(0, c.required(0).type, broadcast_shape(shapes, c.where()));
}

void compute_expand(const ComputeContext& c) {
  Array in = c.in[0];
  in.shape.insert(in.shape.begin(), c.out[0].shape.size() - in.shape.size(), 1);
  std::vector<AxisMap> maps;
  for (std::int64_t axis = 0; axis < in.rank(); ++axis)
    maps.push_back(in.dim(axis) == 1 ? AxisMap(static_cast<std::size_t>(c.out[0].dim(axis)), 0)
                                     : identity_map(in.dim(axis)));
  gather_by_maps(c.out[0], in, maps, {}, c.parallel);
}

// --- Concat, Split ---------------------------------------------------------------------------------------------------

void infer_concat(const InferContext& c) {
  Shape out = c.shape(0);
  const auto axis = static_cast<std::size_t>(normal_axis(c.node.integer("axis", 0), rank_of(c, 0), c.where()));
  for (std::size_t i = 1; i < c.in.size(); ++i) {
    Shape other = c.shape(i);
    require<InputError>(other.size() == out.size() && c.required(i).type == c.required(0).type,
                        "{}: {} and {} cannot be concatenated", c.where(), to_string(out), to_string(other));
    const std::int64_t extent = other[axis];
    other[axis] = out[axis];
    require<InputError>(other == out, "{}: {} and {} differ outside axis {}", c.where(), to_string(out),
                        to_string(c.shape(i)), axis);
    out[axis] += extent;
  }
  c.set(0, c.required(0).type, out);
}

namespace {

/// Copies between a whole array and parts of it along one axis.
template <class Copy>
void for_each_part(const Array& whole, std::span<const Array> parts, std::int64_t axis, Parallel parallel, Copy copy) {
  const Shape extents = physical_shape(whole.shape, whole.layout);
  const auto split = static_cast<std::size_t>(physical_axis(axis, whole.rank(), whole.layout));
  std::int64_t outer = 1, inner = element_bytes(whole.type);
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (i != split) (i < split ? outer : inner) *= extents[i];
  const std::int64_t row = extents[split] * inner;
  std::int64_t offset = 0;
  for (const Array& part : parts) {
    const std::int64_t size = part.dim(axis) * inner;
    const std::int64_t rows = std::max<std::int64_t>(1, (std::int64_t{1} << 16) / std::max<std::int64_t>(1, size));
    parallel_for_blocks(parallel, size > 0 ? outer : 0, rows, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o)
        copy(static_cast<char*>(whole.data) + o * row + offset, static_cast<char*>(part.data) + o * size,
             static_cast<std::size_t>(size));
    });
    offset += size;
  }
}

}  // namespace

void compute_concat(const ComputeContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.out[0].rank(), c.where());
  for_each_part(c.out[0], c.in, axis, c.parallel,
                [](char* whole, const char* part, std::size_t bytes) { std::memcpy(whole, part, bytes); });
}

void infer_split(const InferContext& c) {
  const Shape& in = c.shape(0);
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), rank_of(c, 0), c.where());
  const std::int64_t extent = in[static_cast<std::size_t>(axis)];
  const auto count = static_cast<std::int64_t>(c.out.size());
  std::vector<std::int64_t> sizes;
  if (c.has(1)) {
    sizes = c.known_integers(1);
  } else {
    const std::int64_t piece = (extent + count - 1) / count;
    for (std::int64_t i = 0; i < count; ++i) sizes.push_back(std::clamp<std::int64_t>(extent - i * piece, 0, piece));
  }
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    require<InputError>(size >= 0 && size <= extent, "{}: a part of {} elements of {}", c.where(), size, extent);
    total += size;
  }
  require<InputError>(total == extent && static_cast<std::int64_t>(sizes.size()) == count,
                      "{}: {} parts with {} elements together for {} outputs of an axis of {}", c.where(), sizes.size(),
                      total, count, extent);
  for (std::size_t i = 0; i < c.out.size(); ++i) {
    Shape out = in;
    out[static_cast<std::size_t>(axis)] = sizes[i];
    c.set(i, c.required(0).type, out);
  }
}

void compute_split(const ComputeContext& c) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.in[0].rank(), c.where());
  for_each_part(c.in[0], c.out, axis, c.parallel, [](const char* whole, char* part, std::size_t bytes) {
    if (part != nullptr) std::memcpy(part, whole, bytes);
  });
}

// --- Gather, GatherElements, ScatterND, ScatterElements --------------------------------------------------------------

namespace {

std::int64_t checked_index(std::int64_t index, std::int64_t extent, const ComputeContext& c) {
  if (index < -extent || index >= extent)
    throw RunError(fmt::format("{}: index {} is out of range for an axis of {}", c.where(), index, extent));
  return index < 0 ? index + extent : index;
}

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
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), rank_of(c, 0), c.where());
  require<InputError>(c.required(1).type == ElementType::int64, "{}: indices must be integers", c.where());
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
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), rank_of(c, 0), c.where());
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
  normal_axis(c.node.integer("axis", 0), rank_of(c, 0), c.where());
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

// --- DepthToSpace, SpaceToDepth, Trilu, OneHot -----------------------------------------------------------------------

void infer_depth_to_space(const InferContext& c) {
  const Shape& in = c.shape(0);
  const std::int64_t b = c.node.integer("blocksize", 0);
  const bool to_space = c.node.op == "DepthToSpace";
  require<InputError>(in.size() == 4 && b >= 1 && b < 65536, "{}: needs N C H W and a block size, got {} and {}",
                      c.where(), to_string(in), b);
  if (to_space) {
    require<InputError>(in[1] % (b * b) == 0, "{}: {} channels for a block size of {}", c.where(), in[1], b);
    c.set(0, c.required(0).type, {in[0], in[1] / (b * b), in[2] * b, in[3] * b});
  } else {
    require<InputError>(in[2] % b == 0 && in[3] % b == 0, "{}: {} is not a multiple of the block size {}", c.where(),
                        to_string(in), b);
    c.set(0, c.required(0).type, {in[0], in[1] * b * b, in[2] / b, in[3] / b});
  }
}

void compute_depth_to_space(const ComputeContext& c) {
  const std::int64_t b = c.node.integer("blocksize", 1);
  const Shape& s = c.in[0].shape;
  Array from = c.in[0], to = c.out[0];
  std::vector<std::int64_t> permutation;
  if (c.node.op == "SpaceToDepth") {
    from.shape = {s[0], s[1], s[2] / b, b, s[3] / b, b};
    permutation = {0, 3, 5, 1, 2, 4};
  } else if (c.node.text("mode", "DCR") == "DCR") {
    from.shape = {s[0], b, b, s[1] / (b * b), s[2], s[3]};
    permutation = {0, 3, 4, 1, 5, 2};
  } else {
    from.shape = {s[0], s[1] / (b * b), b, b, s[2], s[3]};
    permutation = {0, 1, 4, 2, 5, 3};
  }
  to.shape.clear();
  for (const std::int64_t axis : permutation) to.shape.push_back(from.dim(axis));
  permute(to, from, permutation, c.parallel);
}

void infer_trilu(const InferContext& c) {
  require<InputError>(c.shape(0).size() >= 2, "{}: needs a matrix, got {}", c.where(), to_string(c.shape(0)));
  if (c.has(1)) require<InputError>(element_count(c.shape(1)) == 1, "{}: k must be one integer", c.where());
  c.set(0, c.required(0).type, c.shape(0));
}

void compute_trilu(const ComputeContext& c) {
  const bool upper = c.node.integer("upper", 1) != 0;
  const std::int64_t k = c.has(1) ? c.in[1].integers()[0] : 0;
  const std::int64_t rows = c.in[0].shape[c.in[0].shape.size() - 2], cols = c.in[0].shape.back();
  for (std::int64_t i = 0; i < c.in[0].size(); ++i) {
    const std::int64_t row = (i / cols) % rows, col = i % cols;
    const bool keep = upper ? col - row >= k : col - row <= k;
    if (c.out[0].is_float())
      c.out[0].floats()[i] = keep ? c.in[0].floats()[i] : 0.0F;
    else
      c.out[0].integers()[i] = keep ? c.in[0].integers()[i] : 0;
  }
}

}  // namespace tessera::nn
