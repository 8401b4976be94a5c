// Is every damaged, missing or unfitting file refused with a message that names it, without a crash or a large
// allocation?
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "data_files.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::io {
namespace {

using io_test::Bytes;
using io_test::gzip;
using io_test::idx_counting;
using io_test::idx_header;
using io_test::input_error;
using io_test::npy_file;
using testing::AllOf;
using testing::HasSubstr;

class DataSetRefusalTest : public io_test::DataFiles {
 protected:
  // The message with which a file of these bytes is refused; it must name the file.
  std::string refusal(DataFormat format, const Bytes& inputs, const Bytes& labels = {}) const {
    DataParameters p;
    p.format = format;
    p.inputs = {write("broken-inputs", inputs)};
    if (!labels.empty()) p.labels = write("broken-labels", labels);
    const std::string message = input_error([&] {
      const DataSet data(p);
      data.read(0, data.size());
    });
    EXPECT_THAT(message, HasSubstr("broken-"));
    return message;
  }
  std::string npy_refusal(const std::string& header, const Bytes& data = {1, 2}) const {
    return refusal(DataFormat::npy, npy_file(header, data));
  }
};

TEST_F(DataSetRefusalTest, MissingFilesAndFolders) {
  for (const DataFormat format : {DataFormat::idx, DataFormat::npy, DataFormat::cifar10, DataFormat::hdf5}) {
    DataParameters p;
    p.format = format;
    p.inputs = {path("nowhere")};
    EXPECT_THAT(input_error([&] { const DataSet data(p); }), HasSubstr("nowhere"));
    p.inputs = {path("")};
    EXPECT_THAT(input_error([&] { const DataSet data(p); }), HasSubstr(path("")));
    p.inputs = {write("empty", {})};
    EXPECT_THAT(input_error([&] { const DataSet data(p); }), HasSubstr("empty"));
  }
}

TEST_F(DataSetRefusalTest, DamagedIdx) {
  const Bytes good = idx_counting({5, 3, 2});
  for (std::size_t length = 0; length < good.size(); ++length) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_THAT(refusal(DataFormat::idx, cut), testing::AnyOf(HasSubstr("truncated"), HasSubstr("not an IDX file")))
        << length;
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_THAT(refusal(DataFormat::idx, longer), HasSubstr("bytes behind its data"));
  EXPECT_THAT(refusal(DataFormat::idx, gzip(longer)), HasSubstr("bytes behind its data"));
  Bytes wrong = good;
  wrong[0] = 1;
  EXPECT_THAT(refusal(DataFormat::idx, wrong), HasSubstr("not an IDX file"));
  wrong = good;
  wrong[2] = 0x0A;
  EXPECT_THAT(refusal(DataFormat::idx, wrong), HasSubstr("element type 0x0A"));
  wrong = good;
  wrong[3] = 0;
  EXPECT_THAT(refusal(DataFormat::idx, wrong), HasSubstr("rank 0"));
  wrong[3] = 200;
  EXPECT_THAT(refusal(DataFormat::idx, wrong), HasSubstr("rank 200"));
  EXPECT_THAT(refusal(DataFormat::idx, idx_header(0x08, {0, 28, 28})), HasSubstr("is empty"));
}

TEST_F(DataSetRefusalTest, AbsurdSizesAllocateNothing) {
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  struct rlimit small = before;
  small.rlim_cur = std::size_t{4} << 30;  // an attempt to hold 2^40 elements would end in bad_alloc
  ASSERT_EQ(setrlimit(RLIMIT_AS, &small), 0);
#endif
  constexpr std::uint32_t huge = 0xFFFFFFFF;
  EXPECT_THAT(refusal(DataFormat::idx, idx_header(0x08, {huge, 256})), HasSubstr("truncated"));
  EXPECT_THAT(refusal(DataFormat::idx, gzip(idx_header(0x08, {huge, 256}))), HasSubstr("cannot hold"));
  EXPECT_THAT(refusal(DataFormat::idx, idx_header(0x0E, {huge, huge, huge, huge})),
              HasSubstr("more than any file can hold"));
  EXPECT_THAT(npy_refusal("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 8), }"),
              HasSubstr("truncated"));
  EXPECT_THAT(npy_refusal("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 2), }"),
              HasSubstr("more than any file can hold"));
  EXPECT_THAT(npy_refusal("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999999, 2), }"),
              HasSubstr("absurdly large"));
  Bytes long_header = npy_file("", {}, 2);
  std::fill(long_header.begin() + 8, long_header.begin() + 12, std::uint8_t{0xFF});
  EXPECT_THAT(refusal(DataFormat::npy, long_header), HasSubstr("header claims"));
  {
    h5::File file = h5::File::create(path("huge.h5"));
    file.create_dataset("inputs", h5::ElementType::float32, {std::int64_t{1} << 20, std::int64_t{1} << 30});
    file.close();
  }
  DataParameters p;
  p.format = DataFormat::hdf5;
  p.inputs = {path("huge.h5")};
  EXPECT_THAT(input_error([&] { const DataSet data(p); }), HasSubstr("huge.h5"));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
}

TEST_F(DataSetRefusalTest, DamagedGzip) {
  const Bytes good = gzip(idx_counting({20, 10, 10}));
  for (std::size_t length = 2; length < good.size(); length += 7) {
    const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_THAT(refusal(DataFormat::idx, cut), testing::AnyOf(HasSubstr("gzip"), HasSubstr("truncated"))) << length;
  }
  Bytes wrong_checksum = good;
  wrong_checksum[good.size() - 6] ^= 1;
  EXPECT_THAT(refusal(DataFormat::idx, wrong_checksum), HasSubstr("not a sound gzip file"));
  Bytes longer = good;
  longer.insert(longer.end(), {1, 2, 3});
  EXPECT_THAT(refusal(DataFormat::idx, longer), HasSubstr("gzip"));
}

TEST_F(DataSetRefusalTest, DamagedCifar) {
  Bytes bytes(3073, 1);
  bytes.push_back(1);
  EXPECT_THAT(refusal(DataFormat::cifar10, bytes), HasSubstr("no multiple of the 3073"));
  bytes.pop_back();
  bytes[0] = 10;
  EXPECT_THAT(refusal(DataFormat::cifar10, bytes),
              HasSubstr("label of sample 0 is 10; labels are class indices 0 to 9"));
}

TEST_F(DataSetRefusalTest, DamagedNpy) {
  const std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
  const Bytes good = npy_file(header, {1, 2});
  for (std::size_t length = 0; length < good.size(); ++length) {
    refusal(DataFormat::npy, Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)));
  }
  EXPECT_THAT(npy_refusal(header, {1, 2, 3}), HasSubstr("bytes behind its data"));
  Bytes wrong = good;
  wrong[6] = 4;
  EXPECT_THAT(refusal(DataFormat::npy, wrong), HasSubstr("version 4"));
  wrong = good;
  wrong[0] = 0x92;
  EXPECT_THAT(refusal(DataFormat::npy, wrong), HasSubstr("not a NumPy .npy file"));

  EXPECT_THAT(npy_refusal("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}"),
              HasSubstr("pickled Python objects"));
  EXPECT_THAT(npy_refusal("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), HasSubstr("records"));
  for (const char* descr : {"<c8", "|S1", "<U1", "<f1", "<i3", "?f4", "<f16", "<M8[ns]", "", "<b2"}) {
    EXPECT_THAT(npy_refusal(fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (2,)}}", descr)),
                HasSubstr("elements of type"))
        << descr;
  }
  for (const char* text : {"", "{", "{}", "{'descr': '|u1'}", "{'descr': '|u1', 'fortran_order': 0, 'shape': (2,)}",
                           "{'descr': '|u1', 'fortran_order': False, 'shape': (-2,)}",
                           "{'descr': '|u1', 'fortran_order': False, 'shape': (2}",
                           "{'descr': '|u1', 'fortran_order': False, 'shape': (2,)} more",
                           "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), 'x': 1}",
                           "{'descr: '|u1', 'fortran_order': False, 'shape': (2,)}", "{'descr': '|u1"}) {
    EXPECT_THAT(npy_refusal(text), HasSubstr("NumPy header cannot be read")) << text;
  }
  EXPECT_THAT(npy_refusal("{'descr': '|u1', 'fortran_order': False, 'shape': ()}", {1}), HasSubstr("single number"));
  EXPECT_THAT(npy_refusal("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 3)}", {}), HasSubstr("is empty"));
}

