// Do the readers of every format return what the file holds, scaled as documented, in any batches?
#include "tessera/io/dataset.hpp"

#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "data_files.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/export_data.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::io {
namespace {

using io_test::Bytes;
using io_test::gzip;
using io_test::idx_counting;
using io_test::idx_header;
using io_test::npy_file;
using testing::ElementsAre;
using testing::ElementsAreArray;

using DataSetTest = io_test::DataFiles;

DataParameters of_format(DataFormat format, const std::string& inputs, const std::string& labels = "") {
  DataParameters p;
  p.format = format;
  if (!inputs.empty()) p.inputs = {inputs};
  p.labels = labels;
  return p;
}

std::vector<float> all_values(const DataSet& data) {
  const Tensor values = data.read(0, data.size());
  return {values.values().begin(), values.values().end()};
}

TEST_F(DataSetTest, ReadsIdxImagesAndLabels) {
  const std::string images = write("images", idx_counting({3, 2, 4}));
  Bytes label_bytes = idx_header(0x08, {3});
  label_bytes.insert(label_bytes.end(), {7, 0, 9});
  const DataSet data(of_format(DataFormat::idx, images, write("labels", label_bytes)));
  EXPECT_EQ(data.size(), 3);
  EXPECT_EQ(data.sample_shape(), (Shape{1, 2, 4}));
  EXPECT_EQ(data.element_type(), "uint8");
  EXPECT_TRUE(data.reads_unchanged_bytes());
  EXPECT_THAT(data.labels(), ElementsAre(7, 0, 9));
  std::vector<float> expected(24);
  std::iota(expected.begin(), expected.end(), 0.0F);
  EXPECT_EQ(all_values(data), expected);
  EXPECT_EQ(data.read(1, 2).shape(), (Shape{2, 1, 2, 4}));
  EXPECT_EQ(data.read(2, 1).values()[0], 16.0F);
}

TEST_F(DataSetTest, ReadsGzippedFilesWhateverTheirName) {
  const Bytes plain = idx_counting({50, 40, 30});
  const DataSet from_plain(of_format(DataFormat::idx, write("plain.gz", plain)));
  const DataSet from_gzip(of_format(DataFormat::idx, write("packed", gzip(plain))));
  EXPECT_EQ(all_values(from_plain), all_values(from_gzip));
  Bytes two_members = gzip(Bytes(plain.begin(), plain.begin() + 1000));
  const Bytes second = gzip(Bytes(plain.begin() + 1000, plain.end()));
  two_members.insert(two_members.end(), second.begin(), second.end());
  EXPECT_EQ(all_values(DataSet(of_format(DataFormat::idx, write("two", two_members)))), all_values(from_plain));
}

TEST_F(DataSetTest, ReadsEveryIdxElementType) {
  const struct {
    std::uint8_t code;
    Bytes data;  // two elements
    float first, second;
  } cases[] = {{0x08, {1, 255}, 1, 255},
               {0x09, {1, 255}, 1, -1},
               {0x0B, {1, 2, 0xFF, 0xFE}, 258, -2},
               {0x0C, {0, 1, 0, 2, 0xFF, 0xFF, 0xFF, 0xFD}, 65538, -3},
               {0x0D, {0x3F, 0xC0, 0, 0, 0xBE, 0x80, 0, 0}, 1.5F, -0.25F},
               {0x0E, {0x3F, 0xF8, 0, 0, 0, 0, 0, 0, 0xBF, 0xD0, 0, 0, 0, 0, 0, 0}, 1.5F, -0.25F}};
  for (const auto& c : cases) {
    Bytes bytes = idx_header(c.code, {2, 1});
    bytes.insert(bytes.end(), c.data.begin(), c.data.end());
    EXPECT_THAT(all_values(DataSet(of_format(DataFormat::idx, write("x", bytes)))), ElementsAre(c.first, c.second))
        << static_cast<int>(c.code);
  }
}

TEST_F(DataSetTest, ReadsCifarRecordsFromSeveralFiles) {
  const auto record = [](std::uint8_t label) {
    Bytes bytes = {label};
    for (int i = 0; i < 3072; ++i) bytes.push_back(static_cast<std::uint8_t>(i * 7 + label));
    return bytes;
  };
  Bytes first = record(3);
  const Bytes more = record(9);
  first.insert(first.end(), more.begin(), more.end());
  DataParameters p = of_format(DataFormat::cifar10, write("a.bin", first));
  p.inputs.push_back(write("b.bin", gzip(record(0))));
  const DataSet data(p);
  EXPECT_EQ(data.size(), 3);
  EXPECT_EQ(data.sample_shape(), (Shape{3, 32, 32}));
  EXPECT_THAT(data.labels(), ElementsAre(3, 9, 0));
  const Tensor last_two = data.read(1, 2);  // across the border of the files
  EXPECT_EQ(last_two.values()[0], 9.0F);
  EXPECT_EQ(last_two.values()[3071], static_cast<float>((3071 * 7 + 9) % 256));
  EXPECT_EQ(last_two.values()[3072 + 5], 35.0F);
}

TEST_F(DataSetTest, ReadsManyCifarRecordsAsOneByOne) {
  Bytes bytes;
  for (std::size_t i = 0; i < 2500 * 3073; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i % 3073 == 0 ? i / 3073 % 10 : i * 31 % 253));
  }
  const DataSet data(of_format(DataFormat::cifar10, write("many.bin", bytes)));
  const Tensor all = data.read(0, data.size());
  for (const std::int64_t i : {0, 1023, 1024, 2047, 2048, 2499}) {
    EXPECT_THAT(data.read(i, 1).values(),
                ElementsAreArray(all.values().subspan(static_cast<std::size_t>(i) * 3072, 3072)));
  }
}

