#include "tessera/device/noise_model.hpp"

#include "device/laws.hpp"

namespace tessera::device {

namespace laws {

namespace {

const std::vector<double> pcm_coefficients = {0.26348, 1.9650, -1.1731};
constexpr double pcm_reference_g_max = 25.0;
const std::vector<double> hermes_one_coefficients = {0.15781817, 2.32443916, -2.16310839, 0.68841818};
const std::vector<double> hermes_two_coefficients = {0.16603222, 4.71806468, -8.48101252, 4.68961419};
constexpr double wan_reference_g_max = 40.0;

/// The g_max at which coefficients were measured: given, or the published one for published coefficients, else the
/// converter's.
double reference_g_max(const std::optional<double>& given, const std::optional<std::vector<double>>& coefficients,
                       double published, double own) {
  return given.value_or(coefficients.has_value() ? own : published);
}

template <class Exponent>
PowerLaw<Exponent, PcmReadAmplitude> pcm_law(const PCMLikeNoiseModel& m, Exponent exponent) {
  const double high = g_max(m.g_converter);
  const double reference = reference_g_max(m.prog_coeff_g_max_reference, m.prog_coeff, pcm_reference_g_max, high);
  return {Polynomial(m.prog_coeff.value_or(pcm_coefficients)),
          high / reference,
          1.0 / high,
          m.t_0,
          m.t_read,
          m.prog_noise_scale,
          m.read_noise_scale,
          m.drift_scale,
          std::move(exponent),
          {1.0 / high}};
}

Law law_of(const PCMLikeNoiseModel& m) {
  return pcm_law(m, PcmExponent{1.0 / g_max(m.g_converter)});
}

Law law_of(const CustomDriftPCMLikeNoiseModel& m) {
  const CustomDriftModel& table = m.custom_drift_model;
  return pcm_law(m.pcm, TabulatedExponent{{table.g_lst, table.nu_mean_lst}, {table.g_lst, table.nu_std_lst}});
}

Law law_of(const StateIndependentNoiseModel& m) {
  const double high = g_max(m.g_converter);
  return StateIndependentLaw{Polynomial(m.prog_coeff),
                             1.0,
                             1.0 / high,
                             m.t_0,
                             m.t_read,
                             m.prog_noise_scale,
                             m.read_noise_scale,
                             m.drift_scale,
                             {m.drift_nu_mean, m.drift_nu_std},
                             {1.0 / high}};
}

Law law_of(const HermesNoiseModel& m) {
  const bool two = m.num_devices == 2;
  const double high = g_max(converter(m));
  const double reference = reference_g_max(m.prog_coeff_g_max_reference, m.prog_coeff, two ? 20.7 : 10.35, high);
  return HermesLaw{Polynomial(m.prog_coeff.value_or(two ? hermes_two_coefficients : hermes_one_coefficients)),
                   high / reference,
                   1.0 / high,
                   m.t_0.value_or(two ? 300.0 : 200.0),
                   m.t_read,
                   m.prog_noise_scale,
                   m.read_noise_scale,
                   m.drift_scale,
                   {1.0 / high, two},
                   {1.0 / high, two}};
}

Law law_of(const ReRamWan2022NoiseModel& m) {
  const double high = g_max(m.g_converter);
  const double reference = m.coeff_g_max_reference.value_or(wan_reference_g_max);
  return WanLaw{m.coeff_dic, high / reference, 1.0 / high, m.noise_scale};
}

Law law_of(const ReRamCMONoiseModel& m) {
  const double high = g_max(m.g_converter);
  return CmoLaw{Polynomial(m.coeff_dict.at(m.acceptance_range)),
                high / m.coeff_g_max_reference.value_or(high),
                g_min(m.g_converter),
                high,
                m.decay_mean,
                m.decay_std.at(0),
                m.decay_std.at(1),
                m.read_k,
                m.t_read,
                m.prog_noise_scale,
                m.read_noise_scale,
                m.drift_scale};
}

Law law_of(const TableNoiseModel& m) {
  return TableLaw{m, table_at(m.programming_sigma, 0.0)};
}

}  // namespace

PiecewiseLinear table_at(const DeviceTable& table, double time_s) {
  if (table.empty()) return {{0.0}, {0.0}};
  const std::size_t points = table.g.size();
  const auto row = [&](std::size_t t) {
    const auto begin = table.values.begin() + static_cast<std::ptrdiff_t>(t * points);
    return std::vector<double>(begin, begin + static_cast<std::ptrdiff_t>(points));
  };
  if (table.time.size() < 2 || time_s <= table.time.front()) return {table.g, row(0)};
  if (time_s >= table.time.back()) return {table.g, row(table.time.size() - 1)};
  const auto above =
      static_cast<std::size_t>(std::upper_bound(table.time.begin(), table.time.end(), time_s) - table.time.begin());
  const double fraction =
      std::log(time_s / table.time[above - 1]) / std::log(table.time[above] / table.time[above - 1]);
  std::vector<double> values = row(above - 1);
  const std::vector<double> next = row(above);
  for (std::size_t i = 0; i < points; ++i) values[i] += fraction * (next[i] - values[i]);
  return {table.g, values};
}

Law make_law(const NoiseModel& model) {
  return std::visit([](const auto& m) { return law_of(m); }, model);
}

}  // namespace laws

const char* type_name(const NoiseModel& model) {
  struct Name {
    const char* operator()(const PCMLikeNoiseModel&) const { return "PCMLikeNoiseModel"; }
    const char* operator()(const CustomDriftPCMLikeNoiseModel&) const { return "CustomDriftPCMLikeNoiseModel"; }
    const char* operator()(const StateIndependentNoiseModel&) const { return "StateIndependentNoiseModel"; }
    const char* operator()(const ReRamWan2022NoiseModel&) const { return "ReRamWan2022NoiseModel"; }
    const char* operator()(const ReRamCMONoiseModel&) const { return "ReRamCMONoiseModel"; }
    const char* operator()(const HermesNoiseModel&) const { return "HermesNoiseModel"; }
    const char* operator()(const TableNoiseModel&) const { return "TableNoiseModel"; }
  };
  return std::visit(Name{}, model);
}

namespace {

struct ConverterOf {
  ConductanceConverter operator()(const CustomDriftPCMLikeNoiseModel& m) const { return m.pcm.g_converter; }
  ConductanceConverter operator()(const HermesNoiseModel& m) const {
    if (m.g_converter) return *m.g_converter;
    return SinglePairConductanceConverter{.g_max = m.num_devices == 2 ? 20.7 : 10.35};
  }
  template <class Model>
  ConductanceConverter operator()(const Model& m) const {
    return m.g_converter;
  }
};

struct DriftLawOf {
  double g, time_s;
  template <class Exponent, class Read>
  DriftLaw operator()(const laws::PowerLaw<Exponent, Read>& law) const {
    const laws::MeanStd<double> nu = law.exponent(g);
    return {nu.mean, nu.std};
  }
  DriftLaw operator()(const laws::WanLaw&) const { return {}; }
  DriftLaw operator()(const laws::CmoLaw& law) const {
    const auto at = law.at(time_s);
    return {at.change_mean, at.change_std};
  }
  DriftLaw operator()(const laws::TableLaw& law) const {
    const auto at = law.at(time_s);
    return {at.mean(g), at.std(g)};
  }
};

struct ReadSigmaOf {
  double gp, gd, time_s;
  template <class Exponent, class Read>
  double operator()(const laws::PowerLaw<Exponent, Read>& law) const {
    return law.read_amplitude(gp, gd) * law.at(time_s).noise;
  }
  double operator()(const laws::WanLaw& law) const {
    const auto at = law.at(time_s);
    return at.just_programmed ? 0.0 : at.noise_scale * at.sigma_scale * at.polynomial(gp * at.inverse_g_max);
  }
  double operator()(const laws::CmoLaw& law) const { return law.at(time_s).noise * std::log10(std::max(gd, 1.0)); }
  double operator()(const laws::TableLaw& law) const {
    const auto at = law.at(time_s);
    return at.noise * at.read_sigma(gd);
  }
};

}  // namespace

ConductanceConverter converter(const NoiseModel& model) {
  return std::visit(ConverterOf{}, model);
}

void set_converter(NoiseModel& model, const ConductanceConverter& converter) {
  std::visit(
      [&](auto& m) {
        if constexpr (requires { m.pcm; })
          m.pcm.g_converter = converter;
        else
          m.g_converter = converter;
      },
      model);
}

double programming_sigma(const NoiseModel& model, double g) {
  return std::visit([g](const auto& law) { return law.sigma(g); }, laws::make_law(model));
}

DriftLaw drift_law(const NoiseModel& model, double g, double time_s) {
  return std::visit(DriftLawOf{g, time_s}, laws::make_law(model));
}

double read_sigma(const NoiseModel& model, double gp, double gd, double time_s) {
  return std::visit(ReadSigmaOf{gp, gd, time_s}, laws::make_law(model));
}

double read_noise_growth(double t, double t_read) {
  return std::sqrt(std::max(0.0, std::log((t + t_read) / (2.0 * t_read))));
}

}  // namespace tessera::device
