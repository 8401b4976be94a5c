#include "onnx_tensor.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <span>

#include "onnx_moved.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

namespace {

using Proto = onnx::TensorProto;

float float_from_half(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U, exponent = (bits >> 10U) & 0x1FU, mantissa = bits & 0x3FFU;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
}

float float_from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

/// Bits of packed types, which fill their bytes from the lowest bits on; 0 for all others.
int packed_bits(int type) {
  if (type == onnx_uint4 || type == onnx_int4) return 4;
  return type == onnx_uint2 || type == onnx_int2 ? 2 : 0;
}

std::int64_t load_packed(const char* bytes, std::int64_t i, int type) {
  const int bits = packed_bits(type), per_byte = 8 / bits;
  const auto byte = static_cast<unsigned>(static_cast<unsigned char>(bytes[i / per_byte]));
  const auto value = static_cast<int>((byte >> static_cast<unsigned>(i % per_byte * bits)) & ((1U << bits) - 1U));
  const bool is_signed = type == onnx_int4 || type == onnx_int2;
  return is_signed && value >= 1 << (bits - 1) ? value - (1 << bits) : value;
}

std::size_t element_size(int type) {
  switch (type) {
    case Proto::BOOL:
    case Proto::INT8:
    case Proto::UINT8:
      return 1;
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
    case Proto::INT16:
    case Proto::UINT16:
      return 2;
    case Proto::FLOAT:
    case Proto::INT32:
    case Proto::UINT32:
      return 4;
    default:
      return 8;
  }
}

template <class T>
T load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

float load_float(const char* at, int type) {
  switch (type) {
    case Proto::FLOAT16:
      return float_from_half(load<std::uint16_t>(at));
    case Proto::BFLOAT16:
      return float_from_bfloat16(load<std::uint16_t>(at));
    case Proto::DOUBLE:
      return static_cast<float>(load<double>(at));
    default:
      return load<float>(at);
  }
}

std::int64_t load_integer(const char* at, int type) {
  switch (type) {
    case Proto::BOOL:
      return load<std::uint8_t>(at) != 0 ? 1 : 0;
    case Proto::INT8:
      return load<std::int8_t>(at);
    case Proto::UINT8:
      return load<std::uint8_t>(at);
    case Proto::INT16:
      return load<std::int16_t>(at);
    case Proto::UINT16:
      return load<std::uint16_t>(at);
    case Proto::INT32:
      return load<std::int32_t>(at);
    case Proto::UINT32:
      return load<std::uint32_t>(at);
    default:
      return load<std::int64_t>(at);  // uint64 values beyond int64 wrap; no network has them
  }
}

/// Where a tensor lies in a file beside the model.
struct ExternalPlace {
  std::string location;
  std::int64_t offset = 0, length = -1;
  bool in_model = false;
};

ExternalPlace place_of(const Proto& tensor) {
  ExternalPlace place;
  for (const auto& entry : tensor.external_data()) {
    try {
      if (entry.key() == "location") place.location = entry.value();
      if (entry.key() == key_of_moved) place.in_model = true;
      if (entry.key() == "offset") place.offset = std::stoll(entry.value());
      if (entry.key() == "length") place.length = std::stoll(entry.value());
    } catch (const std::exception&) {
      throw InputError(fmt::format("external data with {} = '{}'", entry.key(), entry.value()));
    }
  }
  return place;
}

std::span<const char> external_bytes(const MappedFile& file, const ExternalPlace& place) {
  const std::int64_t size = file.size();
  const std::int64_t length = place.length < 0 ? size - place.offset : place.length;
  require<InputError>(place.offset >= 0 && length >= 0 && place.offset <= size && length <= size - place.offset,
                      "external data of {} bytes at {} lies outside of '{}' ({} bytes)", length, place.offset,
                      place.location, size);
  return file.bytes(place.offset, length);
}

void check_count(std::int64_t have, std::int64_t want, const Shape& shape) {
  require<InputError>(have == want, "{} values for shape {}", have, to_string(shape));
}

nn::Constant packed_integers(Shape shape, std::span<const char> bytes, int type) {
  const std::int64_t count = element_count(shape), per_byte = 8 / packed_bits(type);
  check_count(static_cast<std::int64_t>(bytes.size()), (count + per_byte - 1) / per_byte, shape);
  nn::IntTensor result{std::move(shape), std::vector<std::int64_t>(static_cast<std::size_t>(count))};
  for (std::int64_t i = 0; i < count; ++i)
    result.values[static_cast<std::size_t>(i)] = load_packed(bytes.data(), i, type);
  return result;
}

/// Values from the typed fields (no raw data).
float typed_float(const Proto& tensor, int i, int type) {
  switch (type) {
    case Proto::FLOAT16:
      return float_from_half(static_cast<std::uint16_t>(tensor.int32_data(i)));
    case Proto::BFLOAT16:
      return float_from_bfloat16(static_cast<std::uint16_t>(tensor.int32_data(i)));
    case Proto::DOUBLE:
      return static_cast<float>(tensor.double_data(i));
    default:
      return tensor.float_data(i);
  }
}

std::int64_t typed_count(const Proto& tensor, int type) {
  switch (type) {
    case Proto::FLOAT:
      return tensor.float_data_size();
    case Proto::DOUBLE:
      return tensor.double_data_size();
    case Proto::INT64:
      return tensor.int64_data_size();
    case Proto::UINT32:
    case Proto::UINT64:
      return tensor.uint64_data_size();
    default:
      return tensor.int32_data_size();
  }
}

}  // namespace

