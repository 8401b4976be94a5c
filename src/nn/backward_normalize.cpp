#include <algorithm>
#include <cmath>

#include "backward.hpp"

/// Normalizations in training.
namespace tessera::nn {

namespace {

bool constants(const Graph& graph, const Node& node, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i <= last; ++i)
    if (node.input(i) != no_value && graph.tensor(node.input(i)) == nullptr) return false;
  return graph.tensor(node.input(first)) != nullptr;
}

Tensor stored(const Graph& graph, const Node& node, std::size_t i, const std::vector<float>& values) {
  return {graph.tensor(node.input(i))->shape(), values};
}

/// Elements around the channel axis in memory, cut into pieces whose number depends on the shape alone.
struct ChannelRows {
  std::int64_t outer = 1, channels = 1, inner = 1, pieces = 1;

  explicit ChannelRows(const Array& array) {
    const Shape shape = physical_shape(array.shape, array.layout);
    const std::int64_t at = physical_axis(1, array.rank(), array.layout);
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const auto a = static_cast<std::int64_t>(i);
      (a < at ? outer : a == at ? channels : inner) *= shape[i];
    }
    pieces = std::clamp<std::int64_t>(outer, 1, 16);
  }
  std::int64_t count() const { return outer * inner; }

  /// Calls body(first element, channel, count) for runs of one channel (inner > 1) or, with channel -1, for whole rows
  /// of all channels.
  template <class Body>
  void for_each_run(std::int64_t begin, std::int64_t end, Body body) const {
    for (std::int64_t o = begin; o < end; ++o) {
      if (inner == 1) {
        body(o * channels, std::int64_t{-1}, channels);
      } else {
        for (std::int64_t ch = 0; ch < channels; ++ch) body((o * channels + ch) * inner, ch, inner);
      }
    }
  }

  /// sums[s][channel] = sum of term_s(element, channel), pieces added in order.
  template <std::size_t Sums, class Terms>
  std::array<std::vector<double>, Sums> sum(Parallel parallel, Terms terms) const {
    const auto size = static_cast<std::size_t>(channels);
    std::vector<double> parts(static_cast<std::size_t>(pieces) * Sums * size, 0.0);
    parallel_for(parallel, pieces, [&](std::int64_t piece) {
      double* part = parts.data() + static_cast<std::size_t>(piece) * Sums * size;
      for_each_run(piece * outer / pieces, (piece + 1) * outer / pieces,
                   [&](std::int64_t first, std::int64_t channel, std::int64_t run) {
                     if (channel >= 0) {
                       std::array<double, Sums> acc{};
                       for (std::int64_t i = 0; i < run; ++i) {
                         const std::array<double, Sums> t = terms(first + i, channel);
                         for (std::size_t s = 0; s < Sums; ++s) acc[s] += t[s];
                       }
                       for (std::size_t s = 0; s < Sums; ++s)
                         part[s * size + static_cast<std::size_t>(channel)] += acc[s];
                     } else {
                       for (std::int64_t ch = 0; ch < run; ++ch) {
                         const std::array<double, Sums> t = terms(first + ch, ch);
                         for (std::size_t s = 0; s < Sums; ++s) part[s * size + static_cast<std::size_t>(ch)] += t[s];
                       }
                     }
                   });
    });
    std::array<std::vector<double>, Sums> result;
    for (std::size_t s = 0; s < Sums; ++s) {
      result[s].assign(size, 0.0);
      for (std::size_t piece = 0; piece < static_cast<std::size_t>(pieces); ++piece)
        for (std::size_t ch = 0; ch < size; ++ch) result[s][ch] += parts[(piece * Sums + s) * size + ch];
    }
    return result;
  }

  /// out[i] = f(i, channel)
  template <class F>
  void fill(float* out, Parallel parallel, F f) const {
    parallel_for(parallel, pieces, [&](std::int64_t piece) {
      for_each_run(piece * outer / pieces, (piece + 1) * outer / pieces,
                   [&](std::int64_t first, std::int64_t channel, std::int64_t run) {
                     if (channel >= 0)
                       for (std::int64_t i = 0; i < run; ++i) out[first + i] = f(first + i, channel);
                     else
                       for (std::int64_t ch = 0; ch < run; ++ch) out[first + ch] = f(first + ch, ch);
                   });
    });
  }
};

