#include "tessera/results/search_record.hpp"

#include <algorithm>
#include <cmath>

#include "results/layout.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/core/version.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::results {

namespace {

constexpr std::string_view search_schema_version = "1.1";

struct PointVariable {
  const char* name;
  const char* units;
  const char* long_name;
  double SearchPointRecord::*member;
  bool optional = false;  ///< left out where it is 0
};

const PointVariable point_variables[] = {
    {"cost", "1",
     "what is to be small, in the unit of the attribute cost_unit: a sum of bits times their cost, or what "
     "an inference costs",
     &SearchPointRecord::cost},
    {"loss", "1", "accuracy of the configuration as given minus accuracy here, mean over chips",
     &SearchPointRecord::loss},
    {"loss_low", "1", "lower end of the two-sided interval of the loss", &SearchPointRecord::loss_low},
    {"loss_high", "1", "upper end of the two-sided interval of the loss", &SearchPointRecord::loss_high},
    {"loss_bound", "1", "one-sided upper bound of the loss, compared with the budget", &SearchPointRecord::loss_bound},
    {"energy", "J", "energy of one inference; with a cost: section", &SearchPointRecord::energy, true},
    {"latency", "s", "time of one inference; with a cost: section", &SearchPointRecord::latency, true},
    {"area", "mm2", "area of all tiles; with a cost: section", &SearchPointRecord::area, true},
    {"columns_per_converter", "1", "columns per converter that cost least, where they are chosen",
     &SearchPointRecord::columns_per_converter, true},
};

struct RatioAttribute {
  const char* name;
  double SearchRecord::*member;
};

const RatioAttribute ratio_attributes[] = {
    {"energy_ratio", &SearchRecord::energy_ratio},           {"energy_ratio_low", &SearchRecord::energy_ratio_low},
    {"energy_ratio_high", &SearchRecord::energy_ratio_high}, {"area_ratio", &SearchRecord::area_ratio},
    {"area_ratio_low", &SearchRecord::area_ratio_low},       {"area_ratio_high", &SearchRecord::area_ratio_high}};

struct PointFlag {
  const char* name;
  const char* long_name;
  bool SearchPointRecord::*member;
};

const PointFlag point_flags[] = {
    {"within_budget", "1: the loss is within the budget", &SearchPointRecord::within},
    {"front", "1: none is both cheaper and at least as accurate", &SearchPointRecord::front},
};

const char* const bits_name = "bits of the key in the layer; NaN: not searched there, 32: off (float32)";
const char* const rung_name = "place on the ladder of the key in the layer, 0 is as given; -1: not searched there";
const char* const ladder_name = "bits at every rung of the ladder; NaN: none";
const char* const sqnr_name = "signal to error of the layer alone, fed with float32 inputs, at every rung";
const char* const accuracy_name = "accuracy of every chip";
const char* const correct_name = "fraction of the reads of a chip that give the label";

/// Axes of the file.
struct Scales {
  h5::Dataset point, layer, key, chip, sample, rung;
};

void attach(h5::Dataset& dataset, std::initializer_list<const h5::Dataset*> scales) {
  std::int64_t axis = 0;
  for (const h5::Dataset* scale : scales) h5::attach_scale(dataset, axis++, *scale);
}

void check(const SearchRecord& record) {
  for (const SearchKnobRecord& knob : record.knobs)
    require<RunError>(knob.layer < std::ssize(record.layers) && knob.key < std::ssize(record.keys) &&
                          !knob.bits.empty() && (knob.sqnr_db.empty() || knob.sqnr_db.size() == knob.bits.size()),
                      "a knob of a search does not fit its layers and keys");
  for (const SearchPointRecord& point : record.points)
    require<RunError>(
        point.rungs.size() == record.knobs.size() && std::ssize(point.correct) == record.chips * record.samples,
        "a point of a search has {} rungs and {} outcomes, not {} and {}", point.rungs.size(), point.correct.size(),
        record.knobs.size(), record.chips * record.samples);
}

void write_knobs(h5::File& file, const SearchRecord& record, const Scales& scales) {
  const std::int64_t layers = std::ssize(record.layers), keys = std::ssize(record.keys), rungs = scales.rung.size();
  const auto cells = static_cast<std::size_t>(layers * keys);
  std::vector<double> weight(cells, missing), ladder(cells * static_cast<std::size_t>(rungs), missing), sqnr = ladder;
  for (const SearchKnobRecord& knob : record.knobs) {
    const auto cell = static_cast<std::size_t>(knob.layer * keys + knob.key);
    weight[cell] = knob.weight;
    const auto first = static_cast<std::ptrdiff_t>(cell) * rungs;
    std::copy(knob.bits.begin(), knob.bits.end(), ladder.begin() + first);
    std::copy(knob.sqnr_db.begin(), knob.sqnr_db.end(), sqnr.begin() + first);
  }
  const h5::DatasetOptions gaps{.fill = missing};
  const auto put = [&](const char* name, const Shape& shape, const std::vector<double>& values, const char* units,
                       const char* long_name) {
    h5::Dataset dataset = file.write<double>(name, shape, std::span<const double>(values), gaps);
    describe(dataset, units, long_name);
    attach(dataset, {&scales.layer, &scales.key});
    if (shape.size() == 3) h5::attach_scale(dataset, 2, scales.rung);
  };
  put("bit_cost", {layers, keys}, weight, "1", "cost of one bit");
  put("ladder", {layers, keys, rungs}, ladder, "1", ladder_name);
  put("sqnr_db_isolated", {layers, keys, rungs}, sqnr, "dB", sqnr_name);
}

void write_points(h5::File& file, const SearchRecord& record, const Scales& scales) {
  const std::int64_t points = std::ssize(record.points), layers = std::ssize(record.layers),
                     keys = std::ssize(record.keys);
  const auto cells = static_cast<std::size_t>(layers * keys);
  std::vector<double> bits, accuracy;
  std::vector<std::int32_t> rungs;
  std::vector<float> correct;
  for (std::size_t p = 0; p < record.points.size(); ++p) {
    const SearchPointRecord& point = record.points[p];
    std::vector<double> own_bits(cells, missing);
    std::vector<std::int32_t> own_rungs(cells, -1);
    for (std::size_t k = 0; k < record.knobs.size(); ++k) {
      const SearchKnobRecord& knob = record.knobs[k];
      const auto cell = static_cast<std::size_t>(knob.layer * keys + knob.key);
      own_rungs[cell] = point.rungs[k];
      own_bits[cell] = knob.bits.at(static_cast<std::size_t>(point.rungs[k]));
    }
    bits.insert(bits.end(), own_bits.begin(), own_bits.end());
    rungs.insert(rungs.end(), own_rungs.begin(), own_rungs.end());
    const std::vector<double> chips = record.accuracy(p);
    accuracy.insert(accuracy.end(), chips.begin(), chips.end());
    correct.insert(correct.end(), point.correct.begin(), point.correct.end());
  }
  const h5::DatasetOptions gaps{.fill = missing};
  h5::Dataset bits_set = file.write<double>("bits", {points, layers, keys}, std::span<const double>(bits), gaps);
  describe(bits_set, "1", bits_name);
  attach(bits_set, {&scales.point, &scales.layer, &scales.key});
  h5::Dataset rung_set =
      file.write<std::int32_t>("place", {points, layers, keys}, std::span<const std::int32_t>(rungs));
  describe(rung_set, "1", rung_name);
  attach(rung_set, {&scales.point, &scales.layer, &scales.key});
  h5::Dataset accuracy_set =
      file.write<double>("accuracy", {points, record.chips}, std::span<const double>(accuracy), gaps);
  describe(accuracy_set, "1", accuracy_name);
  attach(accuracy_set, {&scales.point, &scales.chip});
  const h5::DatasetOptions packed{.chunk = {1, record.chips, record.samples}, .deflate = 4};
  h5::Dataset correct_set =
      file.write<float>("correct", {points, record.chips, record.samples}, std::span<const float>(correct), packed);
  describe(correct_set, "1", correct_name);
  attach(correct_set, {&scales.point, &scales.chip, &scales.sample});
  for (const PointVariable& row : point_variables) {
    if (row.optional && record.points.front().*row.member == 0.0) continue;
    std::vector<double> values;
    for (const SearchPointRecord& point : record.points) values.push_back(point.*row.member);
    h5::Dataset dataset = file.write(row.name, values, gaps);
    describe(dataset, row.units, row.long_name);
    h5::attach_scale(dataset, 0, scales.point);
  }
  for (const PointFlag& row : point_flags) {
    std::vector<std::uint8_t> values;
    for (const SearchPointRecord& point : record.points) values.push_back(point.*row.member ? 1 : 0);
    h5::Dataset dataset = file.write(row.name, values);
    describe(dataset, "1", row.long_name);
    h5::attach_scale(dataset, 0, scales.point);
  }
}

}  // namespace

