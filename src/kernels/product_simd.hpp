#pragma once
#include <cstdint>

/// Private: the vectorised inner loops of the product, one panel at a time.
namespace tessera::kernels::detail {

/// One panel of packed weights against a block of vectors.
struct PanelProduct {
  const float* panel = nullptr;  ///< panel[k * width + i]
  std::int64_t width = 0;        ///< multiple of 8, at most 32
  std::int64_t outputs = 0;      ///< outputs to store, at most width
  std::int64_t inputs = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  float* y = nullptr;
  std::int64_t y_stride = 0;
  std::int64_t rows = 0;
  const float* bias = nullptr;  ///< `outputs` values or null
  bool magnitudes = false;
};

using PanelFunction = void (*)(const PanelProduct&);
/// The function of the best instruction set of this machine.
PanelFunction panel_function();

}  // namespace tessera::kernels::detail
