#include "tessera/io/export_data.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "tessera/core/atomic_file.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::io {

namespace {

constexpr std::int64_t batch = 1000;

Shape with_samples(std::int64_t count, const Shape& sample) {
  Shape shape = sample;
  shape.insert(shape.begin(), count);
  return shape;
}

// Calls visit(first, values) for the samples in batches.
void each_batch(const DataSet& data, Parallel parallel, const Environment& environment,
                const std::function<void(std::int64_t first, const Tensor& values)>& visit) {
  for (std::int64_t first = 0; first < data.size(); first += batch) {
    require<RunError>(!environment.cancelled(), "{}: the export was interrupted", data.name());
    const std::int64_t count = std::min(batch, data.size() - first);
    visit(first, data.read(first, count, parallel));
    if (environment.progress) environment.progress(first + count, data.size(), "samples");
  }
}

std::vector<std::uint8_t> as_bytes(std::span<const float> values) {
  std::vector<std::uint8_t> bytes(values.size());
  std::transform(values.begin(), values.end(), bytes.begin(),
                 [](float value) { return static_cast<std::uint8_t>(value); });
  return bytes;
}

void export_hdf5(const DataSet& data, const std::string& path, Parallel parallel, const Environment& environment) {
  h5::NewFile file(path);
  const bool bytes = data.reads_unchanged_bytes();
  h5::Dataset inputs = file.create_dataset("inputs", bytes ? h5::ElementType::uint8 : h5::ElementType::float32,
                                           with_samples(data.size(), data.sample_shape()));
  each_batch(data, parallel, environment, [&](std::int64_t first, const Tensor& values) {
    Shape start(values.shape().size(), 0);
    start.front() = first;
    if (bytes) {
      inputs.write_block<std::uint8_t>(start, values.shape(), as_bytes(values.values()));
    } else {
      inputs.write_block<float>(start, values.shape(), values.values());
    }
  });
  if (data.has_labels())
    file.write<std::int32_t>("labels", with_samples(data.size(), data.label_shape()), data.labels());
  if (data.has_targets()) file.write("labels", data.read_targets(0, data.size()));
  file.commit();
}

void export_npy(const DataSet& data, const std::string& path, Parallel parallel, const Environment& environment) {
  const Shape shape = with_samples(data.size(), data.sample_shape());
  const std::string labels = path.substr(0, path.size() - 4) + "_labels.npy";
  if (data.has_labels()) write_npy(labels, with_samples(data.size(), data.label_shape()), data.labels());
  if (data.has_targets()) write_npy(labels, data.read_targets(0, data.size()));
  if (!data.reads_unchanged_bytes()) return write_npy(path, data.read(0, data.size(), parallel));
  std::vector<std::uint8_t> bytes;
  each_batch(data, parallel, environment, [&](std::int64_t, const Tensor& values) {
    const std::vector<std::uint8_t> more = as_bytes(values.values());
    bytes.insert(bytes.end(), more.begin(), more.end());
  });
  write_npy(path, shape, std::span<const std::uint8_t>(bytes));
}

}  // namespace

void export_data(const DataSet& data, const std::string& path, Parallel parallel, const Environment& environment) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".h5") return export_hdf5(data, path, parallel, environment);
  if (extension == ".npy") return export_npy(data, path, parallel, environment);
  throw InputError(fmt::format("{}: the extension '{}' is not known; use .h5 or .npy", path, extension));
}

}  // namespace tessera::io
