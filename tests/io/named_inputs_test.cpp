// Do samples of several inputs hold each where it is said, do sequences begin where their lengths say, and are labels of
// positions kept?
#include "data_files.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class NamedInputsTest : public io_test::DataFiles {
 protected:
  std::string floats(const std::string& name, const Shape& shape) const {
    Tensor values(shape);
    for (std::int64_t i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(i);
    write_npy(path(name), values);
    return path(name);
  }
  std::string integers(const std::string& name, const Shape& shape, const std::vector<std::int32_t>& values) const {
    write_npy(path(name), shape, std::span<const std::int32_t>(values));
    return path(name);
  }
  static InputSource from(const std::string& file, double scale = 1.0, double mean = 0.0, double std = 1.0,
                          Shape sample_shape = {}) {
    InputSource source;
    source.file = file;
    source.scale = scale;
    source.mean = mean;
    source.std = std;
    source.sample_shape = std::move(sample_shape);
    return source;
  }
  static InputSource always(double value) {
    InputSource source;
    source.constant = value;
    return source;
  }
  static DataParameters named(std::vector<std::pair<std::string, InputSource>> inputs) {
    DataParameters p;
    p.format = DataFormat::npy;
    p.named_inputs = std::move(inputs);
    return p;
  }
  template <class Error>
  static std::string refusal(const DataParameters& parameters) {
    try {
      const DataSet data(parameters);
      data.read(0, data.size());
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }
};

TEST_F(NamedInputsTest, ASampleHoldsItsInputsOneAfterTheOther) {
  {
    h5::File file = h5::File::create(path("d.h5"));
    file.write<std::int64_t>("mask", {3, 2}, std::vector<std::int64_t>{1, 1, 1, 0, 0, 1});
    file.close();
  }
  DataParameters p = named({{"x", from(floats("x.npy", {3, 1, 2}), 2.0, 1.0, 0.5)},
                            {"rate", always(16000.0)},
                            {"mask", from(path("d.h5"))}});
  const DataSet data(p);
  EXPECT_EQ(data.size(), 3);
  EXPECT_EQ(data.sample_shape(), (Shape{4}));
  EXPECT_THAT(data.inputs(), ElementsAre(DataInput{"x", {1, 2}, 0}, DataInput{"mask", {2}, 2}));
  EXPECT_THAT(data.constants(), ElementsAre(ConstantInput{"rate", 16000.0, {}}));
  EXPECT_THAT(data.read(1, 2).values(), ElementsAre(6, 10, 1, 0, 14, 18, 0, 1));
  p.first = 1;
  p.limit = 1;
  EXPECT_THAT(DataSet(p).read(0, 1).values(), ElementsAre(6, 10, 1, 0));
}

TEST_F(NamedInputsTest, WhatDoesNotFitIsRefused) {
  const std::string x = floats("x.npy", {3, 2}), y = floats("y.npy", {4, 2});
  EXPECT_THAT(refusal<InputError>(named({{"a", from(x)}, {"b", from(y)}})),
              testing::AllOf(HasSubstr("input 'b'"), HasSubstr("4 samples"), HasSubstr("'a'"), HasSubstr("3")));
  EXPECT_THAT(refusal<InputError>(named({{"a", from(integers("big.npy", {1, 2}, {1, 16777217}))}})), HasSubstr("2^24"));
  EXPECT_THAT(refusal<InputError>(named({{"a", from(x, 1.0, 0.0, 1.0, {3})}})), HasSubstr("sample_shape"));
  EXPECT_THAT(refusal<ConfigError>(named({{"a", always(1.0)}})), HasSubstr("no input has a file"));
  EXPECT_THAT(refusal<ConfigError>(named({{"a", {}}})), HasSubstr("give a file"));
  DataParameters scaled = named({{"a", from(x)}});
  scaled.scale = 2.0;
  EXPECT_THAT(refusal<ConfigError>(scaled), HasSubstr("inputs.NAME.scale"));
  scaled = named({{"a", from(x)}});
  scaled.format = DataFormat::idx;
  EXPECT_THAT(refusal<ConfigError>(scaled), HasSubstr("npy or hdf5"));
}

TEST_F(NamedInputsTest, BatchesHoldWholeSequences) {
  DataParameters p;
  p.format = DataFormat::npy;
  p.inputs = {floats("x.npy", {12, 2})};
  p.sequence.emplace();
  EXPECT_THAT(*DataSet(p).sequence_starts(), ElementsAre(0));
  EXPECT_EQ(DataSet(p).batch_end(0, 5), 12);
  p.sequence->length = 4;
  const DataSet data(p);
  EXPECT_THAT(*data.sequence_starts(), ElementsAre(0, 4, 8));
  EXPECT_EQ(data.batch_end(0, 1), 4);
  EXPECT_EQ(data.batch_end(0, 7), 4);
  EXPECT_EQ(data.batch_end(4, 8), 12);
  p.sequence = {.length = 0, .lengths = integers("lengths.npy", {3}, {5, 4, 3})};
  p.first = 5;
  p.limit = 6;
  EXPECT_THAT(*DataSet(p).sequence_starts(), ElementsAre(0, 4)) << "the last sequence is cut by the limit";
  p.first = 3;
  EXPECT_THAT(refusal<InputError>(p), HasSubstr("in the middle of a sequence"));
  p.first = 0;
  p.sequence->lengths = integers("short.npy", {2}, {5, 4});
  EXPECT_THAT(refusal<InputError>(p), testing::AllOf(HasSubstr("sum to 9"), HasSubstr("12 samples")));
  p.sequence->lengths = integers("long.npy", {2}, {5, 9});
  EXPECT_THAT(refusal<InputError>(p), HasSubstr("length of 9"));
  p.sequence = {.length = 5, .lengths = {}};
  EXPECT_THAT(refusal<InputError>(p), HasSubstr("12 samples are no whole number of sequences of 5"));
  p.sequence.reset();
  p.limit = 0;
  EXPECT_EQ(DataSet(p).sequence_starts(), nullptr);
  EXPECT_EQ(DataSet(p).batch_end(3, 4), 7);
}

/// [sequences, steps, ...] is the same data as its steps one behind the other; of padded sequences, the steps that count.
TEST_F(NamedInputsTest, StackedSequencesAreTheirSteps) {
  DataParameters rows;
  rows.format = DataFormat::npy;
  rows.inputs = {floats("rows.npy", {12, 2})};
  rows.labels = integers("row_labels.npy", {12}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  rows.sequence = {.length = 4, .lengths = {}};
  DataParameters p = rows;
  p.inputs = {floats("stacked.npy", {3, 4, 2})};
  p.labels = integers("stacked_labels.npy", {3, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  p.sequence = {.length = 0, .lengths = {}, .stacked = true};
  const DataSet expected(rows), data(p);
  EXPECT_EQ(data.size(), 12);
  EXPECT_EQ(data.sample_shape(), (Shape{2}));
  EXPECT_EQ(*data.sequence_starts(), *expected.sequence_starts());
  EXPECT_TRUE(std::ranges::equal(data.labels(), expected.labels()));
  for (std::int64_t first = 0; first < 12; ++first)
    for (std::int64_t count = 0; first + count <= 12; ++count) {
      const Tensor a = data.read(first, count), b = expected.read(first, count);
      EXPECT_TRUE(std::ranges::equal(a.values(), b.values())) << first << " " << count;
    }

  p.sequence->lengths = integers("padded.npy", {3}, {2, 4, 1});
  const DataSet padded(p);
  EXPECT_EQ(padded.size(), 7);
  EXPECT_THAT(*padded.sequence_starts(), ElementsAre(0, 2, 6));
  EXPECT_THAT(padded.labels(), ElementsAre(0, 1, 4, 5, 6, 7, 8));
  EXPECT_THAT(padded.read(1, 2).values(), ElementsAre(2, 3, 8, 9));
  p.first = 2;
  EXPECT_THAT(*DataSet(p).sequence_starts(), ElementsAre(0, 4));
  p.first = 0;

  DataParameters parts = named({{"a", from(p.inputs[0])}, {"b", from(floats("b.npy", {3, 4}))}});
  parts.sequence = p.sequence;
  const DataSet both(parts);
  EXPECT_EQ(both.size(), 7);
  EXPECT_THAT(both.read(6, 1).values(), ElementsAre(16, 17, 8));

  p.sequence->lengths = integers("long.npy", {3}, {2, 5, 1});
  EXPECT_THAT(refusal<InputError>(p), testing::AllOf(HasSubstr("sequence 1 is 5"), HasSubstr("4 steps")));
  p.sequence->lengths = integers("few.npy", {2}, {2, 4});
  EXPECT_THAT(refusal<InputError>(p), testing::AllOf(HasSubstr("2 lengths"), HasSubstr("3 sequences")));
  p.sequence->lengths.clear();
  p.labels = rows.labels;
  EXPECT_THAT(refusal<InputError>(p), testing::AllOf(HasSubstr("row_labels.npy"), HasSubstr("[sequences, steps")));
  p.sequence->length = 4;
  EXPECT_THAT(refusal<ConfigError>(p), HasSubstr("sequence.length"));
}

TEST_F(NamedInputsTest, PositionsHaveLabelsOfTheirOwn) {
  DataParameters p;
  p.format = DataFormat::npy;
  p.inputs = {floats("x.npy", {2, 3})};
  p.labels = integers("labels.npy", {2, 3}, {0, 1, -100, 2, 2, 0});
  const DataSet data(p);
  EXPECT_EQ(data.label_shape(), (Shape{3}));
  EXPECT_THAT(data.labels(), ElementsAre(0, 1, -100, 2, 2, 0));
  EXPECT_NO_THROW(data.require_labels_below(3, -100));
  EXPECT_THROW(data.require_labels_below(3), InputError);
  EXPECT_THROW(data.require_labels_below(2, -100), InputError);
  p.first = 1;
  EXPECT_THAT(DataSet(p).labels(), ElementsAre(2, 2, 0));
}

}  // namespace
}  // namespace tessera::io
