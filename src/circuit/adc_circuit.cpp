#include "tessera/circuit/adc_circuit.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::circuit {
namespace {

double weight_of(std::span<const double> capacitors, std::int64_t selected) {
  double sum = 0.0;
  for (std::size_t n = 0; n < capacitors.size(); ++n)
    if (((selected >> n) & 1) != 0) sum += capacitors[n];
  return sum;
}

std::vector<double> binary_capacitors(std::span<const double> z, int bits) {
  std::vector<double> c(static_cast<std::size_t>(bits));
  for (std::size_t n = 0; n < c.size(); ++n) {
    const double nominal = std::exp2(static_cast<double>(n));
    c[n] = nominal + z[n] * std::sqrt(nominal);
  }
  return c;
}

void check_draws(std::span<const double> z, int bits) {
  require<InputError>(bits >= 2 && static_cast<int>(z.size()) == bits + 1,
                      "a converter of {} bits has {} capacitors, not {}", bits, bits + 1, z.size());
}

double sign_of(std::int64_t k) {
  return static_cast<double>((k > 0) - (k < 0));
}

}  // namespace

double amplifier_gain(double gain_db) {
  return std::pow(10.0, gain_db / 20.0);
}

std::vector<double> signed_levels(std::span<const double> z, int bits, double gain, CdacGain rule) {
  check_draws(z, bits);
  const std::vector<double> c = binary_capacitors(z, bits);
  const std::int64_t half = std::int64_t{1} << (bits - 1);
  const double feedback = static_cast<double>(half) + z[c.size()] * std::sqrt(static_cast<double>(half));
  const double all = std::accumulate(c.begin(), c.end(), 0.0);
  const bool peer = rule == CdacGain::CROSSSIM;
  std::vector<double> levels(static_cast<std::size_t>(2 * half));
  for (std::int64_t k = -half; k < half; ++k) {
    const double selected = weight_of(c, std::abs(k));
    const double beta = feedback / (feedback + (peer ? selected : all));
    levels[static_cast<std::size_t>(k + half)] =
        (sign_of(k) * selected / (peer ? c.back() : feedback) + std::exp2(-bits)) / (1.0 + 1.0 / (gain * beta));
  }
  return levels;
}

std::vector<double> unsigned_levels(std::span<const double> z, int bits, double gain, CdacGain rule) {
  check_draws(z, bits);
  const std::vector<double> c = binary_capacitors(z, bits);
  const double codes = std::exp2(bits);
  const double feedback = codes + z[c.size()] * std::sqrt(codes);
  const double all = std::accumulate(c.begin(), c.end(), 0.0);
  std::vector<double> levels(static_cast<std::size_t>(codes));
  for (std::size_t k = 0; k < levels.size(); ++k) {
    const double selected = weight_of(c, static_cast<std::int64_t>(k));
    const double beta = feedback / (feedback + (rule == CdacGain::CROSSSIM ? selected : all));
    levels[k] = (2.0 * selected / feedback - (codes - 1.0) / codes) / (1.0 + 1.0 / (gain * beta));
  }
  return levels;
}

