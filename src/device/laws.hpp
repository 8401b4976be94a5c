#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <variant>
#include <vector>

#include "device/elementary.hpp"
#include "tessera/device/noise_model.hpp"

/// The noise models as functions of one device, over float (simulation) and double (documentation and tests). A law has
///     T sigma(T g)                       standard deviation of programming, uS
///     T programmed(T g, T xi)            gp
///     has_drift_parameter, T drift_parameter(T g, T xi)
///     at(time_s) -> prepared law with  T conductance(T gp, T g, T parameter, T xi)
/// where a parameter of a device without one is 0.
namespace tessera::device::laws {

inline constexpr std::size_t max_coefficients = 8;

/// A fixed number of terms (absent ones are zero), so that loops over devices vectorise.
struct Polynomial {
  std::array<double, max_coefficients> c{};  // c_0 first
  Polynomial() = default;
  explicit Polynomial(const std::vector<double>& coefficients) {
    std::copy_n(coefficients.begin(), std::min(coefficients.size(), max_coefficients), c.begin());
  }
  template <class T>
  T operator()(T x) const {
    T value{0};
    for (std::size_t q = max_coefficients; q-- > 0;) value = value * x + static_cast<T>(c[q]);
    return value;
  }
};

template <class T>
struct MeanStd {
  T mean;
  T std;
};

// --- power-law drift: PCMLike, CustomDrift, StateIndependent, Hermes
// ---------------------------------------------------

struct PcmExponent {
  double inverse_g_max;
  template <class T>
  MeanStd<T> operator()(T g) const {
    namespace e = elementary;
    const T log_r = e::log(e::at_least(g * static_cast<T>(inverse_g_max), T(1e-7)));
    return {e::clamp(T(-0.0155) * log_r + T(0.0244), T(0.049), T(0.1)),
            e::clamp(T(-0.0125) * log_r - T(0.0059), T(0.008), T(0.045))};
  }
};

struct PcmReadAmplitude {
  double inverse_g_max;
  template <class T>
  T operator()(T gp, T gd) const {
    namespace e = elementary;
    const T power = e::exp(T(0.65) * e::log(e::at_least(gp * static_cast<T>(inverse_g_max), T(1e-10))));
    return gd * e::at_most(T(0.0088) / e::at_least(power, T(1e-3)), T(0.2));
  }
};

struct ConstantExponent {
  double mean, std;
  template <class T>
  MeanStd<T> operator()(T) const {
    return {static_cast<T>(mean), static_cast<T>(std)};
  }
};

struct ProportionalReadAmplitude {
  double inverse_g_max;
  template <class T>
  T operator()(T, T gd) const {
    return gd * static_cast<T>(inverse_g_max);
  }
};

struct HermesExponent {
  double inverse_g_max;
  bool two_devices;
  template <class T>
  MeanStd<T> operator()(T g) const {
    namespace e = elementary;
    const T r = e::at_least(g * static_cast<T>(inverse_g_max), T(1e-7));
    const T log_r = e::log(r);
    const T mean_low = e::clamp(T(-0.0387) * log_r - T(0.0182), T(0.0720), T(0.13));
    const T mean_high = (T(-0.0436) * r - T(0.0126)) * r + T(0.0736);
    const T mean = e::select(r < T(0.0945), mean_low, mean_high);
    if (two_devices) {
      const T low = e::clamp(T(-0.0117) * log_r - T(0.0057), T(0.0091), T(0.04));
      const T high = (T(-0.0118) * r + T(0.0093)) * r + T(0.0073);
      return {mean, e::select(r < T(0.3055), low, high)};
    }
    const T low = e::clamp(T(-0.0120) * log_r - T(0.0023), T(0.0124), T(0.04));
    const T high = (T(-0.0165) * r + T(0.0116)) * r + T(0.0104);
    return {mean, e::select(r < T(0.3039), low, high)};
  }
};

struct HermesReadAmplitude {
  double inverse_g_max;
  bool two_devices;
  template <class T>
  T operator()(T gp, T gd) const {
    namespace e = elementary;
    const T r = gp * static_cast<T>(inverse_g_max);
    const T log_r = e::log(e::at_least(r, T(1e-10)));
    if (two_devices) {
      const T low = e::clamp(T(-0.0117) * log_r - T(0.0069), T(0.015), T(0.04));
      const T high = ((T(0.0069) * r - T(0.0280)) * r + T(0.0211)) * r + T(0.0123);
      return gd * e::select(r < T(0.16), low, high);
    }
    const T low = e::clamp(T(-0.0078) * log_r + T(0.0038), T(0.0179), T(0.04));
    const T high = ((T(0.0664) * r - T(0.1352)) * r + T(0.0768)) * r + T(0.0088);
    return gd * e::select(r < T(0.1591), low, high);
  }
};

/// Linear interpolation over an ascending list, end values outside.
struct PiecewiseLinear {
  std::vector<double> x, y;
  template <class T>
  T operator()(T at) const {
    const double v = static_cast<double>(at);
    if (!(v > x.front())) return static_cast<T>(y.front());
    if (v >= x.back()) return static_cast<T>(y.back());
    const auto above = static_cast<std::size_t>(std::upper_bound(x.begin(), x.end(), v) - x.begin());
    const double fraction = (v - x[above - 1]) / (x[above] - x[above - 1]);
    return static_cast<T>(y[above - 1] + fraction * (y[above] - y[above - 1]));
  }
};

struct TabulatedExponent {
  PiecewiseLinear mean, std;
  template <class T>
  MeanStd<T> operator()(T g) const {
    return {mean(g), std(g)};
  }
};

template <class Exponent, class ReadAmplitude>
struct PowerLaw {
  Polynomial polynomial;  // over g / g_max
  double sigma_scale;
  double inverse_g_max;
  double t_0, t_read;
  double prog_noise_scale, read_noise_scale, drift_scale;
  Exponent exponent;
  ReadAmplitude read_amplitude;

