#include "tessera/random/stream.hpp"

#include "random/box_muller.hpp"
#include "tessera/random/philox.hpp"

namespace tessera::random {

namespace {

constexpr std::uint32_t low32(std::uint64_t x) {
  return static_cast<std::uint32_t>(x);
}
constexpr std::uint32_t high32(std::uint64_t x) {
  return static_cast<std::uint32_t>(x >> 32);
}

PhiloxCounter block_words(const Stream& stream, std::uint32_t event, std::uint64_t element) {
  const std::uint64_t block = element / 64 * 16 + element % 16;
  return philox4x32_10({low32(block), high32(block), event, 0}, stream.key);
}

std::size_t word_index(std::uint64_t element) {
  return static_cast<std::size_t>(element % 64 / 16);
}

}  // namespace

Stream::Stream(const Address& address, Purpose purpose) {
  const PhiloxCounter words =
      philox4x32_10({static_cast<std::uint32_t>(purpose), address.layer, address.tile, address.repeat},
                    {low32(address.seed), high32(address.seed)});
  key = {words[0], words[1]};
}

std::uint32_t bits(const Stream& stream, std::uint32_t event, std::uint64_t element) {
  return block_words(stream, event, element)[word_index(element)];
}

float uniform(const Stream& stream, std::uint32_t event, std::uint64_t element) {
  return static_cast<float>(bits(stream, event, element) >> 9) * 0x1p-23F + 0x1p-24F;
}

float normal(const Stream& stream, std::uint32_t event, std::uint64_t element) {
  const PhiloxCounter words = block_words(stream, event, element);
  const std::size_t word = word_index(element);
  const std::size_t pair = word & ~std::size_t{1};
  const NormalPair z = box_muller(words[pair], words[pair + 1]);
  return word == pair ? z.first : z.second;
}

}  // namespace tessera::random