class BatchNormalization final : public TrainedNode {
 public:
  BatchNormalization(const Graph& graph, const Node& node)
      : name_(node.name),
        epsilon_(static_cast<double>(node.real("epsilon", 1e-5F))),
        momentum_(static_cast<double>(node.real("momentum", 0.9F))),
        scale_(graph.tensor(node.input(1))->values()),
        shift_(graph.tensor(node.input(2))->values()),
        mean_(graph.tensor(node.input(3))->values().begin(), graph.tensor(node.input(3))->values().end()),
        variance_(graph.tensor(node.input(4))->values().begin(), graph.tensor(node.input(4))->values().end()) {}

  void forward(const ForwardContext& c) override {
    const ChannelRows rows(c.in[0]);
    const float* x = c.in[0].floats();
    const auto n = static_cast<double>(rows.count());
    require<InputError>(
        rows.count() > 1,
        "node '{}' (BatchNormalization): the statistics of a batch need more than one value per channel; "
        "use larger batches",
        name_);
    auto [sum] = rows.sum<1>(
        c.parallel, [&](std::int64_t i, std::int64_t) { return std::array<double, 1>{static_cast<double>(x[i])}; });
    for (double& m : sum) m /= n;
    batch_mean_ = sum;
    auto [squares] = rows.sum<1>(c.parallel, [&](std::int64_t i, std::int64_t ch) {
      const double d = static_cast<double>(x[i]) - batch_mean_[static_cast<std::size_t>(ch)];
      return std::array<double, 1>{d * d};
    });
    inverse_ = squares;
    std::vector<float> scale(squares.size()), shift(squares.size());
    for (std::size_t ch = 0; ch < squares.size(); ++ch) {
      const double variance = squares[ch] / n;
      inverse_[ch] = 1.0 / std::sqrt(variance + epsilon_);
      const double s = static_cast<double>(scale_.value[ch]) * inverse_[ch];
      scale[ch] = static_cast<float>(s);
      shift[ch] = static_cast<float>(static_cast<double>(shift_.value[ch]) - batch_mean_[ch] * s);
      mean_[ch] = static_cast<float>(momentum_ * static_cast<double>(mean_[ch]) + (1.0 - momentum_) * batch_mean_[ch]);
      variance_[ch] = static_cast<float>(momentum_ * static_cast<double>(variance_[ch]) + (1.0 - momentum_) * variance);
    }
    rows.fill(c.out[0].floats(), c.parallel, [&](std::int64_t i, std::int64_t ch) {
      return x[i] * scale[static_cast<std::size_t>(ch)] + shift[static_cast<std::size_t>(ch)];
    });
  }

  /// With x^ = (x - mean) inverse:  dscale = sum dy x^,  dshift = sum dy,
  /// dx = scale inverse (dy - dshift / n - x^ dscale / n).
  void backward(const BackwardContext& c, bool) override {
    const ChannelRows rows(c.in[0]);
    const float *x = c.in[0].floats(), *dy = c.d_out[0].floats();
    const auto [d_shift, d_scale] = rows.sum<2>(c.parallel, [&](std::int64_t i, std::int64_t channel) {
      const auto ch = static_cast<std::size_t>(channel);
      const auto g = static_cast<double>(dy[i]);
      return std::array<double, 2>{g, g * (static_cast<double>(x[i]) - batch_mean_[ch]) * inverse_[ch]};
    });
    std::vector<float> a(d_shift.size()), b(d_shift.size()), d(d_shift.size());
    const auto n = static_cast<double>(rows.count());
    for (std::size_t ch = 0; ch < d_shift.size(); ++ch) {
      scale_.gradient[ch] += static_cast<float>(d_scale[ch]);
      shift_.gradient[ch] += static_cast<float>(d_shift[ch]);
      const double s = static_cast<double>(scale_.value[ch]) * inverse_[ch];
      const double slope = -s * inverse_[ch] * d_scale[ch] / n;  // of x
      a[ch] = static_cast<float>(s);
      b[ch] = static_cast<float>(slope);
      d[ch] = static_cast<float>(-s * d_shift[ch] / n - slope * batch_mean_[ch]);
    }
    if (!c.wants(0)) return;
    rows.fill(c.d_in[0].floats(), c.parallel, [&](std::int64_t i, std::int64_t channel) {
      const auto ch = static_cast<std::size_t>(channel);
      return a[ch] * dy[i] + (b[ch] * x[i] + d[ch]);
    });
  }

