#include "tessera/h5/dataset.hpp"

#include <algorithm>

#include "h5/detail.hpp"
#include "h5/heap_check.hpp"

namespace tessera::h5 {
namespace {

/// The file's and the memory's data space of a whole dataset or of a hyperslab.
struct Selection {
  Handle memory, file;
};

std::size_t selected_size(const Dataset& dataset, const Shape* count) {
  return static_cast<std::size_t>(element_count(count == nullptr ? dataset.shape() : *count));
}

template <class E>
Selection select(const Dataset& dataset, const Shape* start, const Shape* count, std::size_t given) {
  const Location& where = dataset.location();
  const Shape& shape = dataset.shape();
  Selection selection;
  selection.file = Handle(H5Dget_space(dataset.hid()));
  if (start != nullptr) {
    bool inside = start->size() == shape.size() && count->size() == shape.size();
    for (std::size_t i = 0; inside && i < shape.size(); ++i) {
      inside = (*start)[i] >= 0 && (*count)[i] >= 0 && (*start)[i] <= shape[i] && (*count)[i] <= shape[i] - (*start)[i];
    }
    require<E>(inside, "the block {} from {} is not inside {} of shape {} in '{}'", to_string(*count),
               to_string(*start), where.path, to_string(shape), where.file);
  }
  require<E>(selected_size(dataset, count) == given, "{} in '{}' has {} values (shape {}) where {} are expected",
             where.path, where.file, selected_size(dataset, count), to_string(count == nullptr ? shape : *count),
             given);
  if (start == nullptr || shape.empty()) {
    selection.memory = Handle(H5Scopy(selection.file.id()));
    return selection;
  }
  const std::vector<hsize_t> from(start->begin(), start->end()), extent(count->begin(), count->end());
  H5Sselect_hyperslab(selection.file.id(), H5S_SELECT_SET, from.data(), nullptr, extent.data(), nullptr);
  selection.memory = Handle(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr));
  return selection;
}

/// Transfers of text convert in a buffer that is cleared first, a megabyte by default: more work than most texts.
Handle text_transfer(std::size_t count) {
  constexpr std::size_t element_bytes = 64, most = 1 << 20;
  Handle properties(H5Pcreate(H5P_DATASET_XFER));
  H5Pset_buffer(properties.id(), std::clamp(count * element_bytes, element_bytes, most), nullptr, nullptr);
  return properties;
}

struct DatasetReader final : detail::RawReader {
  DatasetReader(const Dataset& dataset, const Selection& selection) : dataset_(dataset), selection_(selection) {}
  void read(hid_t memory_type, void* out) const override {
    const bool text = H5Tis_variable_str(memory_type) > 0;
    const Handle transfer = text ? text_transfer(static_cast<std::size_t>(dataset_.size())) : Handle();
    detail::check_reading(H5Dread(dataset_.hid(), memory_type, selection_.memory.id(), selection_.file.id(),
                                  text ? transfer.id() : H5P_DEFAULT, out),
                          dataset_.location(), "read");
  }

 private:
  const Dataset& dataset_;
  const Selection& selection_;
};

/// Text of variable length is looked at before libhdf5 reads it, where it can be: stored contiguously, in a file of the
/// usual layout on a disk, that is not being written by this process.
void check_references(const Dataset& dataset) {
  const Handle file(H5Iget_file_id(dataset.hid()));
  const Handle properties(H5Fget_create_plist(file.id()));
  unsigned intent = H5F_ACC_RDWR;
  hsize_t user_block = 1;
  std::size_t address_size = 0;
  std::size_t length_size = 0;
  H5Fget_intent(file.id(), &intent);
  H5Pget_userblock(properties.id(), &user_block);
  H5Pget_sizes(properties.id(), &address_size, &length_size);
  const Handle access(H5Fget_access_plist(file.id()));
  const bool on_disk = H5Pget_driver(access.id()) != H5FD_CORE;
  const haddr_t offset = H5Dget_offset(dataset.hid());
  if (on_disk && intent == H5F_ACC_RDONLY && user_block == 0 && address_size == 8 && length_size == 8 &&
      offset != HADDR_UNDEF) {
    detail::check_text_references(dataset.location(), offset, static_cast<std::uint64_t>(dataset.size()));
  }
}

void write_text(Dataset& dataset, const Selection& selection, std::span<const std::string> values) {
  std::vector<const char*> pointers;
  for (const std::string& value : values) {
    detail::check_text(value, dataset.location());
    pointers.push_back(value.c_str());
  }
  const Handle type(detail::text_type());
  if (!values.empty()) {
    const Handle transfer = text_transfer(values.size());
    detail::check_writing(H5Dwrite(dataset.hid(), type.id(), selection.memory.id(), selection.file.id(), transfer.id(),
                                   static_cast<const void*>(pointers.data())),
                          dataset.location(), "write");
  }
}

}  // namespace

