#include "tessera/io/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "io/sample_source.hpp"

namespace tessera::io {

namespace {

RawData open_raw(const DataParameters& parameters, std::vector<DataInput>& inputs) {
  validate(parameters);
  if (!parameters.named_inputs.empty()) return open_named_data(parameters, inputs);
  switch (parameters.format) {
    case DataFormat::hdf5:
      return open_hdf5_data(parameters);
    case DataFormat::glyphs:
      return open_glyph_data(parameters);
    default:
      return open_array_data(parameters);
  }
}

void require_finite(std::span<const float> values, std::int64_t first, std::int64_t count, const std::string& name) {
  bool finite = true;
  for (const float value : values) finite &= std::abs(value) <= std::numeric_limits<float>::max();
  if (finite) return;
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  throw InputError(
      fmt::format("{}: sample {} holds the value {}; clean the data, leave the sample out, or check `scale`", name,
                  first + (bad - values.begin()) / (static_cast<std::int64_t>(values.size()) / count), *bad));
}

constexpr std::int64_t most_labels = std::int64_t{1} << 32;

/// Labels of positions may be negative: one of them can say that a position does not count.
std::vector<std::int32_t> class_labels(const SampleSource& source, std::int64_t first, std::int64_t count,
                                       const std::string& name, std::int64_t classes, const Shape& shape) {
  const std::int64_t each = std::max<std::int64_t>(1, element_count(shape));
  std::vector<std::int64_t> values;
  if (count * each <= most_labels) values = source.read_integers(first, count);
  require<InputError>(count * each <= most_labels, "{}: {} labels of {} each are too many to be kept", name, count,
                      to_string(shape));
  std::vector<std::int32_t> result(values.size());
  const std::int64_t least = shape.empty() ? 0 : std::numeric_limits<std::int32_t>::min();
  for (std::size_t i = 0; i < values.size(); ++i) {
    require<InputError>(values[i] >= least && values[i] < classes,
                        "{}: the label of sample {} is {}; labels are class indices 0 to {}", name,
                        first + static_cast<std::int64_t>(i) / each, values[i], classes - 1);
    result[i] = static_cast<std::int32_t>(values[i]);
  }
  return result;
}

std::vector<float> to_float32(const std::vector<double>& values) {
  std::vector<float> result;
  for (const double value : values) result.push_back(static_cast<float>(value));
  return result;
}

// (x * scale - mean) / std with one mean and std for all values, or one for each channel: the planes of a sample, or
// with channels last each of its values in turn.
void normalize(std::span<float> values, std::int64_t sample_elements, std::int64_t channels, bool channels_last,
               float scale, const std::vector<float>& mean, const std::vector<float>& std) {
  if (values.empty()) return;
  const auto planes = static_cast<std::size_t>(mean.size() > 1 || std.size() > 1 ? channels : 1);
  const std::size_t plane = channels_last && planes > 1 ? 1 : static_cast<std::size_t>(sample_elements) / planes;
  for (std::size_t begin = 0, p = 0; begin < values.size(); begin += plane, p = (p + 1) % planes) {
    const float m = mean[mean.size() > 1 ? p : 0];
    const float s = std[std.size() > 1 ? p : 0];
    for (float& value : values.subspan(begin, plane)) value = (value * scale - m) / s;
  }
}

}  // namespace

DataSet::DataSet(const DataParameters& parameters) {
  RawData raw = open_raw(parameters, inputs_);
  if (parameters.named_inputs.empty()) raw.inputs = steps_of(std::move(raw.inputs), parameters.sequence, raw.name);
  if (raw.labels != nullptr) raw.labels = steps_of(std::move(raw.labels), parameters.sequence, raw.label_name);
  constants_ = constant_inputs(parameters);
  name_ = raw.name;
  element_type_ = raw.inputs->element_type();
  const std::int64_t available = raw.inputs->size();
  require<InputError>(available > 0, "{}: holds no samples", name_);
  require<InputError>(parameters.first < available, "{}: holds {} samples, but `first` leaves out {}", name_, available,
                      parameters.first);
  offset_ = parameters.first;
  size_ = available - offset_;
  if (parameters.limit > 0) size_ = std::min(size_, parameters.limit);
  if (parameters.sequence)
    sequence_starts_ = std::make_shared<const std::vector<std::int64_t>>(
        io::sequence_starts(*parameters.sequence, name_, *raw.inputs, offset_, size_));

  const Shape stored = raw.inputs->sample_shape();
  stored_shape_ = !parameters.sample_shape.empty() ? parameters.sample_shape : !stored.empty() ? stored : Shape{1};
  require<InputError>(element_count(stored_shape_) == element_count(stored),
                      "{}: a sample has the shape {}, which `sample_shape` {} does not fit", name_, to_string(stored),
                      to_string(stored_shape_));
  sample_shape_ = stored_shape_;
  transpose_ = parameters.transpose;
  require<InputError>(transpose_.empty() || transpose_.size() == stored_shape_.size(),
                      "{}: a sample has the shape {}, but `transpose` orders {} axes", name_, to_string(stored_shape_),
                      transpose_.size());
  if (!transpose_.empty()) sample_shape_ = transposed(stored_shape_, transpose_);
  layout_ = parameters.layout;
  require<InputError>(!layout_ || stored_shape_.size() == 3,
                      "{}: a sample has the shape {}, which is no image of three axes, as `layout` says", name_,
                      to_string(stored_shape_));
  const bool channels_last = layout_ == ImageLayout::nhwc;
  scale_ = static_cast<float>(parameters.scale);
  mean_ = to_float32(parameters.mean);
  std_ = to_float32(parameters.std);
  for (const auto& [key, count] : {std::pair{"mean", mean_.size()}, std::pair{"std", std_.size()}}) {
    require<InputError>(
        count == 1 ||
            static_cast<std::int64_t>(count) == (channels_last ? sample_shape_.back() : sample_shape_.front()),
        "{}: `{}` has {} values, but a sample has the shape {}; give one value, or one for each channel (the {} axis)",
        name_, key, count, to_string(sample_shape_), channels_last ? "last" : "first");
  }

  samples_ = std::move(raw.inputs);
  labels_ = std::make_shared<const std::vector<std::int32_t>>();
  if (raw.labels == nullptr) return;
  require<InputError>(raw.labels->size() == available,
                      "{}: has {} labels, but {} has {} samples; they must belong together", raw.label_name,
                      raw.labels->size(), name_, available);
  if (raw.labels->is_floating()) {
    targets_ = std::move(raw.labels);
    target_shape_ = targets_->sample_shape();
    return;
  }
  label_shape_ = raw.labels->sample_shape();
  const std::int64_t classes = parameters.format == DataFormat::cifar10 ? 10 : std::numeric_limits<std::int32_t>::max();
  labels_ = std::make_shared<const std::vector<std::int32_t>>(
      class_labels(*raw.labels, offset_, size_, raw.label_name, classes, label_shape_));
}

DataSet::DataSet(Tensor inputs, std::vector<std::int32_t> labels) : name_("tensor"), element_type_("float32") {
  require<InputError>(inputs.rank() >= 1 && inputs.size() > 0, "{}: no samples in a tensor of shape {}", name_,
                      to_string(inputs.shape()));
  samples_ = tensor_source(std::move(inputs));
  size_ = samples_->size();
  sample_shape_ = samples_->sample_shape();
  if (sample_shape_.empty()) sample_shape_ = {1};
  stored_shape_ = sample_shape_;
  mean_ = {0.0F};
  std_ = {1.0F};
  require<InputError>(labels.empty() || static_cast<std::int64_t>(labels.size()) == size_,
                      "{}: {} labels for {} samples", name_, labels.size(), size_);
  const bool negative = std::any_of(labels.begin(), labels.end(), [](std::int32_t label) { return label < 0; });
  require<InputError>(!negative, "{}: a label is negative; labels are class indices from 0", name_);
  labels_ = std::make_shared<const std::vector<std::int32_t>>(std::move(labels));
}

std::vector<ConstantInput> constant_inputs(const DataParameters& parameters) {
  std::vector<ConstantInput> constants;
  for (const auto& [name, source] : parameters.named_inputs)
    if (source.constant) constants.push_back({name, *source.constant, source.sample_shape});
  return constants;
}

std::int64_t DataSet::batch_end(std::int64_t first, std::int64_t batch_size) const {
  const std::int64_t end = first + std::min(batch_size, size_ - first);
  if (sequence_starts_ == nullptr || end == size_) return end;
  const std::vector<std::int64_t>& starts = *sequence_starts_;
  const auto after = std::ranges::upper_bound(starts, end);
  if (after != starts.begin() && *std::prev(after) > first) return *std::prev(after);
  return after == starts.end() ? size_ : *after;
}

bool DataSet::reads_unchanged_bytes() const {
  const auto all = [](const std::vector<float>& values, float wanted) {
    return std::all_of(values.begin(), values.end(), [&](float value) { return value == wanted; });
  };
  return element_type_ == "uint8" && scale_ == 1.0F && all(mean_, 0.0F) && all(std_, 1.0F);
}

void DataSet::require_labels_below(std::int64_t classes, std::optional<std::int32_t> ignored) const {
  const auto bad = std::find_if(labels_->begin(), labels_->end(), [&](std::int32_t label) {
    return (label >= classes || label < 0) && label != ignored;
  });
  const std::int64_t each = std::max<std::int64_t>(1, element_count(label_shape_));
  require<InputError>(
      bad == labels_->end(),
      "{}: the label of sample {} is {}, but the network has {} outputs; check that they belong together{}", name_,
      offset_ + (bad - labels_->begin()) / each, bad == labels_->end() ? 0 : *bad, classes,
      label_shape_.empty() ? "" : ", or give evaluation.ignore_index for positions without a class");
}

Shape transposed(const Shape& shape, std::span<const std::int64_t> order) {
  Shape result;
  for (const std::int64_t axis : order) result.push_back(shape[static_cast<std::size_t>(axis)]);
  return result;
}

void transpose(std::span<const float> from, const Shape& shape, std::span<const std::int64_t> order,
               std::span<float> to) {
  Shape strides(shape.size(), 1);
  for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  const Shape out = transposed(shape, order), steps = transposed(strides, order);
  Shape at(out.size(), 0);
  std::int64_t source = 0;
  for (float& value : to) {
    value = from[static_cast<std::size_t>(source)];
    for (std::size_t d = out.size(); d-- > 0;) {
      source += steps[d];
      if (++at[d] < out[d]) break;
      source -= steps[d] * out[d];
      at[d] = 0;
    }
  }
}

Tensor DataSet::read_targets(std::int64_t first, std::int64_t count) const {
  TESSERA_EXPECT(has_targets() && first >= 0 && count >= 0 && first + count <= size_);
  Shape shape = target_shape_;
  shape.insert(shape.begin(), count);
  Tensor result = Tensor::uninitialized(std::move(shape));
  targets_->read(offset_ + first, count, result.values(), {});
  require_finite(result.values(), offset_ + first, count, name_);
  return result;
}

Tensor DataSet::read(std::int64_t first, std::int64_t count, Parallel parallel) const {
  require<InputError>(first >= 0 && count >= 0 && first <= size_ - count,
                      "{}: samples {} to {} asked for, but there are {}", name_, first, first + count, size_);
  Shape shape = sample_shape_;
  shape.insert(shape.begin(), count);
  Tensor result = Tensor::uninitialized(std::move(shape));
  const std::int64_t each = element_count(sample_shape_);
  if (transpose_.empty()) {
    samples_->read(offset_ + first, count, result.values(), parallel);
  } else {
    Tensor stored = Tensor::uninitialized({count, each});
    samples_->read(offset_ + first, count, stored.values(), parallel);
    parallel_for(parallel, count, [&](std::int64_t s) {
      const auto begin = static_cast<std::size_t>(s * each), size = static_cast<std::size_t>(each);
      transpose(stored.values().subspan(begin, size), stored_shape_, transpose_, result.values().subspan(begin, size));
    });
  }
  const bool channels_last = layout_ == ImageLayout::nhwc;
  normalize(result.values(), each, channels_last ? sample_shape_.back() : sample_shape_.front(), channels_last, scale_,
            mean_, std_);
  require_finite(result.values(), offset_ + first, count, name_);
  return result;
}

}  // namespace tessera::io
