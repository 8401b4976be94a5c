#pragma once
#include <cstdint>

#include "tessera/kernels/limits.hpp"

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
  const Limits* limits = nullptr;  ///< of what is stored, or null
};

/// A panel product with its companions (kernels/product.hpp, multiply_with): `x` as above, the others of its shape.
struct CompanionProduct {
  PanelProduct product;              ///< y receives v; no bias, not magnitudes
  const float* magnitude = nullptr;  ///< |x|; with IR drop
  const float* square = nullptr;     ///< x^2; with variance
  float* variance = nullptr;         ///< sum |w| x^2, with y's stride; null: not wanted
  bool ir_drop = false;
  float n_over_g = 0.0F;
  float ir_drop_scale = 0.0F;
};

using PanelFunction = void (*)(const PanelProduct&);
/// The function of the best instruction set of this machine.
PanelFunction panel_function();

using CompanionFunction = void (*)(const CompanionProduct&);
CompanionFunction companion_function();

}  // namespace tessera::kernels::detail
