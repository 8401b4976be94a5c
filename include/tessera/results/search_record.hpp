#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/h5/image.hpp"
#include "tessera/results/records.hpp"

/// What a search for the fewest bits evaluated: an HDF5 file of its own that xarray opens (docs/formats/search.md,
/// which is written from the same table). It also remembers the search: run again with another budget, nothing is
/// computed twice.
namespace tessera::results {

inline constexpr std::string_view search_filetype = "tessera-search";

/// One key of one layer.
struct SearchKnobRecord {
  std::int64_t layer = 0, key = 0;  ///< into SearchRecord::layers, keys
  double weight = 1.0;              ///< cost of a bit
  std::vector<double> bits;         ///< by rung, falling; the first is the configuration as given
  std::vector<double> sqnr_db;      ///< by rung: the layer alone, fed with float32 inputs; empty: not measured

  bool operator==(const SearchKnobRecord&) const = default;
};

/// One configuration.
struct SearchPointRecord {
  std::vector<std::int32_t> rungs;  ///< by knob
  double cost = missing;
  double loss = missing;      ///< accuracy as given minus accuracy here, mean over chips
  double loss_low = missing;  ///< two-sided interval with the confidence of the search
  double loss_high = missing;
  double loss_bound = missing;  ///< one-sided: compared with the budget
  bool within = false;
  bool front = false;
  std::vector<float> correct;          ///< [chip][sample], fraction of the reads
  double energy = 0.0;                 ///< of one inference, J; 0 without a `cost:` section
  double latency = 0.0;                ///< s
  double area = 0.0;                   ///< mm2
  double columns_per_converter = 0.0;  ///< that costs least; 0: as configured

  bool operator==(const SearchPointRecord&) const = default;
};

struct SearchRecord {
  std::uint64_t seed = 0;
  std::uint32_t rng_layout = 0;
  std::string task_id = {};  ///< hash of everything that determines `correct`
  std::string command = {};
  std::string config_text = {};
  std::string resolved_text = {};

  /// "accuracy", or "perplexity": losses are then in nat (ln of the ratio of perplexities), accuracies minus the loss.
  std::string measure = "accuracy";
  double budget = missing;  ///< fraction, of the perplexity with that measure
  double confidence = missing;
  std::string cost_unit = {};  ///< "bits", "bits x columns", "energy (J)", "latency (s)", "area (mm2)", "EDP (J s)"
  std::int64_t chips = 0, samples = 0;
  double reference_accuracy = missing;  ///< float32
  double confirmed_loss = missing;      ///< of the found point on held-out samples
  double confirmed_loss_bound = missing;
  /// Found over given, with common coefficients and the activity measured in each; 0 without a `cost:` section.
  double energy_ratio = 0.0, energy_ratio_low = 0.0, energy_ratio_high = 0.0;
  double area_ratio = 0.0, area_ratio_low = 0.0, area_ratio_high = 0.0;
  std::vector<std::string> layers;  ///< with a knob, in network order
  std::vector<std::string> keys;
  std::vector<SearchKnobRecord> knobs;
  std::vector<SearchPointRecord> points;  ///< in order of evaluation; the first is the configuration as given
  std::int64_t found = 0;
  bool complete = false;

  /// Accuracy of a point by chip.
  std::vector<double> accuracy(std::size_t point) const;

  bool operator==(const SearchRecord&) const = default;
};

/// As people read it: per cent right, or the perplexity, for an accuracy of the record.
double shown_quality(const SearchRecord& record, double accuracy);
/// Percentage points, or per cent of the perplexity as given, for a loss of the record.
double shown_loss(const SearchRecord& record, double loss);
/// "percentage points", "% of the perplexity".
std::string loss_unit(const SearchRecord& record);
/// "97.12 %", "6.831".
std::string quality_text(const SearchRecord& record, double accuracy);

/// Writes the file under its name only when it is complete. RunError where that fails, or sizes do not fit.
void write_search(const SearchRecord& record, const std::string& path);
/// The same file in memory.
h5::Image search_image(const SearchRecord& record);
/// InputError for a file that is missing, damaged, or of another type.
SearchRecord read_search_record(const std::string& path);
/// The text of docs/formats/search.md.
std::string search_page();

}  // namespace tessera::results
