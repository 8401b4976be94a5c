#include "tessera/io/chip_file.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>
#include <tuple>

#include <fmt/format.h>
#include "io/model_contents.hpp"

namespace tessera::io {

namespace {

Shape device_shape(const ChipTile& tile) {
  return {tile.devices, tile.target.rows(), tile.target.cols()};
}

/// Rows of at most about a mebibyte, for the checksums.
h5::DatasetOptions checked(const Shape& shape) {
  h5::DatasetOptions options;
  if (element_count(shape) == 0) return options;
  options.chunk.assign(shape.size(), 1);
  options.chunk.back() = std::min<std::int64_t>(shape.back(), std::int64_t{1} << 18);
  if (shape.size() > 1)
    options.chunk[shape.size() - 2] =
        std::clamp<std::int64_t>((std::int64_t{1} << 18) / options.chunk.back(), 1, shape[shape.size() - 2]);
  options.checksum = true;
  return options;
}

void check(const ChipTile& tile) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, element_count(device_shape(tile))));
  const auto fits = [&](std::size_t size, bool may_be_empty) { return size == count || (may_be_empty && size == 0); };
  require<InputError>(tile.devices > 0 && fits(tile.conductances.size(), false) && fits(tile.drift.size(), true) &&
                          fits(tile.faults.size(), true),
                      "tile {} of '{}' on chip {} has {} devices of {}x{} weights, but {} conductances, {} drift"
                      " parameters and {} faults",
                      tile.chip.tile, tile.part, tile.chip.repeat, tile.devices, tile.target.rows(), tile.target.cols(),
                      tile.conductances.size(), tile.drift.size(), tile.faults.size());
}

void check_finite(std::span<const float> values, const h5::Group& group, const char* what) {
  require<InputError>(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }),
                      "{} of {} in '{}' are not finite (the file is damaged)", what, group.path(), group.file_name());
}

template <class T>
std::vector<T> read_devices(const h5::Group& group, const char* name, const Shape& shape) {
  if (!group.contains(name)) return {};
  const h5::Dataset dataset = group.dataset(name);
  dataset.require_shape(shape);
  return dataset.read<T>();
}

/// "key: value" in lines.
std::string text_of(const std::map<std::string, std::string>& entries) {
  std::string text;
  for (const auto& [key, value] : entries) text += fmt::format("{}: {}\n", key, value);
  return text;
}
std::map<std::string, std::string> entries_of(const std::string& text) {
  std::map<std::string, std::string> entries;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (const std::size_t colon = line.find(": "); colon != std::string::npos)
      entries[line.substr(0, colon)] = line.substr(colon + 2);
  return entries;
}

ChipTile read_tile(const h5::Group& group) {
  ChipTile tile;
  tile.part = group.attribute<std::string>("part");
  tile.chip.seed = static_cast<std::uint64_t>(group.attribute<std::int64_t>("seed"));
  tile.chip.layer = group.attribute<std::uint32_t>("layer");
  tile.chip.tile = group.attribute<std::uint32_t>("tile");
  tile.chip.repeat = group.attribute<std::uint32_t>("repeat");
  tile.devices = group.attribute<std::int64_t>("devices");
  tile.uS_per_weight = group.attribute<double>("uS_per_weight");
  tile.weight_offset = group.attribute<double>("weight_offset");
  tile.mean_pulses = group.attribute<double>("mean_pulses");
  tile.unconverged_fraction = group.attribute<double>("unconverged_fraction");
  if (group.has_attribute("programmed_under"))
    tile.programmed_under = entries_of(group.attribute<std::string>("programmed_under"));
  const h5::Dataset target = group.dataset("target");
  require<InputError>(target.rank() == 2 && tile.devices > 0 && tile.devices <= 1024 &&
                          std::isfinite(tile.uS_per_weight) && tile.uS_per_weight > 0 &&
                          std::isfinite(tile.weight_offset),
                      "{} in '{}' is no programmed tile (the file is damaged)", group.path(), group.file_name());
  tile.target = Matrix(target.shape()[0], target.shape()[1], target.read<float>());
  const Shape shape = device_shape(tile);
  tile.conductances = read_devices<float>(group, "conductances", shape);
  tile.drift = read_devices<float>(group, "drift", shape);
  tile.faults = read_devices<std::uint8_t>(group, "faults", shape);
  check(tile);
  check_finite(tile.target.values(), group, "targets");
  check_finite(tile.conductances, group, "conductances");
  check_finite(tile.drift, group, "drift parameters");
  require<InputError>(
      std::all_of(tile.faults.begin(), tile.faults.end(), [](std::uint8_t fault) { return fault <= 2; }),
      "faults of {} in '{}' are not 0, 1 or 2", group.path(), group.file_name());
  return tile;
}

}  // namespace

