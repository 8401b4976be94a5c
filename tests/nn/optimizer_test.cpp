// Do optimizers and schedules follow PyTorch's, step by step? Expected numbers: torch.optim 2 on the same four values
// and gradients (one array, foreach off), learning rates of torch.optim.lr_scheduler.
#include "tessera/nn/optimizer.hpp"

#include <gmock/gmock.h>

#include <array>

#include "tessera/core/error.hpp"

namespace tessera::nn {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

using Values = std::vector<float>;

const Values start{0.5F, -1.25F, 2.0F, 0.03125F};

/// The gradient of step k = 0..3.
Values gradient(int k) {
  Values values;
  for (int i = 0; i < 4; ++i)
    values.push_back(static_cast<float>(0.1 * (k + 1) * ((i + k) % 2 != 0 ? 1 : -1) + 0.05 * i));
  return values;
}

struct OptimizerCase {
  const char* name;
  OptimizerParameters parameters;
  double rate;
  std::vector<Values> expected;
};

std::vector<OptimizerCase> cases() {
  using T = OptimizerType;
  return {
      {"sgd",
       {.type = T::sgd, .weight_decay = 0.01},
       0.1,
       {{0.509500027F, -1.26374996F, 1.99800003F, 0.0062187491F},
        {0.488990515F, -1.24748623F, 1.96600199F, 0.0112125305F},
        {0.51850152F, -1.28123879F, 1.98403597F, -0.0337986797F},
        {0.477983028F, -1.24495757F, 1.9320519F, -0.00876488071F}}},
      {"momentum",
       {.type = T::sgd, .momentum = 0.9, .dampening = 0.25, .weight_decay = 0.01},
       0.1,
       {{0.509500027F, -1.26374996F, 1.99800003F, 0.0062187491F},
        {0.502667904F, -1.2639271F, 1.97220147F, -0.0125640398F},
        {0.518642008F, -1.28938866F, 1.96250367F, -0.0632091239F},
        {0.502629697F, -1.28508699F, 1.91480374F, -0.0899922922F}}},
      {"nesterov",
       {.type = T::sgd, .momentum = 0.9, .nesterov = true},
       0.1,
       {{0.518999994F, -1.27849996F, 2.0F, -0.0162499994F},
        {0.489099979F, -1.26214993F, 1.94299996F, -0.0269999988F},
        {0.53718996F, -1.3274349F, 1.95669997F, -0.126674995F},
        {0.477470964F, -1.28819144F, 1.85602999F, -0.128382489F}}},
      {"adam",
       {.type = T::adam, .weight_decay = 0.1},
       0.05,
       {{0.550000012F, -1.29999995F, 1.95000005F, -0.018749997F},
        {0.519931078F, -1.26591837F, 1.90295482F, -0.0440966636F},
        {0.525179327F, -1.26517618F, 1.86717558F, -0.081556052F},
        {0.505086243F, -1.24159801F, 1.82624984F, -0.0959569886F}}},
      {"adam, other betas",
       {.type = T::adam, .beta1 = 0.5, .beta2 = 0.7, .epsilon = 1e-3},
       0.05,
       {{0.549504936F, -1.29966891F, 2.0F, -0.0185507983F},
        {0.519613862F, -1.28311265F, 1.95672667F, -0.0336162969F},
        {0.546636701F, -1.31718087F, 1.96328366F, -0.0760182738F},
        {0.522115648F, -1.29997909F, 1.92786205F, -0.0754632801F}}},
      {"adamw",
       {.type = T::adamw, .weight_decay = 0.1},
       0.05,
       {{0.547500014F, -1.29374993F, 1.99000001F, -0.0189062431F},
        {0.52645731F, -1.28464961F, 1.94284308F, -0.0443630144F},
        {0.540987074F, -1.30449331F, 1.92692554F, -0.0816671699F},
        {0.526655138F, -1.29542577F, 1.89074588F, -0.0962776542F}}},
  };
}

TEST(OptimizerTest, AgreesWithPyTorch) {
  for (const OptimizerCase& c : cases()) {
    Values value = start;
    OptimizerState state;
    for (int k = 0; k < 4; ++k) {
      const Values g = gradient(k);
      const std::array arrays{OptimizedParameter{value, g}};
      optimizer_step(c.parameters, c.rate, arrays, state, {});
      // Two roundings of the largest value: the order of the last operations is not PyTorch's promise.
      EXPECT_THAT(value, Pointwise(testing::FloatNear(2.4e-7F), c.expected[static_cast<std::size_t>(k)]))
          << c.name << ", step " << k;
    }
  }
}

TEST(OptimizerTest, StateIsAllThatAStepRemembers) {
  for (const OptimizerCase& c : cases()) {
    Values value = start;
    OptimizerState state;
    const auto step = [&](int k, Values& v, OptimizerState& s) {
      const Values g = gradient(k);
      const std::array arrays{OptimizedParameter{v, g}};
      optimizer_step(c.parameters, c.rate, arrays, s, {});
    };
    step(0, value, state);
    step(1, value, state);
    Values copy = value;
    OptimizerState copied_state = state;
    step(2, value, state);
    step(2, copy, copied_state);
    EXPECT_EQ(value, copy) << c.name;
    EXPECT_EQ(state, copied_state) << c.name;
  }
}

TEST(OptimizerTest, ThreadsChangeNoBit) {
  constexpr std::size_t n = 50000;
  Values g(n);
  for (std::size_t i = 0; i < n; ++i) g[i] = static_cast<float>(i % 97) * 0.01F - 0.4F;
  std::vector<Values> results;
  for (const int threads : {1, 3}) {
    Values value(n, 0.3F);
    OptimizerState state;
    for (int k = 0; k < 3; ++k) {
      const std::array arrays{OptimizedParameter{value, g}};
      optimizer_step({.type = OptimizerType::adamw, .weight_decay = 0.1}, 0.01, arrays, state, Parallel{threads});
    }
    results.push_back(std::move(value));
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(OptimizerTest, FactorsScaleRateAndDecay) {
  Values value = start;
  Values other = start;
  const Values g = gradient(1);
  OptimizerState state;
  const OptimizerParameters sgd{.type = OptimizerType::sgd, .weight_decay = 0.1};
  const std::array arrays{OptimizedParameter{value, g, 0.0, 1.0}, OptimizedParameter{other, g, 2.0, 0.0}};
  optimizer_step(sgd, 0.1, arrays, state, {});
  EXPECT_EQ(value, start);
  for (std::size_t i = 0; i < other.size(); ++i) EXPECT_FLOAT_EQ(other[i], start[i] - 0.2F * g[i]);
}

TEST(OptimizerTest, RefusesTheStateOfOtherArrays) {
  Values value = start;
  const Values g = gradient(0);
  const std::array arrays{OptimizedParameter{value, g}};
  OptimizerState two(2);
  EXPECT_THROW(optimizer_step({}, 0.1, arrays, two, {}), InputError);
  OptimizerState longer{{1, Values(5), Values(5)}};
  EXPECT_THROW(optimizer_step({}, 0.1, arrays, longer, {}), InputError);
}

TEST(OptimizerTest, ClipsTheNormOfAllGradientsTogether) {
  Values a{3.0F, 4.0F};
  Values b{12.0F};
  const std::array<std::span<float>, 2> both{a, b};
  EXPECT_DOUBLE_EQ(clip_gradient_norm(both, 6.5), 13.0);
  EXPECT_THAT(a, ElementsAre(testing::FloatEq(1.49999988F), testing::FloatEq(1.99999988F)));
  EXPECT_THAT(b, ElementsAre(testing::FloatEq(5.99999952F)));
  const Values before = a;
  clip_gradient_norm(both, 100.0);
  EXPECT_EQ(a, before);
}

std::vector<double> rates(const ScheduleParameters& parameters, std::int64_t steps_per_epoch, std::int64_t steps) {
  std::vector<double> result;
  for (std::int64_t t = 0; t < steps; ++t) result.push_back(scheduled_rate(parameters, 0.5, t, steps_per_epoch, steps));
  return result;
}

TEST(ScheduleTest, AgreesWithPyTorch) {
  using T = ScheduleType;
  const auto near = [](const std::vector<double>& expected) { return Pointwise(DoubleNear(1e-15), expected); };
  EXPECT_THAT(rates({.warmup_epochs = 5}, 1, 8), near({0.005, 0.104, 0.203, 0.302, 0.401, 0.5, 0.5, 0.5}));
  EXPECT_THAT(rates({.type = T::step, .step_size = 2, .gamma = 0.3}, 1, 7),
              near({0.5, 0.5, 0.15, 0.15, 0.045, 0.045, 0.0135}));
  EXPECT_THAT(rates({.type = T::multi_step, .gamma = 0.3, .milestones = {1, 4}}, 1, 7),
              near({0.5, 0.15, 0.15, 0.15, 0.045, 0.045, 0.045}));
  EXPECT_THAT(rates({.type = T::cosine, .final_factor = 0.1}, 1, 8),
              near({0.5, 0.48287289481503953, 0.43409902576697318, 0.36110377228214524, 0.27500000000000002,
                    0.18889622771785486, 0.11590097423302685, 0.067127105184960498}));
  EXPECT_THAT(rates({.type = T::one_cycle}, 3, 10),
              near({0.02, 0.26, 0.5, 0.47524231600673683, 0.40587282697488153, 0.30563101096814466, 0.19437098903185537,
                    0.094129173025118487, 0.024759683993263143, 2e-06}));
}

TEST(ScheduleTest, StepsCountEpochsBehindTheWarmUp) {
  const ScheduleParameters parameters{.type = ScheduleType::step, .warmup_epochs = 0.5, .step_size = 1, .gamma = 0.1};
  EXPECT_THAT(rates(parameters, 4, 8),
              Pointwise(DoubleNear(1e-15), std::vector<double>{0.005, 0.2525, 0.5, 0.5, 0.5, 0.5, 0.05, 0.05}));
}

TEST(ScheduleTest, EveryValueOutOfRangeIsNamed) {
  const auto problems = [](const auto& parameters) -> std::size_t {
    try {
      validate(parameters);
    } catch (const ConfigError& error) {
      return error.problems().size();
    }
    return 0;
  };
  EXPECT_EQ(problems(ScheduleParameters{}), 0U);
  EXPECT_EQ(problems(OptimizerParameters{}), 0U);
  EXPECT_EQ(problems(ScheduleParameters{.warmup_epochs = -1,
                                        .warmup_start = 0,
                                        .step_size = 0,
                                        .gamma = 0,
                                        .milestones = {3, 2},
                                        .final_factor = 2,
                                        .pct_start = 1,
                                        .div_factor = 0.5,
                                        .final_div_factor = 0}),
            9U);
  EXPECT_EQ(problems(OptimizerParameters{.type = OptimizerType::sgd,
                                         .momentum = 1,
                                         .dampening = 2,
                                         .nesterov = true,
                                         .beta1 = 1,
                                         .beta2 = -1,
                                         .epsilon = 0,
                                         .weight_decay = -1}),
            7U);
  EXPECT_EQ(problems(OptimizerParameters{.type = OptimizerType::adam, .momentum = 0.9}), 1U);
}

}  // namespace
}  // namespace tessera::nn
