#pragma once
#include <memory>
#include <string>

#include "h5/detail.hpp"

/// Private: writing that libhdf5 cannot fail at.
namespace tessera::h5::detail {

/// What the operating system said when a write first failed: "" while none has.
struct WriteFailure {
  std::string reason;
};

/// Makes files of these access properties go through POSIX calls whose failure libhdf5 never sees: the first one is
/// kept in `failure`, and nothing is written any more. libhdf5 1.10 does not survive a write that fails (a full disk):
/// its clean-up walks half-written metadata. Whoever flushes or closes the file looks at `failure`, which must outlive
/// the file, and throws.
void use_steady_driver(hid_t access, WriteFailure& failure);

}  // namespace tessera::h5::detail
