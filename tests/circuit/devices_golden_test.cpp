// Question: are the error laws and the nonlinear cells those of the golden file?
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "circuit/golden_file.hpp"
#include "tessera/circuit/cell_law.hpp"
#include "tessera/circuit/device_error.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::circuit {
namespace {

ErrorModel error_model(const std::string& name) {
  static const std::map<std::string, ErrorModel> names = {
      {"NormalIndependentDevice", ErrorModel::NormalIndependentDevice},
      {"UniformIndependentDevice", ErrorModel::UniformIndependentDevice},
      {"NormalProportionalDevice", ErrorModel::NormalProportionalDevice},
      {"UniformProportionalDevice", ErrorModel::UniformProportionalDevice},
      {"NormalInverseProportionalDevice", ErrorModel::NormalInverseProportionalDevice},
      {"UniformInverseProportionalDevice", ErrorModel::UniformInverseProportionalDevice},
      {"PCMJoshi", ErrorModel::PCMJoshi},
      {"RRAMMilo", ErrorModel::RRAMMilo},
      {"RRAMWan", ErrorModel::RRAMWan},
      {"SONOS", ErrorModel::SONOS}};
  return names.at(name);
}

CellParameters cell_of(const h5::Group& group) {
  CellParameters cell;
  cell.Rmin = group.attribute<double>("Rmin");
  cell.Rmax = group.attribute<double>("Rmax");
  cell.Vread = group.attribute<double>("Vread");
  if (group.has_attribute("infinite_on_off_ratio"))
    cell.infinite_on_off_ratio = group.attribute<bool>("infinite_on_off_ratio");
  return cell;
}

TEST(DevicesGolden, EveryLawAgrees) {
  const h5::File file = testing::golden_file();
  const h5::Group devices = file.group("devices");
  int cases = 0;
  for (const std::string& name : devices.group_names()) {
    const h5::Group group = devices.group(name);
    const CellParameters cell = cell_of(group);
    const auto slot = group.attribute<std::string>("slot");
    const auto model = group.attribute<std::string>("model");
    const auto g = group.dataset("g").read<double>();
    ++cases;
    if (slot == "nonlinear_IV") {
      const auto v = group.dataset("v").read<double>(), i = group.dataset("i").read<double>();
      const CellLaw law = model == "CubicDevice" ? CellLaw(CubicCell{}) : CellLaw(RramMiloCell{});
      ASSERT_TRUE(model == "CubicDevice" || model == "RRAMMilo") << model;
      for (std::size_t c = 0; c < g.size(); ++c)
        EXPECT_NEAR(cell_curve(law, g[c] / cell.Rmin).current(v[c] * cell.Vread) * cell.Rmin / cell.Vread, i[c], 1e-9)
            << name;
      continue;
    }
    const ErrorSlot where = slot == "read_noise"    ? ErrorSlot::read_noise
                            : slot == "drift_error" ? ErrorSlot::drift_error
                                                    : ErrorSlot::programming_error;
    const ErrorParameters error{true, error_model(model), group.attribute<double>("magnitude")};
    const auto mean = group.dataset("mean").read<double>(), sigma = group.dataset("sigma").read<double>();
    for (std::size_t c = 0; c < g.size(); ++c) {
      const ErrorLaw law = error_law(error, where, cell, g[c], group.attribute<double>("time"));
      EXPECT_NEAR(law.mean, mean[c], 1e-9) << name << " at " << g[c];
      EXPECT_NEAR(law.sigma, sigma[c], 1e-9) << name << " at " << g[c];
    }
  }
  EXPECT_GE(cases, 1);
}

// 20000 draws; the mean within 5 standard errors and the deviation within 5 of its own, one false alarm in a million.
TEST(DeviceError, DrawsFollowTheLaw) {
  constexpr std::size_t n = 20000;
  const CellParameters cell{.Rmin = 1e4, .Rmax = 1e6};
  std::uint32_t event = 0;
  for (const ErrorModel model : {ErrorModel::NormalIndependentDevice, ErrorModel::UniformProportionalDevice,
                                 ErrorModel::RRAMWan, ErrorModel::SONOS}) {
    const ErrorParameters error{true, model, 0.05};
    std::vector<double> g(n, 0.6);
    apply_error(error, ErrorSlot::programming_error, cell, 0.0, random::Stream({.seed = 3}, random::Purpose::test),
                ++event, g);
    const ErrorLaw law = error_law(error, ErrorSlot::programming_error, cell, 0.6, 0.0);
    double mean = 0.0, square = 0.0;
    for (const double v : g) mean += v / n;
    for (const double v : g) square += (v - mean) * (v - mean) / n;
    EXPECT_NEAR(mean, law.mean, 5.0 * law.sigma / std::sqrt(n));
    EXPECT_NEAR(std::sqrt(square), law.sigma, 5.0 * law.sigma / std::sqrt(2.0 * n));
    EXPECT_GT(std::abs(std::sqrt(square) - 1.1 * law.sigma), 5.0 * law.sigma / std::sqrt(2.0 * n));  // a control
  }
}

TEST(DeviceError, ConductancesStayWhereTheyAreSaidTo) {
  CellParameters cell{.Rmin = 1e4, .Rmax = 1e5};
  const ErrorParameters error{true, ErrorModel::NormalIndependentDevice, 3.0};
  std::vector<double> g(1000, 0.5);
  apply_error(error, ErrorSlot::programming_error, cell, 0.0, random::Stream({.seed = 3}, random::Purpose::test), 9, g);
  EXPECT_EQ(*std::min_element(g.begin(), g.end()), 0.0);
  EXPECT_GT(*std::max_element(g.begin(), g.end()), 1.0);
  cell.clip_conductance = true;
  apply_error(error, ErrorSlot::programming_error, cell, 0.0, random::Stream({.seed = 3}, random::Purpose::test), 9, g);
  EXPECT_EQ(*std::min_element(g.begin(), g.end()), 0.1);
  EXPECT_EQ(*std::max_element(g.begin(), g.end()), 1.0);
}

}  // namespace
}  // namespace tessera::circuit
