#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "io/array_file.hpp"
#include "io/sample_source.hpp"
#include "tessera/h5/file.hpp"

/// Several inputs of a network, as samples that hold them one after the other.
namespace tessera::io {

namespace {

struct NamedPart {
  DataInput input;
  InputSource source;
  std::shared_ptr<const SampleSource> samples;
};

/// Float32 holds every integer below this (2^24); the next one above is rounded to it.
constexpr float first_inexact_integer = 16777216.0F;

class NamedSource : public SampleSource {
 public:
  explicit NamedSource(std::vector<NamedPart> parts) : parts_(std::move(parts)) {
    for (const NamedPart& part : parts_) total_ += element_count(part.input.sample_shape);
  }

  std::int64_t size() const override { return parts_.front().samples->size(); }
  Shape sample_shape() const override { return {total_}; }
  std::string element_type() const override { return "float32"; }
  bool is_floating() const override { return true; }

  void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel parallel) const override {
    const std::lock_guard lock(mutex_);  // HDF5
    for (const NamedPart& part : parts_) {
      const std::int64_t each = element_count(part.input.sample_shape);
      Tensor values = Tensor::uninitialized({count, each});
      part.samples->read(first, count, values.values(), parallel);
      check_integers(part, values, first);
      const auto scale = static_cast<float>(part.source.scale), mean = static_cast<float>(part.source.mean),
                 deviation = static_cast<float>(part.source.std);
      for (float& value : values.values()) value = (value * scale - mean) / deviation;
      for (std::int64_t s = 0; s < count; ++s)
        std::copy_n(values.data() + s * each, each, out.data() + s * total_ + part.input.offset);
    }
  }
  std::vector<std::int64_t> read_integers(std::int64_t /*first*/, std::int64_t /*count*/) const override { return {}; }
  std::vector<std::int64_t> steps() const override { return parts_.front().samples->steps(); }

 private:
  static void check_integers(const NamedPart& part, const Tensor& values, std::int64_t first) {
    if (part.samples->is_floating()) return;
    const auto bad =
        std::ranges::find_if(values.values(), [](float x) { return std::fabs(x) >= first_inexact_integer; });
    require<InputError>(bad == values.values().end(),
                        "input '{}' ({}): sample {} holds the integer {:.0f}; values are kept as float32, which is "
                        "exact below 2^24",
                        part.input.name, part.source.file,
                        first + (bad - values.values().begin()) / std::max<std::int64_t>(1, values.dim(1)),
                        bad == values.values().end() ? 0.0F : *bad);
  }

  std::vector<NamedPart> parts_;
  std::int64_t total_ = 0;
  mutable std::mutex mutex_;
};

}  // namespace

RawData open_named_data(const DataParameters& parameters, std::vector<DataInput>& inputs) {
  std::vector<NamedPart> parts;
  std::int64_t offset = 0;
  RawData data;
  for (const auto& [name, source] : parameters.named_inputs) {
    if (source.constant) continue;
    NamedPart part{.input = {.name = name, .sample_shape = {}, .offset = offset}, .source = source, .samples = {}};
    part.samples = h5::is_hdf5(source.file)
                       ? open_hdf5_samples(source.file, source.dataset.empty() ? name : source.dataset)
                       : open_npy_samples(source.file);
    part.samples = steps_of(std::move(part.samples), parameters.sequence, source.file);
    const Shape stored = part.samples->sample_shape();
    part.input.sample_shape = source.sample_shape.empty() ? stored : source.sample_shape;
    require<InputError>(element_count(part.input.sample_shape) == element_count(stored),
                        "input '{}' ({}): a sample has the shape {}, which `sample_shape` {} does not fit", name,
                        source.file, to_string(stored), to_string(part.input.sample_shape));
    require<InputError>(parts.empty() || part.samples->size() == parts.front().samples->size(),
                        "input '{}' ({}) has {} samples of {}, input '{}' ({}) has {} of {}; all need as many", name,
                        source.file, part.samples->size(), to_string(stored), parts.empty() ? "" : parts[0].input.name,
                        parts.empty() ? "" : parts[0].source.file, parts.empty() ? 0 : parts[0].samples->size(),
                        parts.empty() ? "" : to_string(parts[0].input.sample_shape));
    offset += element_count(part.input.sample_shape);
    data.name += (data.name.empty() ? "" : ", ") + source.file;
    inputs.push_back(part.input);
    parts.push_back(std::move(part));
  }
  data.inputs = std::make_shared<const NamedSource>(std::move(parts));
  if (!parameters.labels.empty()) {
    data.label_name = parameters.labels;
    data.labels = h5::is_hdf5(parameters.labels) ? open_hdf5_samples(parameters.labels, parameters.label_dataset)
                                                 : open_npy_samples(parameters.labels);
  }
  return data;
}

}  // namespace tessera::io
