// Are files that other writers made (h5py, netCDF, Fortran) read, and is what cannot be read an error?
#include <gmock/gmock.h>
#include <hdf5.h>

#include <cstdlib>
#include <filesystem>

#include "h5/temporary_directory.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::h5 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class H5ForeignFile : public ::testing::Test {
 protected:
  void SetUp() override { id_ = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT); }
  File reopened() {
    H5Fclose(id_);
    return File::open(path_);
  }
  void write(const char* name, hid_t stored, hid_t memory, std::vector<hsize_t> dims, const void* data) {
    const hid_t space =
        dims.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
    const hid_t dataset = H5Dcreate2(id_, name, stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t attribute = H5Acreate2(id_, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    ASSERT_GE(H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), 0);
    ASSERT_GE(H5Awrite(attribute, memory, data), 0);
    H5Aclose(attribute);
    H5Dclose(dataset);
    H5Sclose(space);
  }
  static hid_t fixed(std::size_t size, H5T_str_t padding, H5T_cset_t cset = H5T_CSET_ASCII) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size);
    H5Tset_strpad(type, padding);
    H5Tset_cset(type, cset);
    return type;
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.h5";
  hid_t id_ = -1;
};

TEST_F(H5ForeignFile, FixedLengthStringsOfEveryPadding) {
  const hid_t terminated = fixed(4, H5T_STR_NULLTERM), padded = fixed(4, H5T_STR_NULLPAD),
              spaces = fixed(4, H5T_STR_SPACEPAD), utf8 = fixed(4, H5T_STR_NULLPAD, H5T_CSET_UTF8);
  write("terminated", terminated, terminated, {2}, "abc\0d\0xy");
  write("padded", padded, padded, {2}, "abcde\0\0\0");
  write("spaces", spaces, spaces, {2}, "ab  c   ");
  write("utf8", utf8, utf8, {}, "\xc2\xb5S\0");
  for (const hid_t type : {terminated, padded, spaces, utf8}) H5Tclose(type);
  const File file = reopened();
  EXPECT_THAT(file.dataset("terminated").read<std::string>(), ElementsAre("abc", "d"));
  EXPECT_THAT(file.dataset("padded").read<std::string>(), ElementsAre("abcd", "e"));
  EXPECT_THAT(file.attribute_values<std::string>("spaces"), ElementsAre("ab", "c"));
  EXPECT_EQ(file.attribute<std::string>("utf8"), "µS");
}

TEST_F(H5ForeignFile, VariableLengthAsciiAndNullPointers) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  const std::vector<const char*> words{"one", nullptr, ""};
  write("words", type, type, {3}, static_cast<const void*>(words.data()));
  H5Tclose(type);
  const File file = reopened();
  EXPECT_THAT(file.dataset("words").read<std::string>(), ElementsAre("one", "", ""));
  EXPECT_THAT(file.attribute_values<std::string>("words"), ElementsAre("one", "", ""));
}

TEST_F(H5ForeignFile, BooleansBigEndianAndHalfPrecision) {
  const hid_t boolean = H5Tenum_create(H5T_NATIVE_INT8);
  std::int8_t value = 0;
  H5Tenum_insert(boolean, "FALSE", &value);
  value = 1;
  H5Tenum_insert(boolean, "TRUE", &value);
  const std::int8_t flags[] = {1, 0, 1};
  write("flags", boolean, boolean, {3}, flags);
  H5Tclose(boolean);
  const std::int32_t numbers[] = {-5, 1 << 30};
  write("big", H5T_STD_I32BE, H5T_NATIVE_INT32, {2}, numbers);
  const hid_t half = H5Tcopy(H5T_IEEE_F32LE);
  H5Tset_fields(half, 15, 10, 5, 0, 10);
  H5Tset_precision(half, 16);
  H5Tset_size(half, 2);
  H5Tset_ebias(half, 15);
  const float halves[] = {0.5F, -2.0F};
  write("half", half, H5T_NATIVE_FLOAT, {2}, halves);
  H5Tclose(half);
  const File file = reopened();
  EXPECT_EQ(file.dataset("flags").type(), ElementType::boolean);
  EXPECT_THAT(file.dataset("flags").read<std::uint8_t>(), ElementsAre(1, 0, 1));
  EXPECT_THAT(file.dataset("flags").read<float>(), ElementsAre(1, 0, 1));
  EXPECT_THAT(file.dataset("big").read<std::int32_t>(), ElementsAre(-5, 1 << 30));
  EXPECT_THAT(file.attribute_values<std::int64_t>("big"), ElementsAre(-5, 1 << 30));
  EXPECT_EQ(file.dataset("half").type(), ElementType::float16);
  EXPECT_THAT(file.dataset("half").read<float>(), ElementsAre(0.5F, -2.0F));
}

