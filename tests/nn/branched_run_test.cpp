// Does evaluating several networks together give each the bits it gets alone, and is what they share computed once?
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>

#include "network.hpp"
#include "tessera/nn/executor.hpp"

namespace tessera::nn {
namespace {

using test::random_tensor;

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}

/// y = factor (gain W x): `gain` belongs to the product, `factor` to the periphery.
class ScaledOperator : public LinearOperator, private TwoStage {
 public:
  ScaledOperator(const LinearPart& part, float gain, float factor)
      : part_(part), weight_(part.weight.matrix()), gain_(gain), factor_(factor) {}

  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first, Parallel parallel) const override {
    product(x, y, first, parallel, {});
    periphery(y, y, parallel);
  }
  const TwoStage* two_stage() const override { return this; }
  std::int64_t product_columns() const override { return part_.weight.rows(); }
  void product(ConstMatrixView x, MatrixView v, std::uint64_t, Parallel,
               const std::optional<kernels::CodeSums>&) const override {
    products_ += x.rows;
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t o = 0; o < v.cols; ++o) {
        float sum = 0.0F;
        for (std::int64_t k = 0; k < x.cols; ++k) sum += gain_ * x(r, k) * weight_(o, k);
        v(r, o) = sum;
      }
  }
  void periphery(ConstMatrixView v, MatrixView y, Parallel) const override {
    for (std::int64_t r = 0; r < v.rows; ++r)
      for (std::int64_t o = 0; o < v.cols; ++o) y(r, o) = v(r, o) * factor_;
  }
  std::int64_t products() const { return products_; }

 private:
  const LinearPart& part_;
  Matrix weight_;
  float gain_, factor_;
  mutable std::atomic<std::int64_t> products_{0};
};

/// Gains and factors of the three layers.
struct Setting {
  std::array<float, 3> gain{1.0F, 1.0F, 1.0F}, factor{1.0F, 1.0F, 1.0F};
};

struct Networks {
  Networks(const Executor& executor, const std::vector<Setting>& settings) {
    for (const Setting& setting : settings) {
      LinearOverrides overrides;
      std::vector<std::uint32_t> layers, products;
      for (std::size_t l = 0; l < executor.layers().size(); ++l) {
        overrides.emplace_back();
        for (const LinearPart& part : executor.layers()[l].parts) {
          operators.push_back(std::make_unique<ScaledOperator>(part, setting.gain[l], setting.factor[l]));
          overrides.back().push_back(operators.back().get());
        }
        products.push_back(static_cast<std::uint32_t>(setting.gain[l] * 100.0F));
        layers.push_back(products.back() * 1000 + static_cast<std::uint32_t>(setting.factor[l] * 100.0F));
      }
      all.push_back(std::move(overrides));
      run.same_layer.push_back(std::move(layers));
      run.same_product.push_back(std::move(products));
    }
    for (const LinearOverrides& overrides : all) run.networks.push_back(&overrides);
  }
  std::int64_t products() const {
    std::int64_t sum = 0;
    for (const auto& op : operators) sum += op->products();
    return sum;
  }
  std::vector<std::unique_ptr<ScaledOperator>> operators;
  std::vector<LinearOverrides> all;
  BranchedRun run;
};

const std::vector<Setting>& settings() {
  static const std::vector<Setting> list{
      {},                                                           // 0
      {.gain = {1.0F, 1.5F, 1.0F}},                                 // 1: another product in the second layer
      {.factor = {1.0F, 1.0F, 0.5F}},                               // 2: another periphery in the last
      {.factor = {0.25F, 1.0F, 1.0F}},                              // 3: another periphery in the first
      {},                                                           // 4: as 0
      {.factor = {1.0F, 1.25F, 1.0F}},                              // 5: another periphery in the second
      {.gain = {1.0F, 1.5F, 1.0F}, .factor = {1.0F, 0.75F, 1.0F}},  // 6: as 1 with another periphery
  };
  return list;
}

