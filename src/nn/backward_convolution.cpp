#include <algorithm>

#include "backward.hpp"
#include "float_linear.hpp"
#include "im2col.hpp"
#include "linear_call.hpp"
#include "tessera/kernels/general_product.hpp"

/// Convolutions in training: blocks of im2col rows that stay in cache, and gradients summed per chunk of images.
namespace tessera::nn {

namespace {

constexpr std::int64_t chunks = 16;

/// What a chunk of images adds to the gradients, and its scratch.
struct Chunk {
  AlignedVector<float> rows, d_rows;
  std::vector<Matrix> d_weight;  ///< per group, columns in (ky, kx, channel) order
  std::vector<double> d_bias;
};

void add_columns(ConstMatrixView dy, std::vector<double>& sums) {
  for (std::int64_t r = 0; r < dy.rows; ++r) {
    const float* row = dy.row(r);
    for (std::size_t o = 0; o < sums.size(); ++o) sums[o] += static_cast<double>(row[o]);
  }
}

class TrainedConvolution final : public TrainedLayer {
 public:
  explicit TrainedConvolution(const LinearLayer& layer) : TrainedLayer(layer) {}

  void forward(const ForwardContext& c) override {
    begin_step(c.step);
    geometry_ = geometry_of(c.node, c.in[0], c.out[0]);
    if (!is_float())
      forward_by_parts(c);
    else if (depthwise())
      forward_depthwise(c);
    else
      forward_float(c);
    if (!is_float() && c.relu) limit(kernels::rectifier, c.out[0].floats(), c.out[0].size());
  }

  void backward(const BackwardContext& c, bool relu) override {
    if (!is_float()) return backward_by_parts(c, relu);
    const std::int64_t images = geometry_.images, per_chunk = (images + chunks - 1) / chunks;
    chunks_.resize(static_cast<std::size_t>((images + per_chunk - 1) / per_chunk));
    parallel_for_blocks(c.parallel, images, per_chunk, [&](std::int64_t i, std::int64_t begin, std::int64_t end) {
      Chunk& chunk = chunks_[static_cast<std::size_t>(i)];
      chunk.d_bias.assign(static_cast<std::size_t>(geometry_.out_channels), 0.0);
      if (depthwise())
        backward_depthwise(c, relu, chunk, begin, end);
      else
        backward_chunk(c, relu, chunk, begin, end);
    });
    combine();
  }

  void updated() override {
    TrainedLayer::updated();
    stale_ = true;
  }
  void replace(std::size_t i, std::shared_ptr<TrainableLinear> linear) override {
    TrainedLayer::replace(i, std::move(linear));
    stale_ = true;
  }

 private:
  ConvGeometry geometry_of(const Node& node, const Array& in, const Array& out) const {
    ConvGeometry g;
    g.axes = resolve_window(node, layer().window, spatial_extents(in.shape));
    g.images = in.dim(0);
    g.in_channels = in.dim(1);
    g.out_channels = out.dim(1);
    g.groups = layer().groups;
    return g;
  }

  bool is_float() const {
    return std::ranges::all_of(
        parts(), [](const auto& part) { return dynamic_cast<const FloatLinear*>(part.get()) != nullptr; });
  }
  FloatLinear& float_part(std::size_t i) { return static_cast<FloatLinear&>(part(i)); }
  bool depthwise() const {
    return geometry_.groups > 1 && geometry_.group_inputs() == 1 && geometry_.group_outputs() == 1;
  }

  /// Weights with channels innermost, as they are and packed.
  void pack() {
    if (!stale_) return;
    stale_ = false;
    const std::int64_t positions = geometry_.kernel_size();
    weight_.resize(parts().size());
    packed_.resize(parts().size());
    for (std::size_t p = 0; p < parts().size(); ++p) {
      const Matrix& from = float_part(p).weight();
      const std::int64_t channels = from.cols() / positions;
      Matrix& to = weight_[p];
      if (to.rows() != from.rows()) to = Matrix::uninitialized(from.rows(), from.cols());
      for (std::int64_t o = 0; o < from.rows(); ++o) {
        const float* source = from.view().row(o);
        float* target = to.view().row(o);
        for (std::int64_t c = 0; c < channels; ++c)
          for (std::int64_t k = 0; k < positions; ++k) target[k * channels + c] = source[c * positions + k];
      }
      if (!depthwise()) packed_[p] = kernels::PackedMatrix(to.view());
    }
    if (!depthwise()) return;
    depthwise_weight_.resize(static_cast<std::size_t>(positions) * parts().size());
    for (std::size_t p = 0; p < parts().size(); ++p)
      for (std::size_t k = 0; k < static_cast<std::size_t>(positions); ++k)
        depthwise_weight_[k * parts().size() + p] = weight_[p].data()[k];
  }