  std::vector<TrainedParameter> parameters() override {
    return {scale_.as(name_ + ".scale", ParameterKind::normalization),
            shift_.as(name_ + ".shift", ParameterKind::normalization)};
  }

  void store(Graph& graph, Node& node) const override {
    const std::array<const std::vector<float>*, 4> values{&scale_.value, &shift_.value, &mean_, &variance_};
    for (std::size_t i = 0; i < 4; ++i) store_constant(graph, node, i + 1, stored(graph, node, i + 1, *values[i]));
  }

 private:
  std::string name_;
  double epsilon_, momentum_;
  Learned scale_, shift_;
  std::vector<float> mean_, variance_;
  std::vector<double> batch_mean_, inverse_;
};

/// LayerNormalization, InstanceNormalization and GroupNormalization: the statistics of lines of one sample.
class LineNormalization final : public TrainedNode {
 public:
  LineNormalization(const Graph& graph, const Node& node)
      : name_(node.name),
        op_(node.op),
        epsilon_(static_cast<double>(node.real("epsilon", 1e-5F))),
        scale_(graph.tensor(node.input(1))->values()) {
    if (const Tensor* shift = graph.tensor(node.input(2))) shift_ = Learned(shift->values());
  }

  void forward(const ForwardContext& c) override {
    const Lines lines = lines_of(c.node, c.in[0]);
    mean_.resize(static_cast<std::size_t>(lines.count));
    inverse_.resize(mean_.size());
    parallel_for_blocks(c.parallel, lines.count, 16, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      for (std::int64_t l = begin; l < end; ++l) {
        const float* x = c.in[0].floats() + l * lines.length;
        float* y = c.out[0].floats() + l * lines.length;
        double mean = 0.0, variance = 0.0;
        for (std::int64_t i = 0; i < lines.length; ++i) mean += static_cast<double>(x[i]);
        mean /= static_cast<double>(lines.length);
        for (std::int64_t i = 0; i < lines.length; ++i)
          variance += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
        const double inverse = 1.0 / std::sqrt(variance / static_cast<double>(lines.length) + epsilon_);
        mean_[static_cast<std::size_t>(l)] = mean;
        inverse_[static_cast<std::size_t>(l)] = inverse;
        for (std::int64_t i = 0; i < lines.length; ++i) {
          const std::size_t p = lines.parameter(l, i);
          const auto normalized = static_cast<float>((static_cast<double>(x[i]) - mean) * inverse);
          y[i] = normalized * scale_.value[p] + (shift_.value.empty() ? 0.0F : shift_.value[p]);
        }
      }
    });
  }

  /// With x^ = (x - mean) inverse and g = dy scale:  dx = inverse (g - mean of g - x^ mean of (g x^)).
  void backward(const BackwardContext& c, bool) override {
    const Lines lines = lines_of(c.node, c.in[0]);
    const std::int64_t pieces = std::clamp<std::int64_t>(lines.count, 1, 16);
    const std::size_t size = scale_.value.size();
    std::vector<double> sums(static_cast<std::size_t>(pieces) * 2 * size, 0.0);
    parallel_for(c.parallel, pieces, [&](std::int64_t piece) {
      double* d_scale = sums.data() + static_cast<std::size_t>(piece) * 2 * size;
      double* d_shift = d_scale + size;
      for (std::int64_t l = piece * lines.count / pieces; l < (piece + 1) * lines.count / pieces; ++l) {
        const float *x = c.in[0].floats() + l * lines.length, *dy = c.d_out[0].floats() + l * lines.length;
        const double mean = mean_[static_cast<std::size_t>(l)], inverse = inverse_[static_cast<std::size_t>(l)];
        double sum = 0.0, product = 0.0;
        for (std::int64_t i = 0; i < lines.length; ++i) {
          const std::size_t p = lines.parameter(l, i);
          const double normalized = (static_cast<double>(x[i]) - mean) * inverse, g = static_cast<double>(dy[i]);
          d_scale[p] += g * normalized;
          d_shift[p] += g;
          sum += g * static_cast<double>(scale_.value[p]);
          product += g * static_cast<double>(scale_.value[p]) * normalized;
        }
        if (!c.wants(0)) continue;
        float* dx = c.d_in[0].floats() + l * lines.length;
        const auto n = static_cast<double>(lines.length);
        for (std::int64_t i = 0; i < lines.length; ++i) {
          const double g = static_cast<double>(dy[i]) * static_cast<double>(scale_.value[lines.parameter(l, i)]);
          const double normalized = (static_cast<double>(x[i]) - mean) * inverse;
          dx[i] = static_cast<float>(inverse * (g - sum / n - normalized * product / n));
        }
      }
    });
    for (std::size_t p = 0; p < size; ++p) {
      double d_scale = 0.0, d_shift = 0.0;
      for (std::size_t piece = 0; piece < static_cast<std::size_t>(pieces); ++piece) {
        d_scale += sums[piece * 2 * size + p];
        d_shift += sums[piece * 2 * size + size + p];
      }
      scale_.gradient[p] += static_cast<float>(d_scale);
      if (!shift_.value.empty()) shift_.gradient[p] += static_cast<float>(d_shift);
    }
  }

  std::vector<TrainedParameter> parameters() override {
    std::vector<TrainedParameter> result{scale_.as(name_ + ".scale", ParameterKind::normalization)};
    if (!shift_.value.empty()) result.push_back(shift_.as(name_ + ".shift", ParameterKind::normalization));
    return result;
  }

  void store(Graph& graph, Node& node) const override {
    store_constant(graph, node, 1, stored(graph, node, 1, scale_.value));
    if (!shift_.value.empty()) store_constant(graph, node, 2, stored(graph, node, 2, shift_.value));
  }

 private:
  /// Line l has `length` elements; which scale and shift element i of it takes.
  struct Lines {
    std::int64_t count, length;
    std::int64_t groups = 0;     ///< lines of one sample; 0: every element of a line has its own parameters
    std::int64_t positions = 1;  ///< elements that share a parameter
    bool shared = false;         ///< one parameter per group
    std::size_t parameter(std::int64_t l, std::int64_t i) const {
      if (groups == 0) return static_cast<std::size_t>(i);
      const std::int64_t group = l % groups;
      return static_cast<std::size_t>(shared ? group : group * (length / positions) + i / positions);
    }
  };

  Lines lines_of(const Node& node, const Array& in) const {
    if (op_ == "LayerNormalization") {
      const std::int64_t axis = normal_axis(node.integer("axis", -1), in.rank(), name_);
      std::int64_t length = 1;
      for (std::int64_t i = axis; i < in.rank(); ++i) length *= in.dim(i);
      return {.count = in.size() / length, .length = length};
    }
    const std::int64_t channels = in.dim(1), positions = in.size() / (in.dim(0) * channels);
    const std::int64_t groups = op_ == "GroupNormalization" ? node.integer("num_groups", 1) : channels;
    return {.count = in.dim(0) * groups,
            .length = channels / groups * positions,
            .groups = groups,
            .positions = positions,
            .shared = node.integer("per_group", 0) != 0};
  }

  std::string name_, op_;
  double epsilon_;
  Learned scale_, shift_;
  std::vector<double> mean_, inverse_;
};

}  // namespace

std::unique_ptr<TrainedNode> make_trained_batch_normalization(const Graph& graph, const Node& node) {
  if (!constants(graph, node, 1, 4)) return nullptr;
  return std::make_unique<BatchNormalization>(graph, node);
}

std::unique_ptr<TrainedNode> make_trained_normalization(const Graph& graph, const Node& node) {
  if (!constants(graph, node, 1, 2)) return nullptr;
  return std::make_unique<LineNormalization>(graph, node);
}

}  // namespace tessera::nn
