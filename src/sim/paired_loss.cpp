#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/sim/search.hpp"

namespace tessera::sim {

std::vector<double> Outcomes::accuracy_by_chip() const {
  std::vector<double> means;
  for (std::int64_t c = 0; c < chips; ++c) {
    double sum = 0.0;
    for (std::int64_t s = 0; s < samples; ++s)
      sum += static_cast<double>(correct[static_cast<std::size_t>(c * samples + s)]);
    means.push_back(sum / static_cast<double>(samples));
  }
  return means;
}

double Outcomes::accuracy() const {
  Moments moments;
  for (const double value : accuracy_by_chip()) moments.add(value);
  return moments.mean();
}

double PairedLoss::upper(double confidence) const {
  return center + student_t_quantile(confidence, degrees) * standard_error;
}

double PairedLoss::lower(double confidence) const {
  return center - student_t_quantile(confidence, degrees) * standard_error;
}

double in_percent(SearchMeasure measure, double loss) {
  return 100.0 * (measure == SearchMeasure::accuracy ? loss : std::expm1(loss));
}

PairedLoss paired_loss(const Outcomes& a, const Outcomes& b, SearchMeasure measure) {
  require<InputError>(a.chips == b.chips && a.samples == b.samples && a.chips > 0 && a.samples > 0,
                      "a paired loss needs the same chips and samples: {} x {} against {} x {}", a.chips, a.samples,
                      b.chips, b.samples);
  const auto chips = static_cast<double>(a.chips);
  const bool rare = measure == SearchMeasure::accuracy;
  require<InputError>(rare || a.samples > 1, "a loss of perplexity needs at least two samples to be tested");
  const auto rows = static_cast<double>(a.samples + (rare ? 2 : 0));
  std::vector<double> by_sample(static_cast<std::size_t>(a.samples), 0.0);
  std::vector<double> by_chip;
  double sum = 0.0;
  for (std::int64_t c = 0; c < a.chips; ++c) {
    double chip_sum = 0.0;
    for (std::int64_t s = 0; s < a.samples; ++s) {
      const auto at = static_cast<std::size_t>(c * a.samples + s);
      const double d = static_cast<double>(a.correct[at]) - static_cast<double>(b.correct[at]);
      by_sample[static_cast<std::size_t>(s)] += d;
      chip_sum += d;
    }
    by_chip.push_back(chip_sum);
    sum += chip_sum;
  }
  PairedLoss loss;
  loss.mean = sum / (chips * static_cast<double>(a.samples));
  loss.center = sum / (chips * rows);
  const double g = loss.center;
  const auto squared = [](double x) { return x * x; };
  // The two added samples are +1 and -1 on every chip.
  double samples_ss = rare ? chips * (squared(1.0 - g) + squared(-1.0 - g)) : 0.0;
  for (const double total : by_sample) samples_ss += chips * squared(total / chips - g);
  double chips_ss = 0.0;
  for (const double total : by_chip) chips_ss += rows * squared(total / rows - g);

  const double ms_s = samples_ss / (rows - 1.0);
  const double ms_c = a.chips > 1 ? chips_ss / (chips - 1.0) : 0.0;
  const double variance = ms_s + ms_c;
  loss.degrees = rows - 1.0;
  if (ms_c > 0.0) loss.degrees = squared(variance) / (squared(ms_s) / (rows - 1.0) + squared(ms_c) / (chips - 1.0));
  loss.standard_error = std::sqrt(variance / (rows * chips));
  return loss;
}

}  // namespace tessera::sim
