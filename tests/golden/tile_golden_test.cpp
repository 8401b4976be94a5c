// Does every deterministic and trained-then-evaluated case of the peer agree?
//
// Measured: all cases with an ADC agree in every code. Without a defect of the peer in the way, the largest difference
// is float rounding: 2e-6 relative to the largest output (its products are summed in another order, and the torch
// engine computes the ADC step in double). The tests allow that and no code error at all.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "golden/tile_cases.hpp"
#include "tessera/kernels/converter.hpp"

namespace tessera::golden {
namespace {

using tile::BoundManagementType;
using tile::NoiseManagementType;
using tile::RpuParameters;

constexpr double rounding = 2e-6;

Matrix forward(const tile::AnalogLayer& layer, const Matrix& x) {
  Matrix y(x.rows(), layer.outputs());
  layer.forward(x.view(), y.view(), {});
  return y;
}

bool row_agrees(ConstMatrixView a, ConstMatrixView b, std::int64_t r, double scale) {
  for (std::int64_t i = 0; i < a.cols; ++i)
    if (!(std::fabs(static_cast<double>(a(r, i)) - static_cast<double>(b(r, i))) <= rounding * scale)) return false;
  return true;
}

double scale_of(const Matrix& y) {
  double largest = 1.0;
  for (const float v : y.values()) largest = std::max(largest, static_cast<double>(std::fabs(v)));
  return largest;
}

void expect_agreement(const Matrix& ours, const Matrix& theirs, const std::string& what) {
  ASSERT_EQ(ours.rows(), theirs.rows());
  ASSERT_EQ(ours.cols(), theirs.cols());
  for (std::int64_t r = 0; r < ours.rows(); ++r)
    for (std::int64_t i = 0; i < ours.cols(); ++i)
      EXPECT_NEAR(ours(r, i), theirs(r, i), rounding * scale_of(theirs)) << what << " at (" << r << ", " << i << ")";
}

// S4: with MAX the compiled engine forces vectors without a positive entry to 0. Intent: such a vector is left
// unscaled.
bool has_defect_s4(const TileCase& c) {
  return !c.torch_engine() && c.parameters.forward.noise_management == NoiseManagementType::MAX;
}
void check_s4(const TileCase& c, const Matrix& x, const Matrix& theirs) {
  RpuParameters unscaled = c.parameters;
  unscaled.forward.noise_management = NoiseManagementType::NONE;
  const Matrix intent = forward({unscaled, c.weight.view(), c.bias, {.seed = 1}}, x);
  const Matrix ours = forward(c.layer(), x);
  int affected = 0;
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const auto row = x.view().row_span(r);
    const bool positive = std::any_of(row.begin(), row.end(), [](float v) { return v > 0; });
    const bool zero = std::all_of(row.begin(), row.end(), [](float v) { return v == 0; });
    affected += !positive && !zero ? 1 : 0;
    EXPECT_TRUE(row_agrees(ours.view(), positive || zero ? theirs.view() : intent.view(), r, scale_of(theirs)))
        << c.path << " row " << r;
  }
  EXPECT_GT(affected, 0) << c.path << " does not show the defect";
}

// S3: the torch engine repeats all vectors of a batch with halved inputs as soon as one output clips, and treats
// ITERATIVE_WORST_CASE as ITERATIVE. Intent: every vector on its own. That the peer's numbers are our engine's with one
// common reduction g is checked, and that our own reductions are those of single vectors.
bool has_defect_s3(const TileCase& c) {
  return c.torch_engine() && c.parameters.forward.bound_management != BoundManagementType::NONE;
}
Matrix with_reduction(const TileCase& c, const Matrix& x, float g) {
  Matrix y(x.rows(), c.weight.rows());
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    float largest = 0.0F;
    for (const float v : x.view().row_span(r)) largest = std::max(largest, std::fabs(v));
    const auto threshold = static_cast<float>(c.parameters.forward.nm_thres);
    if (threshold > 0.0F) largest = std::min(largest, threshold);
    RpuParameters p = c.parameters;
    p.forward.bound_management = BoundManagementType::NONE;
    p.forward.noise_management = NoiseManagementType::CONSTANT;
    p.forward.nm_thres = static_cast<double>((largest > 0.0F ? largest : 1.0F) * g);
    const tile::AnalogLayer layer(p, c.weight.view(), c.bias, {.seed = 1});
    layer.forward(x.view().rows_from(r, 1), y.view().rows_from(r, 1), {});
  }
  return y;
}
void check_s3(const TileCase& c, const Matrix& x, const Matrix& theirs) {
  ASSERT_EQ(c.parameters.forward.noise_management, NoiseManagementType::ABS_MAX) << c.path;
  const Matrix ours = forward(c.layer(), x);
  bool common = false;
  std::vector<bool> row_found(static_cast<std::size_t>(x.rows()), false);
  for (float g = 1.0F; g <= 64.0F; g *= 2.0F) {
    const Matrix reduced = with_reduction(c, x, g);
    bool all = true;
    for (std::int64_t r = 0; r < x.rows(); ++r) {
      all = all && row_agrees(reduced.view(), theirs.view(), r, scale_of(theirs));
      if (row_agrees(reduced.view(), ours.view(), r, scale_of(theirs))) row_found[static_cast<std::size_t>(r)] = true;
    }
    common = common || all;
  }
  EXPECT_TRUE(common) << c.path << ": the peer's result is not one of a common reduction";
  if (c.parameters.forward.bound_management == BoundManagementType::ITERATIVE) {
    for (std::size_t r = 0; r < row_found.size(); ++r) EXPECT_TRUE(row_found[r]) << c.path << " row " << r;
  }
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const Matrix single(1, x.cols(), x.view().row_span(r));
    EXPECT_TRUE(row_agrees(forward(c.layer(), single).view(), ours.view().rows_from(r, 1), 0, 1.0))
        << c.path << " " << r;
  }
}

