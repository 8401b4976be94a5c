// Does a large layer keep its weights once and its working memory small?
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tessera/tile/presets.hpp"
#include "tile/test_layers.hpp"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which have memory of their own
namespace tessera::tile {
namespace {

std::int64_t status_kilobytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(field + ":", 0) == 0) return std::stoll(line.substr(field.size() + 1));
  return -1;
}

// A 4096x4096 layer on 512x512 tiles, batch 256, stays below twice its weights plus activations.
TEST(Memory, StaysBelowTwiceTheWeightsAndActivations) {
  std::ofstream("/proc/self/clear_refs") << 5;  // forget the peak of earlier tests
  const std::int64_t before = status_kilobytes("VmRSS");
  if (before < 0) GTEST_SKIP() << "no /proc/self/status";
  constexpr std::int64_t n = 4096;
  constexpr std::int64_t batch = 256;
  Matrix w(n, n);
  for (std::int64_t i = 0; i < n; ++i) w(i, i) = 1.0F;
  const Matrix x = testing::normals(batch, n, 2);
  RpuParameters p = preset("StandardHWATrainingPreset");
  p.mapping.max_output_size = 512;
  const AnalogLayer layer(p, w.view(), {}, {});
  EXPECT_EQ(layer.tile_count(), 64);
  Matrix y(batch, n);
  layer.forward(x.view(), y.view(), {.parallel = {2}});
  const std::int64_t allowed = 2 * (n * n + 2 * batch * n) * 4 / 1024;
  EXPECT_LT(status_kilobytes("VmHWM") - before, allowed);
  EXPECT_LE(layer.bytes(), n * n * 4);
}

}  // namespace
}  // namespace tessera::tile
#endif
