#include "tessera/io/data_parameters.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/core/error.hpp"

namespace tessera::io {

namespace {

class Checker {
 public:
  template <class... Args>
  void expect(bool condition, const char* key, fmt::format_string<Args...> format, Args&&... args) {
    if (condition) return;
    Problem problem;
    problem.key = key;
    problem.message = fmt::format(format, std::forward<Args>(args)...);
    problems_.push_back(std::move(problem));
  }
  void finish() {
    if (!problems_.empty()) throw ConfigError(std::move(problems_));
  }

 private:
  std::vector<Problem> problems_;
};

void check_named(Checker& check, const DataParameters& p) {
  const DataParameters usual;
  check.expect(p.format == DataFormat::npy || p.format == DataFormat::hdf5, "inputs",
               "inputs by name are read with format npy or hdf5");
  check.expect(p.inputs.empty(), "inputs", "give one file, or a map of names, not both");
  bool any_file = false;
  for (const auto& [name, source] : p.named_inputs) {
    const std::string key = "inputs." + name;
    const auto finite = [](double value) { return std::isfinite(static_cast<float>(value)); };
    any_file |= !source.file.empty();
    check.expect(source.file.empty() == source.constant.has_value(), key.c_str(),
                 "give a file, or {{constant: ...}}, and not both");
    check.expect(!source.constant || finite(*source.constant), key.c_str(), "the constant does not fit a float32");
    check.expect(finite(source.scale) && static_cast<float>(source.scale) != 0.0F, (key + ".scale").c_str(),
                 "{} is not a number different from 0 that float32 holds", source.scale);
    check.expect(finite(source.mean), (key + ".mean").c_str(), "{} is not a number that float32 holds", source.mean);
    check.expect(finite(source.std) && static_cast<float>(source.std) > 0.0F, (key + ".std").c_str(),
                 "{} is not above 0", source.std);
    for (const std::int64_t extent : source.sample_shape)
      check.expect(extent >= 1, (key + ".sample_shape").c_str(), "the extent {} is not at least 1", extent);
  }
  check.expect(any_file, "inputs", "no input has a file; one at least says how many samples there are");
  check.expect(p.sample_shape == usual.sample_shape && p.transpose.empty() && !p.layout && p.scale == usual.scale &&
                   p.mean == usual.mean && p.std == usual.std && p.input_dataset == usual.input_dataset,
               "inputs",
               "sample_shape, transpose, layout, scale, mean, std and input_dataset are of a single input; give "
               "sample_shape, scale, mean, std and dataset of each: inputs.NAME.scale");
}

void check_files(Checker& check, const DataParameters& p) {
  if (!p.named_inputs.empty()) return check_named(check, p);
  const std::size_t files = p.inputs.size();
  switch (p.format) {
    case DataFormat::idx:
    case DataFormat::npy:
    case DataFormat::hdf5:
      check.expect(files == 1, "inputs", "{} files given; this format reads exactly one", files);
      break;
    case DataFormat::cifar10:
      check.expect(files >= 1, "inputs", "no file given; name the CIFAR-10 binary files, e.g. data_batch_1.bin");
      check.expect(p.labels.empty(), "labels", "the labels of CIFAR-10 are inside its records; leave this out");
      break;
    case DataFormat::glyphs:
      check.expect(files == 0, "inputs", "glyphs are generated, not read from a file; leave this out");
      check.expect(p.labels.empty(), "labels", "the labels of glyphs are generated; leave this out");
      break;
  }
  for (const std::string& file : p.inputs) check.expect(!file.empty(), "inputs", "an empty file name");
  if (p.format == DataFormat::hdf5) {
    check.expect(!p.input_dataset.empty(), "input_dataset", "is empty; name the data set of the inputs");
    check.expect(!p.label_dataset.empty() || p.labels.empty(), "label_dataset", "is empty, but `labels` names a file");
  }
}

void check_glyphs(Checker& check, const GlyphParameters& p) {
  constexpr std::int64_t most = std::int64_t{1} << 32;
  check.expect(p.count >= 1 && p.count <= most, "glyphs.count", "{} is not in 1 to 2^32", p.count);
  const std::pair<const char*, double> strengths[] = {{"glyphs.affine", p.affine},
                                                      {"glyphs.elastic", p.elastic},
                                                      {"glyphs.stroke", p.stroke},
                                                      {"glyphs.contrast", p.contrast},
                                                      {"glyphs.noise", p.noise}};
  for (const auto& [key, value] : strengths) {
    check.expect(value >= 0.0 && value <= 2.0, key, "{} is not in 0 to 2 (1 is the standard strength)", value);
  }
}

}  // namespace

void validate(const DataParameters& p) {
  Checker check;
  check_files(check, p);
  for (const std::int64_t extent : p.sample_shape) {
    check.expect(extent >= 1, "sample_shape", "the extent {} is not at least 1", extent);
  }
  std::vector<std::int64_t> order = p.transpose;
  std::ranges::sort(order);
  for (std::size_t axis = 0; axis < order.size(); ++axis)
    if (order[axis] != static_cast<std::int64_t>(axis)) {
      check.expect(false, "transpose", "is no order of the axes 0 to {}, each once", order.size() - 1);
      break;
    }
  check.expect(p.transpose.empty() || !p.layout, "layout",
               "transpose already says how the axes are to be ordered; leave one of both out");
  const auto is_float32 = [](double value) { return std::isfinite(static_cast<float>(value)); };
  check.expect(is_float32(p.scale) && static_cast<float>(p.scale) != 0.0F, "scale",
               "{} is not a number different from 0 that float32 holds", p.scale);
  check.expect(!p.mean.empty(), "mean", "is an empty list; give one value, or one for each channel");
  for (const double value : p.mean)
    check.expect(is_float32(value), "mean", "{} is not a number that float32 holds", value);
  check.expect(!p.std.empty(), "std", "is an empty list; give one value, or one for each channel");
  for (const double value : p.std) {
    check.expect(is_float32(value) && static_cast<float>(value) > 0.0F, "std", "{} is not above 0", value);
  }
  check.expect(p.first >= 0, "first", "{} is negative", p.first);
  check.expect(p.limit >= 0, "limit", "{} is negative (0 means all samples)", p.limit);
  check.expect(p.batch_size >= 1, "batch_size", "{} is not at least 1", p.batch_size);
  if (p.format == DataFormat::glyphs) check_glyphs(check, p.glyphs);
  if (p.sequence) {
    check.expect(p.sequence->length >= 0, "sequence.length", "{} is negative (0: all samples are one sequence)",
                 p.sequence->length);
    check.expect(p.sequence->length == 0 || p.sequence->lengths.empty(), "sequence",
                 "length and lengths are two ways to say the same; leave one of both out");
  }
  check.finish();
}

}  // namespace tessera::io
