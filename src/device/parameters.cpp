#include "tessera/device/parameters.hpp"

#include <algorithm>
#include <cmath>

#include "device/laws.hpp"
#include "tessera/core/problems.hpp"

namespace tessera::device {

namespace {

class DeviceProblems : public Problems {
 public:
  bool finite(double value, const std::string& key) {
    return expect(std::isfinite(value), key, fmt::format("must be finite, not {}", value));
  }
  void coefficients(const std::vector<double>& values, const std::string& key) {
    expect(!values.empty() && values.size() <= laws::max_coefficients, key,
           fmt::format("needs 1 to {} coefficients, not {}", laws::max_coefficients, values.size()));
    expect(std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }), key,
           "coefficients must be finite");
  }
  void range_covered(const std::vector<double>& g, const ConductanceConverter& cells, const std::string& key) {
    if (g.empty()) return;
    expect(g.front() <= g_min(cells) && g.back() >= g_max(cells), key,
           fmt::format("covers {} to {} uS, but devices go from g_min {} to g_max {} uS", g.front(), g.back(),
                       g_min(cells), g_max(cells)));
  }
};

bool ascending(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }) &&
         std::adjacent_find(values.begin(), values.end(), [](double a, double b) { return a >= b; }) == values.end();
}

constexpr const char* root = "noise_model.";

std::string key_of(const char* member) {
  return root + std::string(member);
}

struct ModelValidator {
  DeviceProblems& problems;

  template <class Model>
  void scales_and_times(const Model& m, double t_0) const {
    problems.not_negative(m.prog_noise_scale, key_of("prog_noise_scale"));
    problems.not_negative(m.read_noise_scale, key_of("read_noise_scale"));
    problems.not_negative(m.drift_scale, key_of("drift_scale"));
    problems.positive(m.t_read, key_of("t_read"));
    problems.positive(t_0, key_of("t_0"));
    problems.expect(
        !(t_0 < m.t_read), key_of("t_0"),
        fmt::format("must not be below t_read ({} s), where the read-noise law begins, not {}", m.t_read, t_0));
  }
  void reference(const std::optional<double>& g, const char* member) const {
    if (g) problems.positive(*g, key_of(member));
  }
  void cells(const ConductanceConverter& converter) const {
    std::vector<Problem> found;
    find_problems(converter, key_of("g_converter"), found);
    for (Problem& problem : found) problems.add(problem.key, std::move(problem.message));
  }

