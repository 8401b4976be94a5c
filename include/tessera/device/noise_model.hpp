#pragma once
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tessera/device/conductance_converter.hpp"

/// What happens to a device's conductance between being written and being read: programming error, drift, read noise.
/// Names and defaults are aihwkit's (reference section 8). Conductances are in uS, times in s. xi is standard normal.
///
/// Every device has a target g. Programming gives gp and a drift parameter (an exponent nu, or a frozen normal
/// deviate); both belong to the chip and never change. A read at `time_s` seconds after programming gives gf, with read
/// noise that depends on the time and the read repetition only.
namespace tessera::device {

/// Phase-change memory (Joshi et al., Nat. Commun. 11, 2473, 2020; Nandakumar et al., IEDM 2020; reference 8.1).
///     sigma(g) = (g_max / g_ref) sum_q c_q (g / g_max)^q                       gp = [g + prog_noise_scale sigma(g)
///     xi]+ r = max(g / g_max, 1e-7),  mu = clamp(-0.0155 ln r + 0.0244, 0.049, 0.1), sd = clamp(-0.0125 ln r - 0.0059,
///     0.008, 0.045)                          nu = |mu + sd xi| drift_scale t = time_s + t_0 gd = gp (t / t_0)^-nu q =
///     min(0.0088 / max((gp / g_max)^0.65, 1e-3), 0.2) gf = [gd + gd read_noise_scale q sqrt(ln((t + t_read) / (2
///     t_read))) xi]+
struct PCMLikeNoiseModel {
  ConductanceConverter g_converter = SinglePairConductanceConverter{};
  std::optional<std::vector<double>> prog_coeff = {};  ///< c_q in uS; unset: (0.26348, 1.9650, -1.1731)
  /// g_ref. Unset: 25 with the default coefficients, else the converter's g_max.
  std::optional<double> prog_coeff_g_max_reference = {};
  double t_read = 250e-9;  ///< duration of a read; the law needs t_0 >= t_read
  double t_0 = 20.0;       ///< time between programming and the reference read of the drift measurement
  double prog_noise_scale = 1.0;
  double read_noise_scale = 1.0;
  double drift_scale = 1.0;
  bool operator==(const PCMLikeNoiseModel&) const = default;
};

/// Mean and spread of the drift exponent over conductance, interpolated linearly; must cover [g_min, g_max].
struct CustomDriftModel {
  std::vector<double> g_lst = {};  ///< ascending, at least two
  std::vector<double> nu_mean_lst = {};
  std::vector<double> nu_std_lst = {};
  bool operator==(const CustomDriftModel&) const = default;
};

/// PCMLike with a drift table (reference 8.2):  nu = |mean(g) + std(g) xi| drift_scale.
struct CustomDriftPCMLikeNoiseModel {
  PCMLikeNoiseModel pcm = {};
  CustomDriftModel custom_drift_model = {};
  bool operator==(const CustomDriftPCMLikeNoiseModel&) const = default;
};

/// The same noise for every state (reference 8.3). Programming, drift and time as PCMLike, but sigma is not rescaled,
///     nu = |drift_nu_mean + drift_nu_std xi| drift_scale,
///     gf = [gd + (gd / g_max) read_noise_scale sqrt(ln((t + t_read) / (2 t_read))) xi]+   (amplitude in uS).
struct StateIndependentNoiseModel {
  ConductanceConverter g_converter = SinglePairConductanceConverter{};
  std::vector<double> prog_coeff = {0.2, 0.0, 0.0};
  double t_read = 250e-9;
  double t_0 = 20.0;
  double prog_noise_scale = 1.0;
  double read_noise_scale = 1.0;
  double drift_scale = 1.0;
  double drift_nu_mean = 0.1;
  double drift_nu_std = 0.05;
  bool operator==(const StateIndependentNoiseModel&) const = default;
};

/// Polynomial coefficients over g / g_max (c_0 first, uS), by seconds after programming or by acceptance range.
using CoefficientTable = std::map<double, std::vector<double>>;

/// Resistive memory of Wan et al., Nature 608, 504 (2022) (reference 8.4): relaxation measured at a few times.
/// Programming uses the polynomial of the earliest time, gp = [g + noise_scale sigma(g) xi]+. At time 0 gf = gp; at one
/// of the table's times gf = [g + noise_scale sigma_t(g) xi]+ anew around the target. Other times are errors.
///     sigma(g) = (g_max / coeff_g_max_reference) sum_q c_q (g / g_max)^q
struct ReRamWan2022NoiseModel {
  ConductanceConverter g_converter = SinglePairConductanceConverter{};
  CoefficientTable coeff_dic = {{1.0, {0.348, 16.030, -43.853, 45.393, -16.815}},
                                {86400.0, {0.701, 22.086, -50.773, 47.095, -16.458}},
                                {172800.0, {0.782, 20.274, -43.507, 37.062, -11.934}}};
  double noise_scale = 1.0;
  /// Unset: 40 uS, where the coefficients were measured. The peer documents this and uses the converter's g_max (its
  /// dumps carry that value explicitly and are followed; reference section 19, S12).
  std::optional<double> coeff_g_max_reference = {};
  bool operator==(const ReRamWan2022NoiseModel&) const = default;
};

/// Conductive-metal-oxide ReRAM, programmed with write-verify (as calibrated in aihwkit; reference 8.5).
///     gp = g + prog_noise_scale (g_max / coeff_g_max_reference) (c_0 + c_1 g) xi          (g in uS, not normalised)
///     gd = gp + drift_scale (decay_mean ln t + (decay_std[0] ln t + decay_std[1]) xi_d)
///     gf = gd + read_noise_scale K log10(max(gd, 1)) sqrt(ln((t + t_read) / (2 t_read))) xi, clamped to [g_min, g_max]
/// with t = time_s; at time 0 gf = gp. xi_d belongs to the device: the same chip relaxes along one path. Times between
/// 0 and t_read, or so short that the spread would be negative, are errors.
struct ReRamCMONoiseModel {
  ConductanceConverter g_converter = SingleDeviceConductanceConverter{};
  CoefficientTable coeff_dict = {{0.2, {0.00081107, 0.00106879}}, {2.0, {0.0112185391, 0.01129027418}}};
  /// A key of coeff_dict, in percent of the target. (The peer's default 0.02 is no key and falls back to 0.2; here
  /// another value is an error.)
  double acceptance_range = 0.2;
  std::optional<double> coeff_g_max_reference = {};  ///< unset: the converter's g_max
  double decay_mean = -0.08900206;
  std::vector<double> decay_std = {0.04201137, 0.41183342};
  double read_k = 0.0277316483;
  double t_read = 1e-6;
  double prog_noise_scale = 1.0;
  double read_noise_scale = 1.0;
  double drift_scale = 1.0;
  bool operator==(const ReRamCMONoiseModel&) const = default;
};

/// PCM of the Hermes chip with one or two devices per weight polarity (Le Gallo et al., Nat. Electron. 6, 680, 2023;
/// reference 8.6). Laws as PCMLike with other coefficients for n = 1 and n = 2; g_max at most 10.35 and 20.7 uS.
struct HermesNoiseModel {
  int num_devices = 2;
  std::optional<ConductanceConverter> g_converter = {};  ///< unset: SinglePair with the g_max of num_devices
  std::optional<std::vector<double>> prog_coeff = {};
  std::optional<double> prog_coeff_g_max_reference = {};
  double t_read = 512e-9;
  std::optional<double> t_0 = {};  ///< unset: 200 s for one device, 300 s for two
  double prog_noise_scale = 1.0;
  double read_noise_scale = 1.0;
  double drift_scale = 1.0;
  bool operator==(const HermesNoiseModel&) const = default;
};

/// Values over conductance and, optionally, time: linear in conductance (end values outside) and in ln(time) between
/// the listed times. Without times the values hold always; with times, times outside the list are errors.
struct DeviceTable {
  std::vector<double> g = {};       ///< uS, ascending, covering the converter's [g_min, g_max]
  std::vector<double> time = {};    ///< s, ascending, > 0; may be empty
  std::vector<double> values = {};  ///< g.size() values for each time (time-major)
  bool empty() const { return values.empty(); }
  bool operator==(const DeviceTable&) const = default;
};

enum class TableDrift {
  exponent,  ///< values are exponents: gd = gp ((time_s + t_0) / t_0)^-(mean + std xi_d)
  change,    ///< values are changes in uS: gd = [gp + mean + std xi_d]+
};

/// A measured device of the user's own. Empty tables are effects that do not happen.
///     gp = [g + programming_sigma(g) xi]+;   drift mean and std are read at the target g, and xi_d belongs to the
///     device; gf = [gd + read_sigma(gd) xi]+.
struct TableNoiseModel {
  ConductanceConverter g_converter = SinglePairConductanceConverter{};
  DeviceTable programming_sigma = {};  ///< uS; no time axis
  TableDrift drift = TableDrift::exponent;
  DeviceTable drift_mean = {};
  DeviceTable drift_std = {};
  double t_0 = 20.0;            ///< exponent only
  DeviceTable read_sigma = {};  ///< uS
  double prog_noise_scale = 1.0;
  double drift_scale = 1.0;
  double read_noise_scale = 1.0;
  bool operator==(const TableNoiseModel&) const = default;
};

using NoiseModel = std::variant<PCMLikeNoiseModel, CustomDriftPCMLikeNoiseModel, StateIndependentNoiseModel,
                                ReRamWan2022NoiseModel, ReRamCMONoiseModel, HermesNoiseModel, TableNoiseModel>;

/// "PCMLikeNoiseModel", ...: the `type:` of a configuration.
const char* type_name(const NoiseModel& model);

/// The converter in force (of Hermes: given or implied).
ConductanceConverter converter(const NoiseModel& model);
/// The same model of other cells.
void set_converter(NoiseModel& model, const ConductanceConverter& converter);

// The laws for one device, in double: what the simulation computes in float32, for documentation, plots and tests.

/// Standard deviation of gp before the clamp at zero, uS.
double programming_sigma(const NoiseModel& model, double g);

/// Mean and standard deviation of the drift exponent before the absolute value and drift_scale (power laws), of the
/// change in uS (CMO, table of changes), or zero (Wan). `time_s` matters for CMO and tables over time.
struct DriftLaw {
  double mean = 0.0;
  double std = 0.0;
};
DriftLaw drift_law(const NoiseModel& model, double g, double time_s = 1.0);

/// Standard deviation of a read of a device programmed to gp that has drifted to gd, before clamps, uS.
/// Of Wan's model: of the conductance around the target gp.
double read_sigma(const NoiseModel& model, double gp, double gd, double time_s);

/// sqrt(ln((t + t_read) / (2 t_read))): growth of 1/f noise with the time t since programming.
double read_noise_growth(double t, double t_read);

}  // namespace tessera::device
