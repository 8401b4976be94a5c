#include "tile/packed_engine.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/kernels/converter.hpp"
#include "tessera/kernels/outer_product.hpp"
#include "tessera/kernels/reference.hpp"
#include "tile/blocks.hpp"

namespace tessera::tile {
namespace {

// (1 - k/n)^2 for every line: how much of its voltage IR drop leaves alone.
std::vector<float> near_factors(std::int64_t n) {
  std::vector<float> factors(static_cast<std::size_t>(n));
  for (std::size_t k = 0; k < factors.size(); ++k) {
    const float rest = 1.0F - static_cast<float>(k) / static_cast<float>(factors.size());
    factors[k] = rest * rest;
  }
  return factors;
}

float sign_of(float v) {
  return v > 0.0F ? 1.0F : (v < 0.0F ? -1.0F : 0.0F);
}

// Vectors whose gradients are summed apart from the others', so that small weight matrices occupy all threads.
std::int64_t span_count(std::int64_t outputs, std::int64_t lines) {
  return outputs * lines <= 64 * 1024 ? 8 : 1;
}

/// With IR drop v = v0 - C (v0 - far), C a function of sum |W| |z|: record[0] is C, then the gradient of `far`;
/// record[1] is dv / d(sum |W| |z|), then the gradient of that sum; e becomes the gradient of v0.
class PackedBackward final : public EngineBackward {
 public:
  explicit PackedBackward(const kernels::PackedMatrix& weights)
      : near_(near_factors(weights.inputs())), signs_(weights.unpacked()) {
    Matrix transposed = Matrix::uninitialized(signs_.cols(), signs_.rows());
    for (std::int64_t i = 0; i < signs_.rows(); ++i)
      for (std::int64_t k = 0; k < signs_.cols(); ++k) {
        transposed(k, i) = signs_(i, k);
        signs_(i, k) = sign_of(signs_(i, k));
      }
    transposed_ = kernels::PackedMatrix(transposed.view());
  }

  void begin() override {
    for (std::vector<Matrix>* sums : {&sums_, &magnitude_sums_})
      for (Matrix& sum : *sums) std::fill(sum.values().begin(), sum.values().end(), 0.0F);
  }

  void prepare(MatrixView e, std::span<const MatrixView> record) const override {
    if (record.empty()) return;
    for (std::int64_t r = 0; r < e.rows; ++r) {
      float* of_v = e.row(r);
      float* far = record[0].row(r);
      float* current = record[1].row(r);
      for (std::int64_t i = 0; i < e.cols; ++i) {
        far[i] = of_v[i] * far[i];
        current[i] = of_v[i] * current[i];
        of_v[i] -= far[i];
      }
    }
  }

  void lines(ConstMatrixView z, ConstMatrixView e, ConstMatrixView h, std::span<const MatrixView> record,
             MatrixView dz) const override {
    kernels::multiply(transposed_, e, dz);
    if (record.empty() && h.rows == 0) return;
    Matrix part = Matrix::uninitialized(dz.rows, dz.cols);
    const auto add = [&](auto&& term) {
      for (std::int64_t r = 0; r < dz.rows; ++r)
        for (std::int64_t k = 0; k < dz.cols; ++k) dz(r, k) += term(part(r, k), z(r, k), k);
    };
    if (!record.empty()) {
      kernels::multiply(transposed_, record[0], part.view());
      add([near = near_.data()](float v, float, std::int64_t k) { return v * near[k]; });
      kernels::multiply_magnitudes(transposed_, record[1], part.view());
      add([](float v, float line, std::int64_t) { return sign_of(line) * v; });
    }
    if (h.rows > 0) {
      kernels::multiply_magnitudes(transposed_, h, part.view());
      add([](float v, float line, std::int64_t) { return 2.0F * line * v; });
    }
  }

  void add_weights(ConstMatrixView z, ConstMatrixView e, ConstMatrixView h, std::span<const MatrixView> record,
                   Parallel parallel) override {
    add_outer(e, z, sums_, parallel);
    if (!record.empty()) {
      const float* near = near_.data();
      add_outer(record[0], derived(z, [near](float v, std::int64_t k) { return v * near[k]; }), sums_, parallel);
      add_outer(record[1], derived(z, [](float v, std::int64_t) { return std::fabs(v); }), magnitude_sums_, parallel);
    }
    if (h.rows > 0) add_outer(h, derived(z, [](float v, std::int64_t) { return v * v; }), magnitude_sums_, parallel);
  }

  Matrix weight_gradient() const override {
    Matrix gradient = total(sums_);
    if (magnitude_sums_.empty()) return gradient;
    const Matrix magnitudes = total(magnitude_sums_);
    for (std::size_t i = 0; i < gradient.values().size(); ++i)
      gradient.values()[i] += signs_.values()[i] * magnitudes.values()[i];
    return gradient;
  }

 private:
  Matrix total(const std::vector<Matrix>& sums) const {
    if (sums.empty()) return Matrix(signs_.rows(), signs_.cols());
    Matrix sum = sums[0];
    for (std::size_t s = 1; s < sums.size(); ++s)
      for (std::size_t i = 0; i < sum.values().size(); ++i) sum.values()[i] += sums[s].values()[i];
    return sum;
  }

