#include "tessera/h5/object.hpp"

#include <utility>

#include "h5/detail.hpp"

namespace tessera::h5 {
namespace {

Location attribute_location(const Object& object, const std::string& attribute) {
  return {object.file_name(), fmt::format("attribute '{}' of {}", attribute, object.path())};
}

struct OpenAttribute {
  Location where;
  Handle attribute, type, space;
  Shape shape;
  std::size_t size = 0;
};

OpenAttribute open_attribute(const Object& object, const std::string& name) {
  OpenAttribute open;
  open.where = attribute_location(object, name);
  const htri_t exists = H5Aexists(object.hid(), name.c_str());
  require<InputError>(exists != 0, "there is no {} in '{}'", open.where.path, open.where.file);
  open.attribute = detail::reading(H5Aopen(object.hid(), name.c_str(), H5P_DEFAULT), open.where, "open");
  open.type = detail::reading(H5Aget_type(open.attribute.id()), open.where, "read the type of");
  open.space = detail::reading(H5Aget_space(open.attribute.id()), open.where, "read the shape of");
  open.shape = detail::extents(open.space.id(), open.where);
  open.size = static_cast<std::size_t>(element_count(open.shape));
  // An attribute is stored within the metadata of its object: more than this is a damaged file.
  constexpr std::size_t limit = std::size_t{1} << 26;
  require<InputError>(open.size <= limit / std::max<std::size_t>(1, H5Tget_size(open.type.id())),
                      "{} in '{}' declares {} elements (the file is damaged)", open.where.path, open.where.file,
                      open.size);
  return open;
}

struct AttributeReader final : detail::RawReader {
  explicit AttributeReader(const OpenAttribute& open) : open_(open) {}
  void read(hid_t memory_type, void* out) const override {
    detail::check_reading(H5Aread(open_.attribute.id(), memory_type, out), open_.where, "read");
  }

 private:
  const OpenAttribute& open_;
};

void require_one(const OpenAttribute& open) {
  require<InputError>(open.size == 1, "{} in '{}' holds {} values of shape {} where one is expected", open.where.path,
                      open.where.file, open.size, to_string(open.shape));
}

herr_t collect_name(hid_t, const char* name, const H5A_info_t*, void* data) {
  static_cast<std::vector<std::string>*>(data)->emplace_back(name);
  return 0;
}

}  // namespace

std::string to_string(ElementType type) {
  switch (type) {
    case ElementType::float16:
      return "float16";
    case ElementType::float32:
      return "float32";
    case ElementType::float64:
      return "float64";
    case ElementType::int8:
      return "int8";
    case ElementType::uint8:
      return "uint8";
    case ElementType::int16:
      return "int16";
    case ElementType::uint16:
      return "uint16";
    case ElementType::int32:
      return "int32";
    case ElementType::uint32:
      return "uint32";
    case ElementType::int64:
      return "int64";
    case ElementType::uint64:
      return "uint64";
    case ElementType::boolean:
      return "boolean";
    case ElementType::string:
      return "string";
    case ElementType::other:
      break;
  }
  return "another type";
}

bool is_integer(ElementType type) {
  return type >= ElementType::int8 && type <= ElementType::uint64;
}
bool is_floating(ElementType type) {
  return type <= ElementType::float64;
}

Handle::Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}

Handle& Handle::operator=(Handle&& other) noexcept {
  if (this != &other) {
    close();
    id_ = std::exchange(other.id_, -1);
  }
  return *this;
}

Handle::~Handle() {
  close();
}

bool Handle::close() {
  if (!valid()) return true;
  const detail::QuietErrors quiet;
  return H5Idec_ref(std::exchange(id_, -1)) >= 0;
}

std::string Object::name() const {
  const std::size_t slash = path().rfind('/');
  return slash == std::string::npos || path() == "/" ? path() : path().substr(slash + 1);
}

bool Object::has_attribute(const std::string& attribute) const {
  const detail::QuietErrors quiet;
  const htri_t exists = H5Aexists(hid(), attribute.c_str());
  if (exists < 0) detail::fail_reading(attribute_location(*this, attribute), "look for");
  return exists > 0;
}

std::vector<AttributeInfo> Object::attributes() const {
  const detail::QuietErrors quiet;
  std::vector<std::string> names;
  hsize_t position = 0;
  if (H5Aiterate2(hid(), H5_INDEX_NAME, H5_ITER_NATIVE, &position, collect_name, &names) < 0) {
    detail::fail_reading(location_, "list the attributes of");
  }
  std::vector<AttributeInfo> infos;
  for (const std::string& name : names) {
    const Location where = attribute_location(*this, name);
    const Handle attribute = detail::reading(H5Aopen(hid(), name.c_str(), H5P_DEFAULT), where, "open");
    const Handle type = detail::reading(H5Aget_type(attribute.id()), where, "read the type of");
    const Handle space = detail::reading(H5Aget_space(attribute.id()), where, "read the shape of");
    const bool empty = H5Sget_simple_extent_type(space.id()) == H5S_NULL;
    infos.push_back({name, detail::classify(type.id()), empty ? Shape{0} : detail::extents(space.id(), where)});
  }
  return infos;
}

