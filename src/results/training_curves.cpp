#include "tessera/results/training_curves.hpp"

#include <algorithm>
#include <functional>

#include "results/layout.hpp"
#include "tessera/core/version.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::results {

namespace {

constexpr std::string_view training_schema_version = "1.0";

/// A variable over epochs alone.
struct EpochVariable {
  const char* name;
  const char* units;
  const char* long_name;
  double TrainingEpoch::*member;
};

const EpochVariable epoch_variables[] = {
    {"loss", "1", "training loss, mean over the epoch's samples", &TrainingEpoch::loss},
    {"accuracy", "1", "training accuracy, in training mode while the weights move", &TrainingEpoch::accuracy},
    {"learning_rate", "1", "learning rate of the epoch's last step", &TrainingEpoch::learning_rate},
    {"gradient_norm", "1", "norm of all gradients before clipping, mean over the steps", &TrainingEpoch::gradient_norm},
    {"reference_accuracy", "1", "validation accuracy of the weights in float32", &TrainingEpoch::reference_accuracy},
    {"reference_loss", "1", "validation loss of the weights in float32", &TrainingEpoch::reference_loss},
};

/// A variable over epochs, times and chips.
struct ChipVariable {
  const char* name;
  const char* units;
  const char* long_name;
  std::vector<double> TrainingEpoch::*member;
};

const ChipVariable chip_variables[] = {
    {"validation_accuracy", "1", "validation accuracy of programmed chips", &TrainingEpoch::validation_accuracy},
    {"validation_loss", "1", "validation loss of programmed chips", &TrainingEpoch::validation_loss},
};

void write_variables(h5::File& file, const TrainingCurves& curves) {
  const auto epochs = static_cast<std::int64_t>(curves.epochs.size());
  const auto times = static_cast<std::int64_t>(curves.times.size());
  std::vector<std::int32_t> numbers;
  std::vector<std::uint8_t> analog, best;
  for (const TrainingEpoch& epoch : curves.epochs) {
    numbers.push_back(static_cast<std::int32_t>(numbers.size()) + 1);
    analog.push_back(epoch.analog ? 1 : 0);
    best.push_back(epoch.best ? 1 : 0);
  }
  h5::Dataset epoch_scale = file.write("epoch", numbers);
  describe(epoch_scale, "1", "epoch, from 1");
  h5::make_scale(epoch_scale);
  h5::Dataset time_scale = file.write("time", curves.times);
  describe(time_scale, "s", "time after programming");
  h5::make_scale(time_scale);
  const h5::Dataset chip_scale = file.create_dimension("chip", curves.chips);

  const auto flag = [&](const char* name, const std::vector<std::uint8_t>& values, const char* long_name) {
    h5::Dataset dataset = file.write(name, values);
    describe(dataset, "1", long_name);
    h5::attach_scale(dataset, 0, epoch_scale);
  };
  flag("analog", analog, "1 for an epoch on the configured hardware, 0 in float32");
  flag("best", best, "1 for the epoch whose model was kept");
  const h5::DatasetOptions gaps{.fill = missing};
  for (const EpochVariable& row : epoch_variables) {
    std::vector<double> values;
    for (const TrainingEpoch& epoch : curves.epochs) values.push_back(epoch.*row.member);
    h5::Dataset dataset = file.write(row.name, values, gaps);
    describe(dataset, row.units, row.long_name);
    h5::attach_scale(dataset, 0, epoch_scale);
  }
  for (const ChipVariable& row : chip_variables) {
    std::vector<double> values;
    for (const TrainingEpoch& epoch : curves.epochs) {
      const std::vector<double>& part = epoch.*row.member;
      const auto wanted = static_cast<std::size_t>(times * curves.chips);
      require<RunError>(part.empty() || part.size() == wanted, "{} of an epoch has {} values, not {} times x {} chips",
                        row.name, part.size(), times, curves.chips);
      values.resize(values.size() + (part.empty() ? wanted : 0), missing);
      values.insert(values.end(), part.begin(), part.end());
    }
    h5::Dataset dataset =
        file.write<double>(row.name, {epochs, times, curves.chips}, std::span<const double>(values), gaps);
    describe(dataset, row.units, row.long_name);
    h5::attach_scale(dataset, 0, epoch_scale);
    h5::attach_scale(dataset, 1, time_scale);
    h5::attach_scale(dataset, 2, chip_scale);
  }
  h5::Group runtime = file.create_group("runtime");
  std::vector<double> seconds;
  for (const TrainingEpoch& epoch : curves.epochs) seconds.push_back(epoch.seconds);
  h5::Dataset dataset = runtime.write("seconds", seconds, gaps);
  describe(dataset, "s", "wall time of the epoch with its validation");
}

}  // namespace

namespace {

void write_contents(h5::File& file, const TrainingCurves& curves) {
  file.set_attribute("filetype", training_filetype);
  file.set_attribute("schema_version", training_schema_version);
  file.set_attribute("tessera_version", version());
  file.set_attribute("seed", curves.seed);
  file.set_attribute("rng_layout", curves.rng_layout);
  file.set_attribute("task_id", curves.task_id);
  file.set_attribute("command", curves.command);
  h5::Group config = file.create_group("config");
  config.write_text("text", curves.config_text);
  config.write_text("resolved", curves.resolved_text);
  write_variables(file, curves);
}

}  // namespace