std::vector<double> SearchRecord::accuracy(std::size_t point) const {
  std::vector<double> means;
  for (std::int64_t c = 0; c < chips; ++c) {
    double sum = 0.0;
    for (std::int64_t s = 0; s < samples; ++s)
      sum += static_cast<double>(points[point].correct[static_cast<std::size_t>(c * samples + s)]);
    means.push_back(sum / static_cast<double>(samples));
  }
  return means;
}

namespace {

void write_contents(h5::File& file, const SearchRecord& record) {
  check(record);
  file.set_attribute("filetype", search_filetype);
  file.set_attribute("schema_version", search_schema_version);
  file.set_attribute("tessera_version", version());
  file.set_attribute("seed", record.seed);
  file.set_attribute("rng_layout", record.rng_layout);
  file.set_attribute("task_id", record.task_id);
  file.set_attribute("command", record.command);
  file.set_attribute("measure", record.measure);
  file.set_attribute("budget", record.budget);
  file.set_attribute("confidence", record.confidence);
  file.set_attribute("cost_unit", record.cost_unit);
  file.set_attribute("reference_accuracy", record.reference_accuracy);
  file.set_attribute("confirmed_loss", record.confirmed_loss);
  file.set_attribute("confirmed_loss_bound", record.confirmed_loss_bound);
  for (const RatioAttribute& row : ratio_attributes)
    if (record.*row.member != 0.0) file.set_attribute(row.name, record.*row.member);
  file.set_attribute("found", record.found);
  file.set_attribute("complete", record.complete ? std::int64_t{1} : std::int64_t{0});
  h5::Group config = file.create_group("config");
  config.write_text("text", record.config_text);
  config.write_text("resolved", record.resolved_text);

  std::size_t rungs = 1;
  for (const SearchKnobRecord& knob : record.knobs) rungs = std::max(rungs, knob.bits.size());
  std::vector<std::int32_t> numbers(record.points.size());
  for (std::size_t p = 0; p < numbers.size(); ++p) numbers[p] = static_cast<std::int32_t>(p);
  Scales scales{file.write("point", numbers),
                file.write("layer", record.layers),
                file.write("key", record.keys),
                file.create_dimension("chip", record.chips),
                file.create_dimension("sample", record.samples),
                file.create_dimension("rung", static_cast<std::int64_t>(rungs))};
  describe(scales.point, "1", "configurations in order of evaluation; 0 is the configuration as given");
  describe(scales.layer, "1", "layers whose bits are searched");
  describe(scales.key, "1", "configuration keys that are searched");
  for (h5::Dataset* scale : {&scales.point, &scales.layer, &scales.key}) h5::make_scale(*scale);
  write_knobs(file, record, scales);
  write_points(file, record, scales);
}

}  // namespace