TEST_F(DataSetTest, ReadsNpyInEveryOrderAndType) {
  const struct {
    const char* descr;
    Bytes data;  // the values 1, 2, 3, 4, 5, 6
  } cases[] = {{"|u1", {1, 2, 3, 4, 5, 6}},
               {"|b1", {1, 0, 1, 0, 1, 1}},
               {">i2", {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6}},
               {"<u4", {1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0}},
               {"<f2", {0, 0x3C, 0, 0x40, 0, 0x42, 0, 0x44, 0, 0x45, 0, 0x46}}};
  for (const auto& c : cases) {
    for (const bool fortran : {false, true}) {
      const std::string header =
          fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': (2, 3), }}", c.descr, fortran ? "True" : "False");
      const std::vector<float> values =
          all_values(DataSet(of_format(DataFormat::npy, write("x.npy", npy_file(header, c.data)))));
      std::vector<float> expected = {1, 2, 3, 4, 5, 6};
      if (std::string(c.descr) == "|b1") expected = {1, 0, 1, 0, 1, 1};
      if (fortran) expected = {expected[0], expected[2], expected[4], expected[1], expected[3], expected[5]};
      EXPECT_EQ(values, expected) << header;
    }
  }
}

TEST_F(DataSetTest, ReadsBatchesOfAFortranArrayOfHigherRank) {
  Bytes data;  // shape (4, 2, 3): value = i + 4 * (j + 2 * k), in Fortran order just the count
  for (std::uint8_t i = 0; i < 24; ++i) data.push_back(i);
  const std::string file =
      write("f.npy", npy_file("{'descr': '|u1', 'fortran_order': True, 'shape': (4, 2, 3)}", data, 2));
  const DataSet set(of_format(DataFormat::npy, file));
  EXPECT_EQ(set.sample_shape(), (Shape{2, 3}));
  EXPECT_THAT(set.read(1, 2).values(), ElementsAre(1, 9, 17, 5, 13, 21, 2, 10, 18, 6, 14, 22));
}

TEST_F(DataSetTest, WritesNpyThatItReads) {
  const Tensor tensor(Shape{2, 2, 2}, std::vector<float>{0, -1.5F, 3e-40F, 1e30F, 5, 6, 7, 8});
  write_npy(path("t.npy"), tensor);
  const Tensor back = read_npy(path("t.npy"));
  EXPECT_EQ(back.shape(), tensor.shape());
  EXPECT_EQ(std::memcmp(back.data(), tensor.data(), 8 * sizeof(float)), 0);
  EXPECT_EQ(io_test::read_bytes(path("t.npy")).size() % 64, 32U);  // the data begins on a 64-byte border, as NumPy's
  EXPECT_THROW(write_npy(path("no/such/folder.npy"), tensor), RunError);
  EXPECT_THROW(write_npy(path("t.npy"), {3}, tensor.values()), InputError);
}

