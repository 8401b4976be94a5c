#include <algorithm>
#include <array>
#include <cstring>

#include "index_map.hpp"
#include "operator_list.hpp"

/// Operators that move and repeat whole blocks of elements, the same for every input.
namespace tessera::nn {

namespace {

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
  const std::vector<std::int64_t> permutation = permutation_of(c.node, c.rank(0));
  std::vector<bool> seen(in.size());
  Shape out;
  for (const std::int64_t axis : permutation) {
    require<InputError>(
        permutation.size() == in.size() && axis >= 0 && axis < c.rank(0) && !seen[static_cast<std::size_t>(axis)],
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
  const auto pads = paddings(c.where(), c.rank(0), c.known_integers(1), c.has(3) ? &c.known_integers(3) : nullptr);
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
  const auto axis = static_cast<std::size_t>(normal_axis(c.node.integer("axis", 0), c.rank(0), c.where()));
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
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.rank(0), c.where());
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
