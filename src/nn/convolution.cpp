#include <algorithm>

#include "channel_convolution.hpp"
#include "im2col.hpp"
#include "linear_call.hpp"
#include "tessera/kernels/depthwise.hpp"
#include "tessera/kernels/limited_product.hpp"
#include "window_gatherer.hpp"

/// Convolutions on channels-last images: blocks of im2col rows that stay in cache, then the product.
namespace tessera::nn {

namespace {

ConvGeometry geometry_of(const LinearCall& call) {
  const Array& in = call.in[0];
  ConvGeometry g;
  g.axes = resolve_window(call.node, call.compiled.layer.window, spatial_extents(in.shape));
  g.images = in.dim(0);
  g.in_channels = in.dim(1);
  g.out_channels = call.out[0].dim(1);
  g.groups = call.compiled.layer.groups;
  return g;
}

/// Cuts all output positions into blocks, several per task; `begin_task()` makes a task's working memory, and
/// body(memory, begin, end) runs for each of its blocks.
template <class BeginTask, class Body>
void for_each_row_block(const ConvGeometry& g, Parallel parallel, std::int64_t block, BeginTask begin_task, Body body) {
  const std::int64_t vectors = g.images * g.positions();
  const std::int64_t blocks = (vectors + block - 1) / block;
  const std::int64_t tasks = parallel.threads <= 1 ? 1 : std::min<std::int64_t>(blocks, 8 * parallel.threads);
  parallel_for(parallel, tasks, [&](std::int64_t task) {
    auto memory = begin_task();
    for (std::int64_t b = task * blocks / tasks; b < (task + 1) * blocks / tasks; ++b)
      body(memory, b * block, std::min(vectors, (b + 1) * block));
  });
}

/// Positions of a window's taps inside the image, for output pixels from `ox` on of one line.
void find_taps(const LinearCall& call, const ConvGeometry& g, const float* image, std::int64_t top, std::int64_t left,
               std::vector<kernels::DepthwiseTap>& taps) {
  const WindowAxis &vertical = g.axes[0], &horizontal = g.axes[1];
  const auto ky = kernel_inside(vertical, top), kx = kernel_inside(horizontal, left);
  taps.clear();
  for (std::int64_t i = ky[0]; i < ky[1]; ++i)
    for (std::int64_t j = kx[0]; j < kx[1]; ++j)
      taps.push_back(
          {image + ((top + i * vertical.dilation) * horizontal.in + left + j * horizontal.dilation) * g.in_channels,
           call.compiled.depthwise.data() + (i * horizontal.kernel + j) * g.in_channels});
}

/// Windows that do not stick out at the sides are worked on together, those at the ends of a line one by one.
void convolve_depthwise(const LinearCall& call, const ConvGeometry& g) {
  const WindowAxis &vertical = g.axes[0], &horizontal = g.axes[1];
  const std::int64_t channels = g.in_channels, lines = g.images * vertical.out;
  const auto inside = outputs_inside(horizontal);
  parallel_for_blocks(call.parallel, lines, 4, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    std::vector<kernels::DepthwiseTap> taps;
    for (std::int64_t line = begin; line < end; ++line) {
      const float* image = g.image(call.in[0].floats(), line / vertical.out);
      const std::int64_t top = vertical.origin(line % vertical.out);
      float* y = call.out[0].floats() + line * horizontal.out * channels;
      for (std::int64_t ox = 0; ox < horizontal.out;) {
        const std::int64_t count = ox == inside[0] && inside[1] > ox ? inside[1] - ox : 1;
        find_taps(call, g, image, top, horizontal.origin(ox), taps);
        kernels::depthwise_pixels(taps, horizontal.stride * channels, channels, count, call.compiled.depthwise_bias,
                                  call.limits, y + ox * channels);
        ox += count;
      }
    }
  });
}

/// Lists of branches that share products, by the conversion of their inputs: those of one entry gather the same rows.
struct SameInputs {
  const ConvertsInputs* converter = nullptr;  ///< null: they take the values as they are
  std::vector<std::vector<std::size_t>> sharing;
};

/// By the operators of one part. A 1x1 window gains nothing from an early conversion.
std::vector<SameInputs> by_inputs(std::span<const LinearBranch> branches,
                                  const std::vector<std::vector<std::size_t>>& by_product, bool pointwise) {
  std::vector<SameInputs> result;
  const auto conversion = [&](std::size_t branch) -> std::optional<kernels::InputConversion> {
    const LinearBranch& b = branches[branch];
    const ConvertsInputs* first = pointwise ? nullptr : b.operators.front()->converts_inputs();
    if (first == nullptr) return std::nullopt;
    const kernels::InputConversion own = first->input_conversion();
    for (const LinearOperator* op : b.operators)
      if (op->converts_inputs() == nullptr || op->converts_inputs()->input_conversion() != own) return std::nullopt;
    return own;
  };
  std::vector<std::optional<kernels::InputConversion>> conversions;
  for (const std::vector<std::size_t>& sharing : by_product) {
    const auto own = conversion(sharing.front());
    const auto found = std::find(conversions.begin(), conversions.end(), own);
    if (found == conversions.end()) {
      conversions.push_back(own);
      result.push_back({own ? branches[sharing.front()].operators.front()->converts_inputs() : nullptr, {sharing}});
    } else {
      result[static_cast<std::size_t>(found - conversions.begin())].sharing.push_back(sharing);
    }
  }
  return result;
}

/// Rows that an operator gets at a time: enough that it can reuse its working memory, few enough to stay in cache.
std::int64_t operator_rows(std::int64_t vector_size) {
  constexpr std::int64_t cached_floats = 64 * 1024;
  return std::clamp<std::int64_t>(cached_floats / std::max<std::int64_t>(1, vector_size), operator_block / 2, 2048);
}

/// The results of operators that wait for all positions of all images.
void finish_convolution(const LinearBranch& branch, const ConvGeometry& g, const kernels::Limits& limits) {
  const MatrixView y(branch.out[0].floats(), g.images * g.positions(), g.out_channels);
  bool finished = false;
  for (std::int64_t group = 0; group < g.groups; ++group) {
    const Collects* collected = branch.operators[static_cast<std::size_t>(group)]->collects();
    if (collected == nullptr) continue;
    collected->finish(y.cols_from(group * g.group_outputs(), g.group_outputs()));
    finished = true;
  }
  if (finished) limit(limits, y.data, y.rows * y.cols);
}

void convolve_by_operators(const LinearCall& call, const ConvGeometry& g, std::span<const LinearBranch> all) {
  std::vector<LinearBranch> branches;
  for (const LinearBranch& branch : all)
    if (!convolve_side_by_side(call, g, branch)) branches.push_back(branch);
  if (branches.empty()) return;
  const std::uint64_t first = call.first_sample * static_cast<std::uint64_t>(call.order.inner * g.positions());
  const bool pointwise = is_pointwise(g);
  const std::vector<SameInputs> inputs = by_inputs(branches, branches_by_product(branches), pointwise);
  const float* in = call.in[0].floats();
  const std::int64_t block = std::min(operator_rows(g.vector_size()), g.images * g.positions());
  struct Memory {
    std::vector<WindowGatherer> gatherers;
    AlignedVector<float> products;
  };
  const auto begin_task = [&] {
    Memory memory;
    if (!pointwise)
      for (const SameInputs& same : inputs) memory.gatherers.emplace_back(g, in, same.converter, block);
    return memory;
  };
  for_each_row_block(g, call.parallel, block, begin_task, [&](Memory& memory, std::int64_t begin, std::int64_t end) {
    const auto out = [&](std::size_t branch) {
      return MatrixView(branches[branch].out[0].floats() + begin * g.out_channels, end - begin, g.out_channels);
    };
    for (std::int64_t group = 0; group < g.groups; ++group)
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        std::optional<kernels::CodeSums> converted;
        const ConstMatrixView x = pointwise ? ConstMatrixView(in + begin * g.in_channels + group * g.group_inputs(),
                                                              end - begin, g.group_inputs(), g.in_channels)
                                            : memory.gatherers[i].rows(group, begin, end);
        if (inputs[i].converter != nullptr) converted = memory.gatherers[i].code_sums(group, begin, end);
        for (const std::vector<std::size_t>& sharing : inputs[i].sharing)
          run_sharing(branches, sharing, static_cast<std::size_t>(group), x, converted,
                      first + static_cast<std::uint64_t>(begin), {}, memory.products, [&](std::size_t branch) {
                        return out(branch).cols_from(group * g.group_outputs(), g.group_outputs());
                      });
      }
    for (std::size_t branch = 0; branch < branches.size(); ++branch)
      limit(call.limits, out(branch).data, (end - begin) * g.out_channels);
  });
  for (const LinearBranch& branch : branches) finish_convolution(branch, g, call.limits);
}