TEST(TileGolden, DeterministicCasesAgree) {
  const std::vector<TileCase> cases = tile_cases({"deterministic"});
  int agreeing = 0;
  for (const TileCase& c : cases) {
    const Matrix x = c.matrix("x");
    const Matrix y = c.matrix("y");
    if (has_defect_s4(c)) {
      check_s4(c, x, y);
    } else if (has_defect_s3(c)) {
      check_s3(c, x, y);
    } else {
      const tile::AnalogLayer layer = c.layer();
      expect_agreement(forward(layer, x), y, c.path);
      if (c.group.has_attribute("n_tiles")) {
        EXPECT_EQ(layer.tile_count(), c.group.attribute<std::int64_t>("n_tiles")) << c.path;
      }
      if (c.group.contains("scales0")) {
        const std::vector<float> scales = c.group.dataset("scales0").read<float>();
        EXPECT_EQ(layer.tile_report(0).mapping_scale, scales) << c.path;
      }
      ++agreeing;
    }
  }
  EXPECT_GE(cases.size(), 123U);
  EXPECT_GE(agreeing, 117);
}

// The peer's ADC step, rounded twice; ours is rounded once, so that the top code is the bound (tile_converters.md).
float peer_step(double bound, double resolution) {
  const auto parameter = static_cast<float>(resolution);
  return 2.0F * static_cast<float>(bound) * (parameter > 1.0F ? 1.0F / parameter : parameter);
}

