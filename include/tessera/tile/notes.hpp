#pragma once
#include <string>
#include <vector>

#include "tessera/tile/parameters.hpp"

/// What a legal configuration holds that is without effect, or means something else than it seems to.
namespace tessera::tile {

struct ParameterNote {
  std::string key;  ///< relative to the `rpu_config`: "forward.out_res"
  std::string message;

  bool operator==(const ParameterNote&) const = default;
};

/// Values other than the default that nothing reads, because what they belong to is off; resolutions that look like a
/// number of bits, or like a step and turn their converter off. Training-only fields are not meant.
std::vector<ParameterNote> notes(const RpuParameters& parameters);

/// Keys of sections and fields that are set to something and act in training only.
std::vector<std::string> training_only(const RpuParameters& parameters);

}  // namespace tessera::tile
