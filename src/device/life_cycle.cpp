#include "tessera/device/life_cycle.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "device/laws.hpp"
#include "device/program_verify.hpp"
#include "tessera/random/philox.hpp"

namespace tessera::device {

namespace {

using random::Purpose;
using random::Stream;

constexpr std::int64_t block_size = 8192;

bool all_finite(std::span<const float> values) {
  // x - x is 0 for finite x and NaN otherwise; a sum vectorises where std::isfinite does not.
  float sum = 0.0F;
  for (const float v : values) sum += v - v;
  return sum == 0.0F;
}

std::span<const float> part(const AlignedVector<float>& values, std::int64_t begin, std::int64_t count) {
  return std::span(values).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
}
std::span<float> part(AlignedVector<float>& values, std::int64_t begin, std::int64_t count) {
  return std::span(values).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
}

/// The random numbers of device `device` of a block of weights.
std::span<float> normals(const Stream& stream, std::uint32_t event, std::int64_t first_element, std::int64_t count,
                         AlignedVector<float>& buffer) {
  buffer.resize(static_cast<std::size_t>(count));
  random::fill_normal(stream, event, static_cast<std::uint64_t>(first_element), buffer);
  return buffer;
}

std::vector<Fault> draw_faults(const FaultParameters& rates, const random::Address& chip, std::int64_t count) {
  if (rates.stuck_at_zero_rate <= 0.0 && rates.stuck_at_max_rate <= 0.0) return {};
  const Stream stream(chip, Purpose::stuck_device);
  std::vector<Fault> faults(static_cast<std::size_t>(count), Fault::none);
  std::array<std::uint32_t, 1024> words{};
  const double zero = rates.stuck_at_zero_rate * 0x1p32;
  const double any = zero + rates.stuck_at_max_rate * 0x1p32;
  for (std::size_t begin = 0; begin < faults.size(); begin += words.size()) {
    const std::size_t n = std::min(words.size(), faults.size() - begin);
    random::fill_bits(stream, 0, begin, std::span(words).first(n));
    for (std::size_t i = 0; i < n; ++i) {
      const double u = static_cast<double>(words[i]);
      if (u < any) faults[begin + i] = u < zero ? Fault::stuck_at_zero : Fault::stuck_at_max;
    }
  }
  return faults;
}

template <class Law>
void program_devices(const Law& law, const DeviceParameters& parameters, ProgrammedState& state, Parallel parallel) {
  const ConductanceConverter cells = converter(parameters.noise_model);
  const std::int64_t count = state.weight_count();
  const Stream programming(state.chip, Purpose::programming);
  const Stream exponents(state.chip, Purpose::drift_exponent);
  const Stream verifying(state.chip, Purpose::write_verify);
  std::vector<VerifyCounts> counts(static_cast<std::size_t>((count + block_size - 1) / block_size));
  parallel_for_blocks(parallel, count, block_size, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    const std::int64_t n = end - begin;
    const auto weights = state.target.view().row_span(0).data() + begin;
    AlignedVector<float> target(static_cast<std::size_t>(n)), buffer;
    for (std::int64_t d = 0; d < state.devices; ++d) {
      const std::int64_t first = d * count + begin;
      to_conductances(cells, state.conversion, d, {weights, static_cast<std::size_t>(n)}, target);
      const std::span<float> programmed = part(state.conductances, first, n);
      {
        const std::span<const float> xi = normals(programming, 0, first, n, buffer);
        for (std::size_t i = 0; i < xi.size(); ++i) programmed[i] = law.programmed(target[i], xi[i]);
      }
      if (parameters.program_and_verify) {
        const VerifyCounts c = verify_devices(*parameters.program_and_verify, verifying,
                                              static_cast<std::uint64_t>(first), target, programmed);
        counts[static_cast<std::size_t>(block)].pulses += c.pulses;
        counts[static_cast<std::size_t>(block)].unconverged += c.unconverged;
      }
      if constexpr (Law::has_drift_parameter) {
        const std::span<const float> xi = normals(exponents, 0, first, n, buffer);
        const std::span<float> drift = part(state.drift, first, n);
        for (std::size_t i = 0; i < xi.size(); ++i) drift[i] = law.drift_parameter(target[i], xi[i]);
      }
    }
  });
  if (!parameters.program_and_verify || count == 0) return;
  VerifyCounts total;
  for (const VerifyCounts& c : counts) {
    total.pulses += c.pulses;
    total.unconverged += c.unconverged;
  }
  const auto devices = static_cast<double>(state.devices * count);
  state.mean_pulses = 1.0 + static_cast<double>(total.pulses) / devices;
  state.unconverged_fraction = static_cast<double>(total.unconverged) / devices;
}

void apply_faults(ProgrammedState& state, double g_max) {
  for (std::size_t i = 0; i < state.faults.size(); ++i)
    if (state.faults[i] != Fault::none)
      state.conductances[i] = state.faults[i] == Fault::stuck_at_zero ? 0.0F : static_cast<float>(g_max);
}

/// `sums`: of the conductances of every block; may be null.
template <class Law>
Matrix read_devices(const Law& law, const DeviceParameters& parameters, const ProgrammedState& state, double time_s,
                    std::uint32_t read, Parallel parallel, std::vector<double>* sums = nullptr) {
  const ConductanceConverter cells = converter(parameters.noise_model);
  const std::int64_t count = state.weight_count();
  const auto law_at = law.at(time_s);
  const Stream stream(state.chip, Purpose::device_read_noise);
  const std::uint32_t event = read_event(time_s, read);
  const bool from_weights = parameters.drift_from == DriftFrom::weights;
  const Matrix reconverted = from_weights ? programmed_weights(parameters, state, parallel) : Matrix();
  const Conversion conversion = from_weights ? make_conversion(cells, reconverted.values()) : state.conversion;

  Matrix result = Matrix::uninitialized(state.outputs(), state.inputs());
  if (sums != nullptr) sums->assign(static_cast<std::size_t>((count + block_size - 1) / block_size), 0.0);
  parallel_for_blocks(parallel, count, block_size, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    const std::int64_t n = end - begin;
    const auto size = static_cast<std::size_t>(n);
    AlignedVector<float> target(size), start(size), buffer, read_out(static_cast<std::size_t>(state.devices) * size);
    const AlignedVector<float> no_drift(Law::has_drift_parameter ? 0 : size, 0.0F);
    for (std::int64_t d = 0; d < state.devices; ++d) {
      const std::int64_t first = d * count + begin;
      to_conductances(cells, state.conversion, d, {state.target.data() + begin, size}, target);
      std::span<const float> programmed = part(state.conductances, first, n);
      if (from_weights) {
        to_conductances(cells, conversion, d, {reconverted.data() + begin, size}, start);
        programmed = start;
      }
      const std::span<const float> drift = Law::has_drift_parameter ? part(state.drift, first, n) : no_drift;
      const std::span<const float> xi = normals(stream, event, first, n, buffer);
      float* out = read_out.data() + static_cast<std::size_t>(d) * size;
      for (std::size_t i = 0; i < size; ++i) out[i] = law_at.conductance(programmed[i], target[i], drift[i], xi[i]);
      if (!state.faults.empty())
        for (std::size_t i = 0; i < size; ++i)
          if (state.faults[static_cast<std::size_t>(first) + i] != Fault::none) out[i] = programmed[i];
    }
    if (sums != nullptr)
      for (const float g : read_out) (*sums)[static_cast<std::size_t>(block)] += static_cast<double>(g);
    const std::span<float> weights(result.data() + begin, size);
    to_weights(cells, conversion, read_out, n, weights);
    require<RunError>(all_finite(weights), "layer {}, tile {}: a weight is not finite {} s after programming ({})",
                      state.chip.layer, state.chip.tile, time_s, type_name(parameters.noise_model));
  });
  return result;
}

}  // namespace

