#pragma once
#include <memory>

#include "tessera/app/setup.hpp"
#include "tessera/results/diagnosis_record.hpp"
#include "tessera/sim/doctor.hpp"

namespace tessera::app {

struct DiagnosisResult {
  std::shared_ptr<const Setup> setup;
  sim::Diagnosis diagnosis;
  /// The same as a file holds it: results::write_diagnosis(), diagnosis_image() (docs/formats/diagnosis.md).
  results::DiagnosisRecord record;
};

}  // namespace tessera::app