std::vector<double> split_levels(std::span<const double> z, int bits, double gain) {
  check_draws(z, bits);
  const auto lower = static_cast<std::size_t>(bits / 2), count = static_cast<std::size_t>(bits - 1);
  std::vector<double> c(count);
  for (std::size_t n = 0; n < count; ++n) {
    const double nominal = std::exp2(static_cast<double>(n < lower ? n : n - lower));
    c[n] = nominal + z[n] * std::sqrt(nominal);
  }
  const double lsb_units = std::exp2(static_cast<double>(lower));
  const double dummy = 1.0 + z[count];
  const double bridge_nominal = lsb_units / (lsb_units - 1.0);
  const double bridge = bridge_nominal + z[count + 1] * std::sqrt(bridge_nominal);
  const std::span<const double> lsb(c.data(), lower), msb(c.data() + lower, count - lower);
  const double CL = dummy + std::accumulate(lsb.begin(), lsb.end(), 0.0);
  const double CM = std::accumulate(msb.begin(), msb.end(), 0.0);
  const std::int64_t half = std::int64_t{1} << (bits - 1);
  std::vector<double> levels(static_cast<std::size_t>(2 * half));
  for (std::int64_t k = -half; k < half; ++k) {
    const std::int64_t m = std::abs(k);
    const double l = weight_of(lsb, m), h = weight_of(msb, m >> lower);
    const double t =
        m == half ? 1.0 : (l * bridge + h * (CL + bridge)) / ((CL + bridge) * (CM + bridge) - bridge * bridge);
    levels[static_cast<std::size_t>(k + half)] = (sign_of(k) * t + std::exp2(-bits)) / (1.0 + 1.0 / gain);
  }
  return levels;
}

RampTable::RampTable(std::span<const double> levels, RampCode rule) {
  const auto n = static_cast<std::int64_t>(levels.size());
  codes_.push_back(0);
  if (rule == RampCode::FIRST_CROSSING) {
    const double half_step = 1.0 / static_cast<double>(n);
    double highest = -INFINITY;  // the ramp so far; only a threshold above it can be the first crossing
    for (std::int64_t c = 1; c < n; ++c) {
      const double threshold = levels[static_cast<std::size_t>(c)] - half_step;
      if (threshold > highest) {
        borders_.push_back(highest = threshold);
        codes_.push_back(c);
      } else {
        codes_.back() = c;
      }
    }
    return;
  }
  std::vector<std::int64_t> order(levels.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return levels[static_cast<std::size_t>(a)] < levels[static_cast<std::size_t>(b)];
  });
  codes_[0] = order[0];
  for (std::size_t t = 1; t < order.size(); ++t) {
    const double below = levels[static_cast<std::size_t>(order[t - 1])];
    const double above = levels[static_cast<std::size_t>(order[t])];
    if (above == below) continue;  // the lower code
    borders_.push_back(0.5 * (below + above));
    codes_.push_back(order[t]);
  }
}

std::int64_t RampTable::code(double x, double offset) const {
  const auto at = std::lower_bound(borders_.begin(), borders_.end(), x + offset) - borders_.begin();
  return codes_[static_cast<std::size_t>(at)];
}

std::int64_t sar_code(std::span<const double> levels, int bits, double x, double offset) {
  const double half_step = std::exp2(-bits);
  std::int64_t code = 0;
  for (int b = bits - 1; b >= 0; --b) {
    const std::int64_t trial = code + (std::int64_t{1} << b);
    if (x > levels[static_cast<std::size_t>(trial)] - half_step - offset) code = trial;
  }
  return code;
}

std::int64_t pipeline_code(std::span<const Stage> stages, std::span<const double> offsets, int bits, double gain,
                           double x) {
  std::int64_t code = 0;
  for (int n = 0; n + 1 < bits; ++n) {
    const auto at = static_cast<std::size_t>(n);
    const Stage& stage = stages[at];
    const bool hi = x > 0.25 + offsets[2 * at];
    const bool lo = x < -0.25 + offsets[2 * at + 1];
    if (hi) code += std::int64_t{1} << (bits - 1 - n);
    if (!hi && !lo) code += std::int64_t{1} << (bits - 2 - n);
    const double d = (lo ? 1.0 : 0.0) - (hi ? 1.0 : 0.0);
    const double gamma = stage.C2 / stage.C1;
    const double beta = stage.C1 / (stage.C1 + stage.C2 + stage.Cpar);
    x = ((1.0 + gamma) * x + d * gamma) / (1.0 + 1.0 / (gain * beta));
  }
  return code + (x > offsets[2 * static_cast<std::size_t>(bits) - 2] ? 1 : 0);
}

}  // namespace tessera::circuit
