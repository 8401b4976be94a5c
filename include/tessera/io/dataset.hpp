#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/io/data_parameters.hpp"

/// Samples with or without labels, read in batches. Formats and every refusal are described in docs/formats/data.md.
namespace tessera::io {

class SampleSource;

/// One input of a data set of several: where its values lie in a sample, which holds them one after the other.
struct DataInput {
  std::string name;
  Shape sample_shape;
  std::int64_t offset = 0;

  bool operator==(const DataInput&) const = default;
};
/// An input that has the same value in every element.
struct ConstantInput {
  std::string name;
  double value = 0.0;
  Shape sample_shape;  ///< empty: as the network has it

  bool operator==(const ConstantInput&) const = default;
};
std::vector<ConstantInput> constant_inputs(const DataParameters& parameters);

/// An opened data set: an immutable value, cheap to copy, safe to read from several threads (format hdf5: as long as no
/// other thread uses HDF5 for something else at that time, see h5/object.hpp).
///
/// Opening checks headers, sizes and labels completely; sample values are checked when they are read. Files stay on
/// disk and are read batch by batch; a gzipped file is unpacked once into memory in the file's own element type.
class DataSet {
 public:
  /// ConfigError where the parameters are wrong (see validate); InputError, naming the file, what is wrong with it and
  /// what to do, where a file is missing, damaged, or does not fit the parameters or the labels.
  explicit DataSet(const DataParameters& parameters);

  /// A data set in memory: inputs [n, ...], and either no labels or one class index for each sample.
  explicit DataSet(Tensor inputs, std::vector<std::int32_t> labels = {});

  std::int64_t size() const { return size_; }                  ///< samples after `first` and `limit`
  const Shape& sample_shape() const { return sample_shape_; }  ///< of one sample: no batch axis, e.g. 1x28x28
  /// That samples are images, and how their axes are taken to lie, if `data.layout` says so.
  const std::optional<ImageLayout>& layout() const { return layout_; }
  const std::string& name() const { return name_; }                  ///< file or generator, for messages
  const std::string& element_type() const { return element_type_; }  ///< as stored: "uint8", "float32", ...

  /// What a sample of a data set of inputs by name is made of; empty: of a single input.
  const std::vector<DataInput>& inputs() const { return inputs_; }
  const std::vector<ConstantInput>& constants() const { return constants_; }

  /// The first sample of every sequence, ascending; null: samples are independent.
  const std::shared_ptr<const std::vector<std::int64_t>>& sequence_starts() const { return sequence_starts_; }
  /// The end of a batch that begins at `first`: after `batch_size` samples, or as many whole sequences as that holds,
  /// one at least.
  std::int64_t batch_end(std::int64_t first, std::int64_t batch_size) const;

  /// True where read() returns the stored uint8 values themselves: no scale, mean or std.
  bool reads_unchanged_bytes() const;

  /// Class indices, one for each sample and position of it; empty without labels. Those of whole samples are >= 0.
  bool has_labels() const { return !labels_->empty(); }
  std::span<const std::int32_t> labels() const { return *labels_; }
  /// Extents of the positions of a sample that have a label each; empty for one label for each sample.
  const Shape& label_shape() const { return label_shape_; }

  /// Throws InputError naming the first sample with a label that is not in 0 to `classes` - 1, the outputs of the
  /// network, and not `ignored`.
  void require_labels_below(std::int64_t classes, std::optional<std::int32_t> ignored = std::nullopt) const;

  /// Regression targets: floating-point labels of any shape, neither scaled nor shifted.
  bool has_targets() const { return targets_ != nullptr; }
  const Shape& target_shape() const { return target_shape_; }
  Tensor read_targets(std::int64_t first, std::int64_t count) const;

  /// Samples [first, first + count) as [count, sample_shape...], with x -> (x * scale - mean) / std applied in float32.
  /// Equal values for every split into batches. InputError if a value is not finite.
  Tensor read(std::int64_t first, std::int64_t count, Parallel parallel = {}) const;

 private:
  std::shared_ptr<const SampleSource> samples_;
  std::shared_ptr<const SampleSource> targets_;
  std::shared_ptr<const std::vector<std::int32_t>> labels_;
  std::shared_ptr<const std::vector<std::int64_t>> sequence_starts_;
  std::vector<DataInput> inputs_;
  std::vector<ConstantInput> constants_;
  std::int64_t offset_ = 0;
  std::int64_t size_ = 0;
  Shape stored_shape_;  // before the axes are transposed
  Shape sample_shape_;
  std::vector<std::int64_t> transpose_;  // empty: as stored
  std::optional<ImageLayout> layout_;
  Shape target_shape_;
  Shape label_shape_;
  std::string name_;
  std::string element_type_;
  float scale_ = 1.0F;
  std::vector<float> mean_;  // one for each channel
  std::vector<float> std_;
};

/// The axes of `shape` in another order: axis i of the result is axis order[i].
Shape transposed(const Shape& shape, std::span<const std::int64_t> order);
/// One array of that shape, its axes in another order.
void transpose(std::span<const float> from, const Shape& shape, std::span<const std::int64_t> order,
               std::span<float> to);

}  // namespace tessera::io
