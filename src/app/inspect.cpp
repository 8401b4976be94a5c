#include "tessera/app/inspect.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>

#include "app/load.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/tile/crossbar_engine.hpp"
#include "tessera/tile/mapping.hpp"

namespace tessera::app {

namespace {

bool has_extension(const std::string& path, std::initializer_list<const char*> extensions) {
  const std::string extension = std::filesystem::path(path).extension().string();
  return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

/// The shapes of samples, by input.
std::vector<Shape> sample_shapes(const nn::Graph& graph, const std::vector<InputShape>& shapes) {
  if (shapes.empty()) return {};
  std::vector<Shape> samples(graph.inputs.size());
  std::vector<bool> given(graph.inputs.size());
  std::vector<std::string> names;
  for (const nn::GraphInput& input : graph.inputs) {
    std::vector<std::string> extents;
    for (const std::int64_t extent : input.shape) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
    names.push_back(fmt::format("{} ({})", graph.name_of(input.value),
                                extents.empty() ? "scalar" : fmt::format("{}", fmt::join(extents, "x"))));
  }
  for (const InputShape& shape : shapes) {
    std::size_t i = 0;
    if (shape.name.empty())
      while (i < given.size() && given[i]) ++i;
    else
      while (i < given.size() && graph.name_of(graph.inputs[i].value) != shape.name) ++i;
    require<UsageError>(i < given.size(), "--shape {}{}: the network's inputs are {}", shape.name,
                        shape.name.empty() ? to_string(shape.shape) : "", fmt::join(names, ", "));
    require<UsageError>(!given[i], "--shape: the shape of input {} is given twice", names[i]);
    given[i] = true;
    samples[i] = shape.shape;
    if (shape.name.empty()) continue;
    const nn::GraphInput& input = graph.inputs[i];
    bool fits = shape.shape.size() == input.shape.size();
    for (std::size_t d = input.batched ? 1 : 0; fits && d < input.shape.size(); ++d)
      fits = input.shape[d] < 0 || input.shape[d] == shape.shape[d];
    require<UsageError>(fits, "--shape {}={}: does not fit input {}; give all its extents, the batch too", shape.name,
                        to_string(shape.shape), names[i]);
    if (input.batched && !samples[i].empty()) samples[i].erase(samples[i].begin());
  }
  return samples;
}

}  // namespace

LayerSize layer_size(const nn::Executor& executor, std::size_t index,
                     const std::optional<tile::MappingParameter>& placed,
                     const std::optional<circuit::CrossbarParameters>& crossbar) {
  const nn::LinearLayer& layer = executor.layers()[index];
  const tile::MappingParameter mapping = placed.value_or(tile::MappingParameter{});
  LayerSize size;
  size.analog = placed.has_value();
  std::int64_t weights = 0;
  std::int64_t cells = 0;
  for (const nn::LinearPart& part : layer.parts) {
    const std::int64_t part_weights = part.weight.rows() * part.weight.cols();
    weights += part_weights;
    if (layer.kind != nn::LinearKind::product) size.parameters += part_weights + std::ssize(part.bias);
    if (!placed) continue;
    const auto places = tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping);
    size.tiles += std::ssize(places);
    for (const tile::TilePlace& place : places) {
      if (crossbar) {
        const tile::CrossbarCount count = tile::crossbar_count(*crossbar, place);
        size.arrays += count.arrays;
        size.converters += count.converters;
        size.weight_slices = crossbar->slices();
      }
      cells += (mapping.max_input_size > 0 ? mapping.max_input_size : place.inputs) *
               (mapping.max_output_size > 0 ? mapping.max_output_size : place.outputs);
    }
  }
  size.macs = weights * executor.vectors_per_sample(index);
  size.utilisation = cells > 0 ? static_cast<double>(weights) / static_cast<double>(cells) : 0.0;
  return size;
}

std::vector<LayerSize> layer_sizes(const Setup& setup) {
  const std::vector<spec::LayerConfig> layers = spec::resolve_layers(setup.config, layer_names(setup.executor));
  std::vector<LayerSize> sizes;
  for (std::size_t l = 0; l < setup.executor.layers().size(); ++l)
    sizes.push_back(layer_size(
        setup.executor, l,
        layers[l].analog ? std::optional(layers[l].rpu_config.tile.mapping) : std::optional<tile::MappingParameter>(),
        layers[l].rpu_config.tile.crossbar));
  return sizes;
}

namespace {

std::string name_of(const nn::Graph& graph, const sim::CodeSum& sum) {
  return graph.nodes[static_cast<std::size_t>(sum.node)].name;
}

FixedPointFormats formats_of(const nn::Executor& executor, const sim::ProgrammedChip& chip, std::size_t l) {
  const std::vector<nn::LinearLayer>& layers = executor.layers();
  const tile::AnalogLayer& tiles = chip.layer(l, 0);
  const tile::FixedPointParameter& p = *tiles.parameters().pre_post.fixed_point;
  const sim::LayerLink& link = chip.link(l);
  FixedPointFormats row;
  row.layer = layers[l].name;
  const bool half = p.arithmetic == tile::PeripheryArithmetic::binary16;
  const auto or_exact = [&](bool exact, std::string text) {
    return exact ? "real" : (half ? "binary16" : std::move(text));
  };
  const char* const exponent = p.scale.exponent == tile::ScaleExponent::none       ? ""
                               : p.scale.exponent == tile::ScaleExponent::per_tile ? ", e per tile"
                                                                                   : ", e per column";
  row.scale = or_exact(p.scale.exact, tile::format_of(p.scale).text() + exponent);
  row.bias = or_exact(p.bias.exact, tile::format_of(p.bias).text());
  row.accumulator = or_exact(p.accumulator.exact,
                             fmt::format("{} bits, F = {}", p.accumulator.bits, tile::accumulator_fraction_bits(p)));
  row.output = p.output.exact || p.output.bits == 0
                   ? std::string("real")
                   : fmt::format("{}{}", link.output_signed ? "s" : "u", p.output.bits);
  if (link.fused_relu) row.output += ", ReLU";
  row.output_step = static_cast<double>(tiles.output_step());
  const sim::ProgrammedChip::InputCodes& codes = chip.input_codes(l);
  std::vector<std::string> sources;
  for (const std::size_t source : link.sources) sources.push_back("'" + layers[source].name + "'");
  row.chained = codes.chained;
  row.input = fmt::format("codes of {}", fmt::join(sources, ", "));
  if (!link.broken.empty())
    row.input = link.broken;
  else if (!codes.broken.empty())
    row.input = codes.broken;
  else if (codes.sum != nullptr)
    row.input = fmt::format("codes of Add '{}'", name_of(executor.graph(), *codes.sum));
  return row;
}

}  // namespace

FixedPointSummary fixed_point_formats(const Setup& setup) {
  const auto resolve = [&](const std::string& name, const std::string& op) {
    sim::LayerParameters layer = setup.request.resolve(name, op);
    layer.device.reset();
    layer.written_device.reset();
    layer.drift_compensation.reset();
    layer.fault_map.clear();
    return layer;
  };
  const std::vector<sim::LayerParameters> parameters = sim::layer_parameters(setup.executor, resolve);
  if (std::ranges::none_of(parameters, [](const auto& p) { return p.analog && p.rpu.pre_post.fixed_point; })) return {};
  const sim::ProgrammedChip chip(setup.executor, resolve, {setup.request.seed, 0, Parallel{1}});
  FixedPointSummary summary;
  for (std::size_t l = 0; l < parameters.size(); ++l)
    if (chip.link(l).fixed_point) summary.layers.push_back(formats_of(setup.executor, chip, l));
  for (const sim::CodeSum& sum : chip.code_sums())
    summary.sums.push_back(
        {.name = name_of(setup.executor.graph(), sum),
         .format = tile::format_of(sum.format).text(),
         .operand_step = {static_cast<double>(sum.operand_step[0]), static_cast<double>(sum.operand_step[1])},
         .multiplier = sum.multiplier,
         .step = static_cast<double>(sum.step),
         .saturated = sum.saturated,
         .layer = setup.executor.layers()[sum.layer].name});
  return summary;
}

ModelInspection inspect_model(const std::string& path, const std::vector<InputShape>& shapes,
                              const Environment& environment) {
  nn::Graph graph = load_model(path, environment);
  nn::ExecutorOptions options;
  options.sample_shapes = sample_shapes(graph, shapes);
  ModelInspection model{nn::Executor(std::move(graph), std::move(options)), {}, {}, {}, {}};
  for (std::size_t l = 0; l < model.executor.layers().size(); ++l)
    model.sizes.push_back(layer_size(model.executor, l, tile::MappingParameter{}));
  model.products = nn::activation_products(model.executor.graph());
  if (!h5::is_hdf5(path)) return model;
  const auto numbers = io::read_calibration(path);
  model.calibration = sim::read_calibration(model.executor.layers(), numbers);
  model.quantizers = sim::read_quantizer_ranges(numbers);
  return model;
}

FileKind kind_of(const std::string& path, std::string* filetype) {
  require<InputError>(std::filesystem::exists(path), "{}: no such file", path);
  if (has_extension(path, {".yaml", ".yml"})) return FileKind::configuration;
  if (has_extension(path, {".onnx"})) return FileKind::onnx;
  require<InputError>(has_extension(path, {".h5", ".hdf5", ".nc"}),
                      "{}: cannot tell what this is; .onnx, .h5 (model or results) and .yaml can be inspected", path);
  const std::string type = h5::File::open(path).attribute<std::string>("filetype", "unknown");
  if (filetype != nullptr) *filetype = type;
  if (type == "tessera-results") return FileKind::results;
  return type == "tessera-model" ? FileKind::model : FileKind::other;
}

}  // namespace tessera::app
