#include "index_map.hpp"

#include <cstring>
#include <numeric>

#include "broadcast.hpp"

namespace tessera::nn {

AxisMap identity_map(std::int64_t extent) {
  AxisMap map(static_cast<std::size_t>(extent));
  std::iota(map.begin(), map.end(), std::int64_t{0});
  return map;
}

namespace {

bool is_identity(const AxisMap& map, std::int64_t extent) {
  if (static_cast<std::int64_t>(map.size()) != extent) return false;
  for (std::size_t i = 0; i < map.size(); ++i)
    if (map[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

bool is_consecutive(const AxisMap& map) {
  for (std::size_t i = 0; i < map.size(); ++i)
    if (map[i] < 0 || map[i] != map[0] + static_cast<std::int64_t>(i)) return false;
  return true;
}

/// One run along the last mapped axis: `map` picks pieces of `piece` elements.
template <class T>
void copy_run(T* out, const T* in, const AxisMap& map, bool consecutive, std::int64_t piece, T fill) {
  if (map.empty()) return;
  if (consecutive) {
    std::memcpy(out, in + map[0] * piece, map.size() * static_cast<std::size_t>(piece) * sizeof(T));
    return;
  }
  for (const std::int64_t index : map) {
    if (index < 0)
      std::fill_n(out, piece, fill);
    else if (piece == 1)
      *out = in[index];
    else
      std::memcpy(out, in + index * piece, static_cast<std::size_t>(piece) * sizeof(T));
    out += piece;
  }
}

template <class T>
void gather(T* out, const T* in, const Shape& in_shape, const std::vector<AxisMap>& maps, T fill, Parallel parallel) {
  // Trailing axes that stay whole are one piece; the axis before them is the run; the others are walked.
  std::int64_t piece = 1;
  std::size_t run = maps.size();
  while (run > 1 && is_identity(maps[run - 1], in_shape[run - 1])) piece *= in_shape[--run];
  if (run == 0) {
    out[0] = in[0];
    return;
  }
  const AxisMap& run_map = maps[--run];
  const bool consecutive = is_consecutive(run_map);
  const std::int64_t run_size = static_cast<std::int64_t>(run_map.size()) * piece;
  std::vector<std::int64_t> strides(run);
  std::int64_t stride = in_shape[run] * piece, rows = 1;
  for (std::size_t i = run; i-- > 0;) {
    strides[i] = stride;
    stride *= in_shape[i];
    rows *= static_cast<std::int64_t>(maps[i].size());
  }
  if (rows == 0 || run_size == 0) return;
  const std::int64_t rows_per_block = std::max<std::int64_t>(1, elementwise_block / run_size);
  parallel_for_blocks(parallel, rows, rows_per_block, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::int64_t rest = row, offset = 0;
      bool inside = true;
      for (std::size_t i = run; i-- > 0;) {
        const auto extent = static_cast<std::int64_t>(maps[i].size());
        const std::int64_t index = maps[i][static_cast<std::size_t>(rest % extent)];
        rest /= extent;
        inside = inside && index >= 0;
        offset += index * strides[i];
      }
      if (inside)
        copy_run(out + row * run_size, in + offset, run_map, consecutive, piece, fill);
      else
        std::fill_n(out + row * run_size, run_size, fill);
    }
  });
}

}  // namespace

void gather_by_maps(const Array& out, const Array& in, const std::vector<AxisMap>& maps, const Array& fill,
                    Parallel parallel) {
  const Shape in_shape = physical_shape(in.shape, in.layout);
  if (out.is_float())
    gather<float>(out.floats(), in.floats(), in_shape, maps, fill.data != nullptr ? fill.floats()[0] : 0.0F, parallel);
  else
    gather<std::int64_t>(out.integers(), in.integers(), in_shape, maps, fill.data != nullptr ? fill.integers()[0] : 0,
                         parallel);
}

namespace {

template <class T>
void permute_elements(T* out, const T* in, const Shape& extents, const Shape& strides, Parallel parallel) {
  const auto plan = merge_axes<1>(extents, {strides});
  const std::int64_t step = plan.strides[0].back();
  for_each_run(plan, parallel, [&](std::int64_t o, const std::array<std::int64_t, 1>& at, std::int64_t count) {
    const T* source = in + at[0];
    T* target = out + o;
    if (step == 1)
      std::memcpy(target, source, static_cast<std::size_t>(count) * sizeof(T));
    else
      for (std::int64_t i = 0; i < count; ++i) target[i] = source[i * step];
  });
}

}  // namespace

void permute(const Array& out, const Array& in, const std::vector<std::int64_t>& permutation, Parallel parallel) {
  const Shape own = strides_of(in.shape);
  Shape strides;
  for (const std::int64_t axis : permutation) strides.push_back(own[static_cast<std::size_t>(axis)]);
  if (out.size() == 0) return;
  if (out.is_float())
    permute_elements(out.floats(), in.floats(), out.shape, strides, parallel);
  else
    permute_elements(out.integers(), in.integers(), out.shape, strides, parallel);
}

}  // namespace tessera::nn