double shown_quality(const SearchRecord& record, double accuracy) {
  return record.measure == "perplexity" ? std::exp(-accuracy) : 100.0 * accuracy;
}

double shown_loss(const SearchRecord& record, double loss) {
  return 100.0 * (record.measure == "perplexity" ? std::expm1(loss) : loss);
}

std::string loss_unit(const SearchRecord& record) {
  return record.measure == "perplexity" ? "% of the perplexity" : "percentage points";
}

std::string quality_text(const SearchRecord& record, double accuracy) {
  return record.measure == "perplexity" ? fmt::format("{:.4g}", std::exp(-accuracy))
                                        : fmt::format("{:.2f} %", 100.0 * accuracy);
}

void write_search(const SearchRecord& record, const std::string& path) {
  h5::NewFile file(path);
  write_contents(file, record);
  file.commit();
}

h5::Image search_image(const SearchRecord& record) {
  h5::NewFile file = h5::NewFile::in_memory("search");
  write_contents(file, record);
  return file.commit();
}

SearchRecord read_search_record(const std::string& path) {
  const h5::File file = h5::File::open(path);
  require<InputError>(file.attribute<std::string>("filetype", "") == search_filetype,
                      "'{}' holds no search (it has no attribute filetype = {})", path, search_filetype);
  SearchRecord record;
  record.seed = file.attribute<std::uint64_t>("seed");
  record.rng_layout = file.attribute<std::uint32_t>("rng_layout");
  record.task_id = file.attribute<std::string>("task_id");
  record.command = file.attribute<std::string>("command");
  record.measure = file.attribute<std::string>("measure", "accuracy");
  record.budget = file.attribute<double>("budget");
  record.confidence = file.attribute<double>("confidence");
  record.cost_unit = file.attribute<std::string>("cost_unit");
  record.reference_accuracy = file.attribute<double>("reference_accuracy");
  record.confirmed_loss = file.attribute<double>("confirmed_loss");
  record.confirmed_loss_bound = file.attribute<double>("confirmed_loss_bound");
  for (const RatioAttribute& row : ratio_attributes) record.*row.member = file.attribute<double>(row.name, 0.0);
  record.found = file.attribute<std::int64_t>("found");
  record.complete = file.attribute<std::int64_t>("complete") != 0;
  record.config_text = file.dataset("config/text").read_scalar<std::string>();
  record.resolved_text = file.dataset("config/resolved").read_scalar<std::string>();
  record.layers = file.dataset("layer").read<std::string>();
  record.keys = file.dataset("key").read<std::string>();
  const std::int64_t points = file.dataset("point").size(), layers = std::ssize(record.layers),
                     keys = std::ssize(record.keys);

  const h5::Dataset ladder_set = file.dataset("ladder");
  ladder_set.require_shape({layers, keys, -1});
  const std::int64_t rungs = ladder_set.shape()[2];
  const h5::Dataset sqnr_set = file.dataset("sqnr_db_isolated"), cost_set = file.dataset("bit_cost");
  sqnr_set.require_shape({layers, keys, rungs});
  cost_set.require_shape({layers, keys});
  const auto ladder = ladder_set.read<double>(), sqnr = sqnr_set.read<double>(), cost = cost_set.read<double>();
  for (std::int64_t cell = 0; cell < layers * keys; ++cell) {
    if (std::isnan(cost[static_cast<std::size_t>(cell)])) continue;
    SearchKnobRecord knob{cell / keys, cell % keys, cost[static_cast<std::size_t>(cell)], {}, {}};
    for (std::int64_t r = 0; r < rungs; ++r) {
      const auto at = static_cast<std::size_t>(cell * rungs + r);
      if (std::isnan(ladder[at])) break;
      knob.bits.push_back(ladder[at]);
      if (!std::isnan(sqnr[at])) knob.sqnr_db.push_back(sqnr[at]);
    }
    require<InputError>(!knob.bits.empty() && (knob.sqnr_db.empty() || knob.sqnr_db.size() == knob.bits.size()),
                        "'{}': a damaged search file: a ladder without rungs", path);
    record.knobs.push_back(std::move(knob));
  }

  const h5::Dataset correct_set = file.dataset("correct"), rung_set = file.dataset("place");
  correct_set.require_shape({points, -1, -1});
  rung_set.require_shape({points, layers, keys});
  record.chips = correct_set.shape()[1];
  record.samples = correct_set.shape()[2];
  const auto correct = correct_set.read<float>();
  const auto places = rung_set.read<std::int32_t>();
  require<InputError>(points > 0 && record.found >= 0 && record.found < points,
                      "'{}': a damaged search file: it names point {} of {} as found", path, record.found, points);
  for (std::int64_t p = 0; p < points; ++p) {
    SearchPointRecord& point = record.points.emplace_back();
    for (const SearchKnobRecord& knob : record.knobs) {
      const std::int32_t rung = places[static_cast<std::size_t>((p * layers + knob.layer) * keys + knob.key)];
      require<InputError>(rung >= 0 && rung < std::ssize(knob.bits), "'{}': a damaged search file: no rung {}", path,
                          rung);
      point.rungs.push_back(rung);
    }
    const auto each = record.chips * record.samples;
    point.correct.assign(correct.begin() + p * each, correct.begin() + (p + 1) * each);
  }
  for (const PointVariable& row : point_variables) {
    if (!file.contains(row.name)) continue;  // older files have no costs of hardware
    const h5::Dataset dataset = file.dataset(row.name);
    dataset.require_shape({points});
    const auto values = dataset.read<double>();
    for (std::size_t p = 0; p < values.size(); ++p) record.points[p].*row.member = values[p];
  }
  for (const PointFlag& row : point_flags) {
    const h5::Dataset dataset = file.dataset(row.name);
    dataset.require_shape({points});
    const auto values = dataset.read<std::uint8_t>();
    for (std::size_t p = 0; p < values.size(); ++p) record.points[p].*row.member = values[p] != 0;
  }
  return record;
}

