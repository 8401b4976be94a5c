#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "results/layout.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/assemble.hpp"
#include "tessera/results/writer.hpp"

/// Private: what is behind a Writer. writer_variables.cpp creates the variables of a file, writer_records.cpp writes
/// records into them.
namespace tessera::results {

struct Writer::Impl {
  Impl(h5::NewFile to, Header given, FileUse use);

  // --- variables -----------------------------------------------------------------------------------------------------

  static std::string full_name(const std::string& group, std::string_view name) {
    return fmt::format("{}/{}", group == "/" ? "" : group, name);
  }
  bool announced(const std::string& group, std::string_view name) const {
    return datasets.contains(full_name(group, name));
  }
  /// RunError unless the header declares it. In the file of a point it is created here, `values` along its tiles.
  h5::Dataset& dataset(const std::string& group, std::string_view name, std::size_t values = 0);
  h5::Dataset& open_dataset(const std::string& path);
  /// For which libhdf5 keeps some 20 KB each; dataset() opens again what it is asked for.
  void close_datasets();
  static bool along_tiles(const Variable& row);
  void create_variable(const std::string& path, const Variable& row, const LayerHeader* layer, std::int64_t tiles,
                       std::int64_t columns);
  /// The layer of a group below /layers; null elsewhere.
  const LayerHeader* layer_of(const std::string& group) const;

  // --- places --------------------------------------------------------------------------------------------------------

  Shape swept_place(const std::vector<std::int64_t>& swept) const;
  Shape place(const PointIndex& index) const;
  std::int64_t point_count() const;

  // --- values --------------------------------------------------------------------------------------------------------

  /// Writes what lies at `at` along the leading axes: the rest of the axes whole, or their front for fewer values.
  template <class T>
  void put(const std::string& group, std::string_view name, const Shape& at, const std::vector<T>& values) {
    h5::Dataset& to = dataset(group, name, values.size());
    Shape start = at;
    Shape count(at.size(), 1);
    std::int64_t inner = 1;
    for (std::size_t axis = at.size() + 1; axis < to.shape().size(); ++axis) inner *= to.shape()[axis];
    for (std::size_t axis = at.size(); axis < to.shape().size(); ++axis) {
      start.push_back(0);
      count.push_back(axis == at.size() ? static_cast<std::int64_t>(values.size()) / inner : to.shape()[axis]);
    }
    to.write_block(start, count, std::span<const T>(values));
  }
  template <class T>
  void put(const std::string& group, std::string_view name, const Shape& at, T value) {
    put(group, name, at, std::vector<T>{value});
  }
  /// `values` of whole samples from `first` on, behind the leading axes `at`.
  template <class T>
  void put_samples(const std::string& group, std::string_view name, Shape at, std::int64_t first,
                   std::span<const T> values) {
    h5::Dataset& to = dataset(group, name);
    Shape count(at.size(), 1);
    std::int64_t sample_size = 1;
    for (std::size_t axis = at.size() + 1; axis < to.shape().size(); ++axis) sample_size *= to.shape()[axis];
    const auto size = static_cast<std::int64_t>(values.size());
    require<RunError>(sample_size > 0 ? size % sample_size == 0 : size == 0,
                      "{} values are not whole samples of {} values for {}", size, sample_size, to.path());
    count.push_back(sample_size > 0 ? size / sample_size : 0);
    const std::size_t leading = at.size();
    at.push_back(first);
    for (std::size_t axis = leading + 1; axis < to.shape().size(); ++axis) {
      at.push_back(0);
      count.push_back(to.shape()[axis]);
    }
    to.write_block(at, count, values);
  }

  void put_text(const std::string& group, std::string_view name, const std::string& text);
  void put_score(const std::string& group, const Shape& at, const Score& score);
  void put_layer_point(std::size_t i, const Shape& at, const LayerPoint& layer);
  void put_populations(const Shape& at, const std::vector<PopulationPoint>& populations);
  void put_hardware(const Shape& at, std::size_t i, const LayerHardware& hardware);
  void put_crossbar(const Shape& at, std::size_t i, const LayerHardware& hardware);
  void put_programming(const Shape& swept, std::int64_t repeat, std::size_t i, const LayerProgramming& programming);
  void put_cost(const Shape& at, const CostRecord& cost);
  void put_layer_cost(std::size_t i, const Shape& at, const Shape& swept, const LayerCostRecord& layer);
  void put_weights(const Shape& at, std::size_t i, const LayerWeights& weights);

  Header header;
  FileUse use;
  h5::NewFile file;
  std::vector<CopyTarget> targets;  ///< of the values of points; datasets as they are opened
  std::vector<std::string> layer_groups;
  std::vector<std::string> output_groups;
  std::vector<LayerHeader> output_layers;                      ///< names and shapes of outputs, as layers have them
  std::map<std::string, std::optional<h5::Dataset>> datasets;  ///< all there are; none: closed
  std::map<std::string, h5::Dataset> scales;

 private:
  void write_attributes();
  void create_layer(std::size_t index);
  void create_group(const std::string& path, const LayerHeader* layer);
  const h5::Dataset& scale(h5::Group& group, const NamedExtent& axis);
  h5::Dataset create_scale(h5::Group& group, const NamedExtent& axis) const;
  void put_layer_table();
  void put_repeats();
  void put_population_table();
};

}  // namespace tessera::results
