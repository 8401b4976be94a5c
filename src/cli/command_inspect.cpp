#include <array>
#include <filesystem>
#include <fstream>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/inspect.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::cli {

namespace {

struct InspectOptions {
  std::string file;
  CommonOptions common;
};

bool has_extension(const std::string& path, std::initializer_list<const char*> extensions) {
  const std::string extension = std::filesystem::path(path).extension().string();
  return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

void inspect_hdf5(const std::string& path, const Console& console, const Environment& environment) {
  const std::string filetype = h5::File::open(path).attribute<std::string>("filetype", "unknown");
  if (filetype == "tessera-results")
    inspect_results(path, console.out);
  else if (filetype == "tessera-model")
    inspect_model(path, console.out, environment);
  else
    throw InputError(
        fmt::format("{}: HDF5, but neither results nor a model of tessera (its filetype is '{}')", path, filetype));
}

void inspect(const InspectOptions& options, const Console& console) {
  require<InputError>(std::filesystem::exists(options.file), "{}: no such file", options.file);
  ConsoleEnvironment console_environment(console, options.common);
  const Environment environment = console_environment.environment();
  if (has_extension(options.file, {".yaml", ".yml"}))
    inspect_config(options.file, console.out, environment);
  else if (has_extension(options.file, {".h5", ".hdf5", ".nc"}))
    inspect_hdf5(options.file, console, environment);
  else if (has_extension(options.file, {".onnx"}))
    inspect_model(options.file, console.out, environment);
  else
    throw InputError(fmt::format(
        "{}: cannot tell what this is; .onnx, .h5 (model or results) and .yaml can be inspected", options.file));
}

}  // namespace

void add_inspect_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("inspect", "Show what is in a model, result or configuration file");
  auto options = std::make_shared<InspectOptions>();
  command->add_option("FILE", options->file, ".onnx, .h5 (model or results) or .yaml")->required();
  command->add_flag("-v,--verbose", options->common.verbose, "Say more");
  command->add_flag("-q,--quiet", options->common.quiet, "Say nothing but errors");
  command->footer("Example: tessera inspect configs/models/glyphs_cnn.onnx");
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] { inspect(*options, invocation.console); };
  });
}

}  // namespace tessera::cli