bool ChipTile::operator==(const ChipTile& other) const {
  const auto numbers = [](const ChipTile& tile) {
    return std::tie(tile.part, tile.chip.seed, tile.chip.layer, tile.chip.tile, tile.chip.repeat, tile.devices,
                    tile.uS_per_weight, tile.weight_offset, tile.conductances, tile.drift, tile.faults,
                    tile.mean_pulses, tile.unconverged_fraction, tile.programmed_under);
  };
  return numbers(*this) == numbers(other) && target.rows() == other.target.rows() &&
         target.cols() == other.target.cols() &&
         std::equal(target.values().begin(), target.values().end(), other.target.values().begin());
}

struct ChipFileWriter::Impl {
  using Key = std::tuple<std::string, std::uint32_t, std::uint32_t>;  ///< part, tile, chip

  explicit Impl(const std::string& path) : file(path, h5::Format::checked) {}

  static Key key(const ChipTile& tile) { return {tile.part, tile.chip.tile, tile.chip.repeat}; }

  h5::NewFile file;
  std::optional<h5::Group> chips;
  std::int64_t times = 0;
  std::int64_t reads = 0;
  std::map<Key, h5::Group> groups;
};

ChipFileWriter::ChipFileWriter(const std::string& path, const Model& model, const std::vector<double>& times,
                               std::int64_t reads)
    : impl_(std::make_unique<Impl>(path)) {
  write_contents(impl_->file, model);
  impl_->chips.emplace(impl_->file.create_group("chips"));
  impl_->times = std::ssize(times);
  impl_->reads = reads;
  h5::Dataset axis = impl_->chips->write("time", times);
  axis.set_attribute("units", "s");
  axis.set_attribute("long_name", "time after programming of /chips/*/weights");
}

ChipFileWriter::~ChipFileWriter() = default;
ChipFileWriter::ChipFileWriter(ChipFileWriter&&) noexcept = default;
ChipFileWriter& ChipFileWriter::operator=(ChipFileWriter&&) noexcept = default;

void ChipFileWriter::add(const ChipTile& tile) {
  check(tile);
  require<InputError>(!impl_->groups.contains(Impl::key(tile)), "tile {} of '{}' on chip {} was added before",
                      tile.chip.tile, tile.part, tile.chip.repeat);
  h5::Group group = impl_->chips->create_group(std::to_string(impl_->groups.size()));
  group.set_attribute("part", tile.part);
  group.set_attribute("seed", static_cast<std::int64_t>(tile.chip.seed));
  group.set_attribute("layer", tile.chip.layer);
  group.set_attribute("tile", tile.chip.tile);
  group.set_attribute("repeat", tile.chip.repeat);
  group.set_attribute("devices", tile.devices);
  group.set_attribute("uS_per_weight", tile.uS_per_weight);
  group.set_attribute("weight_offset", tile.weight_offset);
  group.set_attribute("mean_pulses", tile.mean_pulses);
  group.set_attribute("unconverged_fraction", tile.unconverged_fraction);
  if (!tile.programmed_under.empty()) group.set_attribute("programmed_under", text_of(tile.programmed_under));
  const Shape weights{tile.target.rows(), tile.target.cols()};
  group.write("target", weights, tile.target.values(), checked(weights));
  const Shape devices = device_shape(tile);
  group.write("conductances", devices, std::span<const float>(tile.conductances), checked(devices))
      .set_attribute("units", "uS");
  if (!tile.drift.empty()) group.write("drift", devices, std::span<const float>(tile.drift), checked(devices));
  if (!tile.faults.empty())
    group.write("faults", devices, std::span<const std::uint8_t>(tile.faults), checked(devices));
  if (impl_->times > 0) {
    const Shape reads{impl_->times, impl_->reads, weights[0], weights[1]};
    h5::DatasetOptions options = checked(reads);
    options.fill = std::nan("");
    group.create_dataset("weights", h5::ElementType::float32, reads, options);
  }
  impl_->groups.emplace(Impl::key(tile), std::move(group));
}

void ChipFileWriter::add_drifted(const std::string& part, std::uint32_t tile, std::uint32_t repeat, std::int64_t time,
                                 std::int64_t read, ConstMatrixView weights) {
  const auto found = impl_->groups.find({part, tile, repeat});
  require<InputError>(
      found != impl_->groups.end() && time >= 0 && time < impl_->times && read >= 0 && read < impl_->reads,
      "read {} at time {} of tile {} of '{}' on chip {} has no place in the file", read, time, tile, part, repeat);
  const Matrix packed(weights);
  found->second.dataset("weights").write_block({time, read, 0, 0}, {1, 1, packed.rows(), packed.cols()},
                                               packed.values());
}

void ChipFileWriter::commit() {
  impl_->groups.clear();
  impl_->chips.reset();
  impl_->file.commit();
}

std::vector<ChipTile> read_chips(const std::string& path) {
  const h5::File file = h5::File::open(path);
  require_model_file(file);
  std::vector<ChipTile> tiles;
  if (!file.contains("chips")) return tiles;
  const h5::Group chips = file.group("chips");
  const std::size_t count = chips.group_names().size();
  for (std::size_t i = 0; i < count; ++i) tiles.push_back(read_tile(chips.group(std::to_string(i))));
  return tiles;
}

}  // namespace tessera::io
