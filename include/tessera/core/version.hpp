#pragma once

namespace tessera {

/// "major.minor.patch" of this build.
const char* version();

}  // namespace tessera