std::string search_page() {
  std::string page =
      "# Search files\n\n"
      "<!-- Written from the table of the writer; a test compares. Do not edit. -->\n\n"
      "`tessera search` writes every configuration that it evaluated beside the one that it found: HDF5 that "
      "`xarray.open_dataset(path, engine=\"h5netcdf\")` opens.\nMissing values are NaN (`_FillValue`).\n\n"
      "```python\n"
      "import xarray\n"
      "search = xarray.open_dataset(\"found.h5\", engine=\"h5netcdf\")\n"
      "front = search.where(search.front == 1, drop=True).sortby(\"cost\")\n"
      "front.accuracy.mean(\"chip\")\n"
      "search.bits.isel(point=search.attrs[\"found\"]).to_pandas()\n"
      "```\n\n"
      "| variable | dimensions | type | units | meaning |\n|---|---|---|---|---|\n"
      "| `point` | point | int32 | 1 | configurations in order of evaluation; 0 is the configuration as given |\n"
      "| `layer` | layer | string |  | layers whose bits are searched |\n"
      "| `key` | key | string |  | configuration keys that are searched |\n";
  page += fmt::format("| `bits` | point, layer, key | float64 | 1 | {} |\n", bits_name);
  page += fmt::format("| `place` | point, layer, key | int32 | 1 | {} |\n", rung_name);
  page += fmt::format("| `accuracy` | point, chip | float64 | 1 | {} |\n", accuracy_name);
  page += fmt::format("| `correct` | point, chip, sample | float32 | 1 | {} |\n", correct_name);
  for (const PointVariable& row : point_variables)
    page += fmt::format("| `{}` | point | float64 | {} | {} |\n", row.name, row.units, row.long_name);
  for (const PointFlag& row : point_flags)
    page += fmt::format("| `{}` | point | uint8 | 1 | {} |\n", row.name, row.long_name);
  page += "| `bit_cost` | layer, key | float64 | 1 | cost of one bit |\n";
  page += fmt::format("| `ladder` | layer, key, rung | float64 | 1 | {} |\n", ladder_name);
  page += fmt::format("| `sqnr_db_isolated` | layer, key, rung | float64 | dB | {} |\n", sqnr_name);
  page +=
      "| `config/text` |  | string |  | configuration as given |\n"
      "| `config/resolved` |  | string |  | configuration with every key |\n\n"
      "Attributes of the file: `filetype` (" +
      std::string(search_filetype) +
      "), `schema_version`, `tessera_version`, `seed`, `rng_layout`, `task_id` (hash of everything that determines the "
      "outcomes), `command`, `measure` (perplexity: losses are in nat, accuracies and outcomes minus the loss), "
      "`budget` (fraction), "
      "`confidence`, `cost_unit`, `reference_accuracy` (float32), "
      "`confirmed_loss` and `confirmed_loss_bound` (on the samples that were held out; NaN without), `energy_ratio`, "
      "`area_ratio` and their ends `_low` and `_high` (found over given with common coefficients; absent without a "
      "cost: "
      "section), `found` (the "
      "point "
      "that was chosen), `complete` (0: the search was stopped).\n";
  return page;
}

}  // namespace tessera::results
