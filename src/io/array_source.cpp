#include <algorithm>
#include <utility>

#include "io/array_file.hpp"
#include "io/sample_source.hpp"

namespace tessera::io {

namespace {

// One array, or several of one sample shape and type, one behind the other.
class ArraySource : public SampleSource {
 public:
  ArraySource(std::vector<ArrayFile> parts, Shape sample_shape)
      : parts_(std::move(parts)), sample_shape_(std::move(sample_shape)) {
    for (const ArrayFile& part : parts_) size_ += part.samples();
  }

  std::int64_t size() const override { return size_; }
  Shape sample_shape() const override { return sample_shape_; }
  std::string element_type() const override { return parts_.front().type.name(); }
  bool is_floating() const override { return !parts_.front().type.is_integer(); }

  void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel /*parallel*/) const override {
    read_parts(first, count, out);
  }

  std::vector<std::int64_t> read_integers(std::int64_t first, std::int64_t count) const override {
    std::vector<std::int64_t> result(static_cast<std::size_t>(count * element_count(sample_shape())));
    read_parts(first, count, std::span<std::int64_t>(result));
    return result;
  }

 private:
  template <class Out>
  void read_parts(std::int64_t first, std::int64_t count, std::span<Out> out) const {
    std::int64_t begin = 0;
    for (const ArrayFile& part : parts_) {
      const std::int64_t from = std::max(first, begin);
      const std::int64_t to = std::min(first + count, begin + part.samples());
      if (from < to) {
        const std::int64_t elements = part.sample_elements();
        part.read(from - begin, to - from,
                  out.subspan(static_cast<std::size_t>((from - first) * elements),
                              static_cast<std::size_t>((to - from) * elements)));
      }
      begin += part.samples();
    }
  }

  std::vector<ArrayFile> parts_;
  Shape sample_shape_;
  std::int64_t size_ = 0;
};

class TensorSource : public SampleSource {
 public:
  explicit TensorSource(Tensor tensor) : tensor_(std::move(tensor)) {}

  std::int64_t size() const override { return tensor_.dim(0); }
  Shape sample_shape() const override { return Shape(tensor_.shape().begin() + 1, tensor_.shape().end()); }
  std::string element_type() const override { return "float32"; }
  bool is_floating() const override { return true; }
  void read(std::int64_t first, std::int64_t /*count*/, std::span<float> out, Parallel /*parallel*/) const override {
    const std::int64_t elements = element_count(sample_shape());
    std::copy_n(tensor_.data() + first * elements, out.size(), out.data());
  }
  std::vector<std::int64_t> read_integers(std::int64_t /*first*/, std::int64_t /*count*/) const override { return {}; }

 private:
  Tensor tensor_;
};

std::shared_ptr<const SampleSource> whole_array(ArrayFile array, bool image_planes) {
  Shape sample(array.shape.begin() + 1, array.shape.end());
  if (sample.size() == 2 && image_planes) sample.insert(sample.begin(), 1);
  return std::make_shared<const ArraySource>(std::vector<ArrayFile>{std::move(array)}, std::move(sample));
}

}  // namespace

RawData open_array_data(const DataParameters& parameters) {
  RawData data;
  data.name = parameters.inputs.front();
  if (parameters.format == DataFormat::cifar10) {
    std::vector<ArrayFile> images;
    std::vector<ArrayFile> labels;
    for (const std::string& path : parameters.inputs) {
      Cifar10File file = open_cifar10(path);
      images.push_back(std::move(file.images));
      labels.push_back(std::move(file.labels));
    }
    if (parameters.inputs.size() > 1) data.name += fmt::format(" and {} more", parameters.inputs.size() - 1);
    data.label_name = data.name;
    data.inputs = std::make_shared<const ArraySource>(std::move(images), Shape{3, 32, 32});
    data.labels = std::make_shared<const ArraySource>(std::move(labels), Shape{});
    return data;
  }
  const bool idx = parameters.format == DataFormat::idx;
  const auto open = [&](const std::string& path) { return idx ? open_idx(path) : open_npy(path); };
  data.inputs = whole_array(open(parameters.inputs.front()), idx);
  if (!parameters.labels.empty()) {
    data.label_name = parameters.labels;
    data.labels = whole_array(open(parameters.labels), false);
  }
  return data;
}

std::shared_ptr<const SampleSource> open_npy_samples(const std::string& path) {
  return whole_array(open_npy(path), false);
}

std::shared_ptr<const SampleSource> tensor_source(Tensor tensor) {
  return std::make_shared<const TensorSource>(std::move(tensor));
}

}  // namespace tessera::io
