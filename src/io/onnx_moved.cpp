#include "onnx_moved.hpp"

#include <onnx/onnx_pb.h>

namespace tessera::io {

namespace {

/// One field of a serialized message: its number, all its bytes, and the place of its content.
struct WireField {
  std::uint64_t number = 0, type = 0;
  std::size_t begin = 0, content = 0, end = 0;
};

constexpr std::uint64_t length_delimited = 2;

class WireReader {
 public:
  /// Fields of bytes[begin, end).
  WireReader(std::span<const char> bytes, std::size_t begin, std::size_t end)
      : bytes_(bytes), position_(begin), end_(end) {}

  bool failed() const { return failed_; }
  bool next(WireField& field) {
    if (failed_ || position_ >= end_) return false;
    field.begin = position_;
    const std::uint64_t tag = varint();
    field.number = tag >> 3U;
    field.type = tag & 7U;
    std::uint64_t length = 0;
    if (field.type == length_delimited)
      length = varint();
    else if (field.type == 1)
      length = 8;
    else if (field.type == 5)
      length = 4;
    else if (field.type != 0)
      failed_ = true;  // groups: ONNX has none
    field.content = position_;
    if (field.type == 0) varint();
    if (length > end_ - position_) failed_ = true;
    if (failed_) return false;
    position_ += static_cast<std::size_t>(length);
    field.end = position_;
    return true;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && position_ < end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_[position_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80U) return value;
    }
    failed_ = true;
    return 0;
  }

  std::span<const char> bytes_;
  std::size_t position_, end_;
  bool failed_ = false;
};

void append_varint(std::string& to, std::uint64_t value) {
  for (; value >= 0x80U; value >>= 7U) to.push_back(static_cast<char>((value & 0x7FU) | 0x80U));
  to.push_back(static_cast<char>(value));
}

void append_message(std::string& to, std::uint64_t number, const std::string& content) {
  append_varint(to, number << 3U | length_delimited);
  append_varint(to, content.size());
  to += content;
}

/// Copies a message, with `changed(field, result)` in place of the fields that it takes; false where it is none.
template <class Changed>
bool rewrite(std::span<const char> bytes, std::size_t begin, std::size_t end, std::string& result,
             const Changed& changed) {
  WireReader reader(bytes, begin, end);
  for (WireField field; reader.next(field);)
    if (!changed(field, result)) result.append(bytes.data() + field.begin, field.end - field.begin);
  return !reader.failed();
}

std::string tensor_without_data(std::span<const char> bytes, std::size_t begin, std::size_t end, bool& valid) {
  std::string result;
  std::optional<WireField> data;
  const bool whole = rewrite(bytes, begin, end, result, [&](const WireField& field, std::string&) {
    const bool moved = field.number == onnx::TensorProto::kRawDataFieldNumber && field.type == length_delimited &&
                       field.end - field.content >= static_cast<std::size_t>(smallest_moved);
    if (moved) data = field;
    return moved;
  });
  valid = valid && whole;
  if (!data) return result;
  onnx::TensorProto place;
  const auto add = [&](const char* key, std::size_t value) {
    onnx::StringStringEntryProto& entry = *place.add_external_data();
    entry.set_key(key);
    entry.set_value(std::to_string(value));
  };
  add(key_of_moved, 1);
  add("offset", data->content);
  add("length", data->end - data->content);
  place.set_data_location(onnx::TensorProto::EXTERNAL);
  return result + place.SerializeAsString();  // protobuf joins messages that follow one another
}

}  // namespace

std::optional<std::string> with_moved_weights(std::span<const char> model) {
  bool valid = true;
  std::string result;
  const auto graph = [&](const WireField& field, std::string& to) {
    if (field.number != onnx::ModelProto::kGraphFieldNumber || field.type != length_delimited) return false;
    std::string content;
    const auto tensor = [&](const WireField& inner, std::string& graph_bytes) {
      if (inner.number != onnx::GraphProto::kInitializerFieldNumber || inner.type != length_delimited) return false;
      append_message(graph_bytes, inner.number, tensor_without_data(model, inner.content, inner.end, valid));
      return true;
    };
    valid = rewrite(model, field.content, field.end, content, tensor) && valid;
    append_message(to, field.number, content);
    return true;
  };
  valid = rewrite(model, 0, model.size(), result, graph) && valid;
  if (!valid) return std::nullopt;
  return result;
}

}  // namespace tessera::io
