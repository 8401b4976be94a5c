#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "tessera/h5/image.hpp"
#include "tessera/results/records.hpp"

namespace tessera::h5 {
class File;
}

namespace tessera::results {

/// What a file is for.
enum class FileUse {
  results,  ///< to be read: every variable that the header declares, with units, meaning and named axes
  point     ///< to be copied into a sweep by Writer::copy_point(): what was written, and nothing that explains it
};

/// Writes a result file. It appears under its name only with commit(); until then it is "<name>.partial", complete up
/// to the last finished point even if the process is killed. Destroyed without commit: removed.
///
/// Order of calls: write_hardware, write_programming, write_weights, write_predictions, write_output for a point in any
/// order and any number of blocks of samples, then write_point, which finishes and flushes the point. Points in any
/// order. One thread at a time. Memory does not grow with the data set.
///
/// Throws RunError where writing fails and for records that do not fit the header.
class Writer {
 public:
  /// Creates the file with everything the header declares. RunError at once if the place is not writable.
  Writer(const std::string& path, Header header, FileUse use = FileUse::results);
  /// A file in memory with the same contents.
  explicit Writer(Header header, FileUse use = FileUse::results);
  ~Writer();
  Writer(Writer&&) noexcept;
  Writer& operator=(Writer&&) = delete;

  const Header& header() const;

  /// Score of the float32 network at one place of the swept axes (empty for a plain run).
  void write_reference(const std::vector<std::int64_t>& swept, const Score& score);
  void write_reference_predictions(const std::vector<std::int64_t>& swept, std::int64_t first_sample,
                                   std::span<const std::int32_t> classes);
  void write_hardware(const std::vector<std::int64_t>& swept, std::size_t layer, const LayerHardware& hardware);

  /// Of the chip `repeat`; layers with devices only.
  void write_programming(const std::vector<std::int64_t>& swept, std::int64_t repeat, std::size_t layer,
                         const LayerProgramming& programming);
  /// After write_hardware of the layer; layers with devices only.
  void write_weights(const PointIndex& index, std::size_t layer, const LayerWeights& weights);
  void write_predictions(const PointIndex& index, std::int64_t first_sample, std::span<const std::int32_t> classes);
  /// `values` are [samples, features...] row-major, from sample `first_sample` on.
  void write_output(const PointIndex& index, std::size_t layer, std::int64_t first_sample,
                    std::span<const float> values);
  /// Likewise an output of the network, by Header::outputs, and the same in float32.
  void write_network_output(const PointIndex& index, std::size_t output, std::int64_t first_sample,
                            std::span<const float> values);
  void write_reference_output(const std::vector<std::int64_t>& swept, std::size_t output, std::int64_t first_sample,
                              std::span<const float> values);
  void write_point(const PointIndex& index, const Point& point);

  /// Copies a finished point from a file of its own (without swept axes, of either use) to `swept`; its repeats go to
  /// `first_repeat` and on.
  void copy_point(const std::vector<std::int64_t>& swept, const h5::File& point, std::int64_t first_repeat = 0);
  /// Energy of a point, and area at a place, over those of the first point of the sweep.
  void write_relative_energy(const PointIndex& index, const RelativeCost& energy);
  void write_relative_area(const std::vector<std::int64_t>& swept, const RelativeCost& area);
  /// How many chips the point has when it is complete; with Header::stopped only.
  void write_chips(const std::vector<std::int64_t>& swept, std::int64_t chips);

  void write_runtime(const Runtime& runtime);
  /// Points finished so far.
  std::int64_t finished() const;
  /// Gives the file its name, or returns the one in memory. Missing points stay fill values, and the attribute
  /// `complete` is 1 only without any.
  h5::Image commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::results
