#include "kernels/ladder_simd.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ladder_simd.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace ladder {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
constexpr int together = 4;  // vectors of lines whose divisions overlap
static_assert(PackedLadder::width % (together * lanes) == 0);

// The star (rd, rs, rb) of everything above an input as (N, U, W)/D, and T = (N U + N W + U W)/D. Segments a of the
// supply wire and c of the output wire, and a cell G between the wires, act linearly, without subtraction:
//     U += a D;  T += (a + c) N + a W + c U;  W += c D;        D += G (U + W);  N += G T.
// Without a conducting cell yet: D = U = N = 0, W = 1, T = the supply wire's resistance.
// Where both wires have the same segments, W - U is constant and Z = U + W stands for both:
//     Y = Z + a D;  T += 2 a N + a Y;  Z = Y + a D;             D += G Z;  N += G T.
template <bool kAlike>
struct Star {
  V n[together], z[together], w[together], t[together], d[together];  // z: U, or Z; w: W, or W - U
};

template <bool kAlike>
HWY_INLINE void next_cell(Star<kAlike>& star, const float* HWY_RESTRICT g, V row, V column, V both) {
  const D tag;
#pragma GCC unroll 4
  for (int v = 0; v < together; ++v) {
    const V cell = hn::Load(tag, g + v * lanes);
    star.t[v] = hn::MulAdd(both, star.n[v], star.t[v]);
    star.z[v] = hn::MulAdd(row, star.d[v], star.z[v]);
    if constexpr (kAlike) {
      star.t[v] = hn::MulAdd(row, star.z[v], star.t[v]);
      star.z[v] = hn::MulAdd(row, star.d[v], star.z[v]);
      star.d[v] = hn::MulAdd(cell, star.z[v], star.d[v]);
    } else {
      star.t[v] = hn::MulAdd(row, star.w[v], hn::MulAdd(column, star.z[v], star.t[v]));
      star.w[v] = hn::MulAdd(column, star.d[v], star.w[v]);
      star.d[v] = hn::MulAdd(cell, hn::Add(star.z[v], star.w[v]), star.d[v]);
    }
    star.n[v] = hn::MulAdd(cell, star.t[v], star.n[v]);
  }
}

// The same star with D and the arm of the output wire adding up to 1 (twice that, where it is the sum of two).
template <bool kAlike>
HWY_INLINE void scale(Star<kAlike>& star) {
  const V one = hn::Set(D(), 1.0F);
#pragma GCC unroll 4
  for (int v = 0; v < together; ++v) {
    const V factor = hn::Div(one, hn::Add(star.d[v], kAlike ? star.z[v] : star.w[v]));
    // One by one: a pointer to any of them would keep the star in memory.
    star.n[v] = hn::Mul(star.n[v], factor);
    star.z[v] = hn::Mul(star.z[v], factor);
    star.w[v] = hn::Mul(star.w[v], factor);
    star.t[v] = hn::Mul(star.t[v], factor);
    star.d[v] = hn::Mul(star.d[v], factor);
  }
}

template <bool kAlike>
void lines_of_vector(const LadderPanel& p, std::int64_t vector, std::int64_t column, float* HWY_RESTRICT currents) {
  const D tag;
  const std::int32_t* const active = p.active + p.begin[vector];
  const std::int64_t count = p.begin[vector + 1] - p.begin[vector];
  const float* const cells = p.cells + column;
  const float row_step = static_cast<float>(p.wires.row_step), column_step = static_cast<float>(p.wires.column_step);
  Star<kAlike> star;
#pragma GCC unroll 4
  for (int v = 0; v < together; ++v) {
    star.n[v] = star.d[v] = hn::Zero(tag);
    star.w[v] = hn::Set(tag, 1.0F);
    star.z[v] = kAlike ? star.w[v] : hn::Zero(tag);
    star.t[v] = hn::Set(tag, static_cast<float>(p.wires.first_row));
  }
  std::int64_t last = 0;
  for (std::int64_t at = 0; at < count;) {
    const std::int64_t end = std::min(count, at + p.cells_per_scale);
    for (; at < end; ++at) {
      const std::int64_t i = active[at];
      const float rows = static_cast<float>(i - last);
      last = i;
      const float a = rows * row_step, c = rows * column_step;
      next_cell(star, cells + i * PackedLadder::width, hn::Set(tag, a), hn::Set(tag, c), hn::Set(tag, a + c));
    }
    if (at < count) scale(star);
  }
  const V rest = hn::Set(
      tag, static_cast<float>(static_cast<double>(p.inputs - 1 - last) * p.wires.column_step + p.wires.last_column));
  const V supply = hn::Set(tag, p.sign * static_cast<float>(p.wires.supply));
#pragma GCC unroll 4
  for (int v = 0; v < together; ++v) {
    const V w = kAlike ? hn::Mul(hn::Set(tag, 0.5F), hn::Add(star.z[v], star.w[v])) : star.w[v];
    hn::Store(hn::Div(hn::Mul(supply, star.d[v]), hn::MulAdd(rest, star.d[v], hn::Add(star.n[v], w))), tag,
              currents + v * lanes);
  }
}

void panel(const LadderPanel& p) {
  HWY_ALIGN float currents[together * lanes];
  const bool alike = p.wires.row_step == p.wires.column_step;
  for (std::int64_t column = 0; column < p.outputs; column += together * lanes) {
    const std::int64_t now = std::min<std::int64_t>(together * lanes, p.outputs - column);
    for (std::int64_t vector = 0; vector < p.vectors; ++vector) {
      if (p.begin[vector] == p.begin[vector + 1]) continue;
      if (alike)
        lines_of_vector<true>(p, vector, column, currents);
      else
        lines_of_vector<false>(p, vector, column, currents);
      float* HWY_RESTRICT out = p.out + vector * p.stride + column;
      for (std::int64_t j = 0; j < now; ++j) out[j] += currents[j];
    }
  }
}

}  // namespace ladder

void ladder_panel(const LadderPanel& p) {
  ladder::panel(p);
}

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels::detail {
HWY_EXPORT(ladder_panel);

LadderFunction ladder_function() {
  return HWY_DYNAMIC_DISPATCH(ladder_panel);
}
}  // namespace tessera::kernels::detail
#endif
