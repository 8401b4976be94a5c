#include "tessera/io/npy.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "io/array_file.hpp"
#include "tessera/core/atomic_file.hpp"

namespace tessera::io {

namespace {

constexpr std::size_t longest_header = std::size_t{1} << 20;
constexpr std::string_view magic{"\x93NUMPY", 6};

// The Python dictionary of a header: strings, booleans and tuples of integers, nothing else.
class HeaderParser {
 public:
  HeaderParser(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  void parse() {
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        if (peek() == '[') fail("its elements are records; save one plain numeric array");
        descr = string();
      } else if (key == "fortran_order") {
        fortran_order = boolean();
      } else if (key == "shape") {
        shape = tuple();
      } else {
        fail(fmt::format("unknown key '{}'", key));
      }
      if (!accept(',') && peek() != '}') fail("expected ',' or '}'");
    }
    if (peek() != '\0') fail("text behind the dictionary");
    if (!descr || !fortran_order || !shape) fail("one of 'descr', 'fortran_order', 'shape' is missing");
  }

  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<Shape> shape;

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw InputError(fmt::format("{}: its NumPy header cannot be read: {}", path_, reason));
  }
  char peek() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
    return position_ < text_.size() ? text_[position_] : '\0';
  }
  bool accept(char wanted) {
    const bool found = wanted != '\0' && peek() == wanted;
    if (found) ++position_;
    return found;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail(fmt::format("expected '{}' at character {}", wanted, position_));
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail(fmt::format("expected a string at character {}", position_));
    const std::size_t end = text_.find(quote, position_ + 1);
    if (end == std::string_view::npos) fail("a string does not end");
    std::string result(text_.substr(position_ + 1, end - position_ - 1));
    position_ = end + 1;
    return result;
  }
  bool boolean() {
    for (const auto& [word, value] : {std::pair{std::string_view{"True"}, true}, {std::string_view{"False"}, false}}) {
      peek();
      if (text_.substr(position_, word.size()) == word) {
        position_ += word.size();
        return value;
      }
    }
    fail("'fortran_order' is neither True nor False");
  }
  Shape tuple() {
    Shape result;
    expect('(');
    while (!accept(')')) {
      result.push_back(integer());
      accept('L');  // written by Python 2
      if (!accept(',') && peek() != ')') fail("expected ',' or ')' in the shape");
    }
    if (result.size() > 32) fail("more than 32 axes");
    return result;
  }
  std::int64_t integer() {
    const char first = peek();
    if (first < '0' || first > '9') fail("an extent of the shape is not a number >= 0");
    std::int64_t value = 0;
    for (; position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9'; ++position_) {
      if (value > (std::numeric_limits<std::int64_t>::max() - 9) / 10) fail("an extent of the shape is absurdly large");
      value = value * 10 + (text_[position_] - '0');
    }
    return value;
  }

  const std::string& path_;
  std::string_view text_;
  std::size_t position_ = 0;
};

ElementType npy_type(const std::string& path, std::string_view descr) {
  const auto refuse = [&](std::string_view reason) {
    throw InputError(fmt::format("{}: elements of type '{}' {}; save float, integer or boolean values, e.g. as '<f4'",
                                 path, descr, reason));
  };
  if (descr.size() != 3)
    refuse(descr.find('O') != std::string_view::npos ? "are pickled Python objects" : "cannot be read");
  ElementType type;
  type.order = descr[0] == '>' ? std::endian::big : descr[0] == '<' ? std::endian::little : std::endian::native;
  if (std::string_view("<>|=").find(descr[0]) == std::string_view::npos) refuse("cannot be read");
  type.bytes = descr[2] - '0';
  const bool power_of_two = type.bytes == 1 || type.bytes == 2 || type.bytes == 4 || type.bytes == 8;
  if (descr[1] == 'f') {
    type.kind = ElementKind::floating;
    if (!power_of_two || type.bytes == 1) refuse("cannot be read");
  } else if (descr[1] == 'i' || descr[1] == 'u') {
    type.kind = descr[1] == 'i' ? ElementKind::signed_integer : ElementKind::unsigned_integer;
    if (!power_of_two) refuse("cannot be read");
  } else if (descr.substr(1) != "b1") {
    refuse("cannot be read");
  }
  return type;
}

