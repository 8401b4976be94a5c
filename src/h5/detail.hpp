#pragma once
// Build against the 1.10 signatures whatever the version installed.
#define H5_USE_110_API
#include <hdf5.h>

#include <mutex>
#include <string>

#include "tessera/h5/object.hpp"

namespace tessera::h5::detail {

static_assert(sizeof(hid_t) == sizeof(std::int64_t));

/// Stands at the head of whatever calls HDF5: while it lives HDF5's printing of its error stack is silenced, and other
/// threads wait, because the library is neither thread-safe nor free of global state.
class QuietErrors {
 public:
  QuietErrors();
  ~QuietErrors();
  QuietErrors(const QuietErrors&) = delete;
  QuietErrors& operator=(const QuietErrors&) = delete;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

/// What HDF5 says went wrong: the description nearest to the cause, "" if there is none. Clears the stack.
std::string hdf5_reason();

/// "cannot <action> <path> in '<file>' (<HDF5's reason>)". Call while the QuietErrors of the failed call lives.
[[noreturn]] void fail_reading(const Location& where, const std::string& action);
[[noreturn]] void fail_writing(const Location& where, const std::string& action);

/// The identifier, or the error.
inline Handle reading(hid_t id, const Location& where, const char* action) {
  if (id < 0) fail_reading(where, action);
  return Handle(id);
}
inline Handle writing(hid_t id, const Location& where, const char* action) {
  if (id < 0) fail_writing(where, action);
  return Handle(id);
}
inline void check_reading(herr_t status, const Location& where, const char* action) {
  if (status < 0) fail_reading(where, action);
}
inline void check_writing(herr_t status, const Location& where, const char* action) {
  if (status < 0) fail_writing(where, action);
}

/// The stored type in our terms.
ElementType classify(hid_t type);
/// The library's type of the same layout as the C++ type; not to be closed. Not for strings, booleans and others.
hid_t native_type(ElementType type);
/// A new variable-length UTF-8 string type.
hid_t text_type();
/// Extents of a data space; InputError for a null data space.
Shape extents(hid_t space, const Location& where);
/// RunError unless the text can be stored: UTF-8 without NUL.
void check_text(std::string_view text, const Location& where);

/// Calls HDF5's read with the memory type and buffer it is given.
struct RawReader {
  virtual void read(hid_t memory_type, void* out) const = 0;

 protected:
  ~RawReader() = default;
};

/// Reads `size` numbers of the stored type into `out` of the wanted type under the rule of the module: exactly, or not.
void read_converted(hid_t stored_type, ElementType wanted, Precision precision, std::size_t size,
                    const RawReader& reader, void* out, const Location& where);
/// Reads `size` strings of fixed or variable length. `space` describes the memory, for freeing.
std::vector<std::string> read_text(hid_t stored_type, hid_t space, std::size_t size, const RawReader& reader,
                                   const Location& where);

}  // namespace tessera::h5::detail