std::string onnx_type_name(int type) {
  constexpr std::array<const char*, 10> newer{"FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4",
                                              "INT4",         "FLOAT4E2M1",     "FLOAT8E8M0", "UINT2",          "INT2"};
  if (type >= 17 && type < 27) return newer[static_cast<std::size_t>(type - 17)];
  return Proto::DataType_IsValid(type) ? Proto::DataType_Name(static_cast<Proto::DataType>(type))
                                       : fmt::format("type {}", type);
}

bool is_floating_type(int type) {
  switch (type) {
    case Proto::FLOAT:
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
    case Proto::DOUBLE:
      return true;
    case Proto::BOOL:
    case Proto::INT8:
    case Proto::UINT8:
    case Proto::INT16:
    case Proto::UINT16:
    case Proto::INT32:
    case Proto::UINT32:
    case Proto::INT64:
    case Proto::UINT64:
    case onnx_uint4:
    case onnx_int4:
    case onnx_uint2:
    case onnx_int2:
      return false;
    default:
      throw InputError(fmt::format("elements of type {} are not supported", onnx_type_name(type)));
  }
}

namespace {

Shape shape_of_tensor(const Proto& tensor) {
  require<InputError>(tensor.dims_size() <= 64, "{} axes", tensor.dims_size());
  return {tensor.dims().begin(), tensor.dims().end()};
}

constexpr const char* not_a_number = "element {} is not a number (NaN); the file is damaged or its training diverged";

/// Float32 values that stay in the file. Where they lie askew they can be read in pieces; values() makes a copy.
class MappedValues final : public FloatSource {
 public:
  MappedValues(std::shared_ptr<const MappedFile> file, std::span<const char> bytes)
      : file_(std::move(file)), bytes_(bytes) {}

  const float* values() const override {
    if (reinterpret_cast<std::uintptr_t>(bytes_.data()) % alignof(float) == 0)
      return reinterpret_cast<const float*>(bytes_.data());
    std::call_once(copied_, [&] {
      copy_.resize(bytes_.size() / sizeof(float));
      copy(0, copy_);
      forget();
    });
    return copy_.data();
  }
  void copy(std::int64_t first, std::span<float> to) const override {
    std::memcpy(to.data(), bytes_.data() + static_cast<std::size_t>(first) * sizeof(float), to.size_bytes());
  }
  void forget() const override { file_->release(bytes_); }

