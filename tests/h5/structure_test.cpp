// Are groups, links and dimension scales found as they were made, whatever the file holds?
#include <gmock/gmock.h>
#include <hdf5.h>

#include "h5/temporary_directory.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::h5 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class H5Structure : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.h5";
};

TEST_F(H5Structure, ChildrenComeInTheOrderOfCreation) {
  {
    File file = File::create(path_);
    for (const char* name : {"zeta", "alpha", "mid"}) file.create_group(std::string("layers/") + name);
    file.write_scalar("layers/beta", 1.0F);
    EXPECT_THROW(file.create_group("layers/alpha"), RunError);
    EXPECT_EQ(file.require_group("layers/alpha").path(), "/layers/alpha");
  }
  const File file = File::open(path_);
  EXPECT_THAT(file.group("layers").group_names(), ElementsAre("zeta", "alpha", "mid"));
  EXPECT_THAT(file.group("layers").dataset_names(), ElementsAre("beta"));
  EXPECT_TRUE(file.contains("layers/alpha"));
  EXPECT_TRUE(file.contains("/layers"));
  EXPECT_TRUE(file.contains("/"));
  EXPECT_FALSE(file.contains("layers/alpha/none"));
  EXPECT_FALSE(file.contains("none/alpha"));
  EXPECT_FALSE(file.contains(""));
  EXPECT_THAT([&] { file.group("layers").dataset("none"); },
              ThrowsMessage<InputError>(HasSubstr("there is no dataset /layers/none in '" + path_ + "'")));
  EXPECT_THROW(file.group("layers/beta"), InputError);
  EXPECT_THROW(file.dataset("layers/alpha"), InputError);
  EXPECT_EQ(file.group("layers").group("/layers/mid").path(), "/layers/mid");
  EXPECT_EQ(file.group("layers").group("mid").name(), "mid");
}

TEST_F(H5Structure, VisitSeesEveryObjectOnceDespiteCyclesAndDanglingLinks) {
  {
    File file = File::create(path_);
    Group a = file.create_group("a");
    a.write_scalar("x", 1);
    H5Lcreate_hard(file.hid(), "/", a.hid(), "up", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/nowhere", file.hid(), "dangling", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("absent.h5", "/", file.hid(), "external", H5P_DEFAULT, H5P_DEFAULT);
  }
  const File file = File::open(path_);
  std::vector<std::string> seen;
  file.visit([&](const std::string& path, Kind kind) { seen.push_back(path + (kind == Kind::group ? "/" : "")); });
  EXPECT_THAT(seen, ElementsAre("a/", "a/x"));
  const auto children = file.children();
  ASSERT_EQ(children.size(), 3U);
  EXPECT_EQ(children[1].kind, Kind::other);
  EXPECT_EQ(children[2].kind, Kind::other);
  EXPECT_THROW(file.dataset("dangling"), InputError);
  EXPECT_THROW(file.dataset("external"), InputError);
  EXPECT_FALSE(file.contains("dangling"));
  EXPECT_THROW(file.visit([](const std::string&, Kind) { throw RunError("stop"); }), RunError);
}

TEST_F(H5Structure, DimensionScalesNameTheAxes) {
  {
    File file = File::create(path_);
    Dataset time = file.write("time", std::vector<double>{0, 60});
    Dataset layer = file.write("layer", std::vector<std::string>{"conv", "fc", "out"});
    Dataset sample = file.create_dimension("sample", 4);
    make_scale(time);
    make_scale(layer);
    Dataset values = file.create_dataset("values", ElementType::float32, {2, 3, 4});
    attach_scale(values, 0, time);
    attach_scale(values, 1, layer);
    attach_scale(values, 2, sample);
    set_label(values, 1, "which layer");
    EXPECT_THROW(attach_scale(values, 1, time), RunError) << "lengths differ";
    EXPECT_THROW(attach_scale(values, 3, time), RunError);
    EXPECT_THROW(make_scale(values), RunError);
    file.write("plain", std::vector<float>{1, 2});
  }
  const File file = File::open(path_);
  EXPECT_THAT(dimension_names(file.dataset("values")), ElementsAre("time", "layer", "sample"));
  EXPECT_THAT(dimension_names(file.dataset("time")), ElementsAre("time"));
  EXPECT_THAT(dimension_names(file.dataset("plain")), ElementsAre(""));
  EXPECT_TRUE(is_scale(file.dataset("layer")));
  EXPECT_FALSE(is_scale(file.dataset("values")));
  EXPECT_TRUE(is_bare_dimension(file.dataset("sample")));
  EXPECT_FALSE(is_bare_dimension(file.dataset("time")));
  EXPECT_EQ(label(file.dataset("values"), 1), "which layer");
  EXPECT_EQ(label(file.dataset("values"), 0), "");
}

TEST_F(H5Structure, AttributesAreListedAndReplaced) {
  File file = File::create(path_);
  file.set_attribute("units", "s");
  file.set_attribute("count", 3);
  file.set_attribute("count", std::vector<double>{1, 2});
  const auto attributes = file.attributes();
  ASSERT_EQ(attributes.size(), 2U);
  for (const AttributeInfo& info : attributes) {
    if (info.name == "count") {
      EXPECT_EQ(info.type, ElementType::float64);
      EXPECT_EQ(info.shape, Shape{2});
    }
  }
  EXPECT_THAT([&] { file.attribute<double>("count"); },
              ThrowsMessage<InputError>(HasSubstr("attribute 'count' of / in")));
  EXPECT_THAT([&] { file.attribute<double>("cuont"); },
              ThrowsMessage<InputError>(HasSubstr("there is no attribute 'cuont' of /")));
  EXPECT_THROW(file.attribute<double>("units"), InputError);
  EXPECT_THROW(file.attribute<std::string>("count"), InputError);
}

/// libhdf5 is not thread-safe; the module's lock makes up for it.
TEST_F(H5Structure, ThreadsWaitForEachOther) {
  constexpr std::int64_t threads = 4;
  std::vector<double> sums(threads);
  parallel_for(Parallel{threads}, threads, [&](std::int64_t t) {
    const std::string path = directory_ / fmt::format("{}.h5", t);
    for (int round = 0; round < 30; ++round) {
      {
        File file = File::create(path);
        file.create_group("a/b").write("x", std::vector<double>(100, static_cast<double>(t)));
        file.set_attribute("text", "words");
      }
      const File file = File::open(path);
      EXPECT_THROW(file.dataset("none"), InputError);
      EXPECT_EQ(file.attribute<std::string>("text"), "words");
      for (const double value : file.dataset("a/b/x").read<double>()) sums[static_cast<std::size_t>(t)] += value;
    }
  });
  EXPECT_THAT(sums, ElementsAre(0, 3000, 6000, 9000));
}

/// The error stack is HDF5's business again after each call.
TEST_F(H5Structure, ErrorPrintingIsOnlySilencedLocally) {
  H5E_auto2_t before = nullptr;
  H5E_auto2_t after = nullptr;
  void* data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &before, &data);
  EXPECT_THROW(File::open(directory_ / "absent.h5"), InputError);
  testing::write_bytes(path_, "\x89HDF\r\n\x1a\n and nothing else");
  EXPECT_THROW(File::open(path_), InputError);
  H5Eget_auto2(H5E_DEFAULT, &after, &data);
  EXPECT_EQ(before, after);
  EXPECT_NE(before, nullptr);
}

}  // namespace
}  // namespace tessera::h5
