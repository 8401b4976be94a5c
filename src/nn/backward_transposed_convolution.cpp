#include <algorithm>

#include "backward.hpp"
#include "float_linear.hpp"
#include "im2col.hpp"

/// Transposed convolutions in training: a product per input pixel, whose rows are added to the windows of the output.
namespace tessera::nn {

namespace {

class TrainedTransposedConvolution final : public TrainedLayer {
 public:
  TrainedTransposedConvolution(const Graph& graph, const LinearLayer& layer) : TrainedLayer(layer) {
    const Node& node = graph.nodes[static_cast<std::size_t>(layer.node)];
    if (const Tensor* bias = graph.tensor(node.input(2))) bias_ = Learned(bias->values());
  }

  void forward(const ForwardContext& c) override {
    begin_step(c.step);
    set_geometry(c.node, c.in[0], c.out[0]);
    float* y = c.out[0].floats();
    const std::int64_t pixels = c.out[0].size() / g_.in_channels;
    for (std::int64_t i = 0; i < pixels; ++i)
      for (std::int64_t o = 0; o < g_.in_channels; ++o)
        y[i * g_.in_channels + o] = bias_.value.empty() ? 0.0F : bias_.value[static_cast<std::size_t>(o)];
    rows_.resize(static_cast<std::size_t>(vectors() * g_.vector_size()));
    const MatrixView rows(rows_.data(), vectors(), g_.vector_size());
    for (std::size_t p = 0; p < parts().size(); ++p) {
      const auto group = static_cast<std::int64_t>(p);
      part(p).forward(input(c.in[0].floats(), group), rows, 0, c.parallel);
      parallel_for(c.parallel, g_.images, [&](std::int64_t n) {
        const std::int64_t begin = n * g_.positions();
        scatter_rows_channel_major(g_, rows.row(begin), group, begin, begin + g_.positions(), y);
      });
    }
    if (c.relu)
      for (std::int64_t i = 0; i < c.out[0].size(); ++i) y[i] = y[i] < 0.0F ? 0.0F : y[i];
  }

  void backward(const BackwardContext& c, bool relu) override {
    float* dy = c.d_out[0].floats();
    if (relu) rectify_gradient(dy, c.out[0].floats(), c.out[0].size());
    if (!bias_.value.empty()) add_column_sums({dy, c.out[0].size() / g_.in_channels, g_.in_channels}, bias_.gradient);
    const MatrixView rows(rows_.data(), vectors(), g_.vector_size());
    for (std::size_t p = 0; p < parts().size(); ++p) {
      const auto group = static_cast<std::int64_t>(p);
      parallel_for(c.parallel, g_.images, [&](std::int64_t n) {
        const std::int64_t begin = n * g_.positions();
        gather_rows_channel_major(g_, dy, group, begin, begin + g_.positions(), rows.row(begin));
      });
      const ConstMatrixView x = input(c.in[0].floats(), group);
      unused_.resize(static_cast<std::size_t>(c.in[0].size()));
      float* base = c.wants(0) ? c.d_in[0].floats() : unused_.data();
      part(p).backward(x, rows, {base + group * x.cols, x.rows, x.cols, x.stride}, 0, c.parallel);
    }
  }

  std::vector<TrainedParameter> parameters() override {
    std::vector<TrainedParameter> result = TrainedLayer::parameters();
    if (!bias_.value.empty()) result.push_back(bias_.as(layer().name + ".bias", ParameterKind::bias));
    return result;
  }

  void store(Graph& graph, Node& node) const override {
    TrainedLayer::store(graph, node);
    if (!bias_.value.empty()) store_constant(graph, node, 2, Tensor(graph.tensor(node.input(2))->shape(), bias_.value));
  }

 private:
  /// As of the convolution that goes from the output to the input.
  void set_geometry(const Node& node, const Array& in, const Array& out) {
    g_.axes = resolve_transposed_window(node, layer().window, spatial_extents(in.shape));
    for (WindowAxis& axis : g_.axes) std::swap(axis.in, axis.out);
    g_.images = in.dim(0);
    g_.in_channels = out.dim(1);
    g_.out_channels = in.dim(1);
    g_.groups = layer().groups;
  }
  std::int64_t vectors() const { return g_.images * g_.positions(); }
  ConstMatrixView input(const float* in, std::int64_t group) const {
    return {in + group * g_.group_outputs(), vectors(), g_.group_outputs(), g_.out_channels};
  }

  ConvGeometry g_{};
  Learned bias_;
  AlignedVector<float> rows_, unused_;
};

}  // namespace

std::unique_ptr<TrainedLayer> make_trained_transposed_convolution(const Graph& graph, const LinearLayer& layer) {
  return std::make_unique<TrainedTransposedConvolution>(graph, layer);
}

}  // namespace tessera::nn
