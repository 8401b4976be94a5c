#pragma once
#include <vector>

#include "tessera/random/stream.hpp"
#include "tessera/tile/analog_layer.hpp"

/// Small layers and inputs for tests of the tile.
namespace tessera::tile::testing {

inline Matrix normals(std::int64_t rows, std::int64_t cols, std::uint32_t event, float scale = 1.0F) {
  Matrix m(rows, cols);
  random::fill_normal(random::Stream({.seed = 11}, random::Purpose::test), event, 0, m.values());
  for (float& v : m.values()) v *= scale;
  return m;
}

/// Default IO without noise.
inline RpuParameters noise_free() {
  RpuParameters p;
  p.forward.out_noise = 0.0;
  return p;
}

inline Matrix run(const AnalogLayer& layer, const Matrix& x, ForwardCall call = {}) {
  Matrix y(x.rows(), layer.outputs());
  layer.forward(x.view(), y.view(), call);
  return y;
}

}  // namespace tessera::tile::testing
