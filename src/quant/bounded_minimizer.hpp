#pragma once
#include <algorithm>
#include <cmath>

namespace tessera::quant {

struct Minimum {
  double x;
  double value;
};

/// A local minimum of f on [lower, upper] by golden sections and parabolas (Brent's fminbound), tolerance 1e-5, at most
/// 500 evaluations: quantization reference B.2, step by step, all in double.
template <class Function>
Minimum bounded_minimum(Function&& f, double lower, double upper) {
  constexpr int most_evaluations = 500;
  constexpr double tolerance = 1e-5;
  const double root_eps = std::sqrt(2.2e-16);
  const double golden = 0.5 * (3.0 - std::sqrt(5.0));

  double a = lower, b = upper;
  double x = a + golden * (b - a), w = x, v = x;
  double fx = f(x), fw = fx, fv = fx;
  double d = 0.0, e = 0.0;
  for (int evaluations = 1; evaluations < most_evaluations; ++evaluations) {
    const double middle = 0.5 * (a + b);
    const double t1 = root_eps * std::abs(x) + tolerance / 3.0;
    const double t2 = 2.0 * t1;
    if (std::abs(x - middle) <= t2 - 0.5 * (b - a)) break;
    bool golden_step = true;
    if (std::abs(e) > t1) {
      double r = (x - w) * (fx - fv);
      double q = (x - v) * (fx - fw);
      double p = (x - v) * q - (x - w) * r;
      q = 2.0 * (q - r);
      if (q > 0.0) p = -p;
      q = std::abs(q);
      r = e;
      e = d;
      if (std::abs(p) < std::abs(0.5 * q * r) && p > q * (a - x) && p < q * (b - x)) {
        golden_step = false;
        d = p / q;
        const double u = x + d;
        if (u - a < t2 || b - u < t2) d = middle - x < 0.0 ? -t1 : t1;
      }
    }
    if (golden_step) {
      e = x >= middle ? a - x : b - x;
      d = golden * e;
    }
    const double u = x + (d < 0.0 ? -1.0 : 1.0) * std::max(std::abs(d), t1);
    const double fu = f(u);
    if (fu <= fx) {
      (u >= x ? a : b) = x;
      v = w, fv = fw;
      w = x, fw = fx;
      x = u, fx = fu;
    } else {
      (u < x ? a : b) = u;
      if (fu <= fw || w == x) {
        v = w, fv = fw;
        w = u, fw = fu;
      } else if (fu <= fv || v == x || v == w) {
        v = u, fv = fu;
      }
    }
  }
  return {x, fx};
}

}  // namespace tessera::quant