void convolve_float(const LinearCall& call, ConvGeometry g) {
  const bool direct = g.groups == 1 && is_pointwise(g);
  const float* in = call.in[0].floats();
  AlignedVector<float> padded;
  if (worth_padding(g)) {
    pad_images(g, in, padded, call.parallel);
    in = padded.data();
  }
  const std::int64_t block = rows_per_block(g.vector_size());
  const auto begin_task = [&] {
    AlignedVector<float> rows;
    rows.resize(direct ? 0 : static_cast<std::size_t>(block * g.vector_size()));
    return rows;
  };
  for_each_row_block(g, call.parallel, block, begin_task,
                     [&](AlignedVector<float>& rows, std::int64_t begin, std::int64_t end) {
                       const MatrixView y(call.out[0].floats() + begin * g.out_channels, end - begin, g.out_channels);
                       for (std::int64_t group = 0; group < g.groups; ++group) {
                         const auto p = static_cast<std::size_t>(group);
                         if (!direct) gather_rows(g, in, group, begin, end, rows.data());
                         const float* x = direct ? in + begin * g.in_channels : rows.data();
                         kernels::multiply(call.compiled.packed(p), ConstMatrixView(x, end - begin, g.vector_size()),
                                           y.cols_from(group * g.group_outputs(), g.group_outputs()), {},
                                           call.compiled.layer.parts[p].bias, call.limits);
                       }
                     });
}

}  // namespace