ProgrammedState program(const DeviceParameters& parameters, ConstMatrixView target, const random::Address& chip,
                        Parallel parallel, const FaultMap* faults) {
  return program(parameters, SharedMatrix(Matrix(target)), chip, parallel, faults);
}

ProgrammedState program(const DeviceParameters& parameters, SharedMatrix target, const random::Address& chip,
                        Parallel parallel, const FaultMap* faults) {
  const ConductanceConverter cells = converter(parameters.noise_model);
  ProgrammedState state;
  state.chip = chip;
  state.target = std::move(target);
  require<InputError>(all_finite(state.target.values()), "layer {}, tile {}: a weight to be programmed is not finite",
                      chip.layer, chip.tile);
  state.devices = device_count(cells);
  state.conversion = make_conversion(cells, state.target.values());
  const std::int64_t devices = state.devices * state.weight_count();
  state.conductances.resize(static_cast<std::size_t>(devices));
  if (faults != nullptr) {
    require<InputError>(parameters.drift_from == DriftFrom::devices,
                        "a fault map has no meaning with drift_from: weights, which forgets the individual devices");
    require<InputError>(
        faults->devices == state.devices && faults->outputs == state.outputs() && faults->inputs == state.inputs() &&
            static_cast<std::int64_t>(faults->faults.size()) == devices,
        "the fault map is for {} devices of {}x{} weights; layer {}, tile {} has {} devices of {}x{} weights",
        faults->devices, faults->outputs, faults->inputs, chip.layer, chip.tile, state.devices, state.outputs(),
        state.inputs());
    state.faults = faults->faults;
  } else {
    state.faults = draw_faults(parameters.faults, chip, devices);
  }
  const laws::Law law = laws::make_law(parameters.noise_model);
  if (state.weight_count() > 0) {
    std::visit(
        [&](const auto& l) {
          if (l.has_drift_parameter) state.drift.resize(static_cast<std::size_t>(devices));
          program_devices(l, parameters, state, parallel);
        },
        law);
  }
  apply_faults(state, g_max(cells));
  return state;
}

