// Are files in memory the files that a disk would hold, and do several of them live beside each other?
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::h5 {
namespace {

void fill(File& file, double value) {
  file.set_attribute("title", "a file");
  Dataset scale = file.write("x", std::vector<double>{0.0, 1.0, value});
  make_scale(scale);
  file.write("words", std::vector<std::string>{"one", "two"});
  file.create_group("group").write_text("text", "more words");
}

TEST(MemoryFileTest, HoldsWhatWasWritten) {
  NewFile file = NewFile::in_memory("numbers");
  fill(file, 2.5);
  const Image image = file.commit();
  const File back = File::open_image(image, "numbers");
  EXPECT_EQ(back.attribute<std::string>("title"), "a file");
  EXPECT_EQ(back.dataset("x").read<double>(), (std::vector<double>{0.0, 1.0, 2.5}));
  EXPECT_EQ(back.dataset("words").read<std::string>(), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(back.dataset("group/text").read_scalar<std::string>(), "more words");
  EXPECT_TRUE(is_scale(back.dataset("x")));
}

TEST(MemoryFileTest, IsByteForByteTheFileOnADisk) {
  const std::string path = testing::TempDir() + "tessera_memory_file_test.h5";
  NewFile on_disk(path), in_memory = NewFile::in_memory("numbers");
  fill(on_disk, 2.5);
  fill(in_memory, 2.5);
  EXPECT_TRUE(on_disk.commit().empty());
  const Image image = in_memory.commit();
  std::ifstream stream(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(stream), {});
  ASSERT_EQ(bytes.size(), image.size());
  EXPECT_EQ(std::memcmp(bytes.data(), image.data(), bytes.size()), 0);
  std::filesystem::remove(path);
}

TEST(MemoryFileTest, FilesOfOneNameAreDifferentFiles) {
  NewFile first = NewFile::in_memory("numbers"), second = NewFile::in_memory("numbers");
  fill(first, 1.5);
  fill(second, 2.5);
  const Image a = first.commit(), b = second.commit();
  const File one = File::open_image(a, "numbers"), other = File::open_image(b, "numbers");
  EXPECT_EQ(one.dataset("x").read<double>()[2], 1.5);
  EXPECT_EQ(other.dataset("x").read<double>()[2], 2.5);
}

TEST(MemoryFileTest, DamageIsAnError) {
  NewFile file = NewFile::in_memory("numbers");
  fill(file, 2.5);
  Image image = file.commit();
  image.resize(image.size() / 4);
  EXPECT_THROW(File::open_image(image, "numbers"), InputError);
  EXPECT_THROW(File::open_image({}, "numbers"), InputError);
}

}  // namespace
}  // namespace tessera::h5