  static constexpr bool has_drift_parameter = true;

  template <class T>
  T sigma(T g) const {
    return static_cast<T>(sigma_scale) * polynomial(g * static_cast<T>(inverse_g_max));
  }
  template <class T>
  T programmed(T g, T xi) const {
    return elementary::at_least(g + static_cast<T>(prog_noise_scale) * sigma(g) * xi, T(0));
  }
  template <class T>
  T drift_parameter(T g, T xi) const {
    const MeanStd<T> nu = exponent(g);
    return elementary::abs(nu.mean + nu.std * xi) * static_cast<T>(drift_scale);
  }

  struct At {
    double log_time_ratio;
    double noise;
    ReadAmplitude read_amplitude;
    template <class T>
    T drifted(T gp, T nu) const {
      return gp * elementary::exp(-nu * static_cast<T>(log_time_ratio));
    }
    template <class T>
    T conductance(T gp, T /*g*/, T nu, T xi) const {
      const T gd = drifted(gp, nu);
      return elementary::at_least(gd + read_amplitude(gp, gd) * static_cast<T>(noise) * xi, T(0));
    }
  };
  At at(double time_s) const {
    const double t = time_s + t_0;
    return {std::log(t / t_0), read_noise_scale * read_noise_growth(t, t_read), read_amplitude};
  }
};

// --- ReRAM of Wan et al.
// -----------------------------------------------------------------------------------------------

struct WanLaw {
  CoefficientTable coefficients;
  double sigma_scale;
  double inverse_g_max;
  double noise_scale;

  static constexpr bool has_drift_parameter = false;

  template <class T>
  T sigma_at(const std::vector<double>& c, T g) const {
    return static_cast<T>(sigma_scale) * Polynomial{c}(g * static_cast<T>(inverse_g_max));
  }
  template <class T>
  T sigma(T g) const {
    return sigma_at(coefficients.begin()->second, g);
  }
  template <class T>
  T programmed(T g, T xi) const {
    return elementary::at_least(g + static_cast<T>(noise_scale) * sigma(g) * xi, T(0));
  }
  template <class T>
  T drift_parameter(T, T) const {
    return T(0);
  }

