#include "sample_rules.hpp"

#include <algorithm>

namespace tessera::nn {

namespace {

/// One sample's elements of a constant, bytes of equal numbers being equal.
std::vector<double> sample_of(const Constant& constant, const SampleBlocks& blocks, std::int64_t n) {
  std::vector<double> values;
  const auto element = [&](std::size_t i) {
    if (const auto* tensor = std::get_if<Tensor>(&constant)) return static_cast<double>(tensor->values()[i]);
    return static_cast<double>(std::get<IntTensor>(constant).values[i]);
  };
  for (std::int64_t o = 0; o < blocks.outer; ++o)
    for (std::int64_t i = 0; i < blocks.inner; ++i)
      values.push_back(element(static_cast<std::size_t>((o * blocks.samples + n) * blocks.inner + i)));
  return values;
}

bool equal(const Constant& a, const Constant& b) {
  if (a.index() != b.index() || shape_of(a) != shape_of(b)) return false;
  if (const auto* tensor = std::get_if<Tensor>(&a))
    return std::ranges::equal(tensor->values(), std::get<Tensor>(b).values());
  return std::get<IntTensor>(a).values == std::get<IntTensor>(b).values;
}

}  // namespace

std::vector<std::int64_t> SampleContext::integers(std::size_t i, std::size_t b) const {
  if (!has(i)) return {};
  const ValueInfo& info = *inputs_[i].info[b];
  if (info.known == nullptr || info.type != ElementType::int64) unproven("an input that is no constant decides");
  return std::get<IntTensor>(*info.known).values;
}

bool SampleContext::steady(std::size_t i) const {
  const Input& input = inputs_[i];
  if (input.samples.any()) return false;
  if (batches_.size() == 1 || input.info[0] == input.info[1]) return true;
  const auto &a = input.info[0]->known, &b = input.info[1]->known;
  if (a == nullptr || b == nullptr) return a == b && input.info[0]->shape == input.info[1]->shape;
  return &*a == &*b || equal(*a, *b);
}

bool SampleContext::uniform(std::size_t i, const SampleAxis& samples) const {
  std::vector<double> first;
  for (std::size_t b = 0; b < batches_.size(); ++b) {
    const ValueInfo& info = *inputs_[i].info[b];
    if (info.known == nullptr || samples.axis >= std::ssize(info.shape) ||
        info.shape[static_cast<std::size_t>(samples.axis)] != samples.entries() * batches_[b])
      return false;
    const SampleBlocks blocks = sample_blocks(samples, info.shape);
    if (b == 0) first = sample_of(*info.known, blocks, 0);
    for (std::int64_t n = 0; n < batches_[b]; ++n)
      if (sample_of(*info.known, blocks, n) != first) return false;
  }
  return true;
}

void SampleContext::require_steady(std::size_t i) const {
  if (!has(i) || steady(i)) return;
  if (sampled(i)) unproven(fmt::format("its input '{}' depends on the data", inputs_[i].name));
  mixed(fmt::format("its input '{}' depends on the number of samples", inputs_[i].name));
}

void SampleContext::require_steady_from(std::size_t first) const {
  for (std::size_t i = first; i < inputs_.size(); ++i) require_steady(i);
}

void SampleContext::require_follows(std::size_t i, const SampleAxis& wanted) const {
  if (!has(i) || samples(i) == wanted || (!sampled(i) && uniform(i, wanted))) return;
  if (sampled(i)) mixed("its inputs hold the samples along different axes, so that each meets others");
  if (inputs_[i].info[0]->known == nullptr) unproven(fmt::format("its input '{}' has no samples", inputs_[i].name));
  mixed(fmt::format("its input '{}' of shape {} is a constant that differs from sample to sample", inputs_[i].name,
                    to_string(shape(i))));
}

void SampleContext::require_broadcasts(std::size_t i, const SampleAxis& wanted) const {
  if (!has(i)) return;
  if (!sampled(i) && (wanted.axis < 0 || shape(i)[static_cast<std::size_t>(wanted.axis)] == 1))
    return require_steady(i);
  if (wanted.axis < 0) mixed("its inputs hold the samples along different axes, so that each meets others");
  require_follows(i, wanted);
}

void SampleContext::mixed(const std::string& how) const {
  throw MixedSamples(
      fmt::format("node '{}' ({}) mixes the samples of a batch: {}; what comes out for one sample would depend on the "
                  "others",
                  node_.name, node_.op, how));
}

void SampleContext::unproven(const std::string& why) const {
  throw UnprovenSamples(fmt::format("node '{}' ({}) cannot be shown to keep the samples of a batch apart: {}",
                                    node_.name, node_.op, why));
}

}  // namespace tessera::nn
