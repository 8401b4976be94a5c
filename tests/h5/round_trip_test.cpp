// Does everything that is written read back exactly, and is every conversion exact or refused?
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "h5/temporary_directory.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::h5 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class H5RoundTrip : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "file.h5";
};

template <class T>
class H5Numbers : public H5RoundTrip {};
using NumberTypes = ::testing::Types<float, double, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t,
                                     std::int32_t, std::uint32_t, std::int64_t, std::uint64_t>;
TYPED_TEST_SUITE(H5Numbers, NumberTypes);

TYPED_TEST(H5Numbers, SurviveAsDatasetsBlocksAndAttributes) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  const std::vector<T> values{Limits::lowest(), Limits::max(), T(0), T(1), T(7), Limits::min()};
  {
    File file = File::create(this->path_);
    file.write("flat", values);
    file.write("cube", {1, 3, 2}, std::span<const T>(values), {.chunk = {1, 2, 1}, .deflate = 4});
    file.write_scalar("scalar", values[1]);
    Dataset parts = file.create_dataset("parts", element_type<T>(), {3, 2}, {.fill = 5});
    parts.write_block({1, 0}, {1, 2}, std::span<const T>(values).first(2));
    file.set_attribute("one", values[0]);
    file.set_attribute("many", values);
    file.set_attribute("none", std::vector<T>{});
    file.close();
  }
  const File file = File::open(this->path_);
  EXPECT_EQ(file.dataset("flat").type(), element_type<T>());
  EXPECT_EQ(file.dataset("flat").template read<T>(), values);
  EXPECT_EQ(file.dataset("cube").shape(), (Shape{1, 3, 2}));
  EXPECT_EQ(file.dataset("cube").template read<T>(), values);
  EXPECT_EQ(file.dataset("scalar").template read_scalar<T>(), values[1]);
  EXPECT_EQ(file.dataset("parts").template read<T>(), (std::vector<T>{5, 5, values[0], values[1], 5, 5}));
  EXPECT_EQ(file.dataset("parts").template attribute<T>("_FillValue"), T(5));
  std::vector<T> block(2);
  file.dataset("cube").template read_block<T>({0, 1, 1}, {1, 2, 1}, block);
  EXPECT_EQ(block, (std::vector<T>{values[3], values[5]}));
  EXPECT_EQ(file.template attribute<T>("one"), values[0]);
  EXPECT_EQ(file.template attribute_values<T>("many"), values);
  EXPECT_TRUE(file.template attribute_values<T>("none").empty());
}

TEST_F(H5RoundTrip, SpecialFloatsKeepTheirBits) {
  const std::vector<float> values{-0.0F, 1e-45F, INFINITY, -INFINITY, NAN};
  {
    File file = File::create(path_);
    file.write("x", values);
    file.create_dataset("missing", ElementType::float32, {2}, {.fill = NAN});
    file.create_dataset("missing64", ElementType::float64, {2}, {.fill = NAN});
  }
  const File file = File::open(path_);
  const auto back = file.dataset("x").read<float>();
  EXPECT_EQ(std::memcmp(back.data(), values.data(), sizeof(float) * values.size()), 0);
  EXPECT_TRUE(std::isnan(file.dataset("missing").read<float>()[1]));
  EXPECT_TRUE(std::isnan(file.dataset("missing64").read<double>()[1]));
}

