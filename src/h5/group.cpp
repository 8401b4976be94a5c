#include "tessera/h5/group.hpp"

#include <hdf5_hl.h>

#include <cmath>
#include <exception>

#include "h5/detail.hpp"

namespace tessera::h5 {
namespace {

Kind kind_of(hid_t object) {
  switch (H5Iget_type(object)) {
    case H5I_GROUP:
      return Kind::group;
    case H5I_DATASET:
      return Kind::dataset;
    default:
      return Kind::other;
  }
}

/// Does a link of this name exist at every step, and does the last one lead to an object?
bool resolves(hid_t group, const std::string& path) {
  if (path.empty()) return false;
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (H5Lexists(group, path.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
  }
  if (path == "/") return true;
  return H5Lexists(group, path.c_str(), H5P_DEFAULT) > 0 && H5Oexists_by_name(group, path.c_str(), H5P_DEFAULT) > 0;
}

H5_index_t order_index(hid_t group) {
  const Handle properties(H5Gget_create_plist(group));
  unsigned order = 0;
  if (properties.valid() && H5Pget_link_creation_order(properties.id(), &order) >= 0 &&
      (order & H5P_CRT_ORDER_INDEXED) != 0) {
    return H5_INDEX_CRT_ORDER;
  }
  return H5_INDEX_NAME;
}

std::string link_name(hid_t group, H5_index_t index, hsize_t i, const Location& where) {
  const ssize_t length = H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, i, nullptr, 0, H5P_DEFAULT);
  if (length < 0) detail::fail_reading(where, "list");
  std::string name(static_cast<std::size_t>(length) + 1, '\0');
  H5Lget_name_by_idx(group, ".", index, H5_ITER_INC, i, name.data(), name.size(), H5P_DEFAULT);
  name.resize(static_cast<std::size_t>(length));
  return name;
}

struct Visit {
  const std::function<void(const std::string&, Kind)>& visitor;
  std::exception_ptr error;
};

herr_t visit_object(hid_t, const char* path, const H5O_info_t* info, void* data) {
  auto& visit = *static_cast<Visit*>(data);
  if (std::string_view(path) == ".") return 0;
  const Kind kind = info->type == H5O_TYPE_GROUP     ? Kind::group
                    : info->type == H5O_TYPE_DATASET ? Kind::dataset
                                                     : Kind::other;
  try {
    visit.visitor(path, kind);
  } catch (...) {
    visit.error = std::current_exception();
    return 1;
  }
  return 0;
}

/// Groups on the way are created, keep the order of their links and carry no time stamps.
Handle link_creation() {
  Handle properties(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(properties.id(), 1);
  H5Pset_char_encoding(properties.id(), H5T_CSET_UTF8);
  return properties;
}

Handle group_creation() {
  Handle properties(H5Pcreate(H5P_GROUP_CREATE));
  H5Pset_link_creation_order(properties.id(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  H5Pset_obj_track_times(properties.id(), false);
  return properties;
}

}  // namespace

Location Group::below(const std::string& path) const {
  if (path.starts_with('/')) return {file_name(), path};
  return {file_name(), fmt::format("{}/{}", this->path() == "/" ? "" : this->path(), path)};
}

std::vector<Child> Group::children() const {
  const detail::QuietErrors quiet;
  H5G_info_t info{};
  detail::check_reading(H5Gget_info(hid(), &info), location_, "list");
  const H5_index_t index = order_index(hid());
  std::vector<Child> children;
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    Child child;
    child.name = link_name(hid(), index, i, location_);
    if (resolves(hid(), child.name)) {
      const Handle object = detail::reading(H5Oopen(hid(), child.name.c_str(), H5P_DEFAULT), below(child.name), "open");
      child.kind = kind_of(object.id());
    }
    children.push_back(std::move(child));
  }
  return children;
}

std::vector<std::string> Group::group_names() const {
  std::vector<std::string> names;
  for (Child& child : children()) {
    if (child.kind == Kind::group) names.push_back(std::move(child.name));
  }
  return names;
}

std::vector<std::string> Group::dataset_names() const {
  std::vector<std::string> names;
  for (Child& child : children()) {
    if (child.kind == Kind::dataset) names.push_back(std::move(child.name));
  }
  return names;
}

bool Group::contains(const std::string& path) const {
  const detail::QuietErrors quiet;
  const bool found = resolves(hid(), path);
  H5Eclear2(H5E_DEFAULT);
  return found;
}

Group Group::group(const std::string& path) const {
  const detail::QuietErrors quiet;
  const Location where = below(path);
  require<InputError>(resolves(hid(), path), "there is no group {} in '{}'", where.path, where.file);
  Handle object = detail::reading(H5Oopen(hid(), path.c_str(), H5P_DEFAULT), where, "open");
  require<InputError>(kind_of(object.id()) == Kind::group, "{} in '{}' is not a group", where.path, where.file);
  return {std::move(object), where};
}

Dataset Group::dataset(const std::string& path) const {
  const detail::QuietErrors quiet;
  const Location where = below(path);
  require<InputError>(resolves(hid(), path), "there is no dataset {} in '{}'", where.path, where.file);
  Handle object = detail::reading(H5Oopen(hid(), path.c_str(), H5P_DEFAULT), where, "open");
  require<InputError>(kind_of(object.id()) == Kind::dataset, "{} in '{}' is not a dataset", where.path, where.file);
  return {std::move(object), where};
}

void Group::visit(const std::function<void(const std::string&, Kind)>& visitor) const {
  const detail::QuietErrors quiet;
  Visit visit{visitor, nullptr};
  const herr_t status = H5Ovisit2(hid(), order_index(hid()), H5_ITER_NATIVE, visit_object, &visit, H5O_INFO_BASIC);
  if (visit.error) std::rethrow_exception(visit.error);
  if (status < 0) detail::fail_reading(location_, "visit");
}

Group Group::create_group(const std::string& path) {
  const detail::QuietErrors quiet;
  const Location where = below(path);
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    require_group(path.substr(0, slash));
  }
  return {detail::writing(H5Gcreate2(hid(), path.c_str(), link_creation().id(), group_creation().id(), H5P_DEFAULT),
                          where, "create group"),
          where};
}

Group Group::require_group(const std::string& path) {
  return contains(path) ? group(path) : create_group(path);
}

Dataset Group::create_dataset(const std::string& path, ElementType type, const Shape& shape,
                              const DatasetOptions& options) {
  const detail::QuietErrors quiet;
  const Location where = below(path);
  const std::size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) require_group(path.substr(0, slash));