template <class Value>
void write_array(const std::string& path, const Shape& shape, std::span<const Value> values, std::string_view descr) {
  require<InputError>(element_count(shape) == static_cast<std::int64_t>(values.size()),
                      "{}: {} values cannot be written as an array of shape {}", path, values.size(), to_string(shape));
  const char* comma = shape.size() == 1 ? "," : "";
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", descr, fmt::join(shape, ", "), comma);
  constexpr std::size_t before_header = 10;
  while ((before_header + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes(magic);
  bytes += {1, 0, static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
  bytes += header;
  const std::size_t data = bytes.size();
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  if constexpr (sizeof(Value) > 1 && std::endian::native != std::endian::little) {
    for (std::size_t i = data; i < bytes.size(); i += sizeof(Value)) std::reverse(&bytes[i], &bytes[i] + sizeof(Value));
  }
  write_file(path, bytes);
}

}  // namespace

ArrayFile open_npy(const std::string& path) {
  ByteFile file(path);
  std::vector<std::uint8_t> head = file.head(12);
  require<InputError>(
      head.size() >= 10 && std::equal(magic.begin(), magic.end(), head.begin(),
                                      [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; }),
      "{}: is not a NumPy .npy file (its first bytes are not \\x93NUMPY); check `format` and the path", path);
  const int version = head[6];
  require<InputError>(version >= 1 && version <= 3,
                      "{}: NumPy format version {} is not known (1 to 3 are); save it again", path, version);
  const std::size_t prefix = version == 1 ? 10 : 12;
  require<InputError>(head.size() >= prefix, "{}: is truncated inside its header; get the file again", path);
  std::size_t length = head[8] + 256U * head[9];
  if (version > 1) length += (std::size_t{head[10]} << 16) + (std::size_t{head[11]} << 24);
  require<InputError>(length <= longest_header, "{}: its header claims to have {} bytes; the file is damaged", path,
                      length);
  head = file.head(prefix + length);
  require<InputError>(head.size() == prefix + length, "{}: is truncated inside its header; get the file again", path);

  HeaderParser header(path, {reinterpret_cast<const char*>(head.data()) + prefix, length});
  header.parse();
  ArrayFile array;
  array.type = npy_type(path, *header.descr);
  array.shape = *header.shape;
  require<InputError>(!array.shape.empty(), "{}: holds a single number; an array with a sample axis is needed", path);
  array.fortran_order = *header.fortran_order && array.shape.size() > 1;
  array.offset = prefix + length;
  file.expect_size(checked_size(path, array.offset, array.shape, array.type.bytes),
                   fmt::format("{} of {}", to_string(array.shape), array.type.name()));
  array.file = std::make_shared<const ByteFile>(std::move(file));
  array.stride = static_cast<std::uint64_t>(array.sample_elements()) * static_cast<std::uint64_t>(array.type.bytes);
  return array;
}

void write_npy(const std::string& path, const Shape& shape, std::span<const float> values) {
  write_array(path, shape, values, "<f4");
}

void write_npy(const std::string& path, const Shape& shape, std::span<const std::uint8_t> values) {
  write_array(path, shape, values, "|u1");
}

void write_npy(const std::string& path, const Shape& shape, std::span<const std::int32_t> values) {
  write_array(path, shape, values, "<i4");
}

void write_npy(const std::string& path, const Shape& shape, std::span<const std::int64_t> values) {
  write_array(path, shape, values, "<i8");
}

void write_npy(const std::string& path, const Tensor& tensor) {
  write_npy(path, tensor.shape(), tensor.values());
}

Tensor read_npy(const std::string& path) {
  const ArrayFile array = open_npy(path);
  Tensor result = Tensor::uninitialized(array.shape);
  array.read(0, array.samples(), result.values());
  return result;
}

}  // namespace tessera::io
