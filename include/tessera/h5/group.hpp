#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/h5/dataset.hpp"

namespace tessera::h5 {

enum class Kind { group, dataset, other };

struct Child {
  std::string name;
  Kind kind = Kind::other;  ///< other: a named type, or a link that leads nowhere
};

/// Paths are relative to the group unless they begin with '/'.
class Group : public Object {
 public:
  /// In the order of creation if the file keeps it (files of this library do), else by name.
  std::vector<Child> children() const;
  std::vector<std::string> group_names() const;
  std::vector<std::string> dataset_names() const;
  /// Is there an object under this path? False for a link that leads nowhere.
  bool contains(const std::string& path) const;

  Group group(const std::string& path) const;
  Dataset dataset(const std::string& path) const;
  /// Calls visitor(path, kind) for every object below this group once, whatever links lead to it; path is relative to
  /// this group. Exceptions of the visitor end the visit and are passed on.
  void visit(const std::function<void(const std::string& path, Kind kind)>& visitor) const;

  /// Missing groups on the way are created. RunError if the last one exists.
  Group create_group(const std::string& path);
  /// Opens the group or creates it.
  Group require_group(const std::string& path);
  Dataset create_dataset(const std::string& path, ElementType type, const Shape& shape,
                         const DatasetOptions& options = {});
  /// An axis of `length` without coordinate values, as netCDF-4 writes it.
  Dataset create_dimension(const std::string& name, std::int64_t length);

  /// Creates the dataset and writes it.
  template <Number T>
  Dataset write(const std::string& path, const Shape& shape, std::span<const T> values,
                const DatasetOptions& options = {}) {
    Dataset dataset = create_dataset(path, element_type<T>(), shape, options);
    dataset.write(values);
    return dataset;
  }
  template <Number T>
  Dataset write(const std::string& path, const std::vector<T>& values, const DatasetOptions& options = {}) {
    return write(path, {static_cast<std::int64_t>(values.size())}, std::span<const T>(values), options);
  }
  Dataset write(const std::string& path, const Tensor& tensor, const DatasetOptions& options = {}) {
    return write(path, tensor.shape(), tensor.values(), options);
  }
  template <Number T>
  Dataset write_scalar(const std::string& path, T value) {
    return write(path, Shape{}, std::span<const T>(&value, 1));
  }
  Dataset write(const std::string& path, const std::vector<std::string>& values);
  /// A scalar string.
  Dataset write_text(const std::string& path, std::string_view text);

 protected:
  friend class File;
  Group() = default;
  Group(Handle handle, Location location) : Object(std::move(handle), std::move(location)) {}

 private:
  Location below(const std::string& path) const;
};

}  // namespace tessera::h5