  void add_outer(ConstMatrixView e, ConstMatrixView z, std::vector<Matrix>& sums, Parallel parallel) const {
    const std::int64_t spans = span_count(signs_.rows(), signs_.cols());
    while (std::ssize(sums) < spans) sums.emplace_back(signs_.rows(), signs_.cols());
    if (spans == 1) return kernels::add_outer_products(e, z, sums[0].view(), parallel);
    parallel_for(parallel, spans, [&](std::int64_t s) {
      const std::int64_t first = e.rows * s / spans;
      const std::int64_t count = e.rows * (s + 1) / spans - first;
      kernels::add_outer_products(e.rows_from(first, count), z.rows_from(first, count),
                                  sums[static_cast<std::size_t>(s)].view());
    });
  }

  template <class Function>
  ConstMatrixView derived(ConstMatrixView z, Function&& f) {
    const MatrixView work = view(work_, z.rows, z.cols);
    for (std::int64_t r = 0; r < z.rows; ++r) {
      const float* from = z.row(r);
      float* to = work.row(r);
      for (std::int64_t k = 0; k < z.cols; ++k) to[k] = f(from[k], k);
    }
    return work;
  }

  std::vector<float> near_;
  Matrix signs_;                        // of the weights
  kernels::PackedMatrix transposed_;    // [inputs, outputs]
  std::vector<Matrix> sums_;            // per span of vectors: gradient of the weights
  std::vector<Matrix> magnitude_sums_;  // ... of their magnitudes
  AlignedVector<float> work_;
};

}  // namespace

PackedEngine::PackedEngine(const IOParameters& io, ConstMatrixView weights)
    : packed_(weights), ir_drop_(static_cast<float>(io.ir_drop)), g_ratio_(io.ir_drop_g_ratio) {}

std::shared_ptr<const Engine> PackedEngine::with_weights(ConstMatrixView weights) const {
  auto changed = std::make_shared<PackedEngine>(IOParameters{}, weights);
  changed->ir_drop_ = ir_drop_;
  changed->g_ratio_ = g_ratio_;
  return changed;
}

void PackedEngine::run(const EngineCall& call, EngineScratch& s) const {
  const ConstMatrixView z = call.z;
  kernels::Companions companions;
  bool some_negative = true;
  if (call.variance.rows > 0) {
    const MatrixView square = view(s.square, z.rows, z.cols);
    some_negative = kernels::square_inputs(z, square);
    companions.square = square;
    companions.variance = call.variance;
  }
  if (ir_drop_ > 0.0F) {
    companions.ir_drop = true;
    companions.n_over_g = n_over_g(z.cols);
    companions.ir_drop_scale = ir_drop_;
    companions.magnitude = z;
    if (some_negative) {
      const MatrixView magnitude = view(s.magnitude, z.rows, z.cols);
      kernels::input_magnitudes(z, magnitude);
      companions.magnitude = magnitude;
    }
    if (!call.record.empty()) record_drop(z, call.record);
  }
  kernels::multiply_with(companions, packed_, z, call.v);
}

void PackedEngine::run_columns(const kernels::ChannelWindows& z, std::int64_t first_channel, MatrixView v,
                               MatrixView variance) const {
  kernels::Companions companions;
  companions.variance = variance;
  companions.ir_drop = ir_drop_ > 0.0F;
  companions.n_over_g = n_over_g(inputs());
  companions.ir_drop_scale = ir_drop_;
  kernels::multiply_channels(companions, packed_, z, first_channel, v);
}

void PackedEngine::record_drop(ConstMatrixView z, std::span<Matrix> record) const {
  Matrix work = Matrix::uninitialized(z.rows, z.cols);
  Matrix straight = Matrix::uninitialized(z.rows, outputs());
  Matrix far = Matrix::uninitialized(z.rows, outputs());
  transform(z, work.view(), [](float t) { return std::fabs(t); });
  kernels::multiply_magnitudes(packed_, work.view(), record[1].view());
  kernels::multiply(packed_, z, straight.view());
  const std::vector<float> position = near_factors(z.cols);
  for (std::int64_t r = 0; r < z.rows; ++r)
    for (std::int64_t k = 0; k < z.cols; ++k) work(r, k) = z(r, k) * position[static_cast<std::size_t>(k)];
  kernels::multiply(packed_, work.view(), far.view());
  const float by_current = n_over_g(z.cols);
  for (std::size_t i = 0; i < straight.values().size(); ++i) {
    float& current = record[1].values()[i];
    const float a = by_current * current;
    record[0].values()[i] = ir_drop_ * kernels::reference::ir_drop(a);
    current = -ir_drop_ * kernels::reference::ir_drop_slope(a) * by_current * (straight.values()[i] - far.values()[i]);
  }
}

std::unique_ptr<EngineBackward> PackedEngine::backward() const {
  return std::make_unique<PackedBackward>(packed_);
}

}  // namespace tessera::tile
