#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/h5/image.hpp"
#include "tessera/results/records.hpp"

/// How a training went, epoch by epoch: an HDF5 file of its own that xarray opens (docs/formats/training.md, which is
/// written from the same table).
namespace tessera::results {

inline constexpr std::string_view training_filetype = "tessera-training";

/// One epoch. What was not measured is `missing`.
struct TrainingEpoch {
  bool analog = false;                  ///< phase: float32, or on the configured hardware
  double loss = missing;                ///< mean over the samples, in training mode, while the weights move
  double accuracy = missing;            ///< likewise; missing without labels
  double learning_rate = missing;       ///< of the last step
  double gradient_norm = missing;       ///< mean over the steps, of all gradients together before clipping
  double reference_accuracy = missing;  ///< of the weights in float32 on the validation data
  double reference_loss = missing;
  std::vector<double> validation_accuracy;  ///< analog epochs: [time][chip]; empty: not measured
  std::vector<double> validation_loss;      ///< likewise
  bool best = false;                        ///< the model that was kept is from here
  double seconds = missing;                 ///< wall time; never part of a comparison

  bool operator==(const TrainingEpoch&) const = default;
};

struct TrainingCurves {
  std::uint64_t seed = 0;
  std::uint32_t rng_layout = 0;
  std::string task_id = {};  ///< hash of everything that determines the result
  std::string command = {};
  std::string config_text = {};
  std::string resolved_text = {};
  std::vector<double> times{0.0};  ///< seconds after programming
  std::int64_t chips = 1;          ///< of every validation
  std::vector<TrainingEpoch> epochs;

  bool operator==(const TrainingCurves&) const = default;
};

/// Writes the file under its name only when it is complete. RunError where that fails, or validations do not have
/// times x chips values.
void write_training_curves(const TrainingCurves& curves, const std::string& path);
/// The same file in memory.
h5::Image training_curves_image(const TrainingCurves& curves);
/// InputError for a file that is missing, damaged, or of another type.
TrainingCurves read_training_curves(const std::string& path);
/// The text of docs/formats/training.md.
std::string training_page();

}  // namespace tessera::results