TEST_F(DataSetRefusalTest, DamagedOrUnfittingHdf5) {
  Bytes text(100, 'x');
  refusal(DataFormat::hdf5, text);
  {
    h5::File file = h5::File::create(path("d.h5"));
    file.write<std::int32_t>("x", {2, 2}, std::vector<std::int32_t>{1, 2, 3, 4});
    file.write("words", std::vector<std::string>{"a", "b"});
    file.write_scalar<float>("one", 1.0F);
    file.write<float>("labels", {3}, std::vector<float>{1, 2, 3});
    file.close();
  }
  DataParameters p;
  p.format = DataFormat::hdf5;
  p.inputs = {path("d.h5")};
  const auto message = [&](const std::string& inputs) {
    p.input_dataset = inputs;
    return input_error([&] { const DataSet data(p); });
  };
  EXPECT_THAT(message("y"), AllOf(HasSubstr("has no data set 'y'"), HasSubstr("x, words, one, labels")));
  EXPECT_THAT(message("words"), HasSubstr("holds no numbers"));
  EXPECT_THAT(message("one"), HasSubstr("single number"));
  EXPECT_THAT(message("x"), HasSubstr("has 3 labels, but"));
  p.labels = path("d.h5");
  p.label_dataset = "nothing";
  EXPECT_THAT(message("x"), HasSubstr("has no data set 'nothing'"));
  const Bytes whole = io_test::read_bytes(path("d.h5"));
  for (std::size_t length = 0; length < whole.size(); length += 97) {
    p.inputs = {write("cut.h5", Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)))};
    p.labels.clear();
    EXPECT_THAT(message("x"), HasSubstr("cut.h5"));
  }
}

