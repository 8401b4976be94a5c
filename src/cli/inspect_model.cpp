#include <algorithm>

#include "cli/calibration_text.hpp"
#include "cli/inspect.hpp"
#include "cli/text_table.hpp"
#include "tessera/app/inspect.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/format.hpp"

namespace tessera::cli {

namespace {

std::string without_batch(const Shape& shape) {
  return to_string(Shape(shape.begin() + (shape.empty() ? 0 : 1), shape.end()));
}

/// One row per weighted layer.
void print_layers(const nn::Executor& executor, const std::vector<app::LayerSize>& sizes, std::ostream& out) {
  TextTable table;
  for (const char* heading : {"layer", "operator", "input", "output", "weight"})
    table.add_column(heading, TextTable::Align::left);
  for (const char* heading : {"tiles", "used", "parameters", "MACs"}) table.add_column(heading);
  const bool crossbars =
      std::any_of(sizes.begin(), sizes.end(), [](const app::LayerSize& size) { return size.weight_slices > 0; });
  if (crossbars)
    for (const char* heading : {"slices", "arrays", "converters"}) table.add_column(heading);
  app::LayerSize total;
  for (std::size_t l = 0; l < executor.layers().size(); ++l) {
    const nn::LinearLayer& layer = executor.layers()[l];
    const app::LayerSize& size = sizes[l];
    const nn::PartWeight& weight = layer.parts.front().weight;
    const std::string parts = layer.parts.size() > 1 ? fmt::format("{} x ", layer.parts.size()) : "";
    std::vector<std::string> row{layer.name,
                                 executor.graph().nodes[static_cast<std::size_t>(layer.node)].op,
                                 to_string(executor.layer_input_sample(l)),
                                 to_string(executor.layer_output_sample(l)),
                                 fmt::format("{}{}x{}", parts, weight.rows(), weight.cols()),
                                 size.analog ? format_count(size.tiles) : "digital",
                                 size.analog ? format_percent(size.utilisation, 1) : "",
                                 format_count(size.parameters),
                                 format_count(size.macs)};
    const auto count_or_nothing = [&](std::int64_t count) { return size.arrays > 0 ? format_count(count) : ""; };
    if (crossbars)
      row.insert(row.end(), {count_or_nothing(size.weight_slices), count_or_nothing(size.arrays),
                             count_or_nothing(size.converters)});
    table.add_row(row);
    total.arrays += size.arrays;
    total.converters += size.converters;
    total.parameters += size.parameters;
    total.macs += size.macs;
    total.tiles += size.tiles;
  }
  std::vector<std::string> row{
      "all", "", "", "", "", format_count(total.tiles), "", format_count(total.parameters), format_count(total.macs)};
  if (crossbars) row.insert(row.end(), {"", format_count(total.arrays), format_count(total.converters)});
  table.add_row(row);
  out << table.text();
}

/// One row per node that is no weighted layer.
void print_other_nodes(const nn::Executor& executor, std::ostream& out) {
  const nn::Graph& graph = executor.graph();
  const std::vector<nn::ValueInfo> values =
      nn::infer_shapes(graph, nn::input_shapes(graph, 1, executor.options().sample_shapes));
  TextTable table;
  for (const char* heading : {"other node", "operator", "output"}) table.add_column(heading, TextTable::Align::left);
  table.add_column("constants");
  bool any = false;
  for (const nn::Node& node : graph.nodes) {
    if (nn::is_linear(graph, node)) continue;
    any = true;
    std::int64_t constants = 0;
    for (const nn::ValueId id : node.inputs)
      if (const Tensor* constant = graph.tensor(id)) constants += constant->size();
    const nn::ValueId first = node.output(0);
    const Shape output = first == nn::no_value ? Shape{}
                                               : nn::shape_of_sample(executor.samples_of(first),
                                                                     values[static_cast<std::size_t>(first)].shape);
    table.add_row({node.name, node.op, to_string(output), constants > 0 ? format_count(constants) : ""});
  }
  if (any) out << "\nDigital float32:\n\n" << table.text();
}

/// Formats by layer, and where codes pass from layer to layer.
void print_fixed_point(const app::FixedPointSummary& summary, std::ostream& out) {
  const std::vector<app::FixedPointFormats>& rows = summary.layers;
  if (rows.empty()) return;
  TextTable table;
  for (const char* heading : {"layer", "scale", "bias", "accumulator", "output"})
    table.add_column(heading, TextTable::Align::left);
  table.add_column("step");
  table.add_column("input", TextTable::Align::left);
  std::size_t chained = 0;
  for (const app::FixedPointFormats& row : rows) {
    table.add_row({row.layer, row.scale, row.bias, row.accumulator, row.output,
                   row.output_step > 0.0 ? fmt::format("{:.4g}", row.output_step) : "from data",
                   row.chained ? row.input + ", unconverted" : row.input});
    chained += row.chained ? 1 : 0;
  }
  out << "\nFixed-point periphery:\n\n" << table.text();
  if (std::ranges::any_of(rows, [](const auto& row) { return row.output_step <= 0.0; }))
    out << "\nranges of output codes are not known yet: tessera calibrate finds them, or the first samples of a run\n";
  else
    out << fmt::format("\n{} of {} layers take codes unconverted\n", chained, rows.size());
  if (summary.sums.empty()) return;
  TextTable sums;
  for (const char* heading : {"Add", "multipliers"}) sums.add_column(heading, TextTable::Align::left);
  for (const char* heading : {"M of the first", "M of the second", "step of the first", "of the second", "of the sum"})
    sums.add_column(heading);
  for (const app::FixedPointSum& sum : summary.sums)
    sums.add_row({sum.name, sum.format + (sum.saturated > 0 ? ", too narrow" : ""), std::to_string(sum.multiplier[0]),
                  std::to_string(sum.multiplier[1]), fmt::format("{:.4g}", sum.operand_step[0]),
                  fmt::format("{:.4g}", sum.operand_step[1]), fmt::format("{:.4g}", sum.step)});
  out << "\nAdds of codes of different steps:\n\n" << sums.text();
}

}  // namespace

void inspect_model(const std::string& path, const std::vector<app::InputShape>& shapes, std::ostream& out,
                   const Environment& environment) {
  const app::ModelInspection model = app::inspect_model(path, shapes, environment);
  const nn::Executor& executor = model.executor;
  const nn::Graph& graph = executor.graph();
  out << path << ": network '" << graph.name << "', " << graph.nodes.size() << " nodes, "
      << (graph.batch == nn::BatchMode::any ? "any batch size" : fmt::format("{} at a time", graph.samples_at_a_time))
      << "\n";
  for (const nn::GraphInput& input : graph.inputs)
    out << "  input '" << graph.name_of(input.value) << "' " << without_batch(input.shape) << " per sample\n";
  const std::vector<Shape> outputs = executor.output_shapes(1);
  for (std::size_t o = 0; o < outputs.size(); ++o)
    out << "  output '" << graph.name_of(graph.outputs[o]) << "' " << without_batch(outputs[o]) << " per sample\n";
  out << "\nWeighted layers, on tiles of at most 512x512:\n\n";
  print_layers(executor, model.sizes, out);
  if (!model.products.empty())
    out << fmt::format("\nProducts of two activations, digital unless a rule of layers: says analog: true: {}\n",
                       fmt::join(model.products, ", "));
  print_other_nodes(executor, out);
  if (!model.quantizers.empty()) out << "\nRanges of digital quantizers:\n\n" << quantizer_table(model.quantizers);
  if (!model.calibration.empty())
    out << "\nRanges for analog layers:\n\n" << calibration_table(executor.layers(), model.calibration);
}

void inspect_config(const std::string& path, const std::vector<std::string>& overrides, std::ostream& out,
                    const Environment& environment) {
  const auto setup = app::Simulation::load(path, overrides).open(environment);
  const io::DataSet& data = setup->data;
  out << path << ": '" << setup->config.name << "', seed " << setup->config.seed << "\n  model "
      << setup->config.model.file << "\n  data  " << data.name() << ": " << format_count(data.size()) << " samples of "
      << to_string(data.sample_shape()) << ", " << data.element_type()
      << (data.has_labels()    ? ", labelled"
          : data.has_targets() ? ", with targets"
                               : ", without labels")
      << "\n\n";
  print_layers(setup->executor, app::layer_sizes(*setup), out);
  print_fixed_point(app::fixed_point_formats(*setup), out);
}

}  // namespace tessera::cli