  const Handle text = type == ElementType::string ? Handle(detail::text_type()) : Handle();
  const hid_t stored = text.valid() ? text.id() : detail::native_type(type);
  require<RunError>(stored >= 0, "cannot create {} in '{}' (datasets of {} are only read)", where.path, where.file,
                    to_string(type));
  const Handle properties(H5Pcreate(H5P_DATASET_CREATE));
  H5Pset_obj_track_times(properties.id(), false);
  if (!options.chunk.empty()) {
    require<RunError>(options.chunk.size() == shape.size(), "the chunk {} of {} in '{}' does not match its shape {}",
                      to_string(options.chunk), where.path, where.file, to_string(shape));
    const std::vector<hsize_t> chunk(options.chunk.begin(), options.chunk.end());
    detail::check_writing(H5Pset_chunk(properties.id(), static_cast<int>(chunk.size()), chunk.data()), where,
                          "chunk dataset");
  }
  if (options.deflate > 0) {
    require<RunError>(!options.chunk.empty() && options.deflate <= 9,
                      "cannot compress {} in '{}' (compression needs chunks and a level of 1 to 9)", where.path,
                      where.file);
    H5Pset_shuffle(properties.id());
    H5Pset_deflate(properties.id(), static_cast<unsigned>(options.deflate));
  }
  if (options.checksum) {
    require<RunError>(!options.chunk.empty(), "cannot add checksums to {} in '{}' (they need chunks)", where.path,
                      where.file);
    H5Pset_fletcher32(properties.id());
  }
  if (options.allocate_early) H5Pset_alloc_time(properties.id(), H5D_ALLOC_TIME_EARLY);
  if (options.fill) {
    const double fill = *options.fill;
    detail::check_writing(H5Pset_fill_value(properties.id(), H5T_NATIVE_DOUBLE, &fill), where, "set the fill value of");
  }
  const std::vector<hsize_t> dims(shape.begin(), shape.end());
  const Handle space = detail::writing(
      shape.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr),
      where, "shape dataset");
  Dataset dataset(detail::writing(H5Dcreate2(hid(), path.c_str(), stored, space.id(), link_creation().id(),
                                             properties.id(), H5P_DEFAULT),
                                  where, "create dataset"),
                  where);
  if (options.fill) {
    // The attribute has the element type of the dataset: netCDF insists on it.
    double converted = *options.fill;
    H5Tconvert(H5T_NATIVE_DOUBLE, stored, 1, &converted, nullptr, H5P_DEFAULT);
    const double bytes = converted;
    H5Tconvert(stored, H5T_NATIVE_DOUBLE, 1, &converted, nullptr, H5P_DEFAULT);
    require<RunError>(converted == *options.fill || std::isnan(converted),
                      "the fill value {} of {} in '{}' does not exist in {}", *options.fill, where.path, where.file,
                      to_string(type));
    const Handle scalar(H5Screate(H5S_SCALAR));
    const Handle attribute = detail::writing(
        H5Acreate2(dataset.hid(), "_FillValue", stored, scalar.id(), H5P_DEFAULT, H5P_DEFAULT), where, "create");
    detail::check_writing(H5Awrite(attribute.id(), stored, &bytes), where, "write the fill value of");
  }
  return dataset;
}

Dataset Group::create_dimension(const std::string& name, std::int64_t length) {
  Dataset dimension = create_dataset(name, ElementType::float32, {length});
  const detail::QuietErrors quiet;
  const std::string label = fmt::format("This is a netCDF dimension but not a netCDF variable.{:10d}", length);
  detail::check_writing(H5DSset_scale(dimension.hid(), label.c_str()), dimension.location(), "make a dimension of");
  return dimension;
}

Dataset Group::write(const std::string& path, const std::vector<std::string>& values) {
  for (const std::string& value : values) detail::check_text(value, below(path));
  Dataset dataset = create_dataset(path, ElementType::string, {static_cast<std::int64_t>(values.size())});
  dataset.write(values);
  return dataset;
}

Dataset Group::write_text(const std::string& path, std::string_view text) {
  detail::check_text(text, below(path));
  Dataset dataset = create_dataset(path, ElementType::string, {});
  dataset.write(std::vector<std::string>{std::string(text)});
  return dataset;
}

}  // namespace tessera::h5
