#include "cli/calibration_text.hpp"
#include "cli/format.hpp"
#include "cli/inspect.hpp"
#include "cli/load.hpp"
#include "cli/text_table.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/tile/mapping.hpp"

namespace tessera::cli {

namespace {

struct LayerSize {
  std::int64_t parameters = 0;
  std::int64_t macs = 0;  ///< for one sample
  std::int64_t tiles = 0;
  double utilisation = 0.0;  ///< weights over the cells of the tiles
};

LayerSize layer_size(const nn::Executor& executor, std::size_t index, const tile::MappingParameter& mapping) {
  const nn::LinearLayer& layer = executor.layers()[index];
  LayerSize size;
  std::int64_t weights = 0;
  std::int64_t cells = 0;
  for (const nn::LinearPart& part : layer.parts) {
    const std::int64_t part_weights = part.weight.rows() * part.weight.cols();
    weights += part_weights;
    if (layer.kind != nn::LinearKind::product) size.parameters += part_weights + std::ssize(part.bias);
    const auto places = tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping);
    size.tiles += std::ssize(places);
    for (const tile::TilePlace& place : places)
      cells += (mapping.max_input_size > 0 ? mapping.max_input_size : place.inputs) *
               (mapping.max_output_size > 0 ? mapping.max_output_size : place.outputs);
  }
  size.macs = weights * executor.vectors_per_sample(index);
  size.utilisation = cells > 0 ? static_cast<double>(weights) / static_cast<double>(cells) : 0.0;
  return size;
}

std::string without_batch(const Shape& shape) {
  return to_string(Shape(shape.begin() + (shape.empty() ? 0 : 1), shape.end()));
}

/// One row per weighted layer; `mapping_of` says how it would be placed, or nothing for a digital layer.
template <class MappingOf>
void print_layers(const nn::Executor& executor, std::ostream& out, const MappingOf& mapping_of) {
  TextTable table;
  for (const char* heading : {"layer", "operator", "input", "output", "weight"})
    table.add_column(heading, TextTable::Align::left);
  for (const char* heading : {"tiles", "used", "parameters", "MACs"}) table.add_column(heading);
  LayerSize total;
  for (std::size_t l = 0; l < executor.layers().size(); ++l) {
    const nn::LinearLayer& layer = executor.layers()[l];
    const auto mapping = mapping_of(l);
    const LayerSize size = layer_size(executor, l, mapping.value_or(tile::MappingParameter{}));
    const Matrix& weight = layer.parts.front().weight;
    const std::string parts = layer.parts.size() > 1 ? fmt::format("{} x ", layer.parts.size()) : "";
    table.add_row({layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op,
                   without_batch(executor.layer_input_shape(l, 1)), without_batch(executor.layer_output_shape(l, 1)),
                   fmt::format("{}{}x{}", parts, weight.rows(), weight.cols()),
                   mapping ? format_count(size.tiles) : "digital", mapping ? format_percent(size.utilisation, 1) : "",
                   format_count(size.parameters), format_count(size.macs)});
    total.parameters += size.parameters;
    total.macs += size.macs;
    total.tiles += mapping ? size.tiles : 0;
  }
  table.add_row(
      {"all", "", "", "", "", format_count(total.tiles), "", format_count(total.parameters), format_count(total.macs)});
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
    const Shape output = first == nn::no_value ? Shape{} : values[static_cast<std::size_t>(first)].shape;
    table.add_row({node.name, node.op, output.size() > 1 ? without_batch(output) : to_string(output),
                   constants > 0 ? format_count(constants) : ""});
  }
  if (any) out << "\nDigital float32:\n\n" << table.text();
}

}  // namespace

void inspect_model(const std::string& path, std::ostream& out, const Environment& environment) {
  const nn::Executor executor(load_model(path, environment));
  const nn::Graph& graph = executor.graph();
  out << path << ": network '" << graph.name << "', " << graph.nodes.size() << " nodes, "
      << (graph.batch == nn::BatchMode::any ? "any batch size" : "evaluated sample by sample") << "\n";
  for (const nn::GraphInput& input : graph.inputs)
    out << "  input '" << graph.values[static_cast<std::size_t>(input.value)].name << "' " << without_batch(input.shape)
        << " per sample\n";
  out << "\nWeighted layers, on tiles of at most 512x512:\n\n";
  print_layers(executor, out, [](std::size_t) { return std::optional(tile::MappingParameter{}); });
  if (const std::vector<std::string> products = nn::activation_products(graph); !products.empty())
    out << fmt::format("\nProducts of two activations, digital unless a rule of layers: says analog: true: {}\n",
                       fmt::join(products, ", "));
  print_other_nodes(executor, out);
  if (!h5::is_hdf5(path)) return;
  const auto calibration = sim::read_calibration(executor.layers(), io::read_calibration(path));
  if (const sim::QuantizerRanges ranges = sim::read_quantizer_ranges(io::read_calibration(path)); !ranges.empty())
    out << "\nRanges of digital quantizers:\n\n" << quantizer_table(ranges);
  if (!calibration.empty())
    out << "\nRanges for analog layers:\n\n" << calibration_table(executor.layers(), calibration);
}

void inspect_config(const std::string& path, std::ostream& out, const Environment& environment) {
  const spec::RunConfig config = spec::read_run_config(path);
  const io::DataSet data(config.data);
  const nn::Executor executor = load_executor(config, data.sample_shape(), environment);
  const std::vector<spec::LayerConfig> layers = spec::resolve_layers(config, layer_names(executor));
  out << path << ": '" << config.name << "', seed " << config.seed << "\n  model " << config.model.file << "\n  data  "
      << data.name() << ": " << format_count(data.size()) << " samples of " << to_string(data.sample_shape()) << ", "
      << data.element_type() << (data.has_labels() ? ", labelled" : ", without labels") << "\n\n";
  print_layers(executor, out, [&](std::size_t l) {
    return layers[l].analog ? std::optional(layers[l].rpu_config.tile.mapping) : std::nullopt;
  });
}

}  // namespace tessera::cli