void check_state(const DeviceParameters& parameters, const ProgrammedState& state) {
  const std::int64_t devices = device_count(converter(parameters.noise_model));
  const auto count = static_cast<std::size_t>(devices * state.weight_count());
  const bool drifts =
      std::visit([](const auto& law) { return law.has_drift_parameter; }, laws::make_law(parameters.noise_model));
  require<InputError>(
      state.devices == devices && state.conductances.size() == count && state.drift.size() == (drifts ? count : 0) &&
          (state.faults.empty() || state.faults.size() == count),
      "layer {}, tile {}: the state of {} devices of {}x{} weights ({} conductances, {} drift parameters,"
      " {} faults) does not fit the noise model, which has {} devices {} drift parameters",
      state.chip.layer, state.chip.tile, state.devices, state.outputs(), state.inputs(), state.conductances.size(),
      state.drift.size(), state.faults.size(), devices, drifts ? "with" : "without");
  require<InputError>(all_finite(state.conductances) && all_finite(state.drift) &&
                          std::none_of(state.conductances.begin(), state.conductances.end(),
                                       [](float conductance) { return conductance < 0.0F; }),
                      "layer {}, tile {}: a conductance is negative, or a value of the state is not finite",
                      state.chip.layer, state.chip.tile);
}

Matrix programmed_weights(const DeviceParameters& parameters, const ProgrammedState& state, Parallel parallel) {
  const ConductanceConverter cells = converter(parameters.noise_model);
  Matrix result = Matrix::uninitialized(state.outputs(), state.inputs());
  const std::int64_t count = state.weight_count();
  parallel_for_blocks(parallel, count, block_size, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    to_weights(cells, state.conversion, std::span(state.conductances).subspan(static_cast<std::size_t>(begin)), count,
               {result.data() + begin, static_cast<std::size_t>(end - begin)});
  });
  return result;
}

Matrix weights_at(const DeviceParameters& parameters, const ProgrammedState& state, double time_s, std::uint32_t read,
                  Parallel parallel) {
  validate_times(parameters.noise_model, {&time_s, 1}, "time");
  return std::visit([&](const auto& law) { return read_devices(law, parameters, state, time_s, read, parallel); },
                    laws::make_law(parameters.noise_model));
}

double mean_conductance(const DeviceParameters& parameters, const ProgrammedState& state, std::optional<double> time_s,
                        std::uint32_t read, Parallel parallel) {
  double sum = 0.0;
  if (time_s) {
    std::vector<double> sums;
    std::visit([&](const auto& law) { read_devices(law, parameters, state, *time_s, read, parallel, &sums); },
               laws::make_law(parameters.noise_model));
    for (const double part : sums) sum += part;
  } else {
    for (const float g : state.conductances) sum += static_cast<double>(g);
  }
  const auto devices = static_cast<double>(state.devices * state.weight_count());
  return devices > 0.0 ? sum / devices : 0.0;
}

std::uint32_t read_event(double time_s, std::uint32_t read) {
  const auto bits = std::bit_cast<std::uint64_t>(time_s == 0.0 ? 0.0 : time_s);
  return random::philox4x32_10({static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32), read, 0},
                               {0, 0})[0];
}

Moments programming_error(const DeviceParameters& parameters, const ProgrammedState& state, Parallel parallel) {
  const ConductanceConverter cells = converter(parameters.noise_model);
  const std::int64_t count = state.weight_count();
  std::vector<Moments> parts(static_cast<std::size_t>((count + block_size - 1) / block_size));
  parallel_for_blocks(parallel, count, block_size, [&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    const auto size = static_cast<std::size_t>(end - begin);
    AlignedVector<float> error(size);
    for (std::int64_t d = 0; d < state.devices; ++d) {
      to_conductances(cells, state.conversion, d, {state.target.data() + begin, size}, error);
      const std::span<const float> programmed = part(state.conductances, d * count + begin, end - begin);
      for (std::size_t i = 0; i < size; ++i) error[i] = programmed[i] - error[i];
      parts[static_cast<std::size_t>(block)].add(error);
    }
  });
  Moments total;
  for (const Moments& m : parts) total.merge(m);
  return total;
}

std::vector<std::int64_t> conductance_histogram(std::span<const float> conductances, double g_max, std::int64_t bins) {
  require<InputError>(bins > 0 && g_max > 0.0, "a histogram needs bins > 0 and g_max > 0, not {} and {}", bins, g_max);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(bins));
  const auto last = static_cast<float>(bins - 1);
  const auto per_uS = static_cast<float>(static_cast<double>(bins) / g_max);
  for (const float g : conductances) ++counts[static_cast<std::size_t>(std::clamp(g * per_uS, 0.0F, last))];
  return counts;
}

}  // namespace tessera::device