template <class T>
std::vector<T> Object::attribute_values(const std::string& attribute) const {
  const detail::QuietErrors quiet;
  const OpenAttribute open = open_attribute(*this, attribute);
  const AttributeReader reader(open);
  if constexpr (std::same_as<T, std::string>) {
    return detail::read_text(open.type.id(), open.space.id(), open.size, reader, open.where);
  } else {
    std::vector<T> values(open.size);
    detail::read_converted(open.type.id(), element_type<T>(), Precision::exact, open.size, reader, values.data(),
                           open.where);
    return values;
  }
}

template <class T>
T Object::attribute(const std::string& attribute) const {
  {
    const detail::QuietErrors quiet;
    require_one(open_attribute(*this, attribute));
  }
  if constexpr (std::same_as<T, bool>) {
    const auto value = this->attribute<std::int64_t>(attribute);
    require<InputError>(value == 0 || value == 1, "{} in '{}' is {} where 0 or 1 is expected",
                        attribute_location(*this, attribute).path, file_name(), value);
    return value == 1;
  } else {
    return std::move(attribute_values<T>(attribute).front());
  }
}

template std::vector<float> Object::attribute_values(const std::string&) const;
template std::vector<double> Object::attribute_values(const std::string&) const;
template std::vector<std::int8_t> Object::attribute_values(const std::string&) const;
template std::vector<std::uint8_t> Object::attribute_values(const std::string&) const;
template std::vector<std::int16_t> Object::attribute_values(const std::string&) const;
template std::vector<std::uint16_t> Object::attribute_values(const std::string&) const;
template std::vector<std::int32_t> Object::attribute_values(const std::string&) const;
template std::vector<std::uint32_t> Object::attribute_values(const std::string&) const;
template std::vector<std::int64_t> Object::attribute_values(const std::string&) const;
template std::vector<std::uint64_t> Object::attribute_values(const std::string&) const;
template std::vector<std::string> Object::attribute_values(const std::string&) const;
template float Object::attribute(const std::string&) const;
template double Object::attribute(const std::string&) const;
template std::int8_t Object::attribute(const std::string&) const;
template std::uint8_t Object::attribute(const std::string&) const;
template std::int16_t Object::attribute(const std::string&) const;
template std::uint16_t Object::attribute(const std::string&) const;
template std::int32_t Object::attribute(const std::string&) const;
template std::uint32_t Object::attribute(const std::string&) const;
template std::int64_t Object::attribute(const std::string&) const;
template std::uint64_t Object::attribute(const std::string&) const;
template std::string Object::attribute(const std::string&) const;
template bool Object::attribute(const std::string&) const;

namespace {

void write_raw_attribute(const Object& object, const std::string& name, hid_t type, const Shape* shape,
                         const void* values) {
  const Location where = attribute_location(object, name);
  if (H5Aexists(object.hid(), name.c_str()) > 0) {
    detail::check_writing(H5Adelete(object.hid(), name.c_str()), where, "replace");
  }
  std::vector<hsize_t> dims;
  if (shape != nullptr) dims.assign(shape->begin(), shape->end());
  const Handle space = detail::writing(
      shape == nullptr ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
      where, "describe");
  const Handle attribute = detail::writing(
      H5Acreate2(object.hid(), name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT), where, "create");
  const bool empty = shape != nullptr && element_count(*shape) == 0;
  if (!empty) detail::check_writing(H5Awrite(attribute.id(), type, values), where, "write");
}

}  // namespace

void Object::write_attribute(const std::string& attribute, ElementType type, const Shape* shape, const void* values) {
  const detail::QuietErrors quiet;
  write_raw_attribute(*this, attribute, detail::native_type(type), shape, values);
}

void Object::set_attribute(const std::string& attribute, std::string_view value) {
  const detail::QuietErrors quiet;
  detail::check_text(value, attribute_location(*this, attribute));
  const std::string text(value);
  const char* pointer = text.c_str();
  const Handle type(detail::text_type());
  write_raw_attribute(*this, attribute, type.id(), nullptr, static_cast<const void*>(&pointer));
}

void Object::set_attribute(const std::string& attribute, const std::vector<std::string>& values) {
  const detail::QuietErrors quiet;
  std::vector<const char*> pointers;
  for (const std::string& value : values) {
    detail::check_text(value, attribute_location(*this, attribute));
    pointers.push_back(value.c_str());
  }
  const Handle type(detail::text_type());
  const Shape shape{static_cast<std::int64_t>(values.size())};
  write_raw_attribute(*this, attribute, type.id(), &shape, static_cast<const void*>(pointers.data()));
}

}  // namespace tessera::h5