// Codes are equal, and so is every bit where the steps are. Where they lie a unit in the last place apart, outputs do
// so by as much, and by the rounding of the two products with the scales.
TEST(TileGolden, CompiledEnginesWithAnAdcAgreeBitForBit) {
  constexpr auto epsilon = static_cast<double>(std::numeric_limits<float>::epsilon());
  int compared = 0;
  int equal_steps = 0;
  for (const TileCase& c : tile_cases({"deterministic"})) {
    const auto& io = c.parameters.forward;
    if (c.torch_engine() || has_defect_s4(c) || io.is_perfect || io.mv_type == tile::AnalogMVType::IDEAL ||
        io.out_res <= 0.0 || io.out_bound <= 0.0)
      continue;
    const Matrix ours = forward(c.layer(), c.matrix("x"));
    const Matrix theirs = c.matrix("y");
    const auto step = static_cast<double>(kernels::make_converter(io.out_bound, io.out_res).step);
    const double steps_apart = std::fabs(step / static_cast<double>(peer_step(io.out_bound, io.out_res)) - 1.0);
    EXPECT_LE(steps_apart, 1.5 * epsilon) << c.path;
    double largest = 0.0;
    for (const float v : theirs.values()) largest = std::max(largest, static_cast<double>(std::fabs(v)));
    const double allowed = steps_apart > 0.0 ? (steps_apart + 2.0 * epsilon) * largest : 0.0;
    for (std::size_t i = 0; i < ours.values().size(); ++i)
      EXPECT_LE(std::fabs(static_cast<double>(ours.values()[i]) - static_cast<double>(theirs.values()[i])), allowed)
          << c.path << " " << i << ": " << ours.values()[i] << " and " << theirs.values()[i];
    equal_steps += steps_apart > 0.0 ? 0 : 1;
    ++compared;
  }
  EXPECT_GE(compared, 40);
  EXPECT_GT(equal_steps, 0);
}

TEST(TileGolden, TrainedThenEvaluatedCasesAgree) {
  const std::vector<TileCase> cases = tile_cases({"train3_then_eval"});
  for (const TileCase& c : cases) {
    tile::AnalogLayer layer = c.layer();
    const Tensor x = c.group.dataset("x_train").read_tensor();
    const Tensor y = c.group.dataset("y_train").read_tensor();
    const auto step = [](const Tensor& t, std::int64_t i) {
      const std::int64_t n = t.dim(1) * t.dim(2);
      return Matrix(t.dim(1), t.dim(2),
                    t.values().subspan(static_cast<std::size_t>(i * n), static_cast<std::size_t>(n)));
    };
    for (std::int64_t i = 0; i < x.dim(0); ++i) {
      Matrix ours(x.dim(1), layer.outputs());
      layer.forward_training(step(x, i).view(), ours.view(), {});
      expect_agreement(ours, step(y, i), c.path + " training step");
    }
    const tile::LayerState state = layer.state();
    expect_agreement(forward(layer, c.matrix("x")), c.matrix("y"), c.path);
    // The state alone carries what was estimated.
    tile::AnalogLayer restored = c.layer();
    restored.set_state(state);
    expect_agreement(forward(restored, c.matrix("x")), c.matrix("y"), c.path + " restored");
  }
  EXPECT_GE(cases.size(), 48U);
}

// Negative control: one DAC step of the wrong size is noticed.
TEST(TileGolden, NoticesAWrongResolution) {
  int noticed = 0;
  int tried = 0;
  for (TileCase& c : tile_cases({"deterministic"})) {
    if (c.path.find("dac_adc") == std::string::npos) continue;
    c.parameters.forward.inp_res = 1.0 / (1.0 / c.parameters.forward.inp_res + 2.0);
    const Matrix ours = forward(c.layer(), c.matrix("x"));
    const Matrix theirs = c.matrix("y");
    bool differs = false;
    for (std::int64_t r = 0; r < ours.rows(); ++r)
      differs = differs || !row_agrees(ours.view(), theirs.view(), r, scale_of(theirs));
    noticed += differs ? 1 : 0;
    ++tried;
  }
  EXPECT_GE(tried, 10);
  EXPECT_EQ(noticed, tried);
}

}  // namespace
}  // namespace tessera::golden
