#include <algorithm>
#include <utility>

#include "io/array_file.hpp"
#include "io/sample_source.hpp"
#include "tessera/core/error.hpp"

/// Samples in sequences.
namespace tessera::io {

namespace {

std::vector<std::int64_t> read_lengths(const std::string& path) {
  const ArrayFile file = open_npy(path);
  require<InputError>(file.type.is_integer(), "{}: lengths of sequences are integers, not {}", path, file.type.name());
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(file.samples() * file.sample_elements()));
  file.read(0, file.samples(), lengths);
  return lengths;
}

class StepSource final : public SampleSource {
 public:
  StepSource(std::shared_ptr<const SampleSource> sequences, std::vector<std::int64_t> lengths)
      : sequences_(std::move(sequences)), lengths_(std::move(lengths)) {
    for (const std::int64_t length : lengths_) {
      starts_.push_back(size_);
      size_ += length;
    }
    sample_shape_ = sequences_->sample_shape();
    steps_ = sample_shape_.front();
    sample_shape_.erase(sample_shape_.begin());
  }

  std::int64_t size() const override { return size_; }
  Shape sample_shape() const override { return sample_shape_; }
  std::string element_type() const override { return sequences_->element_type(); }
  bool is_floating() const override { return sequences_->is_floating(); }
  std::vector<std::int64_t> steps() const override { return lengths_; }

  void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel parallel) const override {
    std::vector<float> whole(static_cast<std::size_t>(steps_ * element_count(sample_shape_)));
    copy_steps(first, count, out, [&](std::int64_t sequence) {
      sequences_->read(sequence, 1, whole, parallel);
      return std::span<const float>(whole);
    });
  }
  std::vector<std::int64_t> read_integers(std::int64_t first, std::int64_t count) const override {
    std::vector<std::int64_t> out(static_cast<std::size_t>(count * element_count(sample_shape_))), whole;
    copy_steps(first, count, std::span(out), [&](std::int64_t sequence) {
      whole = sequences_->read_integers(sequence, 1);
      return std::span<const std::int64_t>(whole);
    });
    return out;
  }

 private:
  template <class T, class Sequence>
  void copy_steps(std::int64_t first, std::int64_t count, std::span<T> out, const Sequence& read_sequence) const {
    const auto each = static_cast<std::size_t>(element_count(sample_shape_));
    auto sequence = std::ranges::upper_bound(starts_, first) - starts_.begin() - 1;
    for (std::int64_t done = 0; done < count; ++sequence) {
      const auto s = static_cast<std::size_t>(sequence);
      const std::int64_t step = first + done - starts_[s], some = std::min(count - done, lengths_[s] - step);
      if (some == 0) continue;
      const std::span<const T> whole = read_sequence(sequence);
      std::ranges::copy(whole.subspan(static_cast<std::size_t>(step) * each, static_cast<std::size_t>(some) * each),
                        out.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(done) * each));
      done += some;
    }
  }

  std::shared_ptr<const SampleSource> sequences_;
  std::vector<std::int64_t> lengths_, starts_;
  Shape sample_shape_;
  std::int64_t steps_ = 0, size_ = 0;
};

}  // namespace

std::shared_ptr<const SampleSource> steps_of(std::shared_ptr<const SampleSource> source,
                                             const std::optional<SequenceParameters>& parameters,
                                             const std::string& name) {
  if (!parameters || !parameters->stacked) return source;
  const std::int64_t sequences = source->size();
  require<InputError>(!source->sample_shape().empty(),
                      "{}: has the shape {}, and data.sequence.stacked reads [sequences, steps, ...]", name, sequences);
  const std::int64_t steps = source->sample_shape().front();
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(sequences), steps);
  if (!parameters->lengths.empty()) {
    lengths = read_lengths(parameters->lengths);
    require<InputError>(std::ssize(lengths) == sequences, "{}: holds {} lengths, but {} has {} sequences",
                        parameters->lengths, lengths.size(), name, sequences);
    for (std::size_t s = 0; s < lengths.size(); ++s)
      require<InputError>(lengths[s] >= 1 && lengths[s] <= steps,
                          "{}: the length of sequence {} is {}, but {} has {} steps for each", parameters->lengths, s,
                          lengths[s], name, steps);
  }
  return std::make_shared<const StepSource>(std::move(source), std::move(lengths));
}

std::vector<std::int64_t> sequence_starts(const SequenceParameters& parameters, const std::string& name,
                                          const SampleSource& samples, std::int64_t first, std::int64_t size) {
  const std::int64_t available = samples.size();
  std::vector<std::int64_t> lengths = samples.steps();
  if (lengths.empty() && !parameters.lengths.empty()) {
    lengths = read_lengths(parameters.lengths);
  } else if (lengths.empty() && parameters.length > 0) {
    require<InputError>(available % parameters.length == 0,
                        "{}: its {} samples are no whole number of sequences of {} (data.sequence.length)", name,
                        available, parameters.length);
    lengths.assign(static_cast<std::size_t>(available / parameters.length), parameters.length);
  } else if (lengths.empty()) {
    lengths.push_back(available);
  }
  std::vector<std::int64_t> starts;
  std::int64_t at = 0;
  bool whole = false;
  for (const std::int64_t length : lengths) {
    require<InputError>(length >= 1 && length <= available - at,
                        "{}: the sequence that begins with sample {} has a length of {}, and there are {} samples",
                        parameters.lengths, at, length, available);
    whole |= at == first;
    if (at >= first && at < first + size) starts.push_back(at - first);
    at += length;
  }
  require<InputError>(at == available, "{}: the lengths of its {} sequences sum to {}, but {} has {} samples",
                      parameters.lengths, lengths.size(), at, name, available);
  require<InputError>(whole, "data.first leaves out {} samples, which is in the middle of a sequence", first);
  return starts;
}

}  // namespace tessera::io
