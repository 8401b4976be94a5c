// Does the product reproduce the published vectors G1 to G16 of reference section 17 (noise off)?
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

struct Case {
  std::string id;
  std::function<void(RpuParameters&)> change;
  std::vector<float> v_offset;
  std::vector<float> y;
  bool exact_codes = true;
};

void no_bound_management(IOParameters& io) {
  io.bound_management = BoundManagementType::NONE;
}
void no_resolution(IOParameters& io) {
  no_bound_management(io);
  io.inp_res = -1.0;
  io.out_res = -1.0;
}

class ReferenceVectors : public ::testing::TestWithParam<Case> {};

TEST_P(ReferenceVectors, Agree) {
  const Matrix w(3, 4, std::vector<float>{.9F, -.35F, .2F, .05F, -.6F, .8F, -1.F, .4F, .15F, .25F, -.45F, .7F});
  const Matrix x(1, 4, std::vector<float>{.8F, -1.3F, .45F, 2.1F});
  RpuParameters p = testing::noise_free();
  GetParam().change(p);
  AnalogLayer layer(p, w.view(), {}, {.seed = 1});
  if (!GetParam().v_offset.empty()) {
    FrozenDraws frozen = layer.frozen(0);
    frozen.v_offset = GetParam().v_offset;
    layer.set_frozen(0, frozen);
  }
  const Matrix y = testing::run(layer, x);
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_NEAR(y(0, i), GetParam().y[static_cast<std::size_t>(i)], 2e-6) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Section17, ReferenceVectors,
    ::testing::Values(Case{"G1_default", [](RpuParameters&) {}, {}, {1.3835295F, -1.0870588F, 1.0870588F}},
                      Case{"G3_bound_0_5",
                           [](RpuParameters& p) { p.forward.out_bound = 0.5; },
                           {},
                           {1.3835294F, -1.1858823F, 1.0211765F}},
                      Case{"G4_unmanaged",
                           [](RpuParameters& p) {
                             p.forward.noise_management = NoiseManagementType::NONE;
                             no_bound_management(p.forward);
                           },
                           {},
                           {1.2235295F, -1.3176472F, 0.3764706F}},
                      Case{"G5_constant",
                           [](RpuParameters& p) {
                             p.forward.noise_management = NoiseManagementType::CONSTANT;
                             p.forward.nm_thres = 3.0;
                             p.forward.inp_res = 254;
                             p.forward.out_res = 254;
                             p.forward.out_bound = 10.0;
                             no_bound_management(p.forward);
                           },
                           {},
                           {1.4173229F, -1.1811023F, 1.1811023F}},
                      Case{"G6_asymmetry",
                           [](RpuParameters& p) {
                             p.forward.inp_asymmetry = 0.1;
                             p.forward.out_asymmetry = 0.2;
                             no_bound_management(p.forward);
                           },
                           {},
                           {1.2847060F, -0.7905883F, 1.0870588F}},
                      Case{"G7_ir_drop",
                           [](RpuParameters& p) {
                             p.forward.ir_drop = 1.0;
                             p.forward.ir_drop_g_ratio = 20.0;
                             no_resolution(p.forward);
                           },
                           {},
                           {1.3473903F, -1.1293979F, 0.9615633F}},
                      Case{"G8_ir_drop_scaled",
                           [](RpuParameters& p) {
                             p.forward.ir_drop = 1000.0;
                             no_resolution(p.forward);
                           },
                           {},
                           {1.3691665F, -1.1299766F, 1.0586741F}},
                      Case{"G9_r_series",
                           [](RpuParameters& p) {
                             p.forward.r_series = 0.05;
                             no_resolution(p.forward);
                           },
                           {},
                           {1.2078866F, -1.0543175F, 0.9431586F}},
                      Case{"G10_r_series_w_min_0",
                           [](RpuParameters& p) {
                             p.forward.r_series = 0.05;
                             p.forward.v_offset_w_min = 0.0;
                             no_resolution(p.forward);
                           },
                           {},
                           {1.3267235F, -1.1003941F, 1.0362843F}},
                      Case{"G11_saturation",
                           [](RpuParameters& p) {
                             p.forward.out_nonlinearity = 0.5;
                             p.forward.slope_calibration = 0.5;
                             p.forward.out_bound = 2.0;
                             no_resolution(p.forward);
                           },
                           {},
                           {1.8404554F, -1.5562696F, 1.4737450F}},
                      Case{"G12_pos_neg",
                           [](RpuParameters& p) {
                             p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE;
                             p.forward.out_bound = 0.6;
                             no_bound_management(p.forward);
                           },
                           {},
                           {1.2600000F, -1.1117647F, 1.0722353F}},
                      Case{"G13_pos_neg_digital",
                           [](RpuParameters& p) {
                             p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
                             p.forward.out_bound = 0.6;
                             no_bound_management(p.forward);
                           },
                           {},
                           {1.3687059F, -1.1117647F, 0.9338824F}},
                      Case{"G14_np_sum",
                           [](RpuParameters& p) {
                             p.forward.noise_management = NoiseManagementType::ABS_MAX_NP_SUM;
                             p.forward.out_bound = 0.5;
                             no_bound_management(p.forward);
                           },
                           {},
                           {1.3872942F, -1.1192942F, 1.0798824F}},
                      Case{"G15_offset",
                           [](RpuParameters& p) {
                             p.forward.v_offset_std = 0.1;
                             no_resolution(p.forward);
                           },
                           {.1F, -.05F, .02F},
                           {0.8229999F, -0.9815000F, 0.9592500F}},
                      Case{"G16_offset_and_series",
                           [](RpuParameters& p) {
                             p.forward.v_offset_std = 0.1;
                             p.forward.r_series = 0.05;
                             no_resolution(p.forward);
                           },
                           {.1F, -.05F, .02F},
                           {0.6961784F, -0.9115737F, 0.8461115F}}),
    [](const auto& each) { return each.param.id; });

}  // namespace
}  // namespace tessera::tile