TEST_F(H5ForeignFile, WhatIsNotUnderstoodIsListedAndRefused) {
  const hid_t compound = H5Tcreate(H5T_COMPOUND, 8);
  H5Tinsert(compound, "re", 0, H5T_NATIVE_FLOAT);
  H5Tinsert(compound, "im", 4, H5T_NATIVE_FLOAT);
  const float pair[] = {1, 2};
  write("complex", compound, compound, {}, pair);
  H5Tclose(compound);
  const hid_t null_space = H5Screate(H5S_NULL);
  H5Aclose(H5Acreate2(id_, "null", H5T_NATIVE_FLOAT, null_space, H5P_DEFAULT, H5P_DEFAULT));
  H5Dclose(H5Dcreate2(id_, "null", H5T_NATIVE_FLOAT, null_space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  H5Sclose(null_space);
  const File file = reopened();
  EXPECT_EQ(file.dataset("complex").type(), ElementType::other);
  EXPECT_THAT([&] { file.dataset("complex").read<float>(); },
              ThrowsMessage<InputError>(HasSubstr("it holds another type")));
  EXPECT_THROW(file.attribute<float>("complex"), InputError);
  EXPECT_THROW(file.attribute<std::string>("complex"), InputError);
  EXPECT_THROW(file.attribute<float>("null"), InputError);
  EXPECT_THROW(file.dataset("null"), InputError);
  EXPECT_EQ(file.attributes().size(), 2U);
  EXPECT_EQ(file.children().size(), 2U);
}

/// A shape that the file cannot hold must not become an allocation.
TEST_F(H5ForeignFile, HugeDeclaredShapesAreRefused) {
  const hsize_t dims[] = {hsize_t{1} << 40, 16};
  const hsize_t chunk[] = {1024, 16};
  const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(properties, 2, chunk);
  const hid_t space = H5Screate_simple(2, dims, nullptr);
  H5Dclose(H5Dcreate2(id_, "huge", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, properties, H5P_DEFAULT));
  H5Sclose(space);
  H5Pclose(properties);
  const File file = reopened();
  EXPECT_THAT([&] { file.dataset("huge").read<float>(); }, ThrowsMessage<InputError>(HasSubstr("declares")));
  EXPECT_THROW(file.dataset("huge").read_tensor(), InputError);
}

/// The golden files were written by h5py: variable-length UTF-8 attributes, numpy integers and doubles.
TEST(H5Golden, EveryCaseIsReadable) {
  const char* given = std::getenv("TESSERA_GOLDEN_DIR");
  const std::string golden = given != nullptr ? given : TESSERA_SOURCE_DIR + "/tests/data/golden";
  ASSERT_TRUE(std::filesystem::exists(golden)) << golden;
  int cases = 0;
  int datasets = 0;
  for (const char* name : {"/analog_tile.h5", "/noise_models.h5"}) {
    const File file = File::open(golden + name);
    file.visit([&](const std::string& path, Kind kind) {
      if (kind == Kind::group) {
        const Group group = file.group(path);
        if (group.has_attribute("kind")) {
          ++cases;
          EXPECT_FALSE(group.attribute<std::string>("kind").empty());
          EXPECT_THAT(group.attribute<std::string>("rpu_config"), HasSubstr("tile_class:"));
          EXPECT_GE(group.attribute<std::int64_t>("n_tiles", 1), 1);
          EXPECT_EQ(group.dataset("weight").read_tensor().rank(), 2);
        }
      } else {
        ++datasets;
        const Dataset dataset = file.dataset(path);
        EXPECT_EQ(dataset.read<double>().size(), static_cast<std::size_t>(dataset.size()));
      }
    });
  }
  EXPECT_GE(cases, 190);
  EXPECT_GE(datasets, 900);
}

}  // namespace
}  // namespace tessera::h5
