#pragma once
#include <memory>

#include "tessera/app/setup.hpp"

namespace tessera::app {

/// Reads a configuration strictly; `environment` hears of keys without effect.
spec::RunConfig read_config(const Source& source, const Environment& environment);

/// The same, with model and data.
std::shared_ptr<const Setup> open_setup(const Source& source, const Environment& environment, const Given& given = {});

}  // namespace tessera::app
