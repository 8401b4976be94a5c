#include "cli/commands.hpp"
#include "tessera/core/format.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/export_data.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::cli {

namespace {

struct DataOptions {
  std::string file;
  std::string output;
  CommonOptions common;
};

}  // namespace

void add_data_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("data", "Write the inputs and labels that a configuration names to HDF5 or NumPy files");
  auto options = std::make_shared<DataOptions>();
  command->add_option("CONFIG", options->file, "Configuration file (YAML); only data: is used")->required();
  command
      ->add_option("-o,--output", options->output,
                   "name.h5 (data sets inputs, labels) or name.npy (and name_labels.npy)")
      ->required();
  add_common_flags(*command, options->common);
  command->footer("Example: tessera data configs/quickstart.yaml --set data.glyphs.split=train -o glyphs_train.h5");
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] {
      const spec::RunConfig config = spec::read_run_config(options->file, options->common.overrides());
      const io::DataSet data(config.data);
      io::export_data(data, options->output, options->common.parallel());
      invocation.summary(options->common)
          << format_count(data.size()) << " samples of shape " << to_string(data.sample_shape()) << " written to "
          << options->output << "\n";
    };
  });
}

}  // namespace tessera::cli
