#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden.hpp"
#include "tessera/quant/range_estimator.hpp"

// Do the range estimators agree with aihwkit_quantizers.json after every batch (quantization reference B)? Extremes bit
// for bit, the MSE and cross-entropy grids to 1e-5, golden section to 1e-4 where its surface has one minimum, else in
// the loss reached.
namespace tessera::quant {
namespace {

using testing::floats;
using testing::tensor;

RangeEstimators estimator_of(const std::string& name) {
  for (std::size_t i = 0; i < range_estimator_names.size(); ++i) {
    if (name == range_estimator_names[i]) return static_cast<RangeEstimators>(i);
  }
  throw InputError("unknown estimator " + name);
}

RangeEstimatorParameters parameters_of(const YAML::Node& c) {
  RangeEstimatorParameters p;
  p.estimator = estimator_of(c["estimator"].as<std::string>());
  p.params = default_params(p.estimator);
  const YAML::Node options = c["params"];
  if (auto* minmax = std::get_if<CurrentMinMaxEstimatorParams>(&p.params)) {
    if (options["percentile"] && !options["percentile"].IsNull())
      minmax->percentile = options["percentile"].as<double>();
  }
  if (auto* running = std::get_if<RunningMinMaxEstimatorParams>(&p.params)) {
    running->momentum = options["momentum"].as<double>();
  }
  const auto read_search = [&](MSEEstimatorParams& search) {
    search.range_opt_method =
        options["opt_method"].as<std::string>() == "grid" ? OptMethod::grid : OptMethod::golden_section;
    search.num_candidates = options["num_candidates"].as<int>();
    search.range_margin = options["range_margin"].as<double>();
  };
  if (auto* search = std::get_if<MSEEstimatorParams>(&p.params)) read_search(*search);
  if (auto* search = std::get_if<CrossEntropyEstimatorParams>(&p.params)) read_search(*search);
  p.per_channel = c["per_channel"].as<bool>();
  if (!c["axis"].IsNull()) p.axis = c["axis"].as<int>();
  if (!c["n_groups"].IsNull()) p.n_groups = c["n_groups"].as<int>();
  return p;
}

double squared_error(const UniformQuantizerParameters& p, std::span<const float> x, float low, float high) {
  UniformQuantizer q(p);
  q.set_quant_range(low, high);
  std::vector<float> y(x.size());
  q.forward(x, y);
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
  return sum;
}

TEST(RangeGolden, EveryCaseAgreesAfterEveryBatch) {
  const YAML::Node cases = testing::load_golden("aihwkit_quantizers.json")["estimator_cases"];
  ASSERT_GE(cases.size(), 112u);
  int exact = 0, searched = 0, by_loss = 0;
  for (const YAML::Node& c : cases) {
    SCOPED_TRACE(c["id"].as<std::string>());
    const RangeEstimatorParameters p = parameters_of(c);
    std::optional<UniformQuantizerParameters> quantizer;
    if (c["quantizer"]) {
      quantizer = UniformQuantizerParameters{.n_bits = c["quantizer"]["n_bits"].as<int>()};
      if (c["quantizer"]["class"].as<std::string>() == "AsymmetricUniformQuantizer") {
        quantizer->method = QMethod::asymmetric_uniform;
      }
    }
    RangeEstimator estimator(p, quantizer);
    const auto* mse = std::get_if<MSEEstimatorParams>(&p.params);
    const bool golden_section = mse != nullptr && mse->range_opt_method == OptMethod::golden_section;
    for (std::size_t b = 0; b < c["batches"].size(); ++b) {
      SCOPED_TRACE(b);
      const Tensor x = tensor(c["batches"][b]);
      const Range range = estimator.estimate(x);
      const std::vector<float> low = floats(c["xmin"][b]), high = floats(c["xmax"][b]);
      ASSERT_EQ(range.min.size(), low.size());
      for (std::size_t i = 0; i < low.size(); ++i) {
        if (!quantizer) {
          EXPECT_EQ(testing::ulp_distance(range.min[i], low[i]), 0) << range.min[i] << " " << low[i];
          EXPECT_EQ(testing::ulp_distance(range.max[i], high[i]), 0) << range.max[i] << " " << high[i];
          ++exact;
        } else if (golden_section && !estimator.one_sided() && quantizer->method == QMethod::asymmetric_uniform) {
          const double ours = squared_error(*quantizer, x.values(), range.min[i], range.max[i]);
          const double peer = squared_error(*quantizer, x.values(), low[i], high[i]);
          EXPECT_LE(ours, 1.0001 * peer + 1e-12);
          ++by_loss;
        } else {
          const double tolerance = golden_section ? 1e-4 : 1e-5;
          EXPECT_NEAR(range.min[i], low[i], tolerance * std::max(1.0f, std::abs(low[i])));
          EXPECT_NEAR(range.max[i], high[i], tolerance * std::max(1.0f, std::abs(high[i])));
          ++searched;
        }
      }
    }
  }
  EXPECT_GT(exact, 300);
  EXPECT_GT(searched, 50);
  EXPECT_GT(by_loss, 5);
}

}  // namespace
}  // namespace tessera::quant
