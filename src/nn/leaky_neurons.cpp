#include "tessera/nn/leaky_neurons.hpp"

#include <algorithm>

namespace tessera::nn {

namespace {

/// Samples that are worked on together; fixed, so that sums over samples do not depend on threads.
constexpr std::int64_t samples_per_block = 16;

class TrainableLeaky final : public TrainableTransform {
 public:
  explicit TrainableLeaky(TrainableLeakyParameters parameters)
      : p_(std::move(parameters)),
        neurons_(p_.neurons),
        beta_gradient_(p_.neurons.beta.size(), 0.0F),
        threshold_gradient_(p_.neurons.threshold.size(), 0.0F) {
    require<InputError>(p_.steps >= 1, "{} time steps (must be at least 1)", p_.steps);
  }

  void begin_step(std::uint64_t step) override { step_ = step; }

  void forward(const TransformCall& call) override {
    const Extents e = extents(call);
    before_.resize(call.x.size());
    parallel_for_blocks(call.parallel, e.samples, samples_per_block,
                        [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                          Matrix state(end - begin, e.units), spikes(end - begin, e.units);
                          for (std::int64_t t = 0; t < p_.steps; ++t) {
                            copy(state.view(), at(before_.data(), e, begin, end, t));
                            const MatrixView y = at(call.y.data(), e, begin, end, t);
                            const bool emits = p_.output == LeakyOutput::spikes;
                            neurons_.step(at(call.x.data(), e, begin, end, t), state.view(), emits ? y : spikes.view());
                            if (!emits) copy(state.view(), y);
                          }
                        });
  }

  void backward(const TransformCall& call, std::span<const float> dy, std::span<float> dx) override {
    const Extents e = extents(call);
    const auto blocks = static_cast<std::size_t>((e.samples + samples_per_block - 1) / samples_per_block);
    std::vector<std::vector<double>> beta(blocks), threshold(blocks);
    parallel_for_blocks(
        call.parallel, e.samples, samples_per_block, [&](std::int64_t b, std::int64_t begin, std::int64_t end) {
          const auto i = static_cast<std::size_t>(b);
          beta[i].assign(beta_gradient_.size(), 0.0);
          threshold[i].assign(threshold_gradient_.size(), 0.0);
          Matrix d_state(end - begin, e.units), d_before(end - begin, e.units);
          const Matrix nothing(end - begin, e.units);
          for (std::int64_t t = p_.steps; t-- > 0;) {
            const ConstMatrixView d_out = at(dy.data(), e, begin, end, t);
            const bool emits = p_.output == LeakyOutput::spikes;
            if (!emits)
              for (std::int64_t r = 0; r < d_out.rows; ++r)
                for (std::int64_t u = 0; u < d_out.cols; ++u) d_state(r, u) += d_out(r, u);
            neurons_.backward(at(call.x.data(), e, begin, end, t), at(std::as_const(before_).data(), e, begin, end, t),
                              emits ? d_out : nothing.view(), d_state.view(),
                              {at(dx.data(), e, begin, end, t), d_before.view(), beta[i], threshold[i]},
                              draws(e, begin, t));
            std::swap(d_state, d_before);
          }
        });
    for (std::size_t i = 0; i < blocks; ++i) {
      for (std::size_t k = 0; k < beta[i].size(); ++k) beta_gradient_[k] += static_cast<float>(beta[i][k]);
      for (std::size_t k = 0; k < threshold[i].size(); ++k)
        threshold_gradient_[k] += static_cast<float>(threshold[i][k]);
    }
  }

  std::vector<TrainedParameter> parameters() override {
    std::vector<TrainedParameter> result;
    if (p_.learn_beta) result.push_back({"beta", ParameterKind::neuron, p_.neurons.beta, beta_gradient_});
    if (p_.learn_threshold)
      result.push_back({"threshold", ParameterKind::neuron, p_.neurons.threshold, threshold_gradient_});
    return result;
  }
  void updated() override {
    if (p_.learn_beta || p_.learn_threshold) neurons_ = quant::Leaky(p_.neurons);
  }

 private:
  struct Extents {
    std::int64_t samples, units;
  };
  Extents extents(const TransformCall& call) const {
    const std::int64_t rows = call.shape.empty() ? 1 : call.shape[0];
    require<InputError>(rows > 0 && rows % p_.steps == 0, "values of shape {} for neurons over {} time steps",
                        to_string(call.shape), p_.steps);
    return {rows / p_.steps, static_cast<std::int64_t>(call.x.size()) / rows};
  }

  /// Step t of samples [begin, end).
  template <class T>
  BasicMatrixView<T> at(T* values, const Extents& e, std::int64_t begin, std::int64_t end, std::int64_t t) const {
    return {values + (begin * p_.steps + t) * e.units, end - begin, e.units, p_.steps * e.units};
  }

  static void copy(ConstMatrixView from, MatrixView to) {
    for (std::int64_t r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, to.row(r));
  }

  quant::RandomDraws draws(const Extents& e, std::int64_t begin, std::int64_t t) const {
    quant::RandomDraws result;
    result.stream = random::Stream({.seed = p_.seed}, random::Purpose::stochastic_rounding);
    result.event = static_cast<std::uint32_t>(step_);
    result.first = static_cast<std::uint64_t>((t * e.samples + begin) * e.units);
    return result;
  }

  TrainableLeakyParameters p_;
  quant::Leaky neurons_;
  std::vector<float> beta_gradient_, threshold_gradient_;
  AlignedVector<float> before_;  ///< U before every step
  std::uint64_t step_ = 0;
};

}  // namespace

std::shared_ptr<TrainableTransform> trainable_leaky(TrainableLeakyParameters parameters) {
  return std::make_shared<TrainableLeaky>(std::move(parameters));
}

}  // namespace tessera::nn
