#pragma once
#include "tessera/config/type.hpp"

/// Private: ranges that many keys have.
namespace tessera::spec {

inline const config::Range positive = config::Range::above(0.0);
inline const config::Range non_negative = config::Range::at_least(0.0);

}  // namespace tessera::spec
