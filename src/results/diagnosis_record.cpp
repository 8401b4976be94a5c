#include "tessera/results/diagnosis_record.hpp"

#include <algorithm>
#include <cmath>

#include "results/layout.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/core/version.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/layer_statistics.hpp"

namespace tessera::results {

namespace {

constexpr std::string_view diagnosis_schema_version = "1.1";

struct RunVariable {
  std::string name, units, long_name;
  std::vector<double> DiagnosisRun::*member;
  bool by_chip;
};

/// The accuracy by chip, and statistics of layers under their names.
const std::vector<RunVariable>& run_variables() {
  static const std::vector<RunVariable> table = [] {
    std::vector<RunVariable> rows{
        {"accuracy", "1",
         "fraction of samples that get their label (without labels: the class of float32), at the last time",
         &DiagnosisRun::accuracy, true}};
    const auto add = [&](std::string_view name, std::vector<double> DiagnosisRun::*member) {
      const LayerStatistic& row = layer_statistic(name);
      rows.push_back(
          {std::string(name), std::string(row.units), fmt::format("{}; mean over chips", row.meaning), member, false});
    };
    add("sqnr_db", &DiagnosisRun::sqnr_db);
    add("sqnr_db_isolated", &DiagnosisRun::sqnr_db_isolated);
    add("input_clip_fraction", &DiagnosisRun::input_clip_fraction);
    add("adc_saturation_fraction", &DiagnosisRun::adc_saturation_fraction);
    add("adc_effective_bits", &DiagnosisRun::adc_effective_bits);
    return rows;
  }();
  return table;
}

constexpr const char* layer_output_meaning =
    "signal to error of the network's output with this layer alone as configured, all others digital";
constexpr const char* layer_accuracy_meaning = "accuracy with this layer alone as configured, all others digital";

DiagnosisRecord::Difference difference(const std::vector<double>& a, const std::vector<double>& b) {
  Moments moments;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (!std::isnan(a[i] - b[i])) moments.add(a[i] - b[i]);
  if (moments.count() == 0) return {};
  return {moments.mean(), moments.confidence_95()};
}

}  // namespace

DiagnosisRecord::Difference DiagnosisRecord::cost_alone(std::size_t mechanism) const {
  return difference(mechanisms.front().alone.accuracy, mechanisms[mechanism].alone.accuracy);
}

DiagnosisRecord::Difference DiagnosisRecord::cost_of(const LayerCost& layer) const {
  return difference(mechanisms.front().alone.accuracy, layer.accuracy);
}

DiagnosisRecord::Difference DiagnosisRecord::gain_without(std::size_t mechanism) const {
  if (!mechanisms[mechanism].removable) return {};
  return difference(mechanisms[mechanism].without.accuracy, mechanisms.front().without.accuracy);
}

namespace {

void write_contents(h5::File& file, const DiagnosisRecord& record) {
  file.set_attribute("filetype", diagnosis_filetype);
  file.set_attribute("schema_version", diagnosis_schema_version);
  file.set_attribute("tessera_version", version());
  file.set_attribute("seed", record.seed);
  file.set_attribute("rng_layout", record.rng_layout);
  file.set_attribute("command", record.command);
  file.set_attribute("samples", record.samples);
  file.set_attribute("reference_accuracy", record.reference_accuracy);
  file.set_attribute("ideal_deviation", record.ideal_deviation);
  h5::Group config = file.create_group("config");
  config.write_text("text", record.config_text);
  config.write_text("resolved", record.resolved_text);

  const std::int64_t mechanisms = std::ssize(record.mechanisms), layers = std::ssize(record.layers);
  std::vector<std::string> names, keys;
  std::vector<std::uint8_t> removable;
  for (const MechanismRecord& mechanism : record.mechanisms) {
    names.push_back(mechanism.name);
    keys.push_back(mechanism.keys);
    removable.push_back(mechanism.removable ? 1 : 0);
  }
  h5::Dataset mechanism_scale = file.write("mechanism", names);
  describe(mechanism_scale, "1", "mechanism; none: alone is the ideal network, without is the network as configured");
  h5::Dataset variant_scale = file.write("variant", std::vector<std::string>{"alone", "without"});
  describe(variant_scale, "1", "the mechanism alone in an ideal network; the network as configured without it");
  h5::Dataset layer_scale = file.write("layer", record.layers);
  describe(layer_scale, "1", "layers of the network");
  for (h5::Dataset* scale : {&mechanism_scale, &variant_scale, &layer_scale}) h5::make_scale(*scale);
  const h5::Dataset chip_scale = file.create_dimension("chip", record.chips);
  h5::Dataset keys_set = file.write("keys", keys);
  describe(keys_set, "1", "what configures the mechanism");
  h5::attach_scale(keys_set, 0, mechanism_scale);
  h5::Dataset removable_set = file.write("removable", removable);
  describe(removable_set, "1", "0: others stand on the mechanism, it cannot be left out alone");
  h5::attach_scale(removable_set, 0, mechanism_scale);
  if (!record.warnings.empty()) {
    h5::Dataset warnings = file.write("warnings", record.warnings);
    describe(warnings, "1", "what stands out, in sentences");
    h5::attach_scale(warnings, 0, file.create_dimension("warning", std::ssize(record.warnings)));
  }
  const h5::DatasetOptions gaps{.fill = missing};
  std::vector<double> output(static_cast<std::size_t>(layers), missing);
  std::vector<double> right(static_cast<std::size_t>(layers * record.chips), missing);
  for (const LayerCost& cost : record.ranking) {
    require<RunError>(
        cost.layer >= 0 && cost.layer < layers && (cost.accuracy.empty() || std::ssize(cost.accuracy) == record.chips),
        "layer {} of {} has the accuracy of {} chips, not {}", cost.layer, layers, cost.accuracy.size(), record.chips);
    output[static_cast<std::size_t>(cost.layer)] = cost.output_sqnr_db;
    std::ranges::copy(cost.accuracy, right.begin() + cost.layer * record.chips);
  }
  h5::Dataset output_set = file.write<double>("layer_output_sqnr_db", {layers}, std::span<const double>(output), gaps);
  describe(output_set, "dB", layer_output_meaning);
  h5::attach_scale(output_set, 0, layer_scale);
  h5::Dataset right_set =
      file.write<double>("layer_accuracy", {layers, record.chips}, std::span<const double>(right), gaps);
  describe(right_set, "1", layer_accuracy_meaning);
  h5::attach_scale(right_set, 0, layer_scale);
  h5::attach_scale(right_set, 1, chip_scale);
  for (const RunVariable& row : run_variables()) {
    const std::int64_t each = row.by_chip ? record.chips : layers;
    std::vector<double> values;
    for (const MechanismRecord& mechanism : record.mechanisms)
      for (const DiagnosisRun* run : {&mechanism.alone, &mechanism.without}) {
        const std::vector<double>& part = run->*row.member;
        require<RunError>(part.empty() || std::ssize(part) == each, "{} of '{}' has {} values, not {}", row.name,
                          mechanism.name, part.size(), each);
        values.insert(values.end(), part.begin(), part.end());
        values.resize(values.size() + (part.empty() ? static_cast<std::size_t>(each) : 0), missing);
      }
    h5::Dataset dataset = file.write<double>(row.name, {mechanisms, 2, each}, std::span<const double>(values), gaps);
    describe(dataset, row.units, row.long_name);
    h5::attach_scale(dataset, 0, mechanism_scale);
    h5::attach_scale(dataset, 1, variant_scale);
    h5::attach_scale(dataset, 2, row.by_chip ? chip_scale : layer_scale);
  }
}

}  // namespace

void write_diagnosis(const DiagnosisRecord& record, const std::string& path) {
  h5::NewFile file(path);
  write_contents(file, record);
  file.commit();
}

h5::Image diagnosis_image(const DiagnosisRecord& record) {
  h5::NewFile file = h5::NewFile::in_memory("diagnosis");
  write_contents(file, record);
  return file.commit();
}

DiagnosisRecord read_diagnosis(const std::string& path) {
  const h5::File file = h5::File::open(path);
  require<InputError>(file.attribute<std::string>("filetype", "") == diagnosis_filetype,
                      "'{}' holds no diagnosis (it has no attribute filetype = {})", path, diagnosis_filetype);
  DiagnosisRecord record;
  record.seed = file.attribute<std::uint64_t>("seed");
  record.rng_layout = file.attribute<std::uint32_t>("rng_layout");
  record.command = file.attribute<std::string>("command");
  record.samples = file.attribute<std::int64_t>("samples");
  record.reference_accuracy = file.attribute<double>("reference_accuracy");
  record.ideal_deviation = file.attribute<double>("ideal_deviation");
  record.config_text = file.dataset("config/text").read_scalar<std::string>();
  record.resolved_text = file.dataset("config/resolved").read_scalar<std::string>();
  record.layers = file.dataset("layer").read<std::string>();
  const auto names = file.dataset("mechanism").read<std::string>(), keys = file.dataset("keys").read<std::string>();
  const auto removable = file.dataset("removable").read<std::uint8_t>();
  require<InputError>(!names.empty() && keys.size() == names.size() && removable.size() == names.size(),
                      "'{}': a damaged diagnosis: {} mechanisms, {} keys", path, names.size(), keys.size());
  for (std::size_t m = 0; m < names.size(); ++m)
    record.mechanisms.push_back({names[m], keys[m], removable[m] != 0, {}, {}});
  if (file.contains("warnings")) record.warnings = file.dataset("warnings").read<std::string>();
  for (const RunVariable& row : run_variables()) {
    const h5::Dataset dataset = file.dataset(row.name);
    dataset.require_shape({std::ssize(names), 2, row.by_chip ? -1 : std::ssize(record.layers)});
    const std::int64_t each = dataset.shape()[2];
    if (row.by_chip) record.chips = each;
    const auto values = dataset.read<double>();
    auto at = values.begin();
    for (MechanismRecord& mechanism : record.mechanisms)
      for (DiagnosisRun* run : {&mechanism.alone, &mechanism.without}) {
        (run->*row.member).assign(at, at + each);
        at += each;
      }
  }
  if (!file.contains("layer_output_sqnr_db")) return record;  // of version 1.0
  const h5::Dataset output = file.dataset("layer_output_sqnr_db"), right = file.dataset("layer_accuracy");
  output.require_shape({std::ssize(record.layers)});
  right.require_shape({std::ssize(record.layers), record.chips});
  const std::vector<double> decibels = output.read<double>(), accuracy = right.read<double>();
  for (std::size_t l = 0; l < decibels.size(); ++l) {
    if (std::isnan(decibels[l])) continue;
    const auto first = accuracy.begin() + static_cast<std::ptrdiff_t>(l) * record.chips;
    record.ranking.push_back({static_cast<std::int64_t>(l), decibels[l], {first, first + record.chips}});
  }
  std::ranges::stable_sort(record.ranking, {}, &LayerCost::output_sqnr_db);
  return record;
}

std::string diagnosis_page() {
  std::string page =
      "# Diagnosis files\n\n"
      "<!-- Written from the table of the writer; a test compares. Do not edit. -->\n\n"
      "`tessera doctor CONFIG -o diagnosis.h5` writes what every mechanism costs: HDF5 that "
      "`xarray.open_dataset(path, engine=\"h5netcdf\")` opens.\nMissing values are NaN (`_FillValue`).\n\n"
      "```python\n"
      "import xarray\n"
      "diagnosis = xarray.open_dataset(\"diagnosis.h5\", engine=\"h5netcdf\")\n"
      "alone = diagnosis.accuracy.sel(variant=\"alone\")\n"
      "cost = (alone.sel(mechanism=\"none\") - alone).mean(\"chip\")\n"
      "```\n\n"
      "| variable | dimensions | type | units | meaning |\n|---|---|---|---|---|\n"
      "| `mechanism` | mechanism | string |  | mechanism; none: alone is the ideal network, without is the network as "
      "configured |\n"
      "| `variant` | variant | string |  | alone in an ideal network; the network as configured without it |\n"
      "| `layer` | layer | string |  | layers of the network |\n"
      "| `keys` | mechanism | string |  | what configures the mechanism |\n"
      "| `removable` | mechanism | uint8 | 1 | 0: others stand on the mechanism, it cannot be left out alone |\n"
      "| `warnings` | warning | string |  | what stands out, in sentences; absent without any |\n";
  for (const RunVariable& row : run_variables())
    page += fmt::format("| `{}` | mechanism, variant, {} | float64 | {} | {} |\n", row.name,
                        row.by_chip ? "chip" : "layer", row.units, row.long_name);
  page += fmt::format(
      "| `layer_output_sqnr_db` | layer | float64 | dB | {} |\n| `layer_accuracy` | layer, chip | float64 | 1 | {} |\n",
      layer_output_meaning, layer_accuracy_meaning);
  page +=
      "| `config/text` |  | string |  | configuration as given |\n"
      "| `config/resolved` |  | string |  | configuration with every key |\n\n"
      "Attributes of the file: `filetype` (" +
      std::string(diagnosis_filetype) +
      "), `schema_version`, `tessera_version`, `seed`, `rng_layout`, `command`, `samples`, `reference_accuracy` "
      "(float32), `ideal_deviation` (of the ideal network from float32, over the largest output).\n";
  return page;
}

}  // namespace tessera::results
