#pragma once
#include "tessera/config/type.hpp"
#include "tessera/device/drift_compensation.hpp"
#include "tessera/device/parameters.hpp"
#include "tessera/device/retention.hpp"

/// Key tables of module device's parameters.
namespace tessera::spec {

config::Type<device::ConductanceConverter> conductance_converter();
/// Values over conductance and time, written in the file or read from the CSV file that it names.
config::Type<device::DeviceTable> device_table();
config::Type<device::NoiseModel> noise_model();
config::Type<device::DriftCompensation> drift_compensation();
config::Type<device::DriftFrom> drift_from();
config::Type<device::ProgramAndVerify> program_and_verify();

config::Type<device::RetentionParameters> written_retention();

}  // namespace tessera::spec
