#pragma once
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/sim/evaluate.hpp"

/// Which mechanism costs the accuracy: each alone in an otherwise ideal network, and each left out of the network as it
/// is configured, under common random numbers.
namespace tessera::sim {

/// A variant of the network on the data.
struct DoctorRun {
  /// By chip (repeat), at the last time; without labels the agreement with float32; empty for tasks without classes.
  std::vector<double> accuracy;
  std::vector<double> sqnr_db;      ///< by layer: in the network, mean over chips
  std::vector<double> alone_db;     ///< by layer: fed with float32 inputs; NaN for digital layers
  std::vector<double> clipped_in;   ///< by layer: fraction of inputs outside the input range; NaN without counts
  std::vector<double> clipped_out;  ///< by layer: fraction of outputs beyond the ADC's bound
  std::vector<double> adc_bits;     ///< by layer: bits of the ADC that the largest output uses; NaN without a converter

  /// Mean over chips.
  double mean_accuracy() const;
};

/// One mechanism, where some layer has it.
struct DoctorStage {
  std::string name;       ///< "ADC rounding"
  std::string keys;       ///< what configures it: "forward.out_res"
  bool removable = true;  ///< false: others stand on it, so that it cannot be left out alone
  DoctorRun only;         ///< it alone, all else ideal (and the input range that scales what it acts on)
  DoctorRun without;      ///< all but it
};

/// One layer as configured, all others digital float32: what it alone costs at the output of the network.
struct DoctorLayer {
  std::size_t layer = 0;                                 ///< into Diagnosis::layers
  std::vector<double> accuracy;                          ///< by chip, as in DoctorRun
  double output_sqnr_db = 0.0;                           ///< of the network's output, mean over chips
  Moments cost(const std::vector<double>& exact) const;  ///< paired loss of accuracy against `exact`, as fractions
};

struct Diagnosis {
  /// The ideal network (perfect products, no periphery quantizer, no devices) against float32 on up to 256 samples:
  /// largest |difference| of an output over the largest |output|, and samples with another predicted class.
  double ideal_deviation = 0.0;
  std::int64_t ideal_changed = 0, ideal_samples = 0;

  std::vector<std::string> layers;
  TaskScore reference;  ///< float32
  DoctorRun ideal, configured;
  std::vector<DoctorStage> stages;
  std::vector<DoctorLayer> ranking;   ///< analog layers, that which costs most at the output first
  std::vector<std::string> warnings;  ///< sentences: clip rates, ranges that are not used, bits that buy nothing

  bool ideal_is_ideal() const { return ideal_deviation < 1e-4; }
};

/// Paired difference of two runs over chips, as fractions.
Moments accuracy_difference(const DoctorRun& a, const DoctorRun& b);

/// Evaluates all variants together. Throws what evaluate() throws. An empty diagnosis of stages if cancelled.
Diagnosis diagnose(const EvaluationRequest& request, Parallel parallel, const Environment& environment);

}  // namespace tessera::sim
