// Do missing, truncated and damaged files give an error (and neither a crash nor silent garbage)?
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <set>

#include "h5/temporary_directory.hpp"
#include "tessera/h5/file.hpp"

#ifdef __SANITIZE_ADDRESS__
// libhdf5 1.10 does not free everything when it refuses a damaged file.
extern "C" __attribute__((weak)) const char* __lsan_default_suppressions() {
  return "leak:libhdf5\n";
}
#endif

namespace tessera::h5 {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class H5DamagedFile : public ::testing::Test {
 protected:
  void write_sample() {
    File file = File::create(path_);
    file.set_attribute("filetype", "sample");
    file.set_attribute("values", std::vector<double>{1, 2, 3});
    Group group = file.create_group("layers/conv1");
    std::vector<float> ramp(3000);
    for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i);
    group.write("plain", ramp);
    group.write("packed", {30, 100}, std::span<const float>(ramp), {.chunk = {10, 50}, .deflate = 6});
    group.write("names", std::vector<std::string>{"a", "bb", "ccc"});
  }
  /// Reads everything there is; counts the values read.
  static std::size_t read_everything(const std::string& path) {
    const File file = File::open(path);
    std::size_t values = 0;
    const auto attributes = [&](const Object& object) {
      for (const AttributeInfo& info : object.attributes()) {
        if (info.type == ElementType::string) values += object.attribute_values<std::string>(info.name).size();
        if (info.type == ElementType::float64) values += object.attribute_values<double>(info.name).size();
      }
    };
    attributes(file);
    file.visit([&](const std::string& child, Kind kind) {
      if (kind != Kind::dataset) return;
      const Dataset dataset = file.dataset(child);
      attributes(dataset);
      values +=
          dataset.type() == ElementType::string ? dataset.read<std::string>().size() : dataset.read<float>().size();
    });
    return values;
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.h5";
};

constexpr std::size_t whole = 6000 + 3 + 1 + 3;

TEST_F(H5DamagedFile, NotThereNotAFileNotHdf5) {
  EXPECT_THAT([&] { File::open(directory_ / "absent.h5"); },
              ThrowsMessage<InputError>(HasSubstr("No such file or directory")));
  EXPECT_THAT([&] { File::open(directory_ / ""); }, ThrowsMessage<InputError>(HasSubstr("a directory")));
  EXPECT_THROW(File::open("/dev/null"), InputError);
  EXPECT_THROW(File::open(""), InputError);
  testing::write_bytes(path_, "");
  EXPECT_THAT([&] { File::open(path_); }, ThrowsMessage<InputError>(HasSubstr("is not an HDF5 file")));
  testing::write_bytes(path_, std::string(5000, 'x'));
  EXPECT_THAT([&] { File::open(path_); }, ThrowsMessage<InputError>(HasSubstr("is not an HDF5 file")));
  EXPECT_FALSE(is_hdf5(path_));
  EXPECT_THROW(is_hdf5(directory_ / "absent.h5"), InputError);
}

TEST_F(H5DamagedFile, EveryTruncationIsAnError) {
  write_sample();
  ASSERT_EQ(read_everything(path_), whole);
  const std::string bytes = testing::read_bytes(path_);
  const std::string cut = directory_ / "cut.h5";
  int tried = 0;
  for (std::size_t size = 0; size < bytes.size(); size += std::max<std::size_t>(1, bytes.size() / 200)) {
    testing::write_bytes(cut, bytes.substr(0, size));
    EXPECT_THROW(read_everything(cut), InputError) << size << " of " << bytes.size();
    ++tried;
  }
  EXPECT_GE(tried, 200);
}

/// The format of 1.10 has no checksums over old-style metadata, so a changed byte may go unseen; what must not happen
/// is another exception, a crash or a hang.
TEST_F(H5DamagedFile, ChangedBytesAreErrorsOrHarmless) {
  write_sample();
  const std::string bytes = testing::read_bytes(path_);
  const std::string damaged = directory_ / "damaged.h5";
  int errors = 0;
  for (std::size_t position = 0; position < bytes.size(); position += position < 4096 ? 7 : 97) {
    for (const char value : {'\0', '\x01', '\x7f', '\xff'}) {
      if (bytes[position] == value) continue;
      std::string changed = bytes;
      changed[position] = value;
      testing::write_bytes(damaged, changed);
      try {
        read_everything(damaged);
      } catch (const InputError&) {
        ++errors;
      }
    }
  }
  EXPECT_GE(errors, 100);
}

TEST_F(H5DamagedFile, ChecksumsFindChangedValues) {
  {
    File file = File::create(path_);
    file.write("x", {1000}, std::span<const float>(std::vector<float>(1000, 1.5F)), {.chunk = {100}, .checksum = true});
    EXPECT_THROW(file.create_dataset("y", ElementType::float32, {4}, {.checksum = true}), RunError);
  }
  EXPECT_EQ(File::open(path_).dataset("x").read<float>(), std::vector<float>(1000, 1.5F));
  std::string bytes = testing::read_bytes(path_);
  const std::string value("\0\0\xc0\x3f\0\0\xc0\x3f", 8);
  const std::size_t position = bytes.find(value);
  ASSERT_NE(position, std::string::npos);
  bytes[position + 2] = '\xc1';
  testing::write_bytes(path_, bytes);
  EXPECT_THROW(File::open(path_).dataset("x").read<float>(), InputError);
}

TEST_F(H5DamagedFile, ClosingInvalidatesQuietly) {
  write_sample();
  File file = File::open(path_);
  Dataset dataset = file.dataset("layers/conv1/plain");
  file.close();
  EXPECT_FALSE(file.is_open());
  EXPECT_THROW(dataset.read<float>(), InputError);
  EXPECT_THROW(file.dataset("layers"), InputError);
  EXPECT_NO_THROW(file.close());
}

TEST_F(H5DamagedFile, AReadOnlyFileIsNotWritten) {
  write_sample();
  File file = File::open(path_);
  EXPECT_THROW(file.create_group("new"), RunError);
  EXPECT_THROW(file.set_attribute("new", 1), RunError);
  EXPECT_THROW(file.write("new", std::vector<float>{1}), RunError);
  Dataset dataset = file.dataset("layers/conv1/plain");
  EXPECT_THROW(dataset.write(std::vector<float>(3000)), RunError);
}

}  // namespace
}  // namespace tessera::h5
