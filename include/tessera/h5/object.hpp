#pragma once
#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/tensor.hpp"

/// RAII over the HDF5 C API (1.10). No HDF5 header is needed to use it.
///
/// Errors: whatever fails while reading is an InputError, while writing a RunError; the message names the file, the
/// object and HDF5's own reason. HDF5's printing of its error stack is silenced for the duration of each call.
///
/// Threads: the distribution's libhdf5 is not built thread-safe, so the calls of this module are serialized by one
/// lock: different objects may be used from different threads (they wait for each other), one object by one thread at a
/// time.
///
/// Numbers never change silently: a read into another type succeeds only if every stored value exists in that type
/// (uint8 -> float, int64 -> int32 where all fit), else it is an InputError. Precision::rounded lets float64 and
/// integers round to float32. Floating-point numbers are never read as integers.
namespace tessera::h5 {

/// What is stored. `float16` is read but not written; `boolean` is h5py's enumeration of FALSE and TRUE.
enum class ElementType {
  float16,
  float32,
  float64,
  int8,
  uint8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  boolean,
  string,
  other  ///< compounds, references, arrays, ...: listed, not read
};

using tessera::to_string;  // of a shape
/// "float32", "string", ...
std::string to_string(ElementType type);
bool is_integer(ElementType type);
bool is_floating(ElementType type);

enum class Precision { exact, rounded };

template <class T>
concept Number = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int8_t> ||
    std::same_as<T, std::uint8_t> || std::same_as<T, std::int16_t> || std::same_as<T, std::uint16_t> ||
    std::same_as<T, std::int32_t> || std::same_as<T, std::uint32_t> || std::same_as<T, std::int64_t> ||
    std::same_as<T, std::uint64_t>;

template <Number T>
constexpr ElementType element_type() {
  if constexpr (std::same_as<T, float>) return ElementType::float32;
  if constexpr (std::same_as<T, double>) return ElementType::float64;
  if constexpr (std::same_as<T, std::int8_t>) return ElementType::int8;
  if constexpr (std::same_as<T, std::uint8_t>) return ElementType::uint8;
  if constexpr (std::same_as<T, std::int16_t>) return ElementType::int16;
  if constexpr (std::same_as<T, std::uint16_t>) return ElementType::uint16;
  if constexpr (std::same_as<T, std::int32_t>) return ElementType::int32;
  if constexpr (std::same_as<T, std::uint32_t>) return ElementType::uint32;
  if constexpr (std::same_as<T, std::int64_t>) return ElementType::int64;
  return ElementType::uint64;
}

/// Owns one HDF5 identifier. Move-only.
class Handle {
 public:
  Handle() = default;
  explicit Handle(std::int64_t id) : id_(id) {}
  Handle(Handle&& other) noexcept;
  Handle& operator=(Handle&& other) noexcept;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle();

  std::int64_t id() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Closes now. True if HDF5 reported no error.
  bool close();

 private:
  std::int64_t id_ = -1;
};

struct AttributeInfo {
  std::string name;
  ElementType type = ElementType::other;
  Shape shape;
};

/// Where an object lives, for messages.
struct Location {
  std::string file;
  std::string path;  ///< absolute path inside the file: "/layers/conv1"
};

/// What files, groups and datasets have in common: a place and attributes.
class Object {
 public:
  /// The HDF5 identifier (hid_t), for code inside the module and for tests.
  std::int64_t hid() const { return handle_.id(); }
  const std::string& path() const { return location_.path; }
  /// The last component of the path; "/" for the root.
  std::string name() const;
  const std::string& file_name() const { return location_.file; }
  const Location& location() const { return location_; }

  /// In the order in which they are stored; HDF5's own (dimension scales) included.
  std::vector<AttributeInfo> attributes() const;
  bool has_attribute(const std::string& attribute) const;

  /// A scalar or an array of one element. `T`: a Number, bool or std::string (fixed or variable length).
  template <class T>
  T attribute(const std::string& attribute) const;
  /// The same, or `otherwise` where there is no such attribute.
  template <class T>
  T attribute(const std::string& attribute, T otherwise) const {
    return has_attribute(attribute) ? this->attribute<T>(attribute) : otherwise;
  }
  /// All elements in row-major order. `T`: a Number or std::string.
  template <class T>
  std::vector<T> attribute_values(const std::string& attribute) const;

  /// Writing replaces an attribute of the same name. Text must be UTF-8 without NUL; it is stored with variable length.
  /// bool is stored as uint8, which every reader of HDF5 and netCDF knows.
  template <Number T>
  void set_attribute(const std::string& attribute, T value) {
    write_attribute(attribute, element_type<T>(), nullptr, &value);
  }
  void set_attribute(const std::string& attribute, bool value) {
    set_attribute(attribute, static_cast<std::uint8_t>(value));
  }
  void set_attribute(const std::string& attribute, std::string_view value);
  void set_attribute(const std::string& attribute, const char* value) {
    set_attribute(attribute, std::string_view(value));
  }
  template <Number T>
  void set_attribute(const std::string& attribute, const std::vector<T>& values) {
    const Shape shape{static_cast<std::int64_t>(values.size())};
    write_attribute(attribute, element_type<T>(), &shape, values.data());
  }
  void set_attribute(const std::string& attribute, const std::vector<std::string>& values);

 protected:
  Object() = default;
  Object(Handle handle, Location location) : handle_(std::move(handle)), location_(std::move(location)) {}

  Handle handle_;
  Location location_;

 private:
  void write_attribute(const std::string& attribute, ElementType type, const Shape* shape, const void* values);
};

}  // namespace tessera::h5
