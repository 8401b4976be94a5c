#pragma once
#include "tessera/config/type.hpp"
#include "tessera/quant/number_format.hpp"
#include "tessera/sim/quantization_parameters.hpp"

/// Key tables of `quantization:`.
namespace tessera::spec {

config::Type<quant::Number> number_type();
config::Type<quant::LayerFormats> layer_formats_type();
config::Type<sim::QuantizationParameters> quantization_parameters();

}  // namespace tessera::spec
