#pragma once
#include <string>

#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/quantizer_ranges.hpp"

namespace tessera::cli {

/// One row per calibrated layer, in network order: ranges, clipping, output peak, saturation.
std::string calibration_table(const std::vector<nn::LinearLayer>& layers, const sim::NetworkCalibration& calibration);

/// "MAX (5 layers)", "MAX (2 layers), learned (3 layers)": where the ranges in use come from; "" without any.
std::string calibration_summary(const sim::NetworkCalibration& calibration);

/// One row per digital quantizer of an activation.
std::string quantizer_table(const sim::QuantizerRanges& ranges);

}  // namespace tessera::cli
