#include "sample_part.hpp"

#include <algorithm>
#include <cstring>

namespace tessera::nn {

PartMemory::PartMemory(const Array& all, const SamplePart& part) : all_(all), array_(all), part_(part) {
  if (part_.samples.any() && !all.shape.empty())
    array_.shape[static_cast<std::size_t>(part.samples.axis)] = part.samples.entries() * part.count;
  memory_.resize(static_cast<std::size_t>(array_.size() * element_bytes(array_.type)));
  array_.data = memory_.data();
}

/// copy(offset in the whole array, offset in the part, bytes, sample of the whole array).
template <class Copy>
void PartMemory::for_each_block(Copy copy) const {
  const SampleAxis& samples = part_.samples;
  const Shape shape = physical_shape(all_.shape, all_.layout);
  const auto element = static_cast<std::size_t>(element_bytes(all_.type));
  if (!samples.any() || shape.empty()) return copy(0, 0, static_cast<std::size_t>(all_.size()) * element, 0);
  const std::int64_t axis = physical_axis(samples.axis, all_.rank(), all_.layout);
  std::int64_t prefix = 1, inner = samples.after;
  for (std::int64_t d = 0; d < std::ssize(shape); ++d)
    if (d != axis) (d < axis ? prefix : inner) *= shape[static_cast<std::size_t>(d)];
  const std::int64_t all = sample_count(samples, all_.shape), before = samples.before, count = part_.count;
  const std::size_t bytes = static_cast<std::size_t>(inner) * element;
  for (std::int64_t p = 0; p < prefix; ++p)
    for (std::int64_t b = 0; b < before; ++b)
      for (std::int64_t n = 0; n < all; ++n) {
        const std::int64_t own = std::min(n, count - 1);
        const std::int64_t to = part_.grouped ? (p * count + own) * before + b : (p * before + b) * count + own;
        copy(static_cast<std::size_t>((p * before + b) * all + n) * bytes, static_cast<std::size_t>(to) * bytes, bytes,
             n);
      }
}

void PartMemory::take() {
  const auto* from = static_cast<const std::byte*>(all_.data);
  for_each_block([&](std::size_t whole, std::size_t own, std::size_t bytes, std::int64_t n) {
    if (n < part_.count || !part_.samples.any()) std::memcpy(memory_.data() + own, from + whole, bytes);
  });
}

void PartMemory::put() {
  auto* to = static_cast<std::byte*>(all_.data);
  for_each_block([&](std::size_t whole, std::size_t own, std::size_t bytes, std::int64_t) {
    std::memcpy(to + whole, memory_.data() + own, bytes);
  });
}

}  // namespace tessera::nn
