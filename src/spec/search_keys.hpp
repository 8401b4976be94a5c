#pragma once
#include <string>

#include "tessera/config/node.hpp"

/// How a search names what it changes.
namespace tessera::spec {

/// Of the keys of bit widths.
inline const std::string rpu_prefix = "rpu_config.";
/// Which layers are on tiles: digital costs, analog does not.
inline const std::string layers_key = "analog";

/// The part of rpu_config that sets a key: {pre_post: {periph_quant: {n_bits: 4}}}.
config::Node rung_node(const std::string& key, double value, const config::Position& position);

/// A pattern that matches this layer's name only.
std::string exact_pattern(const std::string& name);

}  // namespace tessera::spec
