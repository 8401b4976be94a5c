#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/tensor.hpp"

/// Which data a network sees, and how raw values become its inputs. Plain values; validate() once, then constant.
namespace tessera::io {

/// | format  | inputs                                   | labels                                                   |
/// |---------|------------------------------------------|----------------------------------------------------------|
/// | idx     | one IDX file, plain or gzipped           | another IDX file (optional)                              |
/// | cifar10 | one or more CIFAR-10 binary files        | inside the same records                                  |
/// | npy     | one NumPy .npy file                      | another .npy file (optional)                             |
/// | hdf5    | the data set `input_dataset` of one file | the data set `label_dataset` of `labels`, or of `inputs` |
/// | glyphs  | none: generated                          | generated                                                |
enum class DataFormat { idx, cifar10, npy, hdf5, glyphs };

/// The axes of an image: channels, height, width, or channels last.
enum class ImageLayout { nchw, nhwc };

/// Two unrelated sequences of images of one glyph seed: a network trained on one has never seen the other.
enum class GlyphSplit { train, test };

/// The built-in generated data set (glyphs.hpp): 28x28 grey images of ten classes. Image i of a split is a pure
/// function of (seed, split, i) and the strengths. A strength multiplies the default amount of its distortion: 0 turns
/// it off, 1 is the standard data set, which the shipped networks were trained on; range 0 to 2.
struct GlyphParameters {
  std::uint64_t seed = 1;  ///< of the images only: independent of the seed of a simulation
  GlyphSplit split = GlyphSplit::test;
  std::int64_t count = 10000;  ///< images in the set; 1 to 2^32
  double affine = 1.0;         ///< rotation, shear, size and position
  double elastic = 1.0;        ///< smooth random displacement, and jitter of the strokes' corners
  double stroke = 1.0;         ///< variation of the stroke width and blur
  double contrast = 1.0;       ///< variation of brightness and background
  double noise = 1.0;          ///< grain of every pixel, and stray marks

  bool operator==(const GlyphParameters&) const = default;
};

/// Where one of several inputs of a network comes from: a file, or one number for all its elements. A value x of the
/// file becomes (x * scale - mean) / std.
struct InputSource {
  std::string file;                ///< .npy or HDF5, whatever DataParameters::format; empty: `constant`
  std::string dataset;             ///< HDF5: data set of the file; empty: called like the input
  std::optional<double> constant;  ///< every element of every sample
  Shape sample_shape;              ///< given to one sample; empty: as in the file, or as the network has it
  double scale = 1.0;              ///< finite, not 0
  double mean = 0.0;
  double std = 1.0;  ///< > 0

  bool operator==(const InputSource&) const = default;
};

/// Samples in a row that a network with a state sees one after the other (nn/states.hpp).
struct SequenceParameters {
  std::int64_t length = 0;  ///< samples of each sequence; 0: all samples are one
  std::string lengths;      ///< file of integers, one for each sequence: lengths that differ; empty: `length`
  /// The files hold [sequences, steps, ...], each step a sample; with `lengths` as many of each sequence, the rest is
  /// padding.
  bool stacked = false;

  bool operator==(const SequenceParameters&) const = default;
};

/// A value x of the file becomes (x * scale - mean) / std, each step rounded to float32 in this order.
struct DataParameters {
  DataFormat format = DataFormat::idx;
  std::vector<std::string> inputs;  ///< files; exactly one except for cifar10 (one or more) and glyphs (none)
  /// For networks of several inputs, instead of `inputs`: by name. Formats npy and hdf5.
  std::vector<std::pair<std::string, InputSource>> named_inputs = {};
  std::string labels;                    ///< file of the labels; empty: none, or inside `inputs`
  std::string input_dataset = "inputs";  ///< hdf5 only
  std::string label_dataset = "labels";  ///< hdf5 only; optional in the file unless `labels` names a file
  Shape sample_shape;                    ///< the shape given to one sample; empty: as in the file
  /// The order of the axes of a sample, which `sample_shape` gives; empty: as they are. Axis i of a sample is axis
  /// transpose[i] of what the file holds, as in numpy.transpose.
  std::vector<std::int64_t> transpose = {};
  /// Samples are images: they may be transposed between channels first and channels last where that is how the network
  /// takes them. Not together with `transpose`.
  std::optional<ImageLayout> layout = std::nullopt;
  double scale = 1.0;  ///< finite, not 0
  std::vector<double> mean = {
      0.0};                         ///< one value, or one for each channel (the first axis of a sample; nhwc: the last)
  std::vector<double> std = {1.0};  ///< one value, or one for each channel; > 0
  std::int64_t first = 0;           ///< samples left out at the beginning; >= 0
  std::int64_t limit = 0;           ///< at most this many samples; 0: all
  std::int64_t batch_size = 128;    ///< samples read and computed at a time; >= 1; never changes a result
  GlyphParameters glyphs;           ///< format glyphs only
  std::optional<SequenceParameters> sequence = std::nullopt;  ///< none: samples are independent of each other

  bool operator==(const DataParameters&) const = default;
};

/// Throws ConfigError with every value that is out of range or does not belong to the format. Keys are relative to
/// `data`.
void validate(const DataParameters& parameters);

}  // namespace tessera::io
