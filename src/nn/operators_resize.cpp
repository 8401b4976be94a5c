#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "index_map.hpp"
#include "operator_list.hpp"

/// Resize: every axis on its own, by the nearest element or a weighted sum of neighbours.
namespace tessera::nn {

namespace {

struct ResizeAxis {
  std::int64_t axis, in, out;
  double scale;
  double roi_begin = 0.0, roi_end = 1.0;  ///< tf_crop_and_resize only
};

struct ResizeArguments {
  std::vector<float> roi, scales;
  std::vector<std::int64_t> sizes;
};

/// The axes whose extent or sampling changes.
std::vector<ResizeAxis> resize_axes(const std::string& where, const Node& node, const Shape& in,
                                    const ResizeArguments& arguments) {
  const auto& [roi, scales, sizes] = arguments;
  std::vector<std::int64_t> axes = node.integers("axes");
  if (axes.empty())
    for (std::size_t i = 0; i < in.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  require<InputError>(
      (scales.size() == axes.size() && sizes.empty()) || (sizes.size() == axes.size() && scales.empty()),
      "{}: needs scales or sizes for {} axes", where, axes.size());
  const bool crop = node.text("coordinate_transformation_mode", "") == "tf_crop_and_resize";
  require<InputError>(!crop || roi.size() == 2 * axes.size(), "{}: a region of {} numbers for {} axes", where,
                      roi.size(), axes.size());
  std::vector<ResizeAxis> result;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    ResizeAxis axis{};
    axis.axis = normal_axis(axes[i], static_cast<std::int64_t>(in.size()), where);
    axis.in = in[static_cast<std::size_t>(axis.axis)];
    axis.roi_begin = crop ? static_cast<double>(roi[i]) : 0.0;
    axis.roi_end = crop ? static_cast<double>(roi[i + axes.size()]) : 1.0;
    if (sizes.empty()) {
      axis.scale = static_cast<double>(scales[i]);
      require<InputError>(axis.scale > 0.0 && axis.scale < 65536.0, "{}: a scale of {}", where, scales[i]);
      axis.out = static_cast<std::int64_t>(std::floor(static_cast<double>(axis.in) * axis.scale));
    } else {
      require<InputError>(sizes[i] > 0 && axis.in > 0, "{}: resizing {} to {}", where, axis.in, sizes[i]);
      axis.out = sizes[i];
      axis.scale = static_cast<double>(axis.out) / static_cast<double>(axis.in);
    }
    if (axis.out != axis.in || axis.scale != 1.0 || crop) result.push_back(axis);
  }
  const std::string policy = node.text("keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch" || sizes.empty() || axes.empty()) return result;
  // One scale for all axes: the smallest or the largest of what the sizes ask for.
  double scale = policy == "not_larger" ? std::numeric_limits<double>::infinity() : 0.0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double own =
        static_cast<double>(sizes[i]) /
        static_cast<double>(
            in[static_cast<std::size_t>(normal_axis(axes[i], static_cast<std::int64_t>(in.size()), where))]);
    scale = policy == "not_larger" ? std::min(scale, own) : std::max(scale, own);
  }
  for (ResizeAxis& axis : result) {
    axis.scale = scale;
    axis.out = static_cast<std::int64_t>(std::floor(static_cast<double>(axis.in) * scale + 0.5));
  }
  return result;
}

/// Where output element i lies among the input elements; for tf_crop_and_resize possibly outside.
double source_coordinate(const ResizeAxis& axis, std::int64_t i, const std::string& mode) {
  const auto x = static_cast<double>(i);
  const auto in = static_cast<double>(axis.in), out = static_cast<double>(axis.out);
  // The reference implementation of ONNX takes the resized length before it is rounded down.
  const double length = in * axis.scale;
  if (mode == "align_corners") return axis.out == 1 ? 0.0 : x * (in - 1.0) / (length - 1.0);
  if (mode == "asymmetric") return x / axis.scale;
  if (mode == "tf_half_pixel_for_nn") return (x + 0.5) / axis.scale;
  if (mode == "tf_crop_and_resize") {
    const double span = (axis.roi_end - axis.roi_begin) * (in - 1.0);
    return axis.roi_begin * (in - 1.0) + (length == 1.0 ? span / 2.0 : x * span / (length - 1.0));
  }
  if (mode == "pytorch_half_pixel") return axis.out > 1 ? (x + 0.5) / axis.scale - 0.5 : 0.0;
  if (mode == "half_pixel_symmetric") {
    const double adjustment = out / length;
    return in / 2.0 * (1.0 - adjustment) + (x + 0.5) / axis.scale - 0.5;
  }
  return (x + 0.5) / axis.scale - 0.5;
}

/// Regions may be any numbers.
bool is_place(double x) {
  return std::fabs(x) < 1e15;
}

std::int64_t nearest_index(double x, const std::string& mode) {
  if (mode == "floor") return static_cast<std::int64_t>(std::floor(x));
  if (mode == "ceil") return static_cast<std::int64_t>(std::ceil(x));
  if (mode == "round_prefer_ceil") return static_cast<std::int64_t>(std::floor(x + 0.5));
  return static_cast<std::int64_t>(std::ceil(x - 0.5));
}

/// Keys' cubic convolution kernel.
double cubic(double distance, double a) {
  const double x = std::fabs(distance);
  if (x <= 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  return x < 2.0 ? ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a : 0.0;
}

/// Input elements and weights of one output element.
struct Taps {
  std::vector<std::int64_t> index;
  std::vector<float> weight;
  bool outside = false;  ///< takes the extrapolation value instead
};

struct Interpolation {
  bool cubic, antialias, exclude_outside;
  double cubic_coefficient;
  std::string transform;
};

/// Neighbours within the kernel's support; elements beyond the border are those at the border, or left out.
Taps taps_of(const ResizeAxis& axis, std::int64_t i, const Interpolation& how) {
  const double x = source_coordinate(axis, i, how.transform);
  Taps taps;
  taps.outside =
      !is_place(x) || (how.transform == "tf_crop_and_resize" && (x < 0.0 || x > static_cast<double>(axis.in - 1)));
  if (taps.outside) return taps;
  const double shrink = how.antialias ? std::min(axis.scale, 1.0) : 1.0;
  const double support = (how.cubic ? 2.0 : 1.0) / shrink;
  const auto base = static_cast<std::int64_t>(std::floor(x));
  const auto first = base + static_cast<std::int64_t>(std::floor(-support)) + 1,
             last = base + static_cast<std::int64_t>(std::ceil(support));
  std::vector<double> weights;
  double sum = 0.0;
  for (std::int64_t k = first; k <= last; ++k) {
    const double distance = shrink * (static_cast<double>(k) - x);
    double weight = how.cubic ? cubic(distance, how.cubic_coefficient) : std::max(0.0, 1.0 - std::fabs(distance));
    if (how.exclude_outside && (k < 0 || k >= axis.in)) weight = 0.0;
    if (weight == 0.0) continue;
    taps.index.push_back(std::clamp<std::int64_t>(k, 0, axis.in - 1));
    weights.push_back(weight);
    sum += weight;
  }
  const bool normalize = how.antialias || how.exclude_outside;
  for (const double weight : weights) taps.weight.push_back(static_cast<float>(normalize ? weight / sum : weight));
  return taps;
}

/// out = in with one axis interpolated; both row-major [outer, extent, inner].
void interpolate_axis(float* out, const float* in, std::int64_t outer, std::int64_t inner, const ResizeAxis& axis,
                      const std::vector<Taps>& taps, float extrapolation, Parallel parallel) {
  parallel_for(parallel, outer * axis.out, [&](std::int64_t row) {
    const std::int64_t o = row / axis.out;
    const Taps& t = taps[static_cast<std::size_t>(row % axis.out)];
    float* y = out + row * inner;
    if (t.outside || t.index.empty()) {
      std::fill_n(y, inner, extrapolation);
      return;
    }
    for (std::size_t j = 0; j < t.index.size(); ++j) {
      const float* x = in + (o * axis.in + t.index[j]) * inner;
      const float weight = t.weight[j];
      if (j == 0)
        for (std::int64_t k = 0; k < inner; ++k) y[k] = weight * x[k];
      else
        for (std::int64_t k = 0; k < inner; ++k) y[k] += weight * x[k];
    }
  });
}

ResizeArguments arguments_of(const ComputeContext& c) {
  ResizeArguments arguments;
  if (c.has(1)) arguments.roi.assign(c.in[1].floats(), c.in[1].floats() + c.in[1].size());
  if (c.has(2)) arguments.scales.assign(c.in[2].floats(), c.in[2].floats() + c.in[2].size());
  if (c.has(3)) arguments.sizes.assign(c.in[3].integers(), c.in[3].integers() + c.in[3].size());
  return arguments;
}

void resize_nearest(const ComputeContext& c, const std::vector<ResizeAxis>& axes, const std::string& transform) {
  const Array& in = c.in[0];
  const std::string rounding = c.node.text("nearest_mode", "round_prefer_floor");
  std::vector<AxisMap> maps;
  for (const std::int64_t extent : physical_shape(in.shape, in.layout)) maps.push_back(identity_map(extent));
  for (const ResizeAxis& axis : axes) {
    AxisMap& map = maps[static_cast<std::size_t>(physical_axis(axis.axis, in.rank(), in.layout))];
    map.resize(static_cast<std::size_t>(axis.out));
    for (std::size_t i = 0; i < map.size(); ++i) {
      const double x = source_coordinate(axis, static_cast<std::int64_t>(i), transform);
      const bool outside =
          !is_place(x) || (transform == "tf_crop_and_resize" && (x < 0.0 || x > static_cast<double>(axis.in - 1)));
      map[i] = outside ? -1 : std::clamp<std::int64_t>(nearest_index(x, rounding), 0, axis.in - 1);
    }
  }
  float extrapolation = c.node.real("extrapolation_value", 0.0F);
  gather_by_maps(c.out[0], in, maps, {.shape = {}, .data = &extrapolation}, c.parallel);
}

}  // namespace

void infer_resize(const InferContext& c) {
  const std::string mode = c.node.text("mode", "nearest");
  require<InputError>(mode == "nearest" || mode == "linear" || mode == "cubic", "{}: mode '{}' is not known", c.where(),
                      mode);
  require<InputError>(c.required(0).type == ElementType::float32, "{}: integer input", c.where());
  ResizeArguments arguments;
  if (c.has(1)) arguments.roi = c.known_floats(1);
  if (c.has(2)) arguments.scales = c.known_floats(2);
  if (c.has(3)) arguments.sizes = c.known_integers(3);
  Shape out = c.shape(0);
  for (const ResizeAxis& axis : resize_axes(c.where(), c.node, out, arguments)) {
    require<InputError>(axis.out > 0 && axis.in > 0, "{}: resizing {} to {}", c.where(), axis.in, axis.out);
    out[static_cast<std::size_t>(axis.axis)] = axis.out;
  }
  c.set(0, ElementType::float32, out);
}

void compute_resize(const ComputeContext& c) {
  const Array& in = c.in[0];
  const auto axes = resize_axes(c.where(), c.node, in.shape, arguments_of(c));
  const std::string transform = c.node.text("coordinate_transformation_mode", "half_pixel");
  const std::string mode = c.node.text("mode", "nearest");
  if (mode == "nearest") return resize_nearest(c, axes, transform);
  const Interpolation how{.cubic = mode == "cubic",
                          .antialias = c.node.integer("antialias", 0) != 0,
                          .exclude_outside = c.node.integer("exclude_outside", 0) != 0,
                          .cubic_coefficient = static_cast<double>(c.node.real("cubic_coeff_a", -0.75F)),
                          .transform = transform};
  Shape shape = physical_shape(in.shape, in.layout);
  AlignedVector<float> from(in.floats(), in.floats() + in.size()), to;
  for (const ResizeAxis& axis : axes) {
    const auto at = static_cast<std::size_t>(physical_axis(axis.axis, in.rank(), in.layout));
    std::int64_t outer = 1, inner = 1;
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (i != at) (i < at ? outer : inner) *= shape[i];
    shape[at] = axis.out;
    std::vector<Taps> taps;
    for (std::int64_t i = 0; i < axis.out; ++i) taps.push_back(taps_of(axis, i, how));
    to.resize(static_cast<std::size_t>(element_count(shape)));
    interpolate_axis(to.data(), from.data(), outer, inner, axis, taps, c.node.real("extrapolation_value", 0.0F),
                     c.parallel);
    from.swap(to);
  }
  std::ranges::copy(from, c.out[0].floats());
}

}  // namespace tessera::nn
