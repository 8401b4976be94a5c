#include "tessera/io/data_parameters.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/core/problems.hpp"

namespace tessera::io {

namespace {

void check_named(Problems& check, const DataParameters& p) {
  const DataParameters usual;
  check.require(p.format == DataFormat::npy || p.format == DataFormat::hdf5, "inputs",
                "inputs by name are read with format npy or hdf5");
  check.require(p.inputs.empty(), "inputs", "give one file, or a map of names, not both");
  bool any_file = false;
  for (const auto& [name, source] : p.named_inputs) {
    const std::string key = "inputs." + name;
    const auto finite = [](double value) { return std::isfinite(static_cast<float>(value)); };
    any_file |= !source.file.empty();
    check.require(source.file.empty() == source.constant.has_value(), key,
                  "give a file, or {{constant: ...}}, and not both");
    check.require(!source.constant || finite(*source.constant), key, "the constant does not fit a float32");
    check.require(finite(source.scale) && static_cast<float>(source.scale) != 0.0F, (key + ".scale"),
                  "{} is not a number different from 0 that float32 holds", source.scale);
    check.require(finite(source.mean), (key + ".mean"), "{} is not a number that float32 holds", source.mean);
    check.require(finite(source.std) && static_cast<float>(source.std) > 0.0F, (key + ".std"), "{} is not above 0",
                  source.std);
    for (const std::int64_t extent : source.sample_shape)
      check.require(extent >= 1, (key + ".sample_shape"), "the extent {} is not at least 1", extent);
  }
  check.require(any_file, "inputs", "no input has a file; one at least says how many samples there are");
  check.require(p.sample_shape == usual.sample_shape && p.transpose.empty() && !p.layout && p.scale == usual.scale &&
                    p.mean == usual.mean && p.std == usual.std && p.input_dataset == usual.input_dataset,
                "inputs",
                "sample_shape, transpose, layout, scale, mean, std and input_dataset are of a single input; give "
                "sample_shape, scale, mean, std and dataset of each: inputs.NAME.scale");
}

void check_files(Problems& check, const DataParameters& p) {
  if (!p.named_inputs.empty()) return check_named(check, p);
  const std::size_t files = p.inputs.size();
  switch (p.format) {
    case DataFormat::idx:
    case DataFormat::npy:
    case DataFormat::hdf5:
      check.require(files == 1, "inputs", "{} files given; this format reads exactly one", files);
      break;
    case DataFormat::cifar10:
      check.require(files >= 1, "inputs", "no file given; name the CIFAR-10 binary files, e.g. data_batch_1.bin");
      check.require(p.labels.empty(), "labels", "the labels of CIFAR-10 are inside its records; leave this out");
      break;
    case DataFormat::glyphs:
      check.require(files == 0, "inputs", "glyphs are generated, not read from a file; leave this out");
      check.require(p.labels.empty(), "labels", "the labels of glyphs are generated; leave this out");
      break;
  }
  for (const std::string& file : p.inputs) check.require(!file.empty(), "inputs", "an empty file name");
  if (p.format == DataFormat::hdf5) {
    check.require(!p.input_dataset.empty(), "input_dataset", "is empty; name the data set of the inputs");
    check.require(!p.label_dataset.empty() || p.labels.empty(), "label_dataset", "is empty, but `labels` names a file");
  }
}

void check_glyphs(Problems& check, const GlyphParameters& p) {
  constexpr std::int64_t most = std::int64_t{1} << 32;
  check.require(p.count >= 1 && p.count <= most, "glyphs.count", "{} is not in 1 to 2^32", p.count);
  const std::pair<const char*, double> strengths[] = {{"glyphs.affine", p.affine},
                                                      {"glyphs.elastic", p.elastic},
                                                      {"glyphs.stroke", p.stroke},
                                                      {"glyphs.contrast", p.contrast},
                                                      {"glyphs.noise", p.noise}};
  for (const auto& [key, value] : strengths) {
    check.require(value >= 0.0 && value <= 2.0, key, "{} is not in 0 to 2 (1 is the standard strength)", value);
  }
}

}  // namespace

void validate(const DataParameters& p) {
  Problems check;
  check_files(check, p);
  for (const std::int64_t extent : p.sample_shape) {
    check.require(extent >= 1, "sample_shape", "the extent {} is not at least 1", extent);
  }
  std::vector<std::int64_t> order = p.transpose;
  std::ranges::sort(order);
  for (std::size_t axis = 0; axis < order.size(); ++axis)
    if (order[axis] != static_cast<std::int64_t>(axis)) {
      check.require(false, "transpose", "is no order of the axes 0 to {}, each once", order.size() - 1);
      break;
    }
  check.require(p.transpose.empty() || !p.layout, "layout",
                "transpose already says how the axes are to be ordered; leave one of both out");
  const auto is_float32 = [](double value) { return std::isfinite(static_cast<float>(value)); };
  check.require(is_float32(p.scale) && static_cast<float>(p.scale) != 0.0F, "scale",
                "{} is not a number different from 0 that float32 holds", p.scale);
  check.require(!p.mean.empty(), "mean", "is an empty list; give one value, or one for each channel");
  for (const double value : p.mean)
    check.require(is_float32(value), "mean", "{} is not a number that float32 holds", value);
  check.require(!p.std.empty(), "std", "is an empty list; give one value, or one for each channel");
  for (const double value : p.std) {
    check.require(is_float32(value) && static_cast<float>(value) > 0.0F, "std", "{} is not above 0", value);
  }
  check.require(p.first >= 0, "first", "{} is negative", p.first);
  check.require(p.limit >= 0, "limit", "{} is negative (0 means all samples)", p.limit);
  check.require(p.batch_size >= 1, "batch_size", "{} is not at least 1", p.batch_size);
  if (p.format == DataFormat::glyphs) check_glyphs(check, p.glyphs);
  if (p.sequence) {
    check.require(p.sequence->length >= 0, "sequence.length", "{} is negative (0: all samples are one sequence)",
                  p.sequence->length);
    check.require(p.sequence->length == 0 || p.sequence->lengths.empty(), "sequence",
                  "length and lengths are two ways to say the same; leave one of both out");
    check.require(!p.sequence->stacked || p.sequence->length == 0, "sequence.length",
                  "the files say it where they are stacked; leave it out");
    check.require(!p.sequence->stacked || p.format == DataFormat::npy || p.format == DataFormat::hdf5,
                  "sequence.stacked", "goes with the formats npy and hdf5");
  }
  check.throw_if_any();
}

}  // namespace tessera::io
