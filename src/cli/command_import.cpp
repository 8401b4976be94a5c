#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "tessera/core/format.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::cli {

namespace {

struct ImportOptions {
  std::string model;
  std::string output;
  bool fold_batchnorm = false;
  CommonOptions common;
};

void import_model(const ImportOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console_environment(invocation.console, options.common);
  nn::Graph graph = io::import_onnx(options.model, console_environment.environment());
  const int folded = options.fold_batchnorm ? nn::fold_batchnorm(graph) : 0;
  io::save_model(graph, options.output);
  std::ostream& out = invocation.summary(options.common);
  out << options.model << ": " << graph.nodes.size() << " nodes, " << nn::linear_layers(graph).size()
      << " weighted layers";
  if (options.fold_batchnorm) out << ", " << folded << " batch normalizations folded";
  out << "; written to " << options.output << "\n";
}

}  // namespace

void add_import_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("import", "Convert an ONNX network to a native model file");
  auto options = std::make_shared<ImportOptions>();
  command->add_option("MODEL", options->model, "ONNX file")->required();
  command->add_option("-o,--output", options->output, "Native model file (HDF5)")->required();
  command->add_flag("--fold-batchnorm", options->fold_batchnorm,
                    "Fold batch normalization into the weights of the layer before it");
  command->add_flag("-q,--quiet", options->common.quiet, "Say nothing but errors");
  command->footer("Operators: docs/onnx_ops.md. Example: tessera import net.onnx -o net.h5");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { import_model(*options, invocation); }; });
}

}  // namespace tessera::cli
