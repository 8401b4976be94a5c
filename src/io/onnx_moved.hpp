#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

/// Large ONNX files are read without their weights, which stay where they are.
namespace tessera::io {

/// Bytes from which on a tensor's data are left in the file.
inline constexpr std::int64_t smallest_moved = 65536;

/// The entry of TensorProto::external_data that says: offset and length are those of the model file itself.
inline constexpr const char* key_of_moved = "in_model_file";

/// The serialized ModelProto with the raw data of its large initialisers replaced by external data in the file itself
/// (key_of_moved); all else as it is. Nothing where the bytes are no protobuf message.
std::optional<std::string> with_moved_weights(std::span<const char> model);

}  // namespace tessera::io