  void forward_float(const ForwardContext& c) {
    pack();
    input_ = c.in[0].floats();
    if (worth_padding(geometry_)) {
      padded_geometry_ = geometry_;
      pad_images(padded_geometry_, input_, padded_, c.parallel);
      input_ = padded_.data();
    } else {
      padded_geometry_ = geometry_;
    }
    const ConvGeometry& g = padded_geometry_;
    const bool direct = is_pointwise(g);
    const std::int64_t block = rows_per_block(g.vector_size()), vectors = g.images * g.positions();
    const std::int64_t blocks = (vectors + block - 1) / block, tasks = std::min(blocks, chunks);
    if (static_cast<std::int64_t>(chunks_.size()) < tasks) chunks_.resize(static_cast<std::size_t>(tasks));
    parallel_for(c.parallel, tasks, [&](std::int64_t task) {
      AlignedVector<float>& rows = chunks_[static_cast<std::size_t>(task)].rows;
      if (!direct) rows.resize(static_cast<std::size_t>(block * g.vector_size()));
      for (std::int64_t b = task * blocks / tasks; b < (task + 1) * blocks / tasks; ++b) {
        const std::int64_t begin = b * block, end = std::min(vectors, begin + block);
        const MatrixView y(c.out[0].floats() + begin * g.out_channels, end - begin, g.out_channels);
        for (std::size_t p = 0; p < parts().size(); ++p) {
          const auto group = static_cast<std::int64_t>(p);
          if (!direct) gather_rows(g, input_, group, begin, end, rows.data());
          kernels::multiply(packed_[p], row_view(g, direct, rows.data(), group, begin, end),
                            y.cols_from(group * g.group_outputs(), g.group_outputs()), {}, float_part(p).bias());
        }
        if (c.relu) limit(kernels::rectifier, y.data, y.rows * y.cols);
      }
    });
  }

  ConstMatrixView row_view(const ConvGeometry& g, bool direct, const float* rows, std::int64_t group,
                           std::int64_t begin, std::int64_t end) const {
    if (!direct) return {rows, end - begin, g.vector_size()};
    return {input_ + begin * g.in_channels + group * g.group_inputs(), end - begin, g.group_inputs(), g.in_channels};
  }

  void backward_chunk(const BackwardContext& c, bool relu, Chunk& chunk, std::int64_t first, std::int64_t last) {
    const ConvGeometry& g = padded_geometry_;
    const bool direct = is_pointwise(g), wanted = c.wants(0);
    const std::int64_t block = rows_per_block(g.vector_size()), end_vector = last * g.positions();
    chunk.d_weight.resize(parts().size());
    if (!direct) chunk.rows.resize(static_cast<std::size_t>(block * g.vector_size()));
    if (!direct && wanted) {
      chunk.d_rows.resize(static_cast<std::size_t>(block * g.vector_size()));
      const std::int64_t image = c.d_in[0].size() / g.images;
      std::fill_n(c.d_in[0].floats() + first * image, (last - first) * image, 0.0F);
    }
    for (std::int64_t begin = first * g.positions(); begin < end_vector; begin += block) {
      const std::int64_t end = std::min(end_vector, begin + block), offset = begin * g.out_channels;
      const MatrixView dy(c.d_out[0].floats() + offset, end - begin, g.out_channels);
      if (relu) rectify_gradient(dy.data, c.out[0].floats() + offset, dy.rows * dy.cols);
      add_columns(dy, chunk.d_bias);
      for (std::size_t p = 0; p < parts().size(); ++p) {
        const auto group = static_cast<std::int64_t>(p);
        const ConstMatrixView dy_group = dy.cols_from(group * g.group_outputs(), g.group_outputs());
        Matrix& d_weight = chunk.d_weight[p];
        if (d_weight.rows() != weight_[p].rows())
          d_weight = Matrix::uninitialized(weight_[p].rows(), weight_[p].cols());
        if (!direct) gather_rows(g, input_, group, begin, end, chunk.rows.data());
        kernels::general_product(kernels::transposed(dy_group),
                                 row_view(g, direct, chunk.rows.data(), group, begin, end), d_weight.view(),
                                 begin == first * g.positions() ? kernels::Accumulate::no : kernels::Accumulate::yes);
        if (!wanted) continue;
        if (direct) {
          const MatrixView dx(c.d_in[0].floats() + begin * g.in_channels + group * g.group_inputs(), end - begin,
                              g.group_inputs(), g.in_channels);
          kernels::general_product(dy_group, weight_[p].view(), dx, kernels::Accumulate::no);
        } else {
          kernels::general_product(dy_group, weight_[p].view(), {chunk.d_rows.data(), end - begin, g.vector_size()},
                                   kernels::Accumulate::no);
          scatter_rows(geometry_, chunk.d_rows.data(), group, begin, end, c.d_in[0].floats());
        }
      }
    }
  }

