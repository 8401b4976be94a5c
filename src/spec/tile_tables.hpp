#pragma once
#include "tessera/config/type.hpp"
#include "tessera/tile/parameters.hpp"

/// Key tables of module tile's parameters.
namespace tessera::spec {

config::Type<tile::IOParameters> io_parameters();
config::Type<tile::MappingParameter> mapping_parameter();
config::Type<tile::PrePostProcessingParameter> pre_post_parameter();
config::Type<tile::ActivationQuantConfig> activation_quant_config();

}  // namespace tessera::spec