TEST_F(H5RoundTrip, TextOfEveryKind) {
  const std::vector<std::string> words{"", "µS", "two\nlines", std::string(100000, 'x'), "日本語"};
  {
    File file = File::create(path_);
    file.write("words", words);
    file.write_text("text", words[3]);
    file.write("nothing", std::vector<std::string>{});
    file.set_attribute("empty", "");
    file.set_attribute("unit", "µS");
    file.set_attribute("names", std::vector<std::string>{"a", "", "b/c"});
    Dataset grid = file.create_dataset("grid", ElementType::string, {2, 2});
    grid.write_block({1, 0}, {1, 2}, std::span<const std::string>(words).subspan(1, 2));
  }
  const File file = File::open(path_);
  EXPECT_EQ(file.dataset("words").read<std::string>(), words);
  EXPECT_EQ(file.dataset("text").read_scalar<std::string>(), words[3]);
  EXPECT_TRUE(file.dataset("nothing").read<std::string>().empty());
  EXPECT_EQ(file.attribute<std::string>("empty"), "");
  EXPECT_EQ(file.attribute<std::string>("unit"), "µS");
  EXPECT_THAT(file.attribute_values<std::string>("names"), ElementsAre("a", "", "b/c"));
  EXPECT_THAT(file.dataset("grid").read<std::string>(), ElementsAre("", "", "µS", "two\nlines"));
}

TEST_F(H5RoundTrip, TextThatOthersCouldNotReadIsRefused) {
  File file = File::create(path_);
  EXPECT_THAT([&] { file.set_attribute("a", std::string_view("x\0y", 3)); },
              ThrowsMessage<RunError>(HasSubstr("byte 1 of it is NUL")));
  for (const char* broken : {"\xff", "a\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT([&] { file.write("t", std::vector<std::string>{broken}); },
                ThrowsMessage<RunError>(HasSubstr("not UTF-8")));
    EXPECT_FALSE(file.contains("t")) << "nothing half-written is left";
  }
}

TEST_F(H5RoundTrip, EmptyAndScalarShapes) {
  {
    File file = File::create(path_);
    file.write("empty", Tensor(Shape{0, 3}));
    file.write("scalar", Tensor(Shape{}, std::vector<float>{2.5F}));
  }
  const File file = File::open(path_);
  EXPECT_EQ(file.dataset("empty").read_tensor().shape(), (Shape{0, 3}));
  EXPECT_EQ(file.dataset("scalar").read_tensor().values()[0], 2.5F);
  EXPECT_THROW(file.dataset("empty").read_scalar<float>(), InputError);
}

TEST_F(H5RoundTrip, ConversionsAreExactOrRefused) {
  {
    File file = File::create(path_);
    file.write("u8", std::vector<std::uint8_t>{0, 255});
    file.write("i64", std::vector<std::int64_t>{-1, 1 << 20});
    file.write("big", std::vector<std::int64_t>{(std::int64_t{1} << 53) + 1});
    file.write("u64", std::vector<std::uint64_t>{~std::uint64_t{0}});
    file.write("f64", std::vector<double>{0.5, 0.1});
    file.write("huge", std::vector<double>{1e300});
    file.write("exact64", std::vector<double>{0.5, NAN, INFINITY});
    file.write_text("text", "1");
    file.set_attribute("yes", true);
    file.set_attribute("two", 2);
  }
  const File file = File::open(path_);
  EXPECT_THAT(file.dataset("u8").read<float>(), ElementsAre(0.0F, 255.0F));
  EXPECT_THAT(file.dataset("i64").read<std::int32_t>(), ElementsAre(-1, 1 << 20));
  EXPECT_THAT(file.dataset("i64").read<float>(), ElementsAre(-1.0F, 1048576.0F));
  EXPECT_THAT([&] { file.dataset("i64").read<std::uint8_t>(); },
              ThrowsMessage<InputError>(HasSubstr("element 0 is -1, which uint8 cannot hold")));
  EXPECT_THROW(file.dataset("big").read<double>(), InputError);
  EXPECT_THROW(file.dataset("u64").read<std::int64_t>(), InputError);
  EXPECT_THROW(file.dataset("u64").read<float>(), InputError);
  EXPECT_THAT([&] { file.dataset("f64").read<float>(); }, ThrowsMessage<InputError>(HasSubstr("element 1 is 0.1")));
  EXPECT_THAT(file.dataset("f64").read<float>(Precision::rounded), ElementsAre(0.5F, 0.1F));
  EXPECT_THROW(file.dataset("huge").read<float>(Precision::rounded), InputError);
  EXPECT_THAT(file.dataset("big").read<float>(Precision::rounded), ElementsAre(0x1p53F));
  EXPECT_THAT(file.dataset("u64").read<float>(Precision::rounded), ElementsAre(0x1p64F));
  EXPECT_THROW(file.dataset("u64").read<std::int64_t>(Precision::rounded), InputError);
  EXPECT_TRUE(std::isnan(file.dataset("exact64").read<float>()[1]));
  EXPECT_TRUE(std::isinf(file.dataset("exact64").read<float>()[2]));
  EXPECT_THAT([&] { file.dataset("f64").read<std::int32_t>(); },
              ThrowsMessage<InputError>(HasSubstr("as int32 (it holds float64)")));
  EXPECT_THAT([&] { file.dataset("text").read<float>(); }, ThrowsMessage<InputError>(HasSubstr("it holds string")));
  EXPECT_THAT([&] { file.dataset("u8").read<std::string>(); }, ThrowsMessage<InputError>(HasSubstr("as text")));
  EXPECT_TRUE(file.attribute<bool>("yes"));
  EXPECT_THROW(file.attribute<bool>("two"), InputError);
  EXPECT_EQ(file.attribute<int>("absent", 3), 3);
}

