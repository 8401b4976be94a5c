#include <algorithm>
#include <mutex>
#include <utility>

#include "io/sample_source.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::io {

namespace {

class Hdf5Source : public SampleSource {
 public:
  Hdf5Source(std::shared_ptr<const h5::File> file, h5::Dataset dataset, std::shared_ptr<std::mutex> mutex)
      : file_(std::move(file)), dataset_(std::move(dataset)), mutex_(std::move(mutex)) {
    const std::string place = fmt::format("{}: data set '{}'", dataset_.file_name(), dataset_.path());
    const bool numbers = dataset_.type() != h5::ElementType::string && dataset_.type() != h5::ElementType::other;
    require<InputError>(numbers, "{} holds no numbers ({}); choose one that does", place,
                        h5::to_string(dataset_.type()));
    require<InputError>(dataset_.rank() >= 1, "{} holds a single number; an array with a sample axis is needed", place);
    const Shape sample = sample_shape();
    require<InputError>(element_count(sample) > 0, "{} has the shape {}: its samples are empty", place,
                        to_string(dataset_.shape()));
    dataset_.check_size(1);
  }

  std::int64_t size() const override { return dataset_.shape().front(); }
  Shape sample_shape() const override { return Shape(dataset_.shape().begin() + 1, dataset_.shape().end()); }
  std::string element_type() const override { return h5::to_string(dataset_.type()); }
  bool is_floating() const override { return h5::is_floating(dataset_.type()); }

  void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel /*parallel*/) const override {
    read_block(first, count, out);
  }

  std::vector<std::int64_t> read_integers(std::int64_t first, std::int64_t count) const override {
    std::vector<std::int64_t> result(static_cast<std::size_t>(count * element_count(sample_shape())));
    read_block(first, count, std::span<std::int64_t>(result));
    return result;
  }

 private:
  template <class Out>
  void read_block(std::int64_t first, std::int64_t count, std::span<Out> out) const {
    if (count == 0) return;
    Shape start(dataset_.shape().size(), 0);
    Shape extents = dataset_.shape();
    start.front() = first;
    extents.front() = count;
    const std::lock_guard lock(*mutex_);
    dataset_.read_block(start, extents, out, h5::Precision::rounded);
  }

  std::shared_ptr<const h5::File> file_;  // keeps the data set open
  h5::Dataset dataset_;
  std::shared_ptr<std::mutex> mutex_;
};

h5::Dataset find(const h5::File& file, const std::string& name) {
  if (file.contains(name)) return file.dataset(name);
  std::string names;
  file.visit([&](const std::string& path, h5::Kind kind) {
    if (kind == h5::Kind::dataset && names.size() < 200) names += (names.empty() ? "" : ", ") + path;
  });
  throw InputError(fmt::format("{}: has no data set '{}'; it has: {}", file.file_name(), name,
                               names.empty() ? "none at all" : names));
}

}  // namespace

std::shared_ptr<const SampleSource> open_hdf5_samples(const std::string& path, const std::string& dataset) {
  auto file = std::make_shared<const h5::File>(h5::File::open(path));
  h5::Dataset found = find(*file, dataset);
  return std::make_shared<const Hdf5Source>(std::move(file), std::move(found), std::make_shared<std::mutex>());
}

RawData open_hdf5_data(const DataParameters& parameters) {
  RawData data;
  data.name = parameters.inputs.front();
  auto file = std::make_shared<const h5::File>(h5::File::open(data.name));
  const auto mutex = std::make_shared<std::mutex>();
  data.inputs = std::make_shared<const Hdf5Source>(file, find(*file, parameters.input_dataset), mutex);
  const bool other_file = !parameters.labels.empty() && parameters.labels != data.name;
  data.label_name = other_file ? parameters.labels : data.name;
  if (other_file) file = std::make_shared<const h5::File>(h5::File::open(parameters.labels));
  if (!parameters.labels.empty() || (!parameters.label_dataset.empty() && file->contains(parameters.label_dataset))) {
    data.labels = std::make_shared<const Hdf5Source>(file, find(*file, parameters.label_dataset), mutex);
  }
  return data;
}

}  // namespace tessera::io
