#pragma once
#include "tessera/config/type.hpp"
#include "tessera/tile/parameters.hpp"

/// Key tables of module tile's parameters.
namespace tessera::spec {

config::Type<tile::IOParameters> io_parameters();
config::Type<tile::MappingParameter> mapping_parameter();
config::Type<tile::PrePostProcessingParameter> pre_post_parameter();
config::Type<tile::ActivationQuantConfig> activation_quant_config();
config::Type<tile::FixedPointParameter> fixed_point_parameter();
// What only training uses (learning_tables.cpp).
config::Type<tile::WeightModifierParameter> weight_modifier_parameter();
config::Type<tile::WeightClipParameter> weight_clip_parameter();
config::Type<tile::WeightRemapParameter> weight_remap_parameter();

}  // namespace tessera::spec
