#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/h5/image.hpp"
#include "tessera/results/records.hpp"

/// What a diagnosis found: an HDF5 file of its own that xarray opens (docs/formats/diagnosis.md, which is written from
/// the same table).
namespace tessera::results {

inline constexpr std::string_view diagnosis_filetype = "tessera-diagnosis";

/// A variant of the network. `accuracy` is by chip, all others by layer; what is not known is missing.
struct DiagnosisRun {
  std::vector<double> accuracy;
  std::vector<double> sqnr_db;
  std::vector<double> sqnr_db_isolated;
  std::vector<double> input_clip_fraction;
  std::vector<double> adc_saturation_fraction;
  std::vector<double> adc_effective_bits;
};

/// One mechanism: it alone in an ideal network, and the network as configured without it.
struct MechanismRecord {
  std::string name;
  std::string keys;
  bool removable = true;  ///< false: `without` is not meaningful
  DiagnosisRun alone, without;
};

/// One layer as configured, all others digital.
struct LayerCost {
  std::int64_t layer = 0;             ///< into DiagnosisRecord::layers
  double output_sqnr_db = missing;    ///< of the network's output
  std::vector<double> accuracy = {};  ///< by chip
};

struct DiagnosisRecord {
  std::uint64_t seed = 0;
  std::uint32_t rng_layout = 0;
  std::string command = {};
  std::string config_text = {};
  std::string resolved_text = {};
  std::int64_t chips = 0, samples = 0;
  double reference_accuracy = missing;  ///< float32
  double ideal_deviation = missing;     ///< of the largest output
  std::vector<std::string> layers;
  /// The first is "none": alone is the ideal network, without is the network as configured.
  std::vector<MechanismRecord> mechanisms;
  std::vector<LayerCost> ranking;  ///< analog layers, that which costs most first
  std::vector<std::string> warnings;

  /// Mean paired difference over chips, as a fraction, with half of its 95 % interval (missing for one chip).
  struct Difference {
    double mean = missing, half = missing;
  };
  Difference cost_alone(std::size_t mechanism) const;    ///< ideal minus alone
  Difference gain_without(std::size_t mechanism) const;  ///< without minus as configured; missing if not removable
  Difference cost_of(const LayerCost& layer) const;      ///< ideal minus the layer alone
};

/// Writes the file under its name only when it is complete. RunError where that fails, or sizes do not fit.
void write_diagnosis(const DiagnosisRecord& record, const std::string& path);
/// The same file in memory.
h5::Image diagnosis_image(const DiagnosisRecord& record);
/// InputError for a file that is missing, damaged, or of another type.
DiagnosisRecord read_diagnosis(const std::string& path);
/// The text of docs/formats/diagnosis.md.
std::string diagnosis_page();

}  // namespace tessera::results
