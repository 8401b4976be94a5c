#include "tree.hpp"

#include <set>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::python {

namespace {

using h5::ElementType;

/// Calls visit(T{}) for the type in which elements are handed over.
template <class Visit>
nb::object by_type(ElementType type, const std::string& what, const Visit& visit) {
  switch (type) {
    case ElementType::float64:
      return visit(double{});
    case ElementType::float16:
    case ElementType::float32:
      return visit(float{});
    case ElementType::int8:
      return visit(std::int8_t{});
    case ElementType::uint8:
    case ElementType::boolean:
      return visit(std::uint8_t{});
    case ElementType::int16:
      return visit(std::int16_t{});
    case ElementType::uint16:
      return visit(std::uint16_t{});
    case ElementType::int32:
      return visit(std::int32_t{});
    case ElementType::uint32:
      return visit(std::uint32_t{});
    case ElementType::int64:
      return visit(std::int64_t{});
    case ElementType::uint64:
      return visit(std::uint64_t{});
    default:
      throw InputError(what + " has a type that is not read");
  }
}

std::vector<std::size_t> to_sizes(const Shape& shape) {
  return {shape.begin(), shape.end()};
}

nb::object to_object(const h5::Dataset& dataset) {
  if (dataset.type() == ElementType::string) return nb::cast(dataset.read<std::string>());
  return by_type(dataset.type(), dataset.path(),
                 [&]<class T>(T) { return nb::cast(to_numpy(dataset.read<T>(), to_sizes(dataset.shape()))); });
}

/// What HDF5 and netCDF keep for themselves.
bool is_internal(std::string_view name) {
  return name == "DIMENSION_LIST" || name == "REFERENCE_LIST" || name == "CLASS" || name == "NAME" ||
         name == "_Netcdf4Dimid" || name == "_Netcdf4Coordinates" || name == "_NCProperties";
}

nb::dict attributes_of(const h5::Object& object) {
  nb::dict attributes;
  for (const h5::AttributeInfo& info : object.attributes()) {
    if (is_internal(info.name)) continue;
    if (info.type == ElementType::string) {
      const auto values = object.attribute_values<std::string>(info.name);
      attributes[info.name.c_str()] = info.shape.empty() ? nb::cast(values.front()) : nb::cast(values);
      continue;
    }
    attributes[info.name.c_str()] = by_type(info.type, info.name, [&]<class T>(T) {
      return nb::cast(to_numpy(object.attribute_values<T>(info.name), to_sizes(info.shape)));
    });
  }
  return attributes;
}

nb::dict group_tree(const h5::Group& group) {
  nb::dict variables, groups;
  for (const h5::Child& child : group.children()) {
    if (child.kind == h5::Kind::group) {
      groups[child.name.c_str()] = group_tree(group.group(child.name));
    } else if (child.kind == h5::Kind::dataset) {
      const h5::Dataset dataset = group.dataset(child.name);
      if (h5::is_bare_dimension(dataset)) continue;
      std::vector<std::string> dims = h5::dimension_names(dataset);
      if (h5::is_scale(dataset) && dims.size() == 1 && dims.front().empty()) dims.front() = child.name;
      variables[child.name.c_str()] = nb::make_tuple(dims, dataset.shape(), to_object(dataset), attributes_of(dataset));
    }
  }
  nb::dict tree;
  tree["attrs"] = attributes_of(group);
  tree["variables"] = variables;
  tree["groups"] = groups;
  return tree;
}

}  // namespace

nb::dict to_tree(const app::ResultFile& file) {
  return group_tree(file.open());
}

}  // namespace tessera::python
