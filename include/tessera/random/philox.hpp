#pragma once
#include <array>
#include <cstdint>

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3): a
/// bijection of the 128-bit counter for every 64-bit key. Tested against the known answers published with Random123.
namespace tessera::random {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

namespace philox {
inline constexpr std::uint32_t multiplier0 = 0xD2511F53;
inline constexpr std::uint32_t multiplier1 = 0xCD9E8D57;
inline constexpr std::uint32_t key_step0 = 0x9E3779B9;  // golden ratio
inline constexpr std::uint32_t key_step1 = 0xBB67AE85;  // sqrt(3) - 1
inline constexpr int rounds = 10;

constexpr std::uint32_t high_half(std::uint64_t product) {
  return static_cast<std::uint32_t>(product >> 32);
}
constexpr std::uint32_t low_half(std::uint64_t product) {
  return static_cast<std::uint32_t>(product);
}
}  // namespace philox

/// Four random words. One round is, with 64-bit products p0 = M0 c0 and p1 = M1 c2,
///     (c0, c1, c2, c3) <- (hi p1 ^ c1 ^ k0, lo p1, hi p0 ^ c3 ^ k1, lo p0),
/// and the key advances by a Weyl step between rounds.
constexpr PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < philox::rounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{philox::multiplier0} * counter[0];
    const std::uint64_t p1 = std::uint64_t{philox::multiplier1} * counter[2];
    counter = {philox::high_half(p1) ^ counter[1] ^ key[0], philox::low_half(p1),
               philox::high_half(p0) ^ counter[3] ^ key[1], philox::low_half(p0)};
    key = {key[0] + philox::key_step0, key[1] + philox::key_step1};
  }
  return counter;
}

}  // namespace tessera::random