  struct At {
    Polynomial polynomial;
    double sigma_scale, inverse_g_max, noise_scale;
    bool just_programmed;
    template <class T>
    T conductance(T gp, T g, T, T xi) const {
      const T sigma = static_cast<T>(sigma_scale) * polynomial(g * static_cast<T>(inverse_g_max));
      const T relaxed = elementary::at_least(g + static_cast<T>(noise_scale) * sigma * xi, T(0));
      return elementary::select(just_programmed, gp, relaxed);
    }
  };
  At at(double time_s) const {
    const auto found = coefficients.find(time_s);
    const auto& c = found == coefficients.end() ? coefficients.begin()->second : found->second;
    return {Polynomial(c), sigma_scale, inverse_g_max, noise_scale, time_s == 0.0};
  }
};

// --- ReRAM of conductive metal oxide
// -----------------------------------------------------------------------------------

struct CmoLaw {
  Polynomial polynomial;  // over g in uS
  double sigma_scale;
  double g_min, g_max;
  double decay_mean, decay_std0, decay_std1;
  double read_k, t_read;
  double prog_noise_scale, read_noise_scale, drift_scale;

  static constexpr bool has_drift_parameter = true;

  template <class T>
  T sigma(T g) const {
    return static_cast<T>(sigma_scale) * polynomial(g);
  }
  template <class T>
  T programmed(T g, T xi) const {
    return g + static_cast<T>(prog_noise_scale) * sigma(g) * xi;
  }
  template <class T>
  T drift_parameter(T, T xi) const {
    return xi;
  }

  struct At {
    double change_mean, change_std, noise, g_min, g_max;
    bool just_programmed;
    template <class T>
    T conductance(T gp, T /*g*/, T deviate, T xi) const {
      namespace e = elementary;
      const T gd = gp + static_cast<T>(change_mean) + static_cast<T>(change_std) * deviate;
      const T amplitude = static_cast<T>(noise) * e::log10(e::at_least(gd, T(1)));
      const T read = e::clamp(gd + amplitude * xi, static_cast<T>(g_min), static_cast<T>(g_max));
      return e::select(just_programmed, gp, read);
    }
  };
  At at(double time_s) const {
    if (time_s == 0.0) return {0.0, 0.0, 0.0, g_min, g_max, true};
    const double log_t = std::log(time_s);
    return {drift_scale * decay_mean * log_t,
            drift_scale * (decay_std0 * log_t + decay_std1),
            read_noise_scale * read_k * read_noise_growth(time_s, t_read),
            g_min,
            g_max,
            false};
  }
};

// --- a user's table
// ----------------------------------------------------------------------------------------------------

/// The row of a table at a time: linear in ln(time) between its times; the whole table if it has none; zero if it is
/// empty.
PiecewiseLinear table_at(const DeviceTable& table, double time_s);

struct TableLaw {
  TableNoiseModel model;
  PiecewiseLinear programming_sigma;

  static constexpr bool has_drift_parameter = true;

  template <class T>
  T sigma(T g) const {
    return programming_sigma(g);
  }
  template <class T>
  T programmed(T g, T xi) const {
    return elementary::at_least(g + static_cast<T>(model.prog_noise_scale) * sigma(g) * xi, T(0));
  }
  template <class T>
  T drift_parameter(T, T xi) const {
    return xi;
  }

  struct At {
    PiecewiseLinear mean, std, read_sigma;
    bool exponent;
    double drift_scale, log_time_ratio, noise;
    template <class T>
    T conductance(T gp, T g, T deviate, T xi) const {
      namespace e = elementary;
      const T drift = static_cast<T>(drift_scale) * (mean(g) + std(g) * deviate);
      const T gd = exponent ? gp * e::exp(-drift * static_cast<T>(log_time_ratio)) : e::at_least(gp + drift, T(0));
      return e::at_least(gd + static_cast<T>(noise) * read_sigma(gd) * xi, T(0));
    }
  };
  At at(double time_s) const {
    return {table_at(model.drift_mean, time_s),
            table_at(model.drift_std, time_s),
            table_at(model.read_sigma, time_s),
            model.drift == TableDrift::exponent,
            model.drift_scale,
            std::log((time_s + model.t_0) / model.t_0),
            model.read_noise_scale};
  }
};

using PcmLaw = PowerLaw<PcmExponent, PcmReadAmplitude>;
using CustomDriftLaw = PowerLaw<TabulatedExponent, PcmReadAmplitude>;
using StateIndependentLaw = PowerLaw<ConstantExponent, ProportionalReadAmplitude>;
using HermesLaw = PowerLaw<HermesExponent, HermesReadAmplitude>;
using Law = std::variant<PcmLaw, CustomDriftLaw, StateIndependentLaw, HermesLaw, WanLaw, CmoLaw, TableLaw>;

/// The law of a valid model.
Law make_law(const NoiseModel& model);

}  // namespace tessera::device::laws
