#include "h5/detail.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera::h5::detail {
namespace {

herr_t collect_reason(unsigned, const H5E_error2_t* error, void* data) {
  auto& reason = *static_cast<std::string*>(data);
  if (reason.empty() && error->desc != nullptr) reason = error->desc;
  return 0;
}

/// Is every value of type `from` also one of type `to`?
bool contains_all(ElementType to, ElementType from) {
  if (to == from) return true;
  switch (to) {
    case ElementType::float64:
      return from == ElementType::float16 || from == ElementType::float32 || from == ElementType::int32 ||
             from == ElementType::uint32 || contains_all(ElementType::float32, from);
    case ElementType::float32:
      return from == ElementType::float16 || from == ElementType::int8 || from == ElementType::uint8 ||
             from == ElementType::int16 || from == ElementType::uint16;
    case ElementType::int64:
      return from == ElementType::uint32 || contains_all(ElementType::int32, from);
    case ElementType::int32:
      return from == ElementType::uint16 || contains_all(ElementType::int16, from);
    case ElementType::int16:
      return from == ElementType::uint8 || from == ElementType::int8;
    case ElementType::uint64:
      return from == ElementType::uint32 || contains_all(ElementType::uint32, from);
    case ElementType::uint32:
      return from == ElementType::uint16 || from == ElementType::uint8;
    case ElementType::uint16:
      return from == ElementType::uint8;
    default:
      return false;
  }
}

template <class From>
struct Integers {
  template <class To>
  static bool fits(From value) {
    if constexpr (std::is_integral_v<To>) {
      return std::in_range<To>(value);
    } else {
      // Exactly representable: the way there and back is the identity, and the way back is defined.
      const To rounded = static_cast<To>(value);
      constexpr To limit = static_cast<To>(std::numeric_limits<From>::max());
      return rounded < limit && static_cast<From>(rounded) == value;
    }
  }
};

template <class From, class To>
void narrow(const std::vector<From>& from, To* to, Precision precision, ElementType wanted, const Location& where) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    const From value = from[i];
    bool exact = false;
    if constexpr (std::is_floating_point_v<From>) {
      if constexpr (std::is_floating_point_v<To>) {
        const To rounded = static_cast<To>(value);
        exact = static_cast<From>(rounded) == value || std::isnan(value) ||
                (precision == Precision::rounded && std::isfinite(rounded));
      }
    } else {
      exact =
          Integers<From>::template fits<To>(value) || (std::is_floating_point_v<To> && precision == Precision::rounded);
    }
    require<InputError>(exact, "cannot read {} of '{}' as {} (element {} is {}, which {} cannot hold)", where.path,
                        where.file, to_string(wanted), i, value, to_string(wanted));
    to[i] = static_cast<To>(value);
  }
}

template <class From>
void narrow_into(const std::vector<From>& from, void* out, Precision precision, ElementType wanted,
                 const Location& where) {
  const auto to = [&](auto example) { narrow(from, static_cast<decltype(example)*>(out), precision, wanted, where); };
  switch (wanted) {
    case ElementType::float32:
      return to(float{});
    case ElementType::float64:
      return to(double{});
    case ElementType::int8:
      return to(std::int8_t{});
    case ElementType::uint8:
      return to(std::uint8_t{});
    case ElementType::int16:
      return to(std::int16_t{});
    case ElementType::uint16:
      return to(std::uint16_t{});
    case ElementType::int32:
      return to(std::int32_t{});
    case ElementType::uint32:
      return to(std::uint32_t{});
    case ElementType::int64:
      return to(std::int64_t{});
    case ElementType::uint64:
      return to(std::uint64_t{});
    default:
      break;
  }
  throw InputError(fmt::format("cannot read {} of '{}' as {}", where.path, where.file, to_string(wanted)));
}