 private:
  std::shared_ptr<const MappedFile> file_;
  std::span<const char> bytes_;
  mutable std::once_flag copied_;
  mutable AlignedVector<float> copy_;
};

/// Whether the values stay in the file.
bool is_worth_mapping(const Proto& tensor, const MappedFile& file, std::span<const char> bytes) {
  return std::endian::native == std::endian::little && tensor.data_type() == Proto::FLOAT &&
         file.size() >= MappedFile::large && std::ssize(bytes) >= smallest_moved &&
         std::ssize(bytes) == element_count(shape_of_tensor(tensor)) * static_cast<std::int64_t>(sizeof(float));
}

void check_numbers(const FloatSource& source, std::int64_t count) {
  constexpr std::int64_t piece = 16384;
  std::vector<float> values(piece);
  for (std::int64_t first = 0; first < count; first += piece) {
    const std::span<float> part(values.data(), static_cast<std::size_t>(std::min(piece, count - first)));
    source.copy(first, part);
    const auto bad = std::ranges::find_if(part, [](float value) { return std::isnan(value); });
    require<InputError>(bad == part.end(), not_a_number, first + (bad - part.begin()));
  }
}

nn::Constant convert_bytes(const Proto& tensor, std::span<const char> raw, bool has_raw, bool allow_nan) {
  const int type = tensor.data_type();
  const bool floating = is_floating_type(type);
  Shape shape = shape_of_tensor(tensor);
  const std::int64_t count = element_count(shape);
  const auto size = static_cast<std::int64_t>(element_size(type));
  const int packed = packed_bits(type);
  if (packed > 0 && !has_raw) {
    std::string bytes;
    for (const std::int32_t word : tensor.int32_data()) bytes.push_back(static_cast<char>(word & 0xFF));
    return packed_integers(std::move(shape), bytes, type);
  }
  if (packed > 0) return packed_integers(std::move(shape), raw, type);
  if (has_raw) {
    const auto bytes = static_cast<std::int64_t>(raw.size());
    require<InputError>(bytes / size == count && bytes % size == 0, "{} bytes for shape {} of {}", bytes,
                        to_string(shape), onnx_type_name(type));
  } else {
    check_count(typed_count(tensor, type), count, shape);
  }
  if (!floating) {
    nn::IntTensor result{std::move(shape), std::vector<std::int64_t>(static_cast<std::size_t>(count))};
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t& value = result.values[static_cast<std::size_t>(i)];
      if (has_raw)
        value = load_integer(raw.data() + i * size, type);
      else if (type == Proto::INT64)
        value = tensor.int64_data(static_cast<int>(i));
      else if (type == Proto::UINT32 || type == Proto::UINT64)
        value = static_cast<std::int64_t>(tensor.uint64_data(static_cast<int>(i)));
      else
        value = tensor.int32_data(static_cast<int>(i));
    }
    return result;
  }
  Tensor result = Tensor::uninitialized(std::move(shape));
  for (std::int64_t i = 0; i < count; ++i) {
    const float value =
        has_raw ? load_float(raw.data() + i * size, type) : typed_float(tensor, static_cast<int>(i), type);
    require<InputError>(allow_nan || !std::isnan(value), not_a_number, i);
    if (type == Proto::DOUBLE && std::isinf(value)) {
      const double exact = has_raw ? load<double>(raw.data() + i * size) : tensor.double_data(static_cast<int>(i));
      require<InputError>(std::isinf(exact), "element {} = {} is beyond float32", i, exact);
    }
    result.data()[i] = value;
  }
  return result;
}

}  // namespace

std::shared_ptr<const MappedFile> ExternalData::file(const std::string& location) {
  auto& file = files_[location];
  if (file) return file;
  const std::filesystem::path relative(location);
  bool inside = !location.empty() && relative.is_relative();
  for (const auto& part : relative) inside = inside && part != "..";
  require<InputError>(inside, "external data in '{}', which is not a file in the model's folder", location);
  try {
    file = std::make_shared<const MappedFile>((std::filesystem::path(folder_) / relative).string());
  } catch (const InputError&) {
    throw InputError(fmt::format("external data file '{}' cannot be read; keep it beside the model", location));
  }
  return file;
}

nn::Constant convert_tensor(const Proto& tensor, ExternalData& external, bool allow_nan) {
  if (tensor.data_location() != Proto::EXTERNAL)
    return convert_bytes(tensor, tensor.raw_data(), tensor.has_raw_data(), allow_nan);
  const ExternalPlace place = place_of(tensor);
  const std::shared_ptr<const MappedFile> file = place.in_model ? external.model() : external.file(place.location);
  require<InputError>(file != nullptr, "external data in the model itself, which is not a file");
  const std::span<const char> bytes = external_bytes(*file, place);
  if (is_worth_mapping(tensor, *file, bytes)) {
    const auto source = std::make_shared<const MappedValues>(file, bytes);
    if (!allow_nan) check_numbers(*source, std::ssize(bytes) / static_cast<std::int64_t>(sizeof(float)));
    source->forget();
    return Tensor::from(shape_of_tensor(tensor), source);
  }
  nn::Constant result = convert_bytes(tensor, bytes, true, allow_nan);
  file->release(bytes);
  return result;
}

}  // namespace tessera::io
