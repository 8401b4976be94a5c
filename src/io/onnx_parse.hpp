#pragma once
#include <google/protobuf/stubs/logging.h>

#include <filesystem>
#include <limits>
#include <span>
#include <string>

#include "mapped_file.hpp"
#include "tessera/core/error.hpp"

/// protobuf messages from memory and from files.
namespace tessera::io {

/// protobuf reports what it cannot parse on stderr; the message that matters is thrown.
template <class Message>
bool parse(Message& message, std::span<const char> bytes) {
  const google::protobuf::LogSilencer silence;
  return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()) &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

/// The same from a file, which is mapped, not copied.
template <class Message>
bool parse_file(Message& message, const std::string& path) {
  std::error_code error;
  require<InputError>(std::filesystem::exists(path, error), "{}: no such file", path);
  const MappedFile file(path);
  require<InputError>(file.size() < std::numeric_limits<std::int32_t>::max(),
                      "{}: larger than 2 GB; store the weights as external data", path);
  return parse(message, file.bytes(0, file.size()));
}

}  // namespace tessera::io