  void operator()(const PCMLikeNoiseModel& m) const {
    cells(m.g_converter);
    if (m.prog_coeff) problems.coefficients(*m.prog_coeff, key_of("prog_coeff"));
    reference(m.prog_coeff_g_max_reference, "prog_coeff_g_max_reference");
    scales_and_times(m, m.t_0);
  }
  void operator()(const CustomDriftPCMLikeNoiseModel& m) const {
    (*this)(m.pcm);
    const CustomDriftModel& table = m.custom_drift_model;
    const std::size_t points = table.g_lst.size();
    const std::string key = key_of("custom_drift_model.");
    problems.expect(points >= 2, key + "g_lst", fmt::format("needs at least two conductances, not {}", points));
    problems.expect(ascending(table.g_lst), key + "g_lst", "must be finite and ascending");
    problems.range_covered(table.g_lst, m.pcm.g_converter, key + "g_lst");
    const auto list = [&](const std::vector<double>& values, const char* member, bool is_spread) {
      problems.expect(values.size() == points, key + member,
                      fmt::format("needs one value for each of the {} conductances, not {}", points, values.size()));
      for (const double v : values)
        is_spread ? problems.not_negative(v, key + member) : problems.finite(v, key + member);
    };
    list(table.nu_mean_lst, "nu_mean_lst", false);
    list(table.nu_std_lst, "nu_std_lst", true);
  }
  void operator()(const StateIndependentNoiseModel& m) const {
    cells(m.g_converter);
    problems.coefficients(m.prog_coeff, key_of("prog_coeff"));
    problems.finite(m.drift_nu_mean, key_of("drift_nu_mean"));
    problems.not_negative(m.drift_nu_std, key_of("drift_nu_std"));
    scales_and_times(m, m.t_0);
  }
  void operator()(const ReRamWan2022NoiseModel& m) const {
    cells(m.g_converter);
    problems.expect(!m.coeff_dic.empty(), key_of("coeff_dic"), "needs at least one time");
    for (const auto& [time, c] : m.coeff_dic) {
      problems.expect(std::isfinite(time) && time > 0.0, key_of("coeff_dic"),
                      fmt::format("times must be > 0 s, not {}", time));
      problems.coefficients(c, key_of("coeff_dic"));
    }
    problems.not_negative(m.noise_scale, key_of("noise_scale"));
    reference(m.coeff_g_max_reference, "coeff_g_max_reference");
  }
  void operator()(const ReRamCMONoiseModel& m) const {
    cells(m.g_converter);
    std::vector<double> keys;
    for (const auto& [key, c] : m.coeff_dict) {
      keys.push_back(key);
      problems.coefficients(c, key_of("coeff_dict"));
    }
    problems.expect(
        m.coeff_dict.contains(m.acceptance_range), key_of("acceptance_range"),
        fmt::format("no coefficients for {}; coeff_dict has {}", m.acceptance_range, fmt::join(keys, ", ")));
    reference(m.coeff_g_max_reference, "coeff_g_max_reference");
    problems.finite(m.decay_mean, key_of("decay_dict.mean"));
    problems.expect(m.decay_std.size() == 2, key_of("decay_dict.std"),
                    fmt::format("needs slope and offset, not {} values", m.decay_std.size()));
    for (const double v : m.decay_std) problems.finite(v, key_of("decay_dict.std"));
    problems.not_negative(m.read_k, key_of("read_dict.K"));
    problems.positive(m.t_read, key_of("read_dict.t_read"));
    problems.not_negative(m.prog_noise_scale, key_of("prog_noise_scale"));
    problems.not_negative(m.read_noise_scale, key_of("read_noise_scale"));
    problems.not_negative(m.drift_scale, key_of("drift_scale"));
  }
  void operator()(const HermesNoiseModel& m) const {
    const bool known = m.num_devices == 1 || m.num_devices == 2;
    problems.expect(known, key_of("num_devices"), fmt::format("must be 1 or 2, not {}", m.num_devices));
    const ConductanceConverter own = converter(NoiseModel(m));
    cells(own);
    const double limit = m.num_devices == 2 ? 20.7 : 10.35;
    problems.expect(!known || g_max(own) <= limit, key_of("g_max"),
                    fmt::format("must be at most {} uS with num_devices {}, not {}", limit, m.num_devices, g_max(own)));
    if (m.prog_coeff) problems.coefficients(*m.prog_coeff, key_of("prog_coeff"));
    reference(m.prog_coeff_g_max_reference, "prog_coeff_g_max_reference");
    scales_and_times(m, m.t_0.value_or(m.num_devices == 2 ? 300.0 : 200.0));
  }
  void operator()(const TableNoiseModel& m) const {
    cells(m.g_converter);
    table(m.programming_sigma, m.g_converter, "programming_sigma", true);
    table(m.drift_mean, m.g_converter, "drift_mean", false);
    table(m.drift_std, m.g_converter, "drift_std", true);
    table(m.read_sigma, m.g_converter, "read_sigma", true);
    problems.expect(m.programming_sigma.time.empty(), key_of("programming_sigma.time"),
                    "programming happens at time 0: a table of it has no time axis");
    problems.positive(m.t_0, key_of("t_0"));
    problems.not_negative(m.prog_noise_scale, key_of("prog_noise_scale"));
    problems.not_negative(m.drift_scale, key_of("drift_scale"));
    problems.not_negative(m.read_noise_scale, key_of("read_noise_scale"));
  }

 private:
  void table(const DeviceTable& t, const ConductanceConverter& converter, const char* member, bool is_spread) const {
    const std::string key = key_of(member);
    if (t.g.empty() && t.time.empty() && t.values.empty()) return;
    problems.expect(!t.g.empty(), key + ".g", "needs at least one conductance");
    problems.expect(ascending(t.g), key + ".g", "must be finite and ascending");
    problems.expect(ascending(t.time), key + ".time", "must be finite and ascending");
    problems.expect(t.time.empty() || t.time.front() > 0.0, key + ".time", "times must be > 0 s");
    if (t.g.size() > 1) problems.range_covered(t.g, converter, key + ".g");
    const std::size_t expected = t.g.size() * std::max<std::size_t>(1, t.time.size());
    problems.expect(t.values.size() == expected, key + ".values",
                    fmt::format("needs {} values ({} conductances for each of {} times), not {}", expected, t.g.size(),
                                std::max<std::size_t>(1, t.time.size()), t.values.size()));
    for (const double v : t.values)
      is_spread ? problems.not_negative(v, key + ".values") : problems.finite(v, key + ".values");
  }
};