TEST_F(DataSetRefusalTest, LabelsThatDoNotFit) {
  const Bytes images = idx_counting({3, 2, 2});
  Bytes labels = idx_header(0x08, {4});
  labels.insert(labels.end(), {0, 1, 2, 3});
  EXPECT_THAT(refusal(DataFormat::idx, images, labels), HasSubstr("has 4 labels, but"));
  Bytes negative = idx_header(0x09, {3});
  negative.insert(negative.end(), {0, 255, 2});
  EXPECT_THAT(refusal(DataFormat::idx, images, negative), HasSubstr("label of sample 1 is -1"));
  const std::string too_large = "{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}";
  EXPECT_THAT(refusal(DataFormat::npy, npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", {1}),
                      npy_file(too_large, Bytes(8, 0xFF))),
              HasSubstr("label of sample 0 is 9223372036854775807"));
}

TEST_F(DataSetRefusalTest, ValuesThatAreNoNumbers) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(20, 1.0F);
    values[13] = bad;
    write_npy(path("values.npy"), {5, 4}, std::span<const float>(values));
    DataParameters p;
    p.format = DataFormat::npy;
    p.inputs = {path("values.npy")};
    p.first = 1;
    const DataSet data(p);
    EXPECT_NO_THROW(data.read(0, 2));
    EXPECT_THAT(input_error([&] { data.read(1, 3); }),
                AllOf(HasSubstr("values.npy"), HasSubstr("sample 3 holds the value")));
    p.inputs = {path("inputs.npy")};
    write_npy(path("inputs.npy"), {5, 1}, std::span<const float>(values).subspan(0, 5));
    p.labels = path("values.npy");
    EXPECT_THAT(input_error([&] { DataSet(p).read_targets(0, 4); }), HasSubstr("sample 3"));
  }
}

TEST_F(DataSetRefusalTest, AFileThatShrinksWhileItIsRead) {
  DataParameters p;
  p.inputs = {write("shrinking", idx_counting({10, 8, 8}))};
  const DataSet data(p);
  std::filesystem::resize_file(p.inputs.front(), 100);
  EXPECT_THAT(input_error([&] { data.read(5, 5); }), HasSubstr("became shorter"));
}

TEST(DataParametersTest, EveryProblemIsNamedAtOnce) {
  DataParameters p;
  p.format = DataFormat::cifar10;
  p.labels = "labels";
  p.sample_shape = {3, 0};
  p.scale = 0.0;
  p.mean = {};
  p.std = {1.0, 0.0};
  p.first = -1;
  p.limit = -1;
  p.batch_size = 0;
  std::vector<std::string> keys;
  try {
    validate(p);
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) keys.push_back(problem.key);
  }
  EXPECT_THAT(keys, testing::ElementsAre("inputs", "labels", "sample_shape", "scale", "mean", "std", "first", "limit",
                                         "batch_size"));
}

TEST(DataParametersTest, GlyphsTakeNoFilesAndLimitedStrengths) {
  DataParameters p;
  p.format = DataFormat::glyphs;
  EXPECT_NO_THROW(validate(p));
  p.glyphs.count = 0;
  p.glyphs.noise = 2.5;
  p.glyphs.affine = std::numeric_limits<double>::quiet_NaN();
  p.inputs = {"file"};
  try {
    validate(p);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 4U);
  }
  EXPECT_THROW(validate(DataParameters{}), ConfigError);  // idx without a file
}

}  // namespace
}  // namespace tessera::io