/// Length of a valid UTF-8 sequence at the front of `text`, 0 if it is none.
std::size_t utf8_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong_or_surrogate = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) ||
                                     (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F);
  return overlong_or_surrogate ? 0 : length;
}

}  // namespace

namespace {
/// How many of them live; under the lock.
int quiet_depth = 0;
}  // namespace

QuietErrors::QuietErrors() {
  static std::recursive_mutex library;
  lock_ = std::unique_lock(library);
  ++quiet_depth;
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

QuietErrors::~QuietErrors() {
  // Each thread has its own stack of errors, and what is on it when the thread ends keeps the library from closing.
  if (--quiet_depth == 0) H5Eclear2(H5E_DEFAULT);
  H5Eset_auto2(H5E_DEFAULT, function_, data_);
}

std::string hdf5_reason() {
  std::string reason;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect_reason, &reason);
  H5Eclear2(H5E_DEFAULT);
  return reason;
}

namespace {
std::string failure(const Location& where, const std::string& action) {
  const std::string reason = hdf5_reason();
  return fmt::format("cannot {} {} in '{}'{}", action, where.path, where.file,
                     reason.empty() ? "" : fmt::format(" ({})", reason));
}
}  // namespace

void fail_reading(const Location& where, const std::string& action) {
  throw InputError(failure(where, action));
}
void fail_writing(const Location& where, const std::string& action) {
  throw RunError(failure(where, action));
}

ElementType classify(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      return ElementType::string;
    case H5T_FLOAT:
      return size == 2   ? ElementType::float16
             : size == 4 ? ElementType::float32
             : size == 8 ? ElementType::float64
                         : ElementType::other;
    case H5T_INTEGER: {
      const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
      switch (size) {
        case 1:
          return is_signed ? ElementType::int8 : ElementType::uint8;
        case 2:
          return is_signed ? ElementType::int16 : ElementType::uint16;
        case 4:
          return is_signed ? ElementType::int32 : ElementType::uint32;
        case 8:
          return is_signed ? ElementType::int64 : ElementType::uint64;
        default:
          return ElementType::other;
      }
    }
    case H5T_ENUM: {
      std::int8_t value = -1;
      const bool boolean = size == 1 && H5Tget_nmembers(type) == 2 && H5Tenum_valueof(type, "FALSE", &value) >= 0 &&
                           value == 0 && H5Tenum_valueof(type, "TRUE", &value) >= 0 && value == 1;
      return boolean ? ElementType::boolean : ElementType::other;
    }
    default:
      return ElementType::other;
  }
}

hid_t native_type(ElementType type) {
  switch (type) {
    case ElementType::float32:
      return H5T_NATIVE_FLOAT;
    case ElementType::float64:
      return H5T_NATIVE_DOUBLE;
    case ElementType::int8:
      return H5T_NATIVE_INT8;
    case ElementType::uint8:
      return H5T_NATIVE_UINT8;
    case ElementType::int16:
      return H5T_NATIVE_INT16;
    case ElementType::uint16:
      return H5T_NATIVE_UINT16;
    case ElementType::int32:
      return H5T_NATIVE_INT32;
    case ElementType::uint32:
      return H5T_NATIVE_UINT32;
    case ElementType::int64:
      return H5T_NATIVE_INT64;
    case ElementType::uint64:
      return H5T_NATIVE_UINT64;
    default:
      return -1;
  }
}

hid_t text_type() {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

Shape extents(hid_t space, const Location& where) {
  const H5S_class_t kind = H5Sget_simple_extent_type(space);
  require<InputError>(kind != H5S_NULL, "{} in '{}' is empty (it has a null data space)", where.path, where.file);
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0) fail_reading(where, "read the shape of");
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  if (rank > 0) H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  Shape shape;
  std::int64_t count = 1;
  for (const hsize_t dim : dims) {
    const bool representable = dim <= static_cast<hsize_t>(std::numeric_limits<std::int64_t>::max()) &&
                               !__builtin_mul_overflow(count, static_cast<std::int64_t>(dim), &count);
    require<InputError>(representable, "{} in '{}' declares more elements than fit in 63 bits (the file is damaged)",
                        where.path, where.file);
    shape.push_back(static_cast<std::int64_t>(dim));
  }
  return shape;
}