void rate(DeviceProblems& problems, double value, const char* key) {
  problems.expect(value >= 0.0 && value <= 1.0, key, fmt::format("must be a probability, not {}", value));
}

struct TimeValidator {
  double time_s;

  /// What is wrong with a finite time >= 0; "" if nothing.
  template <class Model>
  std::string operator()(const Model&) const {
    return {};  // power laws hold from t_0 >= t_read on
  }
  std::string operator()(const ReRamWan2022NoiseModel& m) const {
    if (time_s == 0.0 || m.coeff_dic.contains(time_s)) return {};
    std::vector<double> known;
    for (const auto& entry : m.coeff_dic) known.push_back(entry.first);
    return fmt::format("ReRamWan2022NoiseModel was measured at 0, {} s and says nothing about {} s",
                       fmt::join(known, ", "), time_s);
  }
  std::string operator()(const ReRamCMONoiseModel& m) const {
    if (time_s == 0.0) return {};
    if (time_s < m.t_read)
      return fmt::format("{} s is shorter than a read (t_read {} s), where the read-noise law has no meaning", time_s,
                         m.t_read);
    if (m.decay_std[0] * std::log(time_s) + m.decay_std[1] < 0.0)
      return fmt::format("the drift spread of ReRamCMONoiseModel is negative at {} s; the first valid time is {:.3g} s",
                         time_s, std::exp(-m.decay_std[1] / m.decay_std[0]));
    return {};
  }
  std::string operator()(const TableNoiseModel& m) const {
    const auto outside = [this](const DeviceTable& t) {
      return !t.time.empty() && (time_s < t.time.front() || time_s > t.time.back());
    };
    struct Named {
      const char* name;
      const DeviceTable& table;
    };
    for (const Named& t :
         {Named{"drift_mean", m.drift_mean}, Named{"drift_std", m.drift_std}, Named{"read_sigma", m.read_sigma}})
      if (outside(t.table))
        return fmt::format("the table {} goes from {} to {} s and says nothing about {} s", t.name,
                           t.table.time.front(), t.table.time.back(), time_s);
    return {};
  }
};

}  // namespace

void validate(const DeviceParameters& parameters) {
  DeviceProblems problems;
  std::visit(ModelValidator{problems}, parameters.noise_model);
  if (parameters.program_and_verify) {
    const ProgramAndVerify& p = *parameters.program_and_verify;
    problems.positive(p.tolerance, "program_and_verify.tolerance");
    problems.expect(p.max_pulses >= 0 && p.max_pulses <= 10000, "program_and_verify.max_pulses",
                    fmt::format("must be 0 to 10000, not {}", p.max_pulses));
    problems.expect(p.gain > 0.0 && p.gain <= 1.0, "program_and_verify.gain",
                    fmt::format("must be in (0, 1], not {}", p.gain));
    problems.not_negative(p.pulse_noise, "program_and_verify.pulse_noise");
    problems.not_negative(p.read_noise, "program_and_verify.read_noise");
    problems.expect(!std::holds_alternative<ReRamWan2022NoiseModel>(parameters.noise_model), "program_and_verify",
                    "has no meaning with ReRamWan2022NoiseModel, whose later states are drawn around the target");
  }
  rate(problems, parameters.faults.stuck_at_zero_rate, "faults.stuck_at_zero_rate");
  rate(problems, parameters.faults.stuck_at_max_rate, "faults.stuck_at_max_rate");
  problems.expect(!(parameters.faults.stuck_at_zero_rate + parameters.faults.stuck_at_max_rate > 1.0), "faults",
                  "the two rates add up to more than 1");
  problems.expect(
      parameters.drift_from == DriftFrom::devices || parameters.faults == FaultParameters{}, "faults",
      "have no meaning with drift_from: weights, which forgets the individual devices; use drift_from: devices");
  problems.throw_if_any();
}

void validate_times(const NoiseModel& model, std::span<const double> times_s, const std::string& key) {
  DeviceProblems problems;
  for (const double time : times_s) {
    if (!std::isfinite(time) || time < 0.0) {
      problems.expect(false, key, fmt::format("a time after programming is finite and >= 0 s, not {}", time));
      continue;
    }
    const std::string message = std::visit(TimeValidator{time}, model);
    problems.expect(message.empty(), key, message);
  }
  problems.throw_if_any();
}

}  // namespace tessera::device
