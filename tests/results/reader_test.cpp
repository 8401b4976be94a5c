// Are foreign, newer and damaged files told apart from good ones, and are differences between files found?
#include "tessera/results/reader.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "h5/temporary_directory.hpp"
#include "results/sample_run.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/results/compare.hpp"

namespace tessera::results {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

class ResultReader : public ::testing::Test {
 protected:
  void SetUp() override { sample::write_file(path_, sample::sweep_header()); }
  /// A copy of the file with a change.
  std::string changed(const std::function<void(h5::File&)>& change) {
    const std::string path = directory_ / "changed.h5";
    testing::write_bytes(partial_path(path), testing::read_bytes(path_));
    AtomicFile target(path, AtomicFile::Start::resume);
    h5::File file = h5::File::resume(target);
    change(file);
    file.close();
    target.commit();
    return path;
  }
  std::vector<std::string> differences(const std::function<void(h5::File&)>& change) {
    return compare(path_, changed(change));
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "results.h5";
};

TEST_F(ResultReader, VersionsAreChecked) {
  const auto with_version = [&](const std::string& version) {
    return changed([&](h5::File& f) { f.set_attribute("schema_version", version); });
  };
  EXPECT_EQ(Reader(with_version("1.0")).version_note(), "");
  EXPECT_THAT(Reader(with_version("1.7")).version_note(), HasSubstr("later version"));
  EXPECT_THAT([&] { Reader(with_version("2.0")); }, ThrowsMessage<InputError>(HasSubstr("this program reads 1.x")));
  for (const char* broken : {"", "1", "1.", "x", "1.x", "1.0.0", "-1.0", "99999999999.0"}) {
    EXPECT_THROW(Reader(with_version(broken)), InputError) << broken;
  }
}

TEST_F(ResultReader, OtherFilesAreRefused) {
  const std::string other = directory_ / "other.h5";
  h5::File::create(other).set_attribute("filetype", "tessera-model");
  EXPECT_THAT([&] { Reader reader(other); }, ThrowsMessage<InputError>(HasSubstr("is not a result file of tessera")));
  testing::write_bytes(other, "name: config\n");
  EXPECT_THROW(Reader reader(other), InputError);
  EXPECT_THROW(Reader reader(directory_ / "absent.h5"), InputError);
  EXPECT_THROW(Reader(path_).read("/accuracies"), InputError);
  EXPECT_THROW(Reader(path_).read("/config/text"), InputError);
}

TEST_F(ResultReader, VariablesAreListedWithoutAxes) {
  const Reader reader(path_);
  const auto variables = reader.variables();
  const auto accuracy =
      std::find_if(variables.begin(), variables.end(), [](const VariableInfo& v) { return v.path == "/accuracy"; });
  ASSERT_NE(accuracy, variables.end());
  EXPECT_THAT(accuracy->dims, ElementsAre("n_bits", "w_noise_type", "time", "repeat"));
  EXPECT_EQ(accuracy->units, "1");
  EXPECT_FALSE(accuracy->long_name.empty());
  for (const VariableInfo& info : variables) {
    EXPECT_EQ(info.dims.size(), info.shape.size()) << info.path;
    for (const std::string& name : info.dims) EXPECT_NE(name, "") << info.path;
    EXPECT_NE(info.path, "/n_bits");
  }
}

TEST_F(ResultReader, DifferencesAreFoundToTheBit) {
  EXPECT_THAT(differences([](h5::File&) {}), IsEmpty());
  const auto change_value = [](const char* path, auto change) {
    return [=](h5::File& f) {
      h5::Dataset dataset = f.dataset(path);
      using T = std::remove_reference_t<decltype(change(1.0))>;
      auto values = dataset.read<T>();
      values[5] = change(values[5]);
      dataset.write(values);
    };
  };
  EXPECT_THAT(differences(change_value("accuracy", [](double x) { return std::nextafter(x, 1.0); })),
              ElementsAre(HasSubstr("/accuracy: 1 of 24 values differ, first element 5: ")));
  EXPECT_THAT(differences(change_value("layers/block.fc/mse", [](double x) { return -x; })),
              ElementsAre(HasSubstr("first element 5: 0 and -0")));
  EXPECT_THAT(differences([](h5::File& f) { f.dataset("runtime/threads").write(std::vector<std::int32_t>{9}); }),
              IsEmpty());
  EXPECT_THAT(differences([](h5::File& f) { f.set_attribute("created_utc", "other"); }), IsEmpty());
  EXPECT_THAT(differences([](h5::File& f) { f.set_attribute("seed", std::uint64_t{1}); }),
              ElementsAre(HasSubstr("/@seed: 1 of 1 values differ")));
  EXPECT_THAT(differences([](h5::File& f) { f.set_attribute("seed", 1.0); }),
              ElementsAre(HasSubstr("/@seed: uint64 of shape scalar and float64 of shape scalar")));
  EXPECT_THAT(differences([](h5::File& f) { f.write_scalar("layers/more", 1); }),
              ElementsAre(HasSubstr("the object /layers/more is only in")));
  EXPECT_THAT(differences([](h5::File& f) { f.dataset("config/text").write(std::vector<std::string>{"x"}); }),
              ElementsAre(HasSubstr("/config/text: 1 of 1 values differ")));
  EXPECT_THAT(
      compare(path_, changed([](h5::File& f) { f.dataset("config/text").write(std::vector<std::string>{"x"}); }),
              {"/config"}),
      IsEmpty());
}

TEST_F(ResultReader, LargeTensorsAreComparedWhole) {
  const auto write = [&](const std::string& path, std::size_t changed) {
    h5::File file = h5::File::create(path);
    std::vector<float> values(std::size_t{3} * 1700 * 1000, 1.0F);
    if (changed < values.size()) values[changed] = 2.0F;
    file.write("x", {1, 3, 1700, 1000}, std::span<const float>(values));
  };
  const std::string a = directory_ / "a.h5";
  const std::string b = directory_ / "b.h5";
  write(a, ~std::size_t{0});
  for (const std::size_t position : {std::size_t{0}, std::size_t{2500000}, std::size_t{5099999}}) {
    write(b, position);
    EXPECT_EQ(compare(a, b).size(), 1U) << position;
  }
  write(b, ~std::size_t{0});
  EXPECT_THAT(compare(a, b), IsEmpty());
}

TEST_F(ResultReader, TruncatedFilesAreErrors) {
  const std::string bytes = testing::read_bytes(path_);
  const std::string cut = directory_ / "cut.h5";
  for (int part = 0; part < 64; ++part) {
    testing::write_bytes(cut, bytes.substr(0, bytes.size() * static_cast<std::size_t>(part) / 64));
    EXPECT_THROW(Reader reader(cut), InputError) << part;
  }
}

}  // namespace
}  // namespace tessera::results