void evaluate_convolution(const LinearCall& call) {
  const ConvGeometry g = geometry_of(call);
  if (g.images * g.positions() == 0) return;
  if (!call.operators.empty()) {
    const LinearBranch branch{call.operators, call.out, 0};
    return convolve_by_operators(call, g, {&branch, 1});
  }
  if (!call.compiled.depthwise.empty()) return convolve_depthwise(call, g);
  convolve_float(call, g);
}

void evaluate_convolution(const LinearCall& call, std::span<const LinearBranch> branches) {
  LinearCall first = call;
  first.out = branches.front().out;
  const ConvGeometry g = geometry_of(first);
  if (g.images * g.positions() > 0) convolve_by_operators(call, g, branches);
}

void evaluate_transposed_convolution(const LinearCall& call) {
  const LinearLayer& layer = call.compiled.layer;
  const Array& in = call.in[0];
  const auto axes = resolve_transposed_window(call.node, layer.window, spatial_extents(in.shape));
  const WindowAxis &vertical = axes[0], &horizontal = axes[1];
  const std::int64_t channels = in.dim(1), outputs = call.out[0].dim(1), positions = vertical.in * horizontal.in;
  const std::int64_t group_inputs = channels / layer.groups, group_outputs = outputs / layer.groups;
  const std::int64_t kernel = vertical.kernel * horizontal.kernel;
  const bool by_operators = !call.operators.empty();
  // Element (o, k) of a product: operators give channel-major rows, the packed weights kernel-major ones.
  const std::int64_t output_step = by_operators ? kernel : 1, kernel_step = by_operators ? 1 : group_outputs;
  const std::uint64_t first_vector = call.first_sample * static_cast<std::uint64_t>(call.order.inner * positions);
  const auto inputs_of = [&](std::int64_t group, std::int64_t begin, std::int64_t count) {
    return ConstMatrixView(in.floats() + begin * channels + group * group_inputs, count, group_inputs, channels);
  };
  std::vector<Matrix> collected(by_operators ? call.operators.size() : 0);  // of operators that wait for all positions
  for (std::size_t group = 0; group < collected.size(); ++group) {
    const LinearOperator& op = *call.operators[group];
    if (op.collects() == nullptr) continue;
    const std::int64_t all = in.dim(0) * positions;
    collected[group] = Matrix::uninitialized(all, group_outputs * kernel);
    op.forward(inputs_of(static_cast<std::int64_t>(group), 0, all), collected[group].view(), first_vector, {});
    op.collects()->finish(collected[group].view());
  }

  parallel_for(call.parallel, in.dim(0), [&](std::int64_t n) {
    AlignedVector<float> product;
    const std::int64_t width = group_outputs * kernel;
    product.resize(static_cast<std::size_t>(std::min(operator_block, positions) * width));
    float* image = call.out[0].floats() + n * vertical.out * horizontal.out * outputs;
    for (std::int64_t p = 0; p < vertical.out * horizontal.out; ++p)
      for (std::int64_t o = 0; o < outputs; ++o)
        image[p * outputs + o] = call.compiled.bias.empty() ? 0.0F : call.compiled.bias[static_cast<std::size_t>(o)];
    for (std::int64_t begin = 0; begin < positions; begin += operator_block)
      for (std::int64_t group = 0; group < layer.groups; ++group) {
        const std::int64_t count = std::min(operator_block, positions - begin);
        const ConstMatrixView x = inputs_of(group, n * positions + begin, count);
        const auto part = static_cast<std::size_t>(group);
        MatrixView y(product.data(), count, width);
        if (!by_operators)
          kernels::multiply(call.compiled.packed(part), x, y);
        else if (collected[part].rows() > 0)
          y = collected[part].view().rows_from(n * positions + begin, count);
        else
          call.operators[part]->forward(x, y, first_vector + static_cast<std::uint64_t>(n * positions + begin), {});
        for (std::int64_t p = begin; p < begin + count; ++p) {
          const std::int64_t top = p / horizontal.in * vertical.stride - vertical.pad_begin;
          const std::int64_t left = p % horizontal.in * horizontal.stride - horizontal.pad_begin;
          for (std::int64_t i = 0; i < vertical.kernel; ++i) {
            const std::int64_t oy = top + i * vertical.dilation;
            if (oy < 0 || oy >= vertical.out) continue;
            for (std::int64_t j = 0; j < horizontal.kernel; ++j) {
              const std::int64_t ox = left + j * horizontal.dilation;
              if (ox < 0 || ox >= horizontal.out) continue;
              float* target = image + (oy * horizontal.out + ox) * outputs + group * group_outputs;
              const float* source = y.row(p - begin) + (i * horizontal.kernel + j) * kernel_step;
              for (std::int64_t o = 0; o < group_outputs; ++o) target[o] += source[o * output_step];
            }
          }
        }
      }
    limit(call.limits, image, vertical.out * horizontal.out * outputs);
  });
}

}  // namespace tessera::nn
