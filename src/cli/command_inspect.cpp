#include <charconv>
#include <sstream>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/inspect.hpp"
#include "tessera/app/inspect.hpp"
#include "tessera/core/error.hpp"

namespace tessera::cli {

namespace {

struct InspectOptions {
  std::string file;
  std::vector<std::string> shapes;
  CommonOptions common;
};

/// "3x32x32" -> {3, 32, 32}.
Shape parse_shape(const std::string& text) {
  Shape shape;
  std::stringstream stream(text + (text.empty() || text.back() == 'x' ? "x" : ""));
  for (std::string part; std::getline(stream, part, 'x');) {
    std::int64_t extent = 0;
    const auto end = part.data() + part.size();
    const auto [stop, error] = std::from_chars(part.data(), end, extent);
    if (error != std::errc() || stop != end || extent < 1)
      throw UsageError(fmt::format("--shape {}: takes the extents of one sample, e.g. 3x32x32", text));
    shape.push_back(extent);
  }
  return shape;
}

void inspect(const InspectOptions& options, const Console& console) {
  ConsoleEnvironment console_environment(console, options.common);
  const Environment environment = console_environment.environment();
  std::vector<app::InputShape> shapes;
  for (const std::string& text : options.shapes) {
    const std::size_t equals = text.rfind('=');
    const bool named = equals != std::string::npos;
    shapes.push_back({named ? text.substr(0, equals) : "", parse_shape(named ? text.substr(equals + 1) : text)});
  }
  std::string filetype;
  switch (app::kind_of(options.file, &filetype)) {
    case app::FileKind::configuration:
      return inspect_config(options.file, options.common.overrides(), console.out, environment);
    case app::FileKind::onnx:
    case app::FileKind::model:
      return inspect_model(options.file, shapes, console.out, environment);
    case app::FileKind::results:
      return inspect_results(options.file, console.out);
    case app::FileKind::other:
      throw InputError(fmt::format("{}: HDF5, but neither results nor a model of tessera (its filetype is '{}')",
                                   options.file, filetype));
  }
}

}  // namespace

void add_inspect_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("inspect", "Show what is in a model, result or configuration file");
  auto options = std::make_shared<InspectOptions>();
  command->add_option("FILE", options->file, ".onnx, .h5 (model or results) or .yaml")->required();
  command
      ->add_option(
          "--shape", options->shapes,
          "Where a network leaves extents open: the shape of one sample, without the batch (3x32x32, or 20 for a "
          "sequence of 20 steps), in the order of the inputs; or that of an input by name, with the batch: "
          "NAME=1x3x224x224. Once for each input")
      ->type_name("[NAME=]AxBxC")
      ->allow_extra_args(false);
  command
      ->add_option("--set", options->common.set,
                   "Override one key of a configuration: --set model.file=calibrated.h5 (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("-v,--verbose", options->common.verbose, "Say more");
  command->add_flag("-q,--quiet", options->common.quiet, "No notes");
  command->footer("Example: tessera inspect configs/models/glyphs_cnn.onnx; tessera inspect lstm.onnx --shape 20x16");
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] { inspect(*options, invocation.console); };
  });
}

}  // namespace tessera::cli
