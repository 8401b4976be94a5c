#pragma once
#include "tessera/tile/fixed_point.hpp"
#include "tile/test_layers.hpp"

/// A layer with a fixed-point periphery, its weights and inputs.
namespace tessera::tile::fixed_point_layers {

using Change = void (*)(RpuParameters&);
inline RpuParameters fixed_point_layer() {
  RpuParameters p;
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.out_noise = 0.0;
  p.forward.inp_res = 254.0;
  p.forward.out_res = 254.0;
  p.forward.out_bound = 4.0;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 2.0;
  p.pre_post.fixed_point.emplace().output.range = 6.0;
  return p;
}

inline FixedPointParameter& fixed_point_of(RpuParameters& p) {
  return *p.pre_post.fixed_point;
}

inline const Matrix& weights() {
  static const Matrix w = testing::normals(9, 20, 1, 0.4F);
  return w;
}
inline const Matrix& biases() {
  static const Matrix b = testing::normals(1, 9, 2, 0.5F);
  return b;
}
inline const Matrix& inputs() {
  static const Matrix x = testing::normals(40, 20, 3);
  return x;
}

inline AnalogLayer layer_of(const RpuParameters& p) {
  return {p, weights().view(), biases().values(), {.seed = 1}};
}

}  // namespace tessera::tile::fixed_point_layers
