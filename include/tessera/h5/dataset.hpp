#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/h5/object.hpp"

namespace tessera::h5 {

/// How a dataset is stored.
struct DatasetOptions {
  /// Extents of a chunk, as many as the dataset has dimensions; empty: contiguous. Needed for compression.
  Shape chunk = {};
  /// 0 (off) to 9. The bytes are shuffled first.
  int deflate = 0;
  /// Store a checksum with each chunk (Fletcher-32): damaged values are an error when read.
  bool checksum = false;
  /// What unwritten elements read as. Also stored as the attribute `_FillValue`, by which netCDF and xarray know a
  /// missing value. Must be exact in the element type.
  std::optional<double> fill = {};
  /// Reserve the space in the file at creation: later writes then change no metadata, so that a process killed between
  /// two writes leaves a readable file. Default: chunks and contiguous storage are allocated when first written.
  bool allocate_early = false;
};

class Dataset : public Object {
 public:
  ElementType type() const { return type_; }
  /// Empty for a scalar.
  const Shape& shape() const { return shape_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }
  std::int64_t size() const { return element_count(shape_); }

  /// All elements in row-major order. InputError if the file declares far more elements than it can hold.
  template <class T>
  requires Number<T> || std::same_as<T, std::string> std::vector<T> read(Precision precision = Precision::exact)
  const {
    if constexpr (std::same_as<T, std::string>) {
      return read_strings();
    } else {
      check_size(sizeof(T));
      std::vector<T> values(static_cast<std::size_t>(size()));
      read_into(std::span<T>(values), precision);
      return values;
    }
  }
  /// The only element of a scalar or of an array of one; InputError otherwise.
  template <class T>
  requires Number<T> || std::same_as<T, std::string> T read_scalar(Precision precision = Precision::exact)
  const {
    require_one_element();
    return std::move(read<T>(precision).front());
  }
  /// As float32.
  Tensor read_tensor(Precision precision = Precision::exact) const;
  /// Into out, whose size must be that of the dataset.
  template <Number T>
  void read_into(std::span<T> out, Precision precision = Precision::exact) const {
    read_numbers(element_type<T>(), nullptr, nullptr, out.data(), out.size(), precision);
  }
  /// The hyperslab of `count` elements from `start` along each dimension, row-major into out.
  template <Number T>
  void read_block(const Shape& start, const Shape& count, std::span<T> out,
                  Precision precision = Precision::exact) const {
    read_numbers(element_type<T>(), &start, &count, out.data(), out.size(), precision);
  }

  /// All elements in row-major order. `T` is the stored type; RunError otherwise.
  template <Number T>
  void write(std::span<const T> values) {
    write_numbers(element_type<T>(), nullptr, nullptr, values.data(), values.size());
  }
  template <Number T>
  void write(const std::vector<T>& values) {
    write(std::span<const T>(values));
  }
  void write(const std::vector<std::string>& values);
  template <Number T>
  void write_block(const Shape& start, const Shape& count, std::span<const T> values) {
    write_numbers(element_type<T>(), &start, &count, values.data(), values.size());
  }
  void write_block(const Shape& start, const Shape& count, std::span<const std::string> values);

  /// InputError unless the shape is `expected`; a negative extent stands for any.
  void require_shape(const Shape& expected) const;
  /// Throws InputError if reading elements of `element_bytes` would need far more memory than the file can fill.
  void check_size(std::size_t element_bytes) const;

 private:
  friend class Group;
  Dataset(Handle handle, Location location);
  std::vector<std::string> read_strings() const;
  void require_one_element() const;
  void read_numbers(ElementType wanted, const Shape* start, const Shape* count, void* out, std::size_t size,
                    Precision precision) const;
  void write_numbers(ElementType given, const Shape* start, const Shape* count, const void* values, std::size_t size);

  ElementType type_ = ElementType::other;
  Shape shape_;
};

// Dimension scales: how HDF5, netCDF-4 and xarray name the axes of a dataset and give them coordinates. A scale is a
// dataset of one dimension in the same group or one above; its own name is the name of the axis.

/// Makes `scale` (rank 1) a coordinate: the axis is called after the dataset's name. RunError for another rank.
void make_scale(Dataset& scale);
/// Names axis `axis` of `dataset` by `scale`; their lengths must be equal.
void attach_scale(Dataset& dataset, std::int64_t axis, const Dataset& scale);
bool is_scale(const Dataset& dataset);
/// True for an axis without coordinate values (netCDF's "dimension but not a variable").
bool is_bare_dimension(const Dataset& dataset);
/// The names of the axes; "" where no scale is attached.
std::vector<std::string> dimension_names(const Dataset& dataset);
/// HDF5's own label of an axis (h5py: `dims[i].label`); netCDF and xarray do not look at it.
void set_label(Dataset& dataset, std::int64_t axis, const std::string& label);
std::string label(const Dataset& dataset, std::int64_t axis);

}  // namespace tessera::h5
