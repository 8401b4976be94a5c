#include "run_tables.hpp"

#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::Range;
using config::Section;
using config::Type;

const Range strength = Range::between(0.0, 2.0);

Type<io::GlyphParameters> glyph_parameters() {
  using P = io::GlyphParameters;
  return Section<P>(
             "GlyphParameters",
             "The built-in generated data set: 28x28 grey images of the ten digits. A strength multiplies the default "
             "amount of its distortion: 0 is off, 1 is the standard data set.")
      .field("seed", &P::seed, {.help = "of the images only"})
      .field("split", &P::split,
             config::choice<io::GlyphSplit>({{"train", io::GlyphSplit::train}, {"test", io::GlyphSplit::test}}),
             {.help = "two unrelated sequences of images"})
      .field("count", &P::count, {.range = Range::between(1.0, 4294967296.0), .help = "images in the set"})
      .field("affine", &P::affine, {.range = strength, .help = "rotation, shear, size and position"})
      .field("elastic", &P::elastic, {.range = strength, .help = "smooth random displacement, jitter of strokes"})
      .field("stroke", &P::stroke, {.range = strength, .help = "variation of stroke width and blur"})
      .field("contrast", &P::contrast, {.range = strength, .help = "variation of brightness and background"})
      .field("noise", &P::noise, {.range = strength, .help = "grain and stray marks"});
}

/// A file, one of the words zeros and ones, or a map.
Type<io::InputSource> input_source() {
  using P = io::InputSource;
  const Type<std::string> file = config::path();
  const Type<P> table =
      Section<P>("InputSource",
                 "Where one of several inputs comes from. A file alone is `file`; the words `zeros` and `ones` are "
                 "constants.")
          .field("file", &P::file, config::path_or_null(), {.help = ".npy or HDF5; null: `constant`"})
          .field("dataset", &P::dataset, {.help = "HDF5: data set of the file; \"\": called like the input"})
          .field("constant", &P::constant, {.help = "every element of every sample; null: `file`"})
          .field("sample_shape", &P::sample_shape,
                 {.range = Range::at_least(1.0),
                  .help = "shape given to one sample; []: as in the file, or as the network has it"})
          .field("scale", &P::scale, {.help = "not 0; x becomes (x * scale - mean) / std"})
          .field("mean", &P::mean, {.help = "subtracted after scaling"})
          .field("std", &P::std, {.range = Range::above(0.0), .help = "divided by at last"});
  auto info = std::make_shared<config::TypeInfo>(*table.info);
  info->scalar_allowed = true;
  info->element = file.info;
  return {info,
          [table, file](const config::Node& node, const std::string& key, P& value, config::Report& report) {
            if (!node.is_scalar()) return table.read(node, key, value, report);
            value = {};
            if (node.scalar == "zeros" || node.scalar == "ones")
              value.constant = node.scalar == "ones" ? 1.0 : 0.0;
            else
              file.read(node, key, value.file, report);
          },
          table};
}

/// One file or several, or a map from the names of inputs to where they come from.
Type<io::DataParameters> data_inputs() {
  using P = io::DataParameters;
  const auto files = config::one_or_list(config::path());
  const auto named = config::map_of(input_source());
  auto info = std::make_shared<config::TypeInfo>(*files.info);
  info->by_name = named.info->element;
  return {info,
          [files, named](const config::Node& node, const std::string& key, P& value, config::Report& report) {
            value.inputs.clear();
            if (node.is_map()) return named.read(node, key, value.named_inputs, report);
            value.named_inputs.clear();
            files.read(node, key, value.inputs, report);
          },
          [files, named](const P& value) {
            return value.named_inputs.empty() ? files.write(value.inputs) : named.write(value.named_inputs);
          }};
}

Type<io::SequenceParameters> sequence_parameters() {
  using P = io::SequenceParameters;
  return Section<P>("SequenceParameters",
                    "Samples in a row that a network with a state (model.state) sees one after the other.")
      .field("length", &P::length,
             {.unit = "samples", .range = Range::at_least(0.0), .help = "of each sequence; 0: all samples are one"})
      .field("lengths", &P::lengths, config::path_or_null(),
             {.help = ".npy file of integers, samples of each sequence where they differ; null: length"})
      .field(
          "stacked", &P::stacked,
          {.help = "files are [sequences, steps, ...] (formats npy and hdf5); with lengths, steps beyond are padding"});
}

}  // namespace

Type<io::DataParameters> data_parameters() {
  using P = io::DataParameters;
  using io::DataFormat;
  return Section<P>("DataParameters", "The data set. A value x of the file becomes (x * scale - mean) / std.")
      .field("format", &P::format,
             config::choice<DataFormat>({{"idx", DataFormat::idx},
                                         {"cifar10", DataFormat::cifar10},
                                         {"npy", DataFormat::npy},
                                         {"hdf5", DataFormat::hdf5},
                                         {"glyphs", DataFormat::glyphs}}),
             {.help = "idx may be gzipped; glyphs are generated", .required = true})
      .group("inputs", data_inputs(),
             {.help = "one file; several for cifar10; none for glyphs; for a network of several inputs a map"})
      .field("labels", &P::labels, config::path_or_null(),
             {.help = "without labels there is no accuracy; all else works"})
      .field("input_dataset", &P::input_dataset, {.help = "hdf5: data set of the inputs"})
      .field("label_dataset", &P::label_dataset, {.help = "hdf5: data set of the labels"})
      .field("sample_shape", &P::sample_shape,
             {.range = Range::at_least(1.0), .help = "shape given to one sample; []: as in the file"})
      .field(
          "transpose", &P::transpose,
          {.range = Range::at_least(0.0),
           .help = "order of a sample's axes, as in numpy.transpose: [2, 0, 1] puts the last first; []: as they are"})
      .field(
          "layout", &P::layout,
          config::optional(
              config::choice<io::ImageLayout>({{"nchw", io::ImageLayout::nchw}, {"nhwc", io::ImageLayout::nhwc}})),
          {.help = "samples are images, channels first or last: transposed to the network's order if only that fits"})
      .field("scale", &P::scale, {.help = "not 0"})
      .field("mean", &P::mean, config::one_or_list(config::real(), 1), {.help = "one value, or one per channel"})
      .field("std", &P::std, config::one_or_list(config::real(Range::above(0.0)), 1),
             {.help = "one value, or one per channel"})
      .field("first", &P::first,
             {.unit = "samples", .range = Range::at_least(0.0), .help = "left out at the beginning"})
      .field("limit", &P::limit,
             {.unit = "samples", .range = Range::at_least(0.0), .help = "at most this many; 0: all"})
      .field("batch_size", &P::batch_size,
             {.unit = "samples", .range = Range::at_least(1.0), .help = "computed at a time; never changes a result"})
      .field("glyphs", &P::glyphs, glyph_parameters())
      .field("sequence", &P::sequence, config::optional(sequence_parameters()),
             {.help = "samples in a row that belong together (model.state); null: each is on its own"})
      .check([](const P& p) { io::validate(p); });
}

}  // namespace tessera::spec