TEST_F(DataSetTest, DistinguishesClassesFromRegressionTargets) {
  const std::string inputs =
      write("x.npy", npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2)}", {1, 2, 3, 4, 5, 6}));
  write_npy(path("targets.npy"), {3, 2}, std::span<const float>(std::vector<float>{.5F, 1, 1.5F, 2, 2.5F, 3}));
  const DataSet regression(of_format(DataFormat::npy, inputs, path("targets.npy")));
  EXPECT_FALSE(regression.has_labels());
  ASSERT_TRUE(regression.has_targets());
  EXPECT_EQ(regression.target_shape(), (Shape{2}));
  EXPECT_THAT(regression.read_targets(1, 2).values(), ElementsAre(1.5F, 2, 2.5F, 3));
  write_npy(path("classes.npy"), {3}, std::span<const std::int32_t>(std::vector<std::int32_t>{4, 5, 6}));
  const DataSet classes(of_format(DataFormat::npy, inputs, path("classes.npy")));
  EXPECT_FALSE(classes.has_targets());
  EXPECT_THAT(classes.labels(), ElementsAre(4, 5, 6));
  EXPECT_NO_THROW(classes.require_labels_below(7));
  EXPECT_THAT(io_test::input_error([&] { classes.require_labels_below(6); }),
              testing::HasSubstr("label of sample 2 is 6"));
  const DataSet none(of_format(DataFormat::npy, inputs));
  EXPECT_FALSE(none.has_labels() || none.has_targets());
}

TEST_F(DataSetTest, ReadsHdf5WithOtherNamesAndALabelFile) {
  {
    h5::File file = h5::File::create(path("d.h5"));
    const std::vector<std::uint8_t> bytes = {1, 2, 3, 4, 5, 6, 7, 8};
    file.write<std::uint8_t>("inputs", {2, 1, 2, 2}, bytes);
    file.write<double>("deep/x", {2, 2}, std::vector<double>{0.1, 0.2, 0.3, 0.4});
    file.write<std::int64_t>("labels", {2}, std::vector<std::int64_t>{3, 1});
    file.close();
  }
  const DataSet plain(of_format(DataFormat::hdf5, path("d.h5")));
  EXPECT_EQ(plain.sample_shape(), (Shape{1, 2, 2}));
  EXPECT_TRUE(plain.reads_unchanged_bytes());
  EXPECT_THAT(plain.labels(), ElementsAre(3, 1));
  EXPECT_THAT(plain.read(1, 1).values(), ElementsAre(5, 6, 7, 8));
  DataParameters p = of_format(DataFormat::hdf5, path("d.h5"), path("d.h5"));
  p.input_dataset = "deep/x";
  p.label_dataset = "inputs";
  EXPECT_EQ(DataSet(p).label_shape(), (Shape{1, 2, 2})) << "a label for each position";
  p.label_dataset = "deep/x";
  const DataSet other(p);
  EXPECT_THAT(other.read(0, 2).values(), ElementsAre(0.1F, 0.2F, 0.3F, 0.4F));
  EXPECT_TRUE(other.has_targets());
}

// Integers that float32 cannot hold are rounded alike, whatever the format.
TEST_F(DataSetTest, WideIntegersAreRoundedInEveryFormat) {
  const std::vector<std::int64_t> wide = {(1 << 24) + 1, -(1 << 24) - 3, std::int64_t{1} << 62, 7};
  const std::vector<std::uint32_t> narrow = {(1U << 24U) + 1U, 0xffffffffU, 0U, 7U};
  {
    h5::File file = h5::File::create(path("w.h5"));
    file.write<std::int64_t>("inputs", {2, 2}, wide);
    file.write<std::uint32_t>("narrow", {2, 2}, narrow);
    file.close();
  }
  write("w.npy",
        io_test::npy_file("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2), }", io_test::bytes_of(wide)));
  write("n.npy",
        io_test::npy_file("{'descr': '<u4', 'fortran_order': False, 'shape': (2, 2), }", io_test::bytes_of(narrow)));
  const DataSet from_h5(of_format(DataFormat::hdf5, path("w.h5")));
  EXPECT_THAT(from_h5.read(0, 2).values(), ElementsAre(16777216.0F, -16777220.0F, 0x1p62F, 7.0F));
  EXPECT_THAT(DataSet(of_format(DataFormat::npy, path("w.npy"))).read(0, 2).values(),
              testing::ElementsAreArray(from_h5.read(0, 2).values()));
  DataParameters p = of_format(DataFormat::hdf5, path("w.h5"));
  p.input_dataset = "narrow";
  EXPECT_THAT(DataSet(p).read(0, 2).values(), ElementsAre(16777216.0F, 0x1p32F, 0.0F, 7.0F));
  EXPECT_THAT(DataSet(of_format(DataFormat::npy, path("n.npy"))).read(0, 2).values(),
              testing::ElementsAreArray(DataSet(p).read(0, 2).values()));
}

