// Is everything that multiplies behind one seam? An engine written here, one output at a time, takes the place of the
// packed product: same bits forwards, same gradients backwards.
#include "tessera/tile/engine.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tessera/kernels/reference.hpp"
#include "tessera/tile/learning.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

class PlainBackward final : public EngineBackward {
 public:
  explicit PlainBackward(Matrix weights) : weights_(std::move(weights)), sum_(weights_.rows(), weights_.cols()) {}
  void begin() override { sum_ = Matrix(weights_.rows(), weights_.cols()); }
  void prepare(MatrixView, std::span<const MatrixView>) const override {}
  void lines(ConstMatrixView z, ConstMatrixView e, ConstMatrixView h, std::span<const MatrixView>,
             MatrixView dz) const override {
    for (std::int64_t r = 0; r < dz.rows; ++r)
      for (std::int64_t k = 0; k < dz.cols; ++k) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < weights_.rows(); ++i) {
          sum += static_cast<double>(e(r, i) * weights_(i, k));
          if (h.rows > 0) sum += static_cast<double>(h(r, i) * std::fabs(weights_(i, k)) * 2.0F * z(r, k));
        }
        dz(r, k) = static_cast<float>(sum);
      }
  }
  void add_weights(ConstMatrixView z, ConstMatrixView e, ConstMatrixView h, std::span<const MatrixView>,
                   Parallel) override {
    for (std::int64_t r = 0; r < z.rows; ++r)
      for (std::int64_t i = 0; i < sum_.rows(); ++i)
        for (std::int64_t k = 0; k < sum_.cols(); ++k) {
          sum_(i, k) += e(r, i) * z(r, k);
          if (h.rows > 0) sum_(i, k) += h(r, i) * z(r, k) * z(r, k) * (weights_(i, k) < 0.0F ? -1.0F : 1.0F);
        }
  }
  Matrix weight_gradient() const override { return sum_; }

 private:
  Matrix weights_;
  Matrix sum_;
};

class PlainEngine final : public Engine {
 public:
  explicit PlainEngine(ConstMatrixView weights) : weights_(weights) {}
  std::int64_t inputs() const override { return weights_.cols(); }
  std::int64_t outputs() const override { return weights_.rows(); }
  std::int64_t bytes() const override { return static_cast<std::int64_t>(weights_.values().size_bytes()); }
  Matrix weights() const override { return weights_; }
  std::shared_ptr<const Engine> with_weights(ConstMatrixView weights) const override {
    return std::make_shared<PlainEngine>(weights);
  }
  void run(const EngineCall& call, EngineScratch&) const override {
    kernels::reference::multiply_with(0.0F, 0.0F, weights_.view(), call.z, call.v, call.variance);
  }
  std::unique_ptr<EngineBackward> backward() const override { return std::make_unique<PlainBackward>(weights_); }

 private:
  Matrix weights_;
};

std::shared_ptr<const Engine> plain_engine(ConstMatrixView weights, const random::Address&) {
  return std::make_shared<PlainEngine>(weights);
}

RpuParameters noisy(AnalogMVType type) {
  RpuParameters p;
  p.forward.mv_type = type;
  p.forward.w_noise = 0.05;
  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
  p.forward.inp_noise = 0.02;
  p.forward.v_offset_std = 0.02;
  p.forward.out_nonlinearity = 0.2;
  p.forward.w_read_asymmetry_dtod = 0.1;
  p.forward.out_bound = 2.0;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.max_input_size = 12;
  return p;
}

constexpr AnalogMVType encodings[] = {AnalogMVType::ONE_PASS, AnalogMVType::POS_NEG_SEPARATE,
                                      AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM, AnalogMVType::SPLIT_MODE,
                                      AnalogMVType::BIT_WISE};

TEST(Engine, AnotherOneWithTheSameLawGivesTheSameBits) {
  const Matrix w = testing::normals(7, 20, 1, 0.4F);
  const Matrix x = testing::normals(30, 20, 3);
  for (const AnalogMVType type : encodings) {
    AnalogLayer packed(noisy(type), w.view(), {}, {.seed = 3});
    AnalogLayer plain(noisy(type), w.view(), {}, {.seed = 3}, plain_engine);
    for (const bool programmed : {false, true}) {
      if (programmed)
        for (AnalogLayer* layer : {&packed, &plain}) layer->set_tile_weights(1, layer->target_tile_weights(0).view());
      const Matrix a = testing::run(packed, x), b = testing::run(plain, x);
      for (std::size_t i = 0; i < a.values().size(); ++i) ASSERT_EQ(a.values()[i], b.values()[i]);
    }
    EXPECT_EQ(packed.target_tile_weights(1).values()[5], plain.target_tile_weights(1).values()[5]);
    EXPECT_EQ(packed.logical_weights().values()[5], plain.logical_weights().values()[5]);
  }
}

TEST(Engine, LearnsThroughAnotherOne) {
  const Matrix w = testing::normals(7, 20, 1, 0.4F);
  const Matrix x = testing::normals(30, 20, 3), dy = testing::normals(30, 7, 4);
  for (const AnalogMVType type : encodings) {
    LearningLayer packed(noisy(type), w.view(), {}, {.seed = 3});
    LearningLayer plain(noisy(type), w.view(), {}, {.seed = 3}, {}, plain_engine);
    const LearningLayer untouched = plain;  // a copy makes its own derivatives
    Matrix y(30, 7), dx_packed(30, 20), dx_plain(30, 20);
    packed.forward(x.view(), y.view(), {});
    packed.backward(x.view(), dy.view(), dx_packed.view(), {});
    plain.forward(x.view(), y.view(), {});
    plain = LearningLayer(plain);
    plain.backward(x.view(), dy.view(), dx_plain.view(), {});
    float largest = 0.0F;
    for (const float v : dx_packed.values()) largest = std::max(largest, std::fabs(v));
    for (std::size_t i = 0; i < dx_plain.values().size(); ++i)
      ASSERT_NEAR(dx_packed.values()[i], dx_plain.values()[i], 1e-5F * largest);
    const std::span<float> a = packed.values()[0].gradient, b = plain.values()[0].gradient;
    for (const float v : a) largest = std::max(largest, std::fabs(v));
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4F * largest);
    EXPECT_EQ(untouched.state(), LearningLayer(noisy(type), w.view(), {}, {.seed = 3}).state());
  }
}

TEST(Engine, APerfectProductNeedsNone) {
  RpuParameters p;
  p.forward.is_perfect = true;
  const Matrix w = testing::normals(3, 4, 1);
  const EngineFactory never = [](ConstMatrixView, const random::Address&) -> std::shared_ptr<const Engine> {
    throw RunError("asked for");
  };
  EXPECT_NO_THROW(AnalogLayer(p, w.view(), {}, {}, never));
  p.forward.is_perfect = false;
  EXPECT_THROW(AnalogLayer(p, w.view(), {}, {}, never), RunError);
}

}  // namespace
}  // namespace tessera::tile