  /// Chunks into the gradients, in order.
  void combine() {
    const std::int64_t positions = geometry_.kernel_size();
    for (std::size_t p = 0; p < parts().size(); ++p) {
      const MatrixView gradient = float_part(p).weight_gradient();
      const std::int64_t channels = gradient.cols / positions, size = gradient.rows * gradient.cols;
      sum_.assign(static_cast<std::size_t>(size), 0.0);
      for (const Chunk& chunk : chunks_used()) {
        const float* from = chunk.d_weight[p].data();
        for (std::int64_t i = 0; i < size; ++i) sum_[static_cast<std::size_t>(i)] += static_cast<double>(from[i]);
      }
      for (std::int64_t o = 0; o < gradient.rows; ++o) {
        const double* from = sum_.data() + o * gradient.cols;
        float* to = gradient.row(o);
        for (std::int64_t ch = 0; ch < channels; ++ch)
          for (std::int64_t k = 0; k < positions; ++k)
            to[ch * positions + k] += static_cast<float>(from[k * channels + ch]);
      }
      const std::span<float> d_bias = float_part(p).bias_gradient();
      for (std::size_t o = 0; o < d_bias.size(); ++o) {
        double sum = 0.0;
        for (const Chunk& chunk : chunks_used()) sum += chunk.d_bias[p * static_cast<std::size_t>(gradient.rows) + o];
        d_bias[o] += static_cast<float>(sum);
      }
    }
  }
  std::span<const Chunk> chunks_used() const {
    const std::int64_t per_chunk = (geometry_.images + chunks - 1) / chunks;
    return {chunks_.data(), static_cast<std::size_t>((geometry_.images + per_chunk - 1) / per_chunk)};
  }

  // --- One channel per group: element by element along the channels
  // ---------------------------------------------------

  /// Calls body(pixel of x, pixel of y, kernel position) for all pairs that meet, of images [first, last).
  template <class Body>
  void for_each_pair(std::int64_t first, std::int64_t last, Body body) const {
    const auto& [vertical, horizontal] = geometry_.axes;
    for (std::int64_t n = first; n < last; ++n)
      for (std::int64_t oy = 0; oy < vertical.out; ++oy) {
        const std::int64_t top = vertical.origin(oy);
        const auto ky = kernel_inside(vertical, top);
        for (std::int64_t ox = 0; ox < horizontal.out; ++ox) {
          const std::int64_t left = horizontal.origin(ox);
          const auto kx = kernel_inside(horizontal, left);
          const std::int64_t out = (n * vertical.out + oy) * horizontal.out + ox;
          for (std::int64_t i = ky[0]; i < ky[1]; ++i)
            for (std::int64_t j = kx[0]; j < kx[1]; ++j)
              body((n * vertical.in + top + i * vertical.dilation) * horizontal.in + left + j * horizontal.dilation,
                   out, i * horizontal.kernel + j);
        }
      }
  }

  void forward_depthwise(const ForwardContext& c) {
    pack();
    const std::int64_t channels = geometry_.in_channels, positions = geometry_.positions();
    parallel_for(c.parallel, geometry_.images, [&](std::int64_t n) {
      float* y = c.out[0].floats() + n * positions * channels;
      std::fill_n(y, positions * channels, 0.0F);
      for_each_pair(n, n + 1, [&](std::int64_t in, std::int64_t out, std::int64_t k) {
        const float* x = c.in[0].floats() + in * channels;
        const float* w = depthwise_weight_.data() + k * channels;
        float* to = c.out[0].floats() + out * channels;
        for (std::int64_t ch = 0; ch < channels; ++ch) to[ch] += x[ch] * w[ch];
      });
      for (std::int64_t i = 0; i < positions; ++i)
        for (std::int64_t ch = 0; ch < channels; ++ch) {
          const std::vector<float>& bias = float_part(static_cast<std::size_t>(ch)).bias();
          y[i * channels + ch] += bias.empty() ? 0.0F : bias[0];
        }
      if (c.relu) limit(kernels::rectifier, y, positions * channels);
    });
  }

