#include <algorithm>

#include "kernels/ladder_simd.hpp"
#include "tessera/kernels/pair_ladder.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pair_ladder_simd.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace pair_ladder {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<double, 8>;
using V = hn::Vec<D>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
constexpr int together = lanes >= 4 ? 2 : 1;  // vectors of lines whose divisions overlap
static_assert(PackedPairLadder::width % (together * lanes) == 0);

/// Admittance over (supply +, supply -, output) and sensed current per port voltage.
struct Ports {
  V pp, mm, bb, pm, pb, mb, hp, hm, hb;
};

// A segment of resistance r at the port of `own`; `to_a`, `to_b` lead to the other two.
HWY_INLINE void add_segment(V r, V& own, V& to_a, V& to_b, V& a, V& b, V& ab, V& h, V& ha, V& hb) {
  const V one = hn::Set(D(), 1.0);
  const V s = hn::Div(one, hn::MulAdd(r, own, one));
  const V before_a = hn::Mul(r, to_a), before_b = hn::Mul(r, to_b);
  own = hn::Mul(own, s);
  to_a = hn::Mul(to_a, s);
  to_b = hn::Mul(to_b, s);
  h = hn::Mul(h, s);
  a = hn::NegMulAdd(before_a, to_a, a);
  ab = hn::NegMulAdd(before_a, to_b, ab);
  b = hn::NegMulAdd(before_b, to_b, b);
  ha = hn::NegMulAdd(before_a, h, ha);
  hb = hn::NegMulAdd(before_b, h, hb);
}

HWY_INLINE void add_supply_segments(V r, Ports& y) {
  add_segment(r, y.pp, y.pm, y.pb, y.mm, y.bb, y.mb, y.hp, y.hm, y.hb);
  add_segment(r, y.mm, y.pm, y.mb, y.pp, y.bb, y.pb, y.hm, y.hp, y.hb);
}

HWY_INLINE void climb(double rows, const LadderWires& wires, Ports (&y)[together]) {
  const V row = hn::Set(D(), rows * wires.row_step), column = hn::Set(D(), rows * wires.column_step);
#pragma GCC unroll 2
  for (int v = 0; v < together; ++v) {
    add_supply_segments(row, y[v]);
    add_segment(column, y[v].bb, y[v].pb, y[v].mb, y[v].pp, y[v].mm, y[v].pm, y[v].hb, y[v].hp, y[v].hm);
  }
}

void lines_of_vector(const PairLadderPanel& p, std::int64_t vector, std::int64_t column,
                     double* HWY_RESTRICT currents) {
  const D tag;
  Ports y[together];
#pragma GCC unroll 2
  for (int v = 0; v < together; ++v) {
    y[v].pp = y[v].mm = y[v].pm = y[v].pb = y[v].mb = y[v].hp = y[v].hm = hn::Zero(tag);
    y[v].bb = y[v].hb = hn::Set(tag, 1.0 / p.wires.last_column);
  }
  std::int64_t at = p.inputs - 1;
  for (std::int64_t a = p.begin[vector + 1]; a-- > p.begin[vector];) {
    const std::int64_t i = p.active[a];
    climb(static_cast<double>(at - i), p.wires, y);
    at = i;
    const double* HWY_RESTRICT cells = p.cells + 2 * i * PackedPairLadder::width + column;
#pragma GCC unroll 2
    for (int v = 0; v < together; ++v) {
      const V plus = hn::Load(tag, cells + v * lanes);
      const V minus = hn::Load(tag, cells + PackedPairLadder::width + v * lanes);
      y[v].pp = hn::Add(y[v].pp, plus);
      y[v].mm = hn::Add(y[v].mm, minus);
      y[v].bb = hn::Add(y[v].bb, hn::Add(plus, minus));
      y[v].pb = hn::Sub(y[v].pb, plus);
      y[v].mb = hn::Sub(y[v].mb, minus);
    }
  }
  climb(static_cast<double>(at), p.wires, y);
  const V first = hn::Set(tag, p.wires.first_row), supply = hn::Set(tag, p.wires.supply);
#pragma GCC unroll 2
  for (int v = 0; v < together; ++v) {
    add_supply_segments(first, y[v]);
    const V open = hn::Div(y[v].hb, y[v].bb);
    const V plus = hn::NegMulAdd(open, y[v].pb, y[v].hp), minus = hn::NegMulAdd(open, y[v].mb, y[v].hm);
    hn::Store(hn::Mul(supply, hn::Sub(plus, minus)), tag, currents + v * lanes);
  }
}

void panel(const PairLadderPanel& p) {
  HWY_ALIGN double currents[together * lanes];
  for (std::int64_t column = 0; column < p.outputs; column += together * lanes) {
    const std::int64_t now = std::min<std::int64_t>(together * lanes, p.outputs - column);
    for (std::int64_t vector = 0; vector < p.vectors; ++vector) {
      if (p.begin[vector] == p.begin[vector + 1]) continue;
      lines_of_vector(p, vector, column, currents);
      float* HWY_RESTRICT out = p.out + vector * p.stride + column;
      for (std::int64_t j = 0; j < now; ++j) out[j] += p.sign * static_cast<float>(currents[j]);
    }
  }
}

}  // namespace pair_ladder

void pair_ladder_panel(const PairLadderPanel& p) {
  pair_ladder::panel(p);
}

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels::detail {
HWY_EXPORT(pair_ladder_panel);

PairLadderFunction pair_ladder_function() {
  return HWY_DYNAMIC_DISPATCH(pair_ladder_panel);
}
}  // namespace tessera::kernels::detail
#endif