Dataset::Dataset(Handle handle, Location location) : Object(std::move(handle), std::move(location)) {
  const Handle type = detail::reading(H5Dget_type(hid()), location_, "read the type of");
  const Handle space = detail::reading(H5Dget_space(hid()), location_, "read the shape of");
  type_ = detail::classify(type.id());
  shape_ = detail::extents(space.id(), location_);
}

void Dataset::check_size(std::size_t element_bytes) const {
  const detail::QuietErrors quiet;
  constexpr double always_fine = 64.0 * 1024 * 1024;
  constexpr double best_compression = 1100;  // deflate reaches 1032
  const double needed = static_cast<double>(element_bytes) * static_cast<double>(size());
  if (needed <= always_fine) return;
  const double stored = static_cast<double>(H5Dget_storage_size(hid()));
  require<InputError>(needed <= best_compression * stored,
                      "{} in '{}' declares {} elements but stores {} bytes (the file is damaged or mostly empty)",
                      path(), file_name(), size(), stored);
}

void Dataset::require_one_element() const {
  require<InputError>(size() == 1, "{} in '{}' has shape {} where a single value is expected", path(), file_name(),
                      to_string(shape_));
}

void Dataset::require_shape(const Shape& expected) const {
  bool fits = expected.size() == shape_.size();
  for (std::size_t i = 0; fits && i < shape_.size(); ++i) fits = expected[i] < 0 || expected[i] == shape_[i];
  if (fits) return;
  std::string wanted = expected.empty() ? "a scalar" : "";
  for (const std::int64_t extent : expected) {
    wanted += fmt::format("{}{}", wanted.empty() ? "" : "x", extent < 0 ? "any" : std::to_string(extent));
  }
  throw InputError(
      fmt::format("{} in '{}' has shape {} where {} is expected", path(), file_name(), to_string(shape_), wanted));
}

Tensor Dataset::read_tensor(Precision precision) const {
  check_size(sizeof(float));
  Tensor tensor = Tensor::uninitialized(shape_);
  read_into(tensor.values(), precision);
  return tensor;
}

void Dataset::read_numbers(ElementType wanted, const Shape* start, const Shape* count, void* out, std::size_t size,
                           Precision precision) const {
  const detail::QuietErrors quiet;
  const Selection selection = select<InputError>(*this, start, count, size);
  const Handle type = detail::reading(H5Dget_type(hid()), location_, "read the type of");
  detail::read_converted(type.id(), wanted, precision, size, DatasetReader(*this, selection), out, location_);
}

std::vector<std::string> Dataset::read_strings() const {
  const detail::QuietErrors quiet;
  const Handle type = detail::reading(H5Dget_type(hid()), location_, "read the type of");
  check_size(H5Tget_size(type.id()));
  const auto count = static_cast<std::size_t>(this->size());
  if (H5Tis_variable_str(type.id()) > 0) check_references(*this);
  const Selection selection = select<InputError>(*this, nullptr, nullptr, count);
  return detail::read_text(type.id(), selection.memory.id(), count, DatasetReader(*this, selection), location_);
}

void Dataset::write_numbers(ElementType given, const Shape* start, const Shape* count, const void* values,
                            std::size_t size) {
  const detail::QuietErrors quiet;
  require<RunError>(given == type_, "cannot write {} values to {} in '{}' (it holds {})", to_string(given), path(),
                    file_name(), to_string(type_));
  const Selection selection = select<RunError>(*this, start, count, size);
  if (size == 0) return;
  detail::check_writing(
      H5Dwrite(hid(), detail::native_type(given), selection.memory.id(), selection.file.id(), H5P_DEFAULT, values),
      location_, "write");
}

void Dataset::write(const std::vector<std::string>& values) {
  const detail::QuietErrors quiet;
  write_text(*this, select<RunError>(*this, nullptr, nullptr, values.size()), values);
}

void Dataset::write_block(const Shape& start, const Shape& count, std::span<const std::string> values) {
  const detail::QuietErrors quiet;
  write_text(*this, select<RunError>(*this, &start, &count, values.size()), values);
}

}  // namespace tessera::h5
