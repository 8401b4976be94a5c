#pragma once
#include <array>
#include <cstdint>
#include <span>

/// Random numbers as a pure function of an address. No generator has state: the same address gives the same bits on
/// every machine, in any order, from any thread, in any batch.
///
/// Layout `rng_layout` 1. A stream belongs to (seed, purpose, layer, tile, repeat); its 64-bit Philox key is
///     (k0, k1) = first two words of philox4x32_10(counter = {purpose, layer, tile, repeat}, key = seed).
/// Within a stream a draw is addressed by a 32-bit `event` (bound-management round, pass, read time, ... of the
/// purpose) and a 64-bit element index e. Groups of 64 elements share 16 Philox blocks so that any vector width fills
/// them without shuffles:
///     q = e / 64,  w = (e % 64) / 16,  l = e % 16,
///     word(e) = philox4x32_10(counter = {lo(16 q + l), hi(16 q + l), event, 0}, key = (k0, k1))[w].
/// A noise sample of sample s and output i of a layer with D outputs has e = s * D + i, where s counts the vectors of
/// the whole data set (image * positions + position).
namespace tessera::random {

/// Stored in every result file; changes whenever the addressing does.
inline constexpr std::uint32_t rng_layout = 1;

/// Every random effect owns a purpose. Gaps are left for growth; numbers are never reused.
enum class Purpose : std::uint32_t {
  // tile, per vector
  input_noise = 0x100,
  output_noise = 0x101,
  weight_read_noise = 0x102,
  dac_rounding = 0x103,
  adc_rounding = 0x104,
  // tile, frozen at construction
  output_noise_spread = 0x140,
  voltage_offset = 0x141,
  output_nonlinearity = 0x142,
  read_asymmetry = 0x143,
  weight_readback = 0x150,
  // devices
  programming = 0x200,
  drift_exponent = 0x201,
  device_read_noise = 0x202,
  drift_readout = 0x203,
  stuck_device = 0x210,
  write_verify = 0x211,
  // quantization
  stochastic_rounding = 0x300,
  // data and training
  glyphs = 0x400,
  shuffle = 0x401,
  augmentation = 0x402,
  weight_init = 0x403,
  weight_modifier = 0x404,
  calibration_sample = 0x405,
  dropout = 0x406,
  validation_chip = 0x407,
  // crossbars as circuits
  cell_programming = 0x500,
  cell_drift = 0x501,
  cell_read_noise = 0x502,
  converter_capacitors = 0x510,
  converter_offsets = 0x511,
  converter_rounding = 0x512,
  // tests and benchmarks
  test = 0xF00,
};

/// Where a stream lives. `layer` numbers the layers of the network as stored, `tile` the tiles of a layer in row-major
/// order, `repeat` the programmed chip.
struct Address {
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;
  std::uint32_t tile = 0;
  std::uint32_t repeat = 0;
};

/// The key of one stream. A value; cheap to copy; derive it once per tile and purpose.
struct Stream {
  std::array<std::uint32_t, 2> key{};
  Stream() = default;
  Stream(const Address& address, Purpose purpose);
};

// Fills write out[i] for element first + i. Equal bits for every split of a range into calls, on every instruction set.

/// Uniform 32-bit words.
void fill_bits(const Stream& stream, std::uint32_t event, std::uint64_t first, std::span<std::uint32_t> out);

/// Uniform on the open interval (0, 1): (word >> 9) * 2^-23 + 2^-24. Never 0 or 1.
void fill_uniform(const Stream& stream, std::uint32_t event, std::uint64_t first, std::span<float> out);

/// Standard normal by Box-Muller on the word pairs (0, 1) and (2, 3) of each Philox block:
///     r = sqrt(-2 ln u0), u0 = (word0 + 0.5) 2^-32;  z = r cos(2 pi u1), r sin(2 pi u1).
/// The logarithm, sine and cosine are own polynomials without fused operations, so the bits agree on every target.
/// |z| reaches 6.76; resolution and tails are tested beyond 5 sigma.
void fill_normal(const Stream& stream, std::uint32_t event, std::uint64_t first, std::span<float> out);

/// One draw: the element `element` of the fills above.
std::uint32_t bits(const Stream& stream, std::uint32_t event, std::uint64_t element);
float uniform(const Stream& stream, std::uint32_t event, std::uint64_t element);
float normal(const Stream& stream, std::uint32_t event, std::uint64_t element);

}  // namespace tessera::random
