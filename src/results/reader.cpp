#include "tessera/results/reader.hpp"

#include <charconv>
#include <cmath>
#include <limits>

#include "tessera/results/schema.hpp"

namespace tessera::results {
namespace {

struct SchemaVersion {
  int major = -1;
  int minor = -1;
};

SchemaVersion parse_version(const std::string& text, const std::string& file) {
  SchemaVersion version;
  const char* end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.major);
  const bool dotted = major.ec == std::errc() && major.ptr != end && *major.ptr == '.';
  const auto minor = dotted ? std::from_chars(major.ptr + 1, end, version.minor) : major;
  require<InputError>(dotted && minor.ec == std::errc() && minor.ptr == end && version.major >= 0 && version.minor >= 0,
                      "'{}' has the schema version '{}' (expected \"major.minor\")", file, text);
  return version;
}

std::vector<double> read_doubles(const h5::Dataset& dataset) {
  if (!h5::is_integer(dataset.type())) return dataset.read<double>();
  std::vector<double> values;
  const bool fills = dataset.has_attribute("_FillValue");
  const auto fill = fills ? dataset.attribute<std::int64_t>("_FillValue") : 0;
  for (const std::int64_t value : dataset.read<std::int64_t>()) {
    values.push_back(fills && value == fill ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(value));
  }
  return values;
}

Axis read_axis(const h5::Dataset& dataset) {
  Axis axis;
  axis.name = dataset.name();
  axis.units = dataset.attribute<std::string>("units", "1");
  axis.long_name = dataset.attribute<std::string>("long_name", axis.name);
  if (dataset.type() == h5::ElementType::string) {
    axis.values = dataset.read<std::string>();
  } else {
    axis.values = dataset.read<double>();
  }
  return axis;
}

}  // namespace

Reader::Reader(const std::string& path) : Reader(h5::File::open(path)) {}

Reader::Reader(h5::File file) : file_(std::move(file)) {
  const std::string path = file_.file_name();
  require<InputError>(file_.attribute<std::string>("filetype", "") == filetype,
                      "'{}' is not a result file of tessera (it has no attribute filetype = {})", path, filetype);
  const SchemaVersion version = parse_version(file_.attribute<std::string>("schema_version"), path);
  require<InputError>(version.major == schema_major,
                      "'{}' has schema version {}.{}, this program reads {}.x (it was written by tessera {})", path,
                      version.major, version.minor, schema_major, tessera_version());
  schema_minor_ = version.minor;
  if (file_.has_attribute("swept")) swept_ = file_.attribute_values<std::string>("swept");
}

std::string Reader::version_note() const {
  if (schema_minor_ <= results::schema_minor) return "";
  return fmt::format("'{}' was written by a later version (tessera {}); what that version added is not shown", path(),
                     tessera_version());
}

std::string Reader::tessera_version() const {
  return file_.attribute<std::string>("tessera_version", "unknown");
}
std::string Reader::created_utc() const {
  return file_.attribute<std::string>("created_utc");
}
std::string Reader::command() const {
  return file_.attribute<std::string>("command");
}
std::string Reader::task_id() const {
  return file_.attribute<std::string>("task_id");
}
std::uint64_t Reader::seed() const {
  return file_.attribute<std::uint64_t>("seed");
}
std::uint32_t Reader::rng_layout() const {
  return file_.attribute<std::uint32_t>("rng_layout");
}
bool Reader::complete() const {
  return file_.attribute<bool>("complete");
}
std::string Reader::config_text() const {
  return file_.dataset("/config/text").read_scalar<std::string>();
}
std::string Reader::resolved_text() const {
  return file_.dataset("/config/resolved").read_scalar<std::string>();
}

std::vector<Axis> Reader::axes() const {
  std::vector<Axis> axes;
  for (const std::string& name : swept_) axes.push_back(read_axis(file_.dataset(name)));
  for (const Dim dim : {Dim::time, Dim::repeat}) axes.push_back(read_axis(file_.dataset(std::string(to_string(dim)))));
  return axes;
}

std::vector<LayerInfo> Reader::layers() const {
  const h5::Group group = file_.group("/layers");
  const auto inputs = group.dataset("inputs").read<std::int64_t>();
  const auto outputs = group.dataset("outputs").read<std::int64_t>();
  std::vector<LayerInfo> layers;
  for (const std::string& name : group.group_names()) {
    const h5::Group layer = group.group(name);
    const auto index = layer.attribute<std::int64_t>("index");
    require<InputError>(index >= 0 && index < static_cast<std::int64_t>(std::min(inputs.size(), outputs.size())),
                        "{} in '{}' has the index {} among {} layers (the file is damaged)", layer.path(), path(),
                        index, inputs.size());
    const auto i = static_cast<std::size_t>(index);
    layers.push_back({layer.attribute<std::string>("name"), layer.path(), layer.attribute<std::string>("op"),
                      layer.attribute<bool>("analog"), inputs[i], outputs[i]});
  }
  return layers;
}

std::vector<VariableInfo> Reader::variables() const {
  std::vector<VariableInfo> infos;
  file_.visit([&](const std::string& name, h5::Kind kind) {
    if (kind != h5::Kind::dataset) return;
    const h5::Dataset dataset = file_.dataset("/" + name);
    if (h5::is_scale(dataset)) return;
    infos.push_back({dataset.path(), h5::dimension_names(dataset), dataset.shape(), dataset.type(),
                     dataset.attribute<std::string>("units", "1"), dataset.attribute<std::string>("long_name", "")});
  });
  return infos;
}

NamedArray Reader::read(const std::string& variable) const {
  const h5::Dataset dataset = file_.dataset(variable);
  return {h5::dimension_names(dataset), dataset.shape(), read_doubles(dataset)};
}

std::vector<std::string> Reader::texts(const std::string& variable) const {
  return file_.dataset(variable).read<std::string>();
}

}  // namespace tessera::results
