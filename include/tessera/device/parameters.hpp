#pragma once
#include <optional>
#include <span>
#include <string>

#include "tessera/device/noise_model.hpp"

namespace tessera::device {

/// From what a read starts.
enum class DriftFrom {
  devices,  ///< the programmed conductances of the individual devices: physical, the default
  weights,  ///< aihwkit: the programmed weights are converted to conductances anew, with their own maximum, so that the
            ///< largest is again g_max and only the difference of a pair survives (reference section 8 and 19, S9)
};

/// Closed-loop programming: after the first pulse, whose error is the noise model's programming error, each device is
/// read and corrected until the reading lies within the tolerance (Papandreou et al., ISCAS 2011: proportional control
/// of program-and-verify; Wan et al., Nature 608, 504, 2022: write-verify with an acceptance range and a pulse limit).
///     read:  m = g_k + read_noise xi;      accepted if |m - g| <= tolerance;
///     pulse: D = gain (g - m),  g_{k+1} = [g_k + D (1 + pulse_noise xi')]+.
/// The residual error of an accepted device is that of a truncated distribution: |gp - g| <= tolerance when read_noise
/// is 0, else widened by the last reading's error. Devices still outside after max_pulses keep their last conductance.
struct ProgramAndVerify {
  double tolerance = 0.5;    ///< uS
  int max_pulses = 20;       ///< corrections after the first pulse
  double gain = 0.7;         ///< part of the measured error that a pulse corrects on average; (0, 1]
  double pulse_noise = 0.3;  ///< cycle-to-cycle spread of a pulse's effect, relative
  double read_noise = 0.1;   ///< error of a verifying read, uS
  bool operator==(const ProgramAndVerify&) const = default;
};

/// Devices that do not take part: stuck at zero conductance (open) or at g_max (short). They neither drift nor
/// fluctuate.
struct FaultParameters {
  double stuck_at_zero_rate = 0.0;  ///< probability per device
  double stuck_at_max_rate = 0.0;
  bool operator==(const FaultParameters&) const = default;
};

/// Everything about devices in an `rpu_config`.
struct DeviceParameters {
  NoiseModel noise_model = {};
  DriftFrom drift_from = DriftFrom::devices;
  std::optional<ProgramAndVerify> program_and_verify = {};
  FaultParameters faults = {};
  bool operator==(const DeviceParameters&) const = default;
};

/// Throws ConfigError naming every value that is out of range and every combination without meaning. Keys are relative
/// to the `rpu_config` ("noise_model.t_0").
void validate(const DeviceParameters& parameters);

/// Throws ConfigError (under `key`) naming every time that is negative, not finite, or where the model's law has no
/// meaning.
void validate_times(const NoiseModel& model, std::span<const double> times_s, const std::string& key);

}  // namespace tessera::device