TEST_F(H5RoundTrip, WrongShapesAndTypesAreRefused) {
  File file = File::create(path_);
  Dataset dataset = file.write("x", {2, 3}, std::span<const float>(std::vector<float>(6)));
  std::vector<float> out(6);
  const auto block = [&](const Shape& start, const Shape& count) { dataset.read_block<float>(start, count, out); };
  EXPECT_THROW(block({0}, {6}), InputError);
  EXPECT_THROW(block({0, 1}, {2, 3}), InputError);
  EXPECT_THROW(block({-1, 0}, {2, 3}), InputError);
  EXPECT_THROW(block({0, 0}, {1, 3}), InputError) << "three values into six places";
  EXPECT_THROW(block({std::numeric_limits<std::int64_t>::max(), 0}, {2, 3}), InputError);
  EXPECT_NO_THROW(block({0, 0}, {2, 3}));
  EXPECT_THROW(dataset.write(std::vector<float>(5)), RunError);
  EXPECT_THROW(dataset.write(std::vector<double>(6)), RunError);
  EXPECT_THROW(dataset.write(std::vector<std::string>(6)), RunError);
  EXPECT_THAT(
      [&] {
        dataset.require_shape({-1, 4});
      },
      ThrowsMessage<InputError>(HasSubstr("has shape 2x3 where anyx4 is expected")));
  EXPECT_NO_THROW(dataset.require_shape({-1, 3}));
  EXPECT_THROW(file.create_dataset("bad_chunk", ElementType::float32, {4}, {.chunk = {2, 2}}), RunError);
  EXPECT_THROW(file.create_dataset("no_chunk", ElementType::float32, {4}, {.deflate = 3}), RunError);
  EXPECT_THROW(file.create_dataset("fill", ElementType::uint8, {4}, {.fill = -1}), RunError);
  EXPECT_THROW(file.create_dataset("x", ElementType::float32, {4}), RunError) << "exists";
}

TEST_F(H5RoundTrip, TheSameCallsGiveTheSameBytes) {
  const auto write = [&](const std::string& path) {
    File file = File::create(path);
    file.set_attribute("seed", std::int64_t{1});
    file.set_attribute("text", "words");
    Group group = file.create_group("layers/conv1");
    Dataset time = group.write("time", std::vector<double>{0, 3600});
    make_scale(time);
    Dataset value =
        group.write("value", {2}, std::span<const float>(std::vector<float>{1, 2}), {.chunk = {1}, .deflate = 1});
    attach_scale(value, 0, time);
    file.write("names", std::vector<std::string>{"a", "bb"});
    file.close();
  };
  write(path_);
  write(directory_ / "again.h5");
  EXPECT_EQ(testing::read_bytes(path_), testing::read_bytes(directory_ / "again.h5"));
  EXPECT_GT(testing::read_bytes(path_).size(), 1000U);
}

}  // namespace
}  // namespace tessera::h5
