#include <hdf5_hl.h>

#include "h5/detail.hpp"
#include "tessera/h5/dataset.hpp"

namespace tessera::h5 {
namespace {

constexpr std::string_view bare_dimension_prefix = "This is a netCDF dimension but not a netCDF variable";

struct FoundScale {
  std::string name;
};

herr_t take_name(hid_t, unsigned, hid_t scale, void* data) {
  const ssize_t length = H5Iget_name(scale, nullptr, 0);
  if (length <= 0) return 0;
  std::string path(static_cast<std::size_t>(length) + 1, '\0');
  H5Iget_name(scale, path.data(), path.size());
  path.resize(static_cast<std::size_t>(length));
  static_cast<FoundScale*>(data)->name = path.substr(path.rfind('/') + 1);
  return 1;
}

}  // namespace

void make_scale(Dataset& scale) {
  const detail::QuietErrors quiet;
  require<RunError>(scale.rank() == 1, "{} in '{}' cannot be a coordinate (its shape is {}; a coordinate has one axis)",
                    scale.path(), scale.file_name(), to_string(scale.shape()));
  detail::check_writing(H5DSset_scale(scale.hid(), scale.name().c_str()), scale.location(), "make a coordinate of");
}

void attach_scale(Dataset& dataset, std::int64_t axis, const Dataset& scale) {
  const detail::QuietErrors quiet;
  require<RunError>(axis >= 0 && axis < dataset.rank(), "{} in '{}' has no axis {}", dataset.path(),
                    dataset.file_name(), axis);
  const std::int64_t extent = dataset.shape()[static_cast<std::size_t>(axis)];
  require<RunError>(scale.rank() == 1 && scale.size() == extent,
                    "{} of shape {} cannot name axis {} of {} in '{}' (its length is {})", scale.path(),
                    to_string(scale.shape()), axis, dataset.path(), dataset.file_name(), extent);
  detail::check_writing(H5DSattach_scale(dataset.hid(), scale.hid(), static_cast<unsigned>(axis)), dataset.location(),
                        "name an axis of");
}

bool is_scale(const Dataset& dataset) {
  const detail::QuietErrors quiet;
  return H5DSis_scale(dataset.hid()) > 0;
}

bool is_bare_dimension(const Dataset& dataset) {
  return is_scale(dataset) && dataset.has_attribute("NAME") &&
         dataset.attribute<std::string>("NAME").starts_with(bare_dimension_prefix);
}

std::vector<std::string> dimension_names(const Dataset& dataset) {
  const detail::QuietErrors quiet;
  std::vector<std::string> names(static_cast<std::size_t>(dataset.rank()));
  if (H5DSis_scale(dataset.hid()) > 0) {
    if (names.size() == 1) names[0] = dataset.name();
    return names;
  }
  for (std::size_t axis = 0; axis < names.size(); ++axis) {
    FoundScale found;
    // A file without scales makes this fail; the axis then has no name.
    H5DSiterate_scales(dataset.hid(), static_cast<unsigned>(axis), nullptr, take_name, &found);
    names[axis] = found.name;
  }
  H5Eclear2(H5E_DEFAULT);
  return names;
}

void set_label(Dataset& dataset, std::int64_t axis, const std::string& label) {
  const detail::QuietErrors quiet;
  detail::check_text(label, dataset.location());
  detail::check_writing(H5DSset_label(dataset.hid(), static_cast<unsigned>(axis), label.c_str()), dataset.location(),
                        "label an axis of");
}

std::string label(const Dataset& dataset, std::int64_t axis) {
  const detail::QuietErrors quiet;
  const ssize_t length = H5DSget_label(dataset.hid(), static_cast<unsigned>(axis), nullptr, 0);
  if (length < 0) detail::fail_reading(dataset.location(), "read the label of an axis of");
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  H5DSget_label(dataset.hid(), static_cast<unsigned>(axis), text.data(), text.size());
  text.resize(static_cast<std::size_t>(length));
  return text;
}

}  // namespace tessera::h5