void write_training_curves(const TrainingCurves& curves, const std::string& path) {
  h5::NewFile file(path);
  write_contents(file, curves);
  file.commit();
}

h5::Image training_curves_image(const TrainingCurves& curves) {
  h5::NewFile file = h5::NewFile::in_memory("training curves");
  write_contents(file, curves);
  return file.commit();
}

TrainingCurves read_training_curves(const std::string& path) {
  const h5::File file = h5::File::open(path);
  require<InputError>(file.attribute<std::string>("filetype", "") == training_filetype,
                      "'{}' holds no training curves (it has no attribute filetype = {})", path, training_filetype);
  TrainingCurves curves;
  curves.seed = file.attribute<std::uint64_t>("seed");
  curves.rng_layout = file.attribute<std::uint32_t>("rng_layout");
  curves.task_id = file.attribute<std::string>("task_id");
  curves.command = file.attribute<std::string>("command");
  curves.config_text = file.dataset("config/text").read_scalar<std::string>();
  curves.resolved_text = file.dataset("config/resolved").read_scalar<std::string>();
  curves.times = file.dataset("time").read<double>();
  const auto count = file.dataset("epoch").size();
  curves.epochs.resize(static_cast<std::size_t>(count));
  const auto flags = [&](const char* name, bool TrainingEpoch::*member) {
    const h5::Dataset dataset = file.dataset(name);
    dataset.require_shape({count});
    const auto values = dataset.read<std::uint8_t>();
    for (std::size_t e = 0; e < values.size(); ++e) curves.epochs[e].*member = values[e] != 0;
  };
  flags("analog", &TrainingEpoch::analog);
  flags("best", &TrainingEpoch::best);
  const auto numbers = [&](const char* name, double TrainingEpoch::*member) {
    const h5::Dataset dataset = file.dataset(name);
    dataset.require_shape({count});
    const auto values = dataset.read<double>();
    for (std::size_t e = 0; e < values.size(); ++e) curves.epochs[e].*member = values[e];
  };
  for (const EpochVariable& row : epoch_variables) numbers(row.name, row.member);
  numbers("runtime/seconds", &TrainingEpoch::seconds);
  for (const ChipVariable& row : chip_variables) {
    const h5::Dataset dataset = file.dataset(row.name);
    dataset.require_shape({count, static_cast<std::int64_t>(curves.times.size()), -1});
    curves.chips = dataset.shape()[2];
    const auto values = dataset.read<double>();
    const auto stride = static_cast<std::ptrdiff_t>(curves.times.size()) * curves.chips;
    for (std::int64_t e = 0; e < count; ++e) {
      const auto begin = values.begin() + e * stride;
      if (std::all_of(begin, begin + stride, [](double v) { return v != v; })) continue;
      (curves.epochs[static_cast<std::size_t>(e)].*row.member).assign(begin, begin + stride);
    }
  }
  return curves;
}

std::string training_page() {
  std::string page =
      "# Training curves\n\n"
      "<!-- Written from the table of the writer; a test compares. Do not edit. -->\n\n"
      "`tessera train` writes its curves beside the model: HDF5 that `xarray.open_dataset(path, engine=\"h5netcdf\")` "
      "opens.\nMissing values are NaN (`_FillValue`).\n\n"
      "```python\n"
      "import xarray\n"
      "curves = xarray.open_dataset(\"model.curves.h5\", engine=\"h5netcdf\")\n"
      "curves.validation_accuracy.mean(\"chip\").sel(time=0).plot()\n"
      "```\n\n"
      "| variable | dimensions | type | units | meaning |\n|---|---|---|---|---|\n"
      "| `epoch` | epoch | int32 | 1 | epoch, from 1 |\n"
      "| `time` | time | float64 | s | time after programming |\n"
      "| `analog` | epoch | uint8 | 1 | 1 for an epoch on the configured hardware, 0 in float32 |\n"
      "| `best` | epoch | uint8 | 1 | 1 for the epoch whose model was kept |\n";
  for (const EpochVariable& row : epoch_variables)
    page += fmt::format("| `{}` | epoch | float64 | {} | {} |\n", row.name, row.units, row.long_name);
  for (const ChipVariable& row : chip_variables)
    page += fmt::format("| `{}` | epoch, time, chip | float64 | {} | {} |\n", row.name, row.units, row.long_name);
  page +=
      "| `runtime/seconds` | epoch | float64 | s | wall time of the epoch with its validation; never part of a "
      "comparison |\n"
      "| `config/text` |  | string |  | configuration as given |\n"
      "| `config/resolved` |  | string |  | configuration with every key; alone reproduces the training |\n\n"
      "Attributes of the file: `filetype` (" +
      std::string(training_filetype) +
      "), `schema_version`, `tessera_version`, `seed`, `rng_layout`, `task_id` (hash of everything that determines the "
      "result), `command`.\n";
  return page;
}

}  // namespace tessera::results
