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
#include "tessera/io/dataset.hpp"

namespace tessera::io {

/// Where raw samples come from. Immutable; safe to read from several threads.
class SampleSource {
 public:
  SampleSource() = default;
  SampleSource(const SampleSource&) = delete;
  SampleSource& operator=(const SampleSource&) = delete;
  virtual ~SampleSource() = default;

  virtual std::int64_t size() const = 0;
  virtual Shape sample_shape() const = 0;
  virtual std::string element_type() const = 0;
  virtual bool is_floating() const = 0;
  /// Samples [first, first + count) as stored, rounded to float32.
  virtual void read(std::int64_t first, std::int64_t count, std::span<float> out, Parallel parallel) const = 0;
  /// The same for integer sources, as labels.
  virtual std::vector<std::int64_t> read_integers(std::int64_t first, std::int64_t count) const = 0;
  /// Where samples are steps of sequences that the file keeps apart: how many each has. Else empty.
  virtual std::vector<std::int64_t> steps() const { return {}; }
};

/// Inputs and labels as the files hold them; labels may be null.
struct RawData {
  std::string name;
  std::string label_name;
  std::shared_ptr<const SampleSource> inputs;
  std::shared_ptr<const SampleSource> labels;
};

RawData open_array_data(const DataParameters& parameters);  // idx, cifar10, npy
RawData open_hdf5_data(const DataParameters& parameters);
RawData open_glyph_data(const DataParameters& parameters);
/// DataParameters::named_inputs; appends what is where in a sample.
RawData open_named_data(const DataParameters& parameters, std::vector<DataInput>& inputs);
std::shared_ptr<const SampleSource> open_npy_samples(const std::string& path);
std::shared_ptr<const SampleSource> open_hdf5_samples(const std::string& path, const std::string& dataset);
std::shared_ptr<const SampleSource> tensor_source(Tensor tensor);

/// Steps of [sequences, steps, ...] as samples, sequence by sequence (SequenceParameters::stacked); the source itself
/// where they are not stacked. `name`: of the file. InputError without an axis of steps, or for lengths that do not fit.
std::shared_ptr<const SampleSource> steps_of(std::shared_ptr<const SampleSource> source,
                                             const std::optional<SequenceParameters>& parameters,
                                             const std::string& name);

/// The first samples of the sequences among [first, first + size) of `available`, counted from `first`. InputError
/// where the lengths do not fit. `samples`: of the inputs, as steps_of() gave them.
std::vector<std::int64_t> sequence_starts(const SequenceParameters& parameters, const std::string& name,
                                          const SampleSource& samples, std::int64_t first, std::int64_t size);

}  // namespace tessera::io