void check_text(std::string_view text, const Location& where) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = text[i] == '\0' ? 0 : utf8_sequence(text.substr(i));
    require<RunError>(length > 0, "cannot write text to {} in '{}' (byte {} of it is {}; text is UTF-8)", where.path,
                      where.file, i, text[i] == '\0' ? "NUL" : "not UTF-8");
    i += length;
  }
}

void read_converted(hid_t stored_type, ElementType wanted, Precision precision, std::size_t size,
                    const RawReader& reader, void* out, const Location& where) {
  const ElementType stored = classify(stored_type);
  const bool possible =
      stored == ElementType::boolean || is_integer(stored) || (is_floating(stored) && is_floating(wanted));
  require<InputError>(possible, "cannot read {} in '{}' as {} (it holds {})", where.path, where.file, to_string(wanted),
                      to_string(stored));
  if (size == 0) return;
  if (stored != ElementType::boolean && contains_all(wanted, stored)) {
    reader.read(native_type(wanted), out);
    return;
  }
  if (stored == ElementType::boolean) {
    const Handle memory(H5Tget_native_type(stored_type, H5T_DIR_ASCEND));
    std::vector<std::int8_t> values(size);
    reader.read(memory.id(), values.data());
    narrow_into(std::vector<std::int64_t>(values.begin(), values.end()), out, precision, wanted, where);
  } else if (is_floating(stored)) {
    std::vector<double> values(size);
    reader.read(H5T_NATIVE_DOUBLE, values.data());
    narrow_into(values, out, precision, wanted, where);
  } else if (stored == ElementType::uint64) {
    std::vector<std::uint64_t> values(size);
    reader.read(H5T_NATIVE_UINT64, values.data());
    narrow_into(values, out, precision, wanted, where);
  } else {
    std::vector<std::int64_t> values(size);
    reader.read(H5T_NATIVE_INT64, values.data());
    narrow_into(values, out, precision, wanted, where);
  }
}

std::vector<std::string> read_text(hid_t stored_type, hid_t space, std::size_t size, const RawReader& reader,
                                   const Location& where) {
  require<InputError>(H5Tget_class(stored_type) == H5T_STRING, "cannot read {} in '{}' as text (it holds {})",
                      where.path, where.file, to_string(classify(stored_type)));
  std::vector<std::string> text(size);
  if (size == 0) return text;
  if (H5Tis_variable_str(stored_type) > 0) {
    const Handle memory(text_type());
    H5Tset_cset(memory.id(), H5Tget_cset(stored_type));
    std::vector<char*> pointers(size, nullptr);
    struct Free {
      hid_t type, space;
      char** pointers;
      ~Free() { H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers); }
    } const free{memory.id(), space, pointers.data()};
    reader.read(memory.id(), pointers.data());
    for (std::size_t i = 0; i < size; ++i) {
      if (pointers[i] != nullptr) text[i] = pointers[i];
    }
    return text;
  }
  const std::size_t width = H5Tget_size(stored_type);
  std::vector<char> buffer(size * width);
  const Handle memory(H5Tcopy(stored_type));
  reader.read(memory.id(), buffer.data());
  const bool space_padded = H5Tget_strpad(stored_type) == H5T_STR_SPACEPAD;
  for (std::size_t i = 0; i < size; ++i) {
    const std::string_view field(buffer.data() + i * width, width);
    std::size_t end = std::min(field.find('\0'), width);
    while (space_padded && end > 0 && field[end - 1] == ' ') --end;
    text[i] = field.substr(0, end);
  }
  return text;
}

}  // namespace tessera::h5::detail