TEST_F(DataSetTest, ScalesThenSubtractsThenDividesInFloat32) {
  const std::string file = write("x", idx_counting({4, 3, 2, 2}));
  DataParameters p = of_format(DataFormat::idx, file);
  p.scale = 1.0 / 255.0;
  p.mean = {.485, .456, .406};
  p.std = {.229, .224, .225};
  const DataSet data(p);
  EXPECT_FALSE(data.reads_unchanged_bytes());
  const Tensor values = data.read(0, 4);
  for (std::size_t i = 0; i < 48; ++i) {
    const std::size_t channel = i / 4 % 3;
    const float scaled = static_cast<float>(i) * static_cast<float>(p.scale);
    const float centered = scaled - static_cast<float>(p.mean[channel]);
    EXPECT_EQ(values.values()[i], centered / static_cast<float>(p.std[channel])) << i;
  }
  p.mean = {0.5};
  EXPECT_EQ(DataSet(p).read(0, 1).values()[0], -0.5F / 0.229F);
  p.mean = {0.5, 0.5};
  EXPECT_THAT(io_test::input_error([&] { const DataSet refused(p); }), testing::HasSubstr("`mean` has 2 values"));
}

TEST_F(DataSetTest, LeavesOutTheFirstAndStopsAtTheLimit) {
  const std::string images = write("x", idx_counting({10, 2}));
  Bytes label_bytes = idx_header(0x08, {10});
  for (std::uint8_t i = 0; i < 10; ++i) label_bytes.push_back(i);
  DataParameters p = of_format(DataFormat::idx, images, write("y", label_bytes));
  p.first = 4;
  p.limit = 3;
  const DataSet data(p);
  EXPECT_EQ(data.size(), 3);
  EXPECT_THAT(data.labels(), ElementsAre(4, 5, 6));
  EXPECT_THAT(data.read(1, 2).values(), ElementsAre(10, 11, 12, 13));
  p.limit = 100;
  EXPECT_EQ(DataSet(p).size(), 6);
  EXPECT_THROW(data.read(1, 3), InputError);
  EXPECT_THROW(data.read(-1, 1), InputError);
  p.first = 10;
  EXPECT_THAT(io_test::input_error([&] { const DataSet refused(p); }), testing::HasSubstr("`first` leaves out 10"));
}

TEST_F(DataSetTest, GivesSamplesTheShapeAskedFor) {
  DataParameters p = of_format(DataFormat::idx, write("x", idx_counting({2, 4, 4})));
  p.sample_shape = {16};
  EXPECT_EQ(DataSet(p).read(0, 2).shape(), (Shape{2, 16}));
  p.sample_shape = {5};
  EXPECT_THAT(io_test::input_error([&] { const DataSet refused(p); }),
              testing::HasSubstr("`sample_shape` 5 does not fit"));
}