TEST(BranchedRun, EveryNetworkGetsTheBitsItGetsAlone) {
  const Executor executor(test::small_cnn());
  const Tensor x = random_tensor({7, 3, 9, 9}, 12);  // two threads get blocks of different sizes
  for (const std::int64_t memory : {std::int64_t{0}, std::int64_t{40000}, std::int64_t{1} << 30}) {
    for (const bool observed : {false, true}) {
      Networks together(executor, settings());
      std::vector<Tensor> outputs(settings().size());
      std::vector<std::vector<Tensor>> seen(settings().size());
      together.run.parallel = {2};
      together.run.memory_bytes = memory;
      together.run.output = [&](std::span<const std::size_t> networks, std::span<const Tensor> made) {
        for (const std::size_t n : networks) outputs[n] = made.front();
      };
      if (observed)
        together.run.observer = [&](std::span<const std::size_t> networks, const LinearRecord& record) {
          for (const std::size_t n : networks) {
            EXPECT_EQ(seen[n].size(), record.layer) << "every layer once, in order";
            seen[n].push_back(to_natural(record.output));
          }
        };
      executor.run_branched(x, together.run);
      for (std::size_t n = 0; n < settings().size(); ++n) {
        const Networks alone(executor, {settings()[n]});
        std::vector<Tensor> expected;
        RunOptions options{.overrides = &alone.all[0]};
        if (observed)
          options.observer = [&](const LinearRecord& record) { expected.push_back(to_natural(record.output)); };
        EXPECT_TRUE(same_bits(outputs[n], executor.run(x, options))) << n;
        ASSERT_EQ(seen[n].size(), expected.size());
        for (std::size_t l = 0; l < expected.size(); ++l) EXPECT_TRUE(same_bits(seen[n][l], expected[l])) << n << l;
      }
    }
  }
}

TEST(BranchedRun, WhatNetworksShareIsComputedOnce) {
  const Executor executor(test::small_cnn());
  const Tensor x = random_tensor({6, 3, 9, 9}, 12);
  Networks together(executor, settings());
  executor.run_branched(x, together.run);
  // Products of 81 vectors: one in the first layer; in the second (two groups) one for {0, 2, 4, 5}, one for {1, 6},
  // one for 3, whose input differs; in the last, of one vector, one for {0, 2, 4} and one for each of 1, 3, 5, 6.
  EXPECT_EQ(together.products(), 6 * (81 + 3 * 2 * 81 + 5));
}

TEST(BranchedRun, BranchesOfOneLayerAgreeWithTheLayerAlone) {
  const Executor executor(test::small_cnn());
  const Networks networks(executor, settings());
  executor.run(random_tensor({6, 3, 9, 9}, 12), {.observer = [&](const LinearRecord& record) {
                 std::vector<LayerBranch> branches;
                 for (std::size_t n = 0; n < settings().size(); ++n)
                   branches.push_back({networks.all[n][record.layer], networks.run.same_product[n][record.layer]});
                 branches.push_back({{}, 77});
                 const std::vector<Activation> together =
                     executor.apply_branches(record.layer, branches, record.input, 0, {2});
                 for (std::size_t b = 0; b < branches.size(); ++b)
                   EXPECT_TRUE(same_bits(
                       together[b].values,
                       executor.apply_linear(record.layer, branches[b].operators, record.input, 0, {}).values));
                 EXPECT_TRUE(same_bits(together.back().values, record.output.values));
               }});
}

TEST(BranchedRun, WhatIsReadLaterUnderAnotherShapeIsKeptWhereNetworksPart) {
  test::Network net;
  const ValueId x = net.input({-1, 6});
  const auto dense = [&](ValueId in, std::uint32_t seed, const std::string& name) {
    return net.node("Gemm", {in, net.constant(random_tensor({6, 6}, seed))}, {}, name);
  };
  const auto view = [&](ValueId in) { return net.node("Reshape", {in, net.integers({0, 2, 3})}); };
  const ValueId before = view(dense(x, 1, "first"));
  const ValueId sum = net.node("Add", {before, view(dense(x, 2, "second"))});
  net.output(dense(net.node("Flatten", {sum}), 3, "third")).output(sum);
  const Executor executor(net.graph);
  const Tensor input = random_tensor({5, 6}, 4);
  Networks together(executor, settings());
  std::vector<std::vector<Tensor>> outputs(settings().size());
  together.run.observer = [](std::span<const std::size_t>, const LinearRecord&) {};
  together.run.output = [&](std::span<const std::size_t> networks, std::span<const Tensor> made) {
    for (const std::size_t n : networks) outputs[n].assign(made.begin(), made.end());
  };
  executor.run_branched(input, together.run);
  for (std::size_t n = 0; n < settings().size(); ++n) {
    const Networks alone(executor, {settings()[n]});
    const std::vector<Tensor> expected = executor.run({&input, 1}, {.overrides = &alone.all[0]});
    ASSERT_EQ(outputs[n].size(), 2U);
    for (std::size_t o = 0; o < 2; ++o) EXPECT_TRUE(same_bits(outputs[n][o], expected[o])) << n << " " << o;
  }
}

TEST(BranchedRun, RefusesListsThatDoNotFit) {
  const Executor executor(test::small_cnn());
  Networks networks(executor, settings());
  networks.run.same_layer[2].pop_back();
  EXPECT_THROW(executor.run_branched(random_tensor({1, 3, 9, 9}, 1), networks.run), InputError);
}

}  // namespace
}  // namespace tessera::nn
