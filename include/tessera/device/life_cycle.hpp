#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/shared_matrix.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/device/parameters.hpp"
#include "tessera/random/stream.hpp"

/// The life of one programmed tile (reference section 10): target -> programmed -> read at absolute times. Target,
/// programmed conductances and drift parameters are kept; a read at a time is a pure function of them, of the chip's
/// address, the time and the read repetition, so the states at two times are those of one chip whether or not other
/// times are simulated, for any thread count.
namespace tessera::device {

enum class Fault : std::uint8_t { none = 0, stuck_at_zero = 1, stuck_at_max = 2 };

/// Faults of every device of a tile or a layer: `faults` is (devices, outputs, inputs), row-major.
struct FaultMap {
  std::int64_t devices = 0;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::vector<Fault> faults;

  /// The part of a tile: outputs first_output.. and inputs first_input... Throws InputError if it lies outside.
  FaultMap part(std::int64_t first_output, std::int64_t output_count, std::int64_t first_input,
                std::int64_t input_count) const;
};

/// A fault map from numbers 0, 1, 2 of shape (devices, outputs, inputs). Throws InputError for another rank, size or
/// value.
FaultMap make_fault_map(const Shape& shape, std::span<const float> values);

/// What programming a tile leaves behind: everything needed to read it at any time.
/// Arrays over devices hold device after device, each with one value per weight (outputs x inputs, row-major); the
/// random element of a device is its index in them.
struct ProgrammedState {
  random::Address chip;
  SharedMatrix target;                ///< weights that were asked for (outputs x inputs)
  std::int64_t devices = 0;           ///< per weight
  Conversion conversion;              ///< of the target
  AlignedVector<float> conductances;  ///< programmed, uS
  AlignedVector<float> drift;         ///< exponent or normal deviate of each device; empty if the model has none
  std::vector<Fault> faults;          ///< empty if there are none
  double mean_pulses = 1.0;           ///< per device; 1 without program_and_verify
  double unconverged_fraction = 0.0;  ///< of the devices, after program_and_verify

  std::int64_t outputs() const { return target.rows(); }
  std::int64_t inputs() const { return target.cols(); }
  std::int64_t weight_count() const { return target.rows() * target.cols(); }
};

/// Programs target weights (outputs x inputs) on the chip `chip` (seed, layer, tile, repeat). Programming error, drift
/// parameters, faults and verify pulses are drawn from streams of their own. `faults` (may be null) replaces the drawn
/// faults. Throws InputError if a weight is not finite or the fault map does not fit.
ProgrammedState program(const DeviceParameters& parameters, SharedMatrix target, const random::Address& chip,
                        Parallel parallel, const FaultMap* faults = nullptr);
ProgrammedState program(const DeviceParameters& parameters, ConstMatrixView target, const random::Address& chip,
                        Parallel parallel, const FaultMap* faults = nullptr);

/// Throws InputError if the arrays of a state, put together from a file say, do not fit the devices of `parameters`:
/// their number, the size of each array, whether there are drift parameters, conductances that are negative or not
/// finite.
void check_state(const DeviceParameters& parameters, const ProgrammedState& state);

/// The weights just after programming: no drift, no read noise.
Matrix programmed_weights(const DeviceParameters& parameters, const ProgrammedState& state, Parallel parallel);

/// The weights that a read `time_s` seconds after programming finds. `read` numbers independent reads at the same time.
/// Throws ConfigError if the model's law has no meaning at that time.
Matrix weights_at(const DeviceParameters& parameters, const ProgrammedState& state, double time_s, std::uint32_t read,
                  Parallel parallel);

/// The mean conductance of all devices as that read finds them, uS; without a time just after programming.
double mean_conductance(const DeviceParameters& parameters, const ProgrammedState& state, std::optional<double> time_s,
                        std::uint32_t read, Parallel parallel);

/// The event of random::Stream that a read at a time uses: a hash of the time's bits and the read number, so that it
/// does not depend on which other times are simulated.
std::uint32_t read_event(double time_s, std::uint32_t read);

/// Programmed minus target conductance over all devices, uS.
Moments programming_error(const DeviceParameters& parameters, const ProgrammedState& state, Parallel parallel);

/// Counts of conductances in `bins` equal bins over [0, g_max]; beyond the ends counts in the end bins.
std::vector<std::int64_t> conductance_histogram(std::span<const float> conductances, double g_max, std::int64_t bins);

/// What programming depends on beside the targets and the converter, as text: keys relative to the `rpu_config`
/// ("noise_model.prog_noise_scale"), values in the shortest form that gives them back. What only reads depend on
/// (times, read noise, and drift that follows from a device's deviate) is not in it. A drift exponent is drawn when
/// programming.
std::map<std::string, std::string> programming_law(const DeviceParameters& parameters);

}  // namespace tessera::device