TEST_F(DataSetTest, EqualForEveryBatchAndThreads) {
  for (const bool packed : {false, true}) {
    const Bytes bytes = idx_counting({100, 9, 7});
    DataParameters p = of_format(DataFormat::idx, write("x", packed ? gzip(bytes) : bytes));
    p.mean = {0.3};
    const DataSet data(p);
    const Tensor all = data.read(0, 100);
    for (const std::int64_t batch : {1, 7, 64}) {
      for (std::int64_t first = 0; first < 100; first += batch) {
        const Tensor part = data.read(first, std::min(batch, 100 - first), Parallel{.threads = 2});
        ASSERT_EQ(
            std::memcmp(part.data(), all.data() + first * 63, static_cast<std::size_t>(part.size()) * sizeof(float)),
            0);
      }
    }
    std::vector<std::thread> threads;
    std::vector<int> equal(4, 0);
    for (std::size_t t = 0; t < equal.size(); ++t) {
      threads.emplace_back([&, t] {
        const Tensor again = data.read(0, 100);
        equal[t] = std::memcmp(again.data(), all.data(), static_cast<std::size_t>(all.size()) * sizeof(float)) == 0;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(equal, testing::Each(1));
  }
}

TEST_F(DataSetTest, HoldsTensorsInMemory) {
  const DataSet data(Tensor(Shape{2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}), {1, 0});
  EXPECT_EQ(data.sample_shape(), (Shape{3}));
  EXPECT_THAT(data.read(1, 1).values(), ElementsAre(4, 5, 6));
  EXPECT_THROW(DataSet(Tensor(Shape{2, 3}), {1}), InputError);
  EXPECT_THROW(DataSet(Tensor(Shape{2, 3}), {1, -1}), InputError);
  EXPECT_THROW(DataSet(Tensor(Shape{0, 3})), InputError);
}

TEST_F(DataSetTest, ExportsWhatItReadsBack) {
  DataParameters glyphs = of_format(DataFormat::glyphs, "");
  glyphs.limit = 1500;  // more than one block of the export
  const DataSet original(glyphs);
  export_data(original, path("g.h5"));
  export_data(original, path("g.npy"));
  const DataSet from_h5(of_format(DataFormat::hdf5, path("g.h5")));
  const DataSet from_npy(of_format(DataFormat::npy, path("g.npy"), path("g_labels.npy")));
  for (const DataSet* copy : {&from_h5, &from_npy}) {
    EXPECT_EQ(copy->element_type(), "uint8");
    EXPECT_EQ(copy->sample_shape(), original.sample_shape());
    EXPECT_THAT(copy->labels(), ElementsAreArray(original.labels()));
    EXPECT_EQ(all_values(*copy), all_values(original));
  }
  glyphs.limit = 3;
  glyphs.scale = 0.1;
  export_data(DataSet(glyphs), path("scaled.h5"));
  const DataSet scaled(of_format(DataFormat::hdf5, path("scaled.h5")));
  EXPECT_EQ(scaled.element_type(), "float32");
  EXPECT_EQ(all_values(scaled), all_values(DataSet(glyphs)));
  EXPECT_THROW(export_data(original, path("g.csv")), InputError);
  EXPECT_THROW(export_data(original, path("no/folder/g.h5")), RunError);
}

// The published sets, where they are at hand (TESSERA_DATA_DIR).
std::string data_folder() {
  const char* variable = std::getenv("TESSERA_DATA_DIR");
  return variable != nullptr ? variable : TESSERA_SOURCE_DIR + "/../shared/data";
}

TEST_F(DataSetTest, ReadsThePublishedMnist) {
  const std::string folder = data_folder() + "/mnist/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no data in " << folder << "; set TESSERA_DATA_DIR";
  const DataSet test(of_format(DataFormat::idx, folder + "t10k-images-idx3-ubyte", folder + "t10k-labels-idx1-ubyte"));
  EXPECT_EQ(test.size(), 10000);
  EXPECT_THAT(test.labels().subspan(0, 10), ElementsAre(7, 2, 1, 0, 4, 1, 4, 9, 5, 9));
  DataParameters p =
      of_format(DataFormat::idx, folder + "train-images-idx3-ubyte.gz", folder + "train-labels-idx1-ubyte.gz");
  p.scale = 1.0 / 255.0;
  const DataSet train(p);
  EXPECT_EQ(train.size(), 60000);
  EXPECT_EQ(train.sample_shape(), (Shape{1, 28, 28}));
  EXPECT_THAT(train.labels().subspan(0, 10), ElementsAre(5, 0, 4, 1, 9, 2, 1, 3, 1, 4));
  double sum = 0.0;
  double squares = 0.0;
  for (std::int64_t first = 0; first < 60000; first += 1000) {
    const Tensor batch = train.read(first, 1000);
    for (const float x : batch.values()) {
      sum += x;
      squares += static_cast<double>(x) * x;
    }
  }
  const double mean = sum / (60000.0 * 784.0);
  EXPECT_NEAR(mean, 0.1307, 5e-5);  // the constants that every MNIST example uses
  EXPECT_NEAR(std::sqrt(squares / (60000.0 * 784.0) - mean * mean), 0.3081, 5e-5);
}

TEST_F(DataSetTest, ReadsThePublishedCifar10) {
  const std::string folder = data_folder() + "/cifar10/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no data in " << folder << "; set TESSERA_DATA_DIR";
  DataParameters p = of_format(DataFormat::cifar10, folder + "test_a.bin");
  p.inputs.push_back(folder + "train1k.bin");
  const DataSet data(p);
  EXPECT_EQ(data.size(), 6000);
  std::vector<int> count(10);
  for (const std::int32_t label : data.labels().subspan(0, 5000)) ++count[static_cast<std::size_t>(label)];
  EXPECT_THAT(count, testing::Each(testing::AllOf(testing::Gt(420), testing::Lt(580))));  // "nearly class balanced"
}

}  // namespace
}  // namespace tessera::io
