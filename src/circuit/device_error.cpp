#include "tessera/circuit/device_error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace tessera::circuit {
namespace {

constexpr int sonos_days = 6;
constexpr int sonos_powers = 11;
// Rows: t = 0..5 days after programming.
constexpr std::array<std::array<double, sonos_powers>, sonos_days> sonos_mean = {{
    {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {0.172684, 0.0572552, -0.000685715, 3.50271e-06, -9.37682e-09, 1.40575e-11, -1.19803e-14, 5.41293e-18, -8.85448e-22,
     -1.66869e-25, 5.9518e-29},
    {0.250712, 0.0662195, -0.000683218, 2.99442e-06, -6.78255e-09, 7.70482e-12, -3.04983e-15, -2.15919e-18, 2.94617e-21,
     -1.23359e-24, 1.85329e-28},
    {-0.01753, 0.0976883, -0.000963791, 4.55551e-06, -1.22391e-08, 1.93786e-11, -1.85899e-14, 1.07659e-17, -3.58211e-21,
     5.96785e-25, -3.3041e-29},
    {0.0403338, 0.103111, -0.0010474, 4.83961e-06, -1.28132e-08, 1.99484e-11, -1.85139e-14, 1.00008e-17, -2.84944e-21,
     3.01008e-25, 1.18747e-29},
    {0.319927, 0.106596, -0.00104054, 4.5029e-06, -1.10352e-08, 1.56477e-11, -1.27592e-14, 5.45513e-18, -7.26841e-22,
     -2.43893e-25, 7.14608e-29},
}};
constexpr std::array<double, sonos_days> sonos_A = {19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909};
constexpr std::array<double, sonos_days> sonos_B = {176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309};

/// Linear in time between the days, continued beyond the last.
struct DayWeights {
  std::size_t day;
  double next;
  explicit DayWeights(double t)
      : day(static_cast<std::size_t>(std::clamp(std::floor(t), 0.0, sonos_days - 2.0))),
        next(t - static_cast<double>(day)) {}
  double between(double a, double b) const { return (1.0 - next) * a + next * b; }
};

ErrorLaw sonos(ErrorSlot slot, const CellParameters& cell, double g, double time_days) {
  const double unit = 1e9 * cell.Vread / cell.Rmin;  // nA of a fully-on cell
  const double i = g * unit;
  if (slot == ErrorSlot::read_noise) return {g, 12.58037 * (1.0 - std::exp(-i / 215.36557)) / unit};
  const DayWeights t(time_days);
  double drifted = i;
  if (time_days > 0.0) {
    double power = 1.0;
    for (std::size_t k = 0; k < sonos_powers; ++k, power *= i)
      drifted += t.between(sonos_mean[t.day][k], sonos_mean[t.day + 1][k]) * power;
  }
  const double a = t.between(sonos_A[t.day], sonos_A[t.day + 1]), b = t.between(sonos_B[t.day], sonos_B[t.day + 1]);
  return {drifted / unit, a * (1.0 - std::exp(-drifted / b)) / unit};
}

bool is_uniform(ErrorModel model) {
  return model == ErrorModel::UniformIndependentDevice || model == ErrorModel::UniformProportionalDevice ||
         model == ErrorModel::UniformInverseProportionalDevice;
}

}  // namespace

ErrorLaw error_law(const ErrorParameters& error, ErrorSlot slot, const CellParameters& cell, double g,
                   double time_days) {
  const double m = is_uniform(error.model) ? error.magnitude / std::sqrt(12.0) : error.magnitude;
  // The range of conductances goes to [g0, 1]: with an infinite ratio G is g Gmax too.
  const double unit = 1e6 / cell.Rmin;  // uS
  const double G = g * unit;
  switch (error.model) {
    case ErrorModel::IdealDevice:
      return {g, 0.0};
    case ErrorModel::NormalIndependentDevice:
    case ErrorModel::UniformIndependentDevice:
      return {g, m};
    case ErrorModel::NormalProportionalDevice:
    case ErrorModel::UniformProportionalDevice:
      return {g, m * std::abs(g)};
    case ErrorModel::NormalInverseProportionalDevice:
    case ErrorModel::UniformInverseProportionalDevice:
      return {g, g == 0.0 ? 0.0 : m / std::abs(g)};
    case ErrorModel::PCMJoshi:
      return {g, std::max((-0.00178767 * G + 0.07585724) * G + 0.28638599, 0.0) / unit};
    case ErrorModel::RRAMMilo:
      return {g, std::max(-0.009107 * G + 4.782321, 0.0) / unit};
    case ErrorModel::RRAMWan:
      return {g, std::max(((1.536e-4 * G - 1.167e-2) * G + 0.2374) * G + 1.053, 0.0) / unit};
    case ErrorModel::SONOS:
      return sonos(slot, cell, g, time_days);
  }
  return {g, 0.0};
}

void apply_error(const ErrorParameters& error, ErrorSlot slot, const CellParameters& cell, double time_days,
                 const random::Stream& stream, std::uint32_t event, std::span<double> g) {
  const double low = cell.clip_conductance ? cell.g0() : 0.0;
  const double high = cell.clip_conductance ? 1.0 : std::numeric_limits<double>::infinity();
  constexpr std::size_t block = 4096;
  std::vector<float> draws(std::min(block, g.size()));
  for (std::size_t first = 0; first < g.size(); first += block) {
    const std::span<float> now(draws.data(), std::min(block, g.size() - first));
    if (is_uniform(error.model)) {
      random::fill_uniform(stream, event, first, now);
      for (float& u : now) u = (u - 0.5F) * std::sqrt(12.0F);
    } else {
      random::fill_normal(stream, event, first, now);
    }
    for (std::size_t e = 0; e < now.size(); ++e) {
      const ErrorLaw law = error_law(error, slot, cell, g[first + e], time_days);
      g[first + e] = std::clamp(law.mean + law.sigma * static_cast<double>(now[e]), low, high);
    }
  }
}

double nearest_level(const CellParameters& cell, double g) {
  if (cell.cell_bits == 0) return g;
  const double g0 = cell.g0(), range = 1.0 - g0, steps = std::exp2(cell.cell_bits) - 1.0;
  return g0 + range / steps * std::rint((g - g0) * steps / range);
}

}  // namespace tessera::circuit