  void backward_depthwise(const BackwardContext& c, bool relu, Chunk& chunk, std::int64_t first, std::int64_t last) {
    const std::int64_t channels = geometry_.in_channels, kernel = geometry_.kernel_size();
    const std::int64_t out_size = geometry_.positions() * channels, in_size = c.in[0].size() / geometry_.images;
    float* dy = c.d_out[0].floats();
    if (relu) rectify_gradient(dy + first * out_size, c.out[0].floats() + first * out_size, (last - first) * out_size);
    add_columns({dy + first * out_size, (last - first) * geometry_.positions(), channels}, chunk.d_bias);
    float* dx = c.wants(0) ? c.d_in[0].floats() : nullptr;
    if (dx != nullptr) std::fill_n(dx + first * in_size, (last - first) * in_size, 0.0F);
    chunk.rows.assign(static_cast<std::size_t>(kernel * channels), 0.0F);
    for_each_pair(first, last, [&](std::int64_t in, std::int64_t out, std::int64_t k) {
      const float* x = c.in[0].floats() + in * channels;
      const float* from = dy + out * channels;
      float* d_weight = chunk.rows.data() + k * channels;
      for (std::int64_t ch = 0; ch < channels; ++ch) d_weight[ch] += from[ch] * x[ch];
      if (dx == nullptr) return;
      const float* w = depthwise_weight_.data() + k * channels;
      float* to = dx + in * channels;
      for (std::int64_t ch = 0; ch < channels; ++ch) to[ch] += from[ch] * w[ch];
    });
    chunk.d_weight.resize(parts().size());
    for (std::size_t p = 0; p < parts().size(); ++p) {
      if (chunk.d_weight[p].cols() != kernel) chunk.d_weight[p] = Matrix(1, kernel);
      for (std::int64_t k = 0; k < kernel; ++k)
        chunk.d_weight[p].data()[k] = chunk.rows[static_cast<std::size_t>(k * channels) + p];
    }
  }

  // --- Replaced parts: all rows of a batch at once -----------------------------------------------------------------

  ConstMatrixView gather_all(const float* in, std::int64_t group, Parallel parallel) {
    const std::int64_t size = geometry_.vector_size(), positions = geometry_.positions();
    all_rows_.resize(static_cast<std::size_t>(geometry_.images * positions * size));
    parallel_for(parallel, geometry_.images, [&](std::int64_t n) {
      gather_rows_channel_major(geometry_, in, group, n * positions, (n + 1) * positions,
                                all_rows_.data() + n * positions * size);
    });
    return {all_rows_.data(), geometry_.images * positions, size};
  }

  void forward_by_parts(const ForwardContext& c) {
    const ConvGeometry& g = geometry_;
    const MatrixView y(c.out[0].floats(), g.images * g.positions(), g.out_channels);
    for (std::size_t p = 0; p < parts().size(); ++p) {
      const auto group = static_cast<std::int64_t>(p);
      part(p).forward(gather_all(c.in[0].floats(), group, c.parallel),
                      y.cols_from(group * g.group_outputs(), g.group_outputs()), 0, c.parallel);
    }
  }

  void backward_by_parts(const BackwardContext& c, bool relu) {
    const ConvGeometry& g = geometry_;
    const MatrixView dy(c.d_out[0].floats(), g.images * g.positions(), g.out_channels);
    if (relu) rectify_gradient(dy.data, c.out[0].floats(), c.out[0].size());
    if (c.wants(0)) std::fill_n(c.d_in[0].floats(), c.d_in[0].size(), 0.0F);
    d_all_rows_.resize(static_cast<std::size_t>(dy.rows * g.vector_size()));
    const MatrixView dx(d_all_rows_.data(), dy.rows, g.vector_size());
    for (std::size_t p = 0; p < parts().size(); ++p) {
      const auto group = static_cast<std::int64_t>(p);
      part(p).backward(gather_all(c.in[0].floats(), group, c.parallel),
                       dy.cols_from(group * g.group_outputs(), g.group_outputs()), dx, 0, c.parallel);
      if (!c.wants(0)) continue;
      parallel_for(c.parallel, g.images, [&](std::int64_t n) {
        scatter_rows_channel_major(g, dx.row(n * g.positions()), group, n * g.positions(), (n + 1) * g.positions(),
                                   c.d_in[0].floats());
      });
    }
  }

  ConvGeometry geometry_{}, padded_geometry_{};
  bool stale_ = true;
  std::vector<Matrix> weight_;
  std::vector<kernels::PackedMatrix> packed_;
  std::vector<float> depthwise_weight_;
  const float* input_ = nullptr;
  AlignedVector<float> padded_, all_rows_, d_all_rows_;
  std::vector<Chunk> chunks_;
  std::vector<double> sum_;
};

}  // namespace

std::unique_ptr<TrainedLayer> make_trained_convolution(const LinearLayer& layer) {
  return std::make_unique<TrainedConvolution>(layer);
}

}  // namespace tessera::nn
