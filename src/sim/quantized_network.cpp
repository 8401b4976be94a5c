#include "tessera/sim/quantized_network.hpp"

#include <algorithm>
#include <set>

#include "tessera/sim/evaluate.hpp"
#include "value_quantizers.hpp"

namespace tessera::sim {

namespace {

/// `tile` of the random addresses of digital tensors; tiles of analog layers count from 0.
enum class DrawTensor : std::uint32_t { weight = 0xFFFF0000U, activation = 0xFFFF0001U, accumulation = 0xFFFF0002U };

random::Stream stream_of(std::uint64_t seed, std::size_t node, DrawTensor tensor, std::size_t part = 0) {
  return {{.seed = seed,
           .layer = static_cast<std::uint32_t>(node),
           .tile = static_cast<std::uint32_t>(tensor),
           .repeat = static_cast<std::uint32_t>(part)},
          random::Purpose::stochastic_rounding};
}

bool has_format(const quant::Number& number) {
  return !std::holds_alternative<std::monostate>(number);
}

std::string range_text(const quant::UniformQuantizer& quantizer) {
  const std::vector<float> low = quantizer.x_min(), high = quantizer.x_max();
  if (low.empty()) return "";
  return fmt::format("{} bits in [{:.4g}, {:.4g}]{}", quantizer.parameters().n_bits, *std::ranges::min_element(low),
                     *std::ranges::max_element(high),
                     low.size() > 1 ? fmt::format(", {} channels", low.size()) : std::string());
}

bool is_recurrent(const nn::Node& node) {
  return node.op == "LSTM" || node.op == "GRU" || node.op == "RNN";
}

/// Index of the inputs of a node that hold its weight.
std::vector<std::size_t> weight_inputs(const nn::Graph& graph, const nn::Node& node) {
  if (nn::is_linear(graph, node))
    return is_recurrent(node) ? std::vector<std::size_t>{1, 2} : std::vector<std::size_t>{1};
  if (node.op == "LayerNormalization" && graph.tensor(node.input(1)) != nullptr) return {1};
  if (node.op == "Gather" && graph.tensor(node.input(0)) != nullptr) return {0};
  return {};
}

/// The axis of a weight that counts the outputs of the layer.
int output_axis(const nn::Node& node) {
  if (node.op == "MatMul" || node.op == "ConvTranspose") return 1;
  return node.op == "Gemm" && node.integer("transB", 0) == 0 ? 1 : 0;
}

/// A weight with its outputs along output_axis(): those of recurrent layers are [directions, outputs, inputs] in the
/// graph.
Tensor by_outputs(const nn::Node& node, const Tensor& weight) {
  if (!is_recurrent(node)) return weight;
  return weight.reshaped({weight.dim(0) * weight.dim(1), weight.dim(2)});
}

}  // namespace

class QuantizedNetwork::Builder {
 public:
  Builder(const nn::Executor& reference, const QuantizationParameters& parameters, const LayerResolver& resolve,
          const io::DataSet& data, std::uint64_t seed, Parallel parallel, QuantizedNetwork& result)
      : graph_(reference.graph()),
        parameters_(parameters),
        resolve_(resolve),
        data_(data),
        seed_(seed),
        parallel_(parallel),
        result_(result),
        accumulation_(reference.layers().size()) {
    if (parameters_.append_default_conversions) quant::append_default_conversions(parameters_.map);
    for (const auto& entry : parameters_.map.module_qconfig_map)
      if (!parameters.map.module_qconfig_map.contains(entry.first)) appended_.insert(entry.first);
    options_.sample_shapes = {fitted_sample_shape(graph_, data)};
    options_.products = reference.options().products;
  }

  void build() {
    check_names();
    int layer = 0;
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n)
      add_node(n, nn::is_linear(graph_, graph_.nodes[n]) ? layer++ : -1);
    if (!problems_.empty()) throw ConfigError(std::move(problems_));
    options_.transforms = nn::insert_transforms(graph_, places_);
    const Shape sample = options_.sample_shapes.at(0);
    result_.executor_ = std::make_unique<nn::Executor>(std::move(graph_), std::move(options_));
    make_accumulators();
    result_.has_ranges_ = !ranges_.empty() || !known_.empty();
    if (!ranges_.empty()) calibrate(sample);
    for (const auto* list : {&ranges_, &known_})
      for (const auto& [quantizer, entry] : *list)
        result_.entries_[entry].number = range_text(quantizer->manager().quantizer());
  }

 private:
  void problem(std::string key, std::string message) {
    problems_.push_back({.file = {}, .key = "quantization." + std::move(key), .message = std::move(message)});
  }

  /// Every name and type that is asked for exists.
  void check_names() {
    std::vector<std::string> names, types;
    for (const nn::Node& node : graph_.nodes) {
      names.push_back(node.name);
      types.push_back(quant::canonical_module_type(node.op));
    }
    for (const auto& entry : parameters_.map.module_qconfig_map)
      if (!appended_.contains(entry.first) &&
          std::ranges::find(types, quant::canonical_module_type(entry.first)) == types.end())
        result_.notes_.push_back(
            fmt::format("quantization.module_qconfig_map.{}: the network has no layer of this type", entry.first));
    const auto suggestion = [](const std::string& word, const std::vector<std::string>& legal) {
      const std::string near = nearest_word(word, legal);
      return near.empty() ? std::string() : "; did you mean '" + near + "'?";
    };
    const quant::QuantizationMap& map = parameters_.map;
    for (const std::string& name : quant::unmatched_names(map, names)) {
      const char* where = map.instance_qconfig_map.contains(name)           ? "instance_qconfig_map"
                          : map.input_activation_qconfig_map.contains(name) ? "input_activation_qconfig_map"
                                                                            : "excluded_modules";
      problem(std::string(where) == "excluded_modules" ? where : fmt::format("{}.{}", where, name),
              fmt::format("no layer is called '{}'{}", name, suggestion(name, names)));
    }
    for (const auto& entry : parameters_.formats.instances)
      if (std::ranges::find(names, entry.first) == names.end())
        problem("instance_formats_map." + entry.first,
                fmt::format("no layer is called '{}'{}", entry.first, suggestion(entry.first, names)));
    for (const auto& entry : parameters_.formats.module)
      if (std::ranges::find(types, quant::canonical_module_type(entry.first)) == types.end())
        problem("module_formats_map." + entry.first,
                fmt::format("the network has no layer of type '{}'{}", entry.first, suggestion(entry.first, types)));
  }

  void add_node(std::size_t n, int layer) {
    const std::string name = graph_.nodes[n].name, op = graph_.nodes[n].op;
    const std::size_t before = problems_.size();
    quant::ResolvedQuantization ranges;
    try {
      ranges = quant::resolve_quantization(parameters_.map, name, op);
    } catch (const ConfigError& error) {
      problems_.insert(problems_.end(), error.problems().begin(), error.problems().end());
      return;
    }
    const std::vector<std::size_t> weights = weight_inputs(graph_, graph_.nodes[n]);
    // A Gather without a constant table is no embedding; a layer whose weight is computed has no weight to quantize.
    if (weights.empty()) ranges.weight.reset();
    const quant::LayerFormats formats = resolve_formats(parameters_, name, op, layer >= 0);
    const bool analog = layer >= 0 && resolve_(name, op).analog;
    if (ranges.weight && has_format(formats.weight))
      problem(name, "the weight has both a weight_quant and a number format; exclude one of them for this layer");
    if (ranges.activation && has_format(formats.activation))
      problem(name, "the output has both an activation_quant and a number format; exclude one of them for this layer");
    if (has_format(formats.weight) && weights.empty())
      problem(name, fmt::format("{} has no weight to give a format", op));
    if (has_format(formats.accumulation) && layer < 0)
      problem(name, fmt::format("{} adds up no partial sums that could have a format", op));
    const nn::Node& node = graph_.nodes[n];
    if (is_recurrent(node) && (ranges.activation || has_format(formats.activation)) &&
        (node.output(1) != nn::no_value || node.output(2) != nn::no_value))
      problem(name,
              fmt::format("the final state of {} layers cannot be quantized; leave its activation out, and quantize "
                          "the input of the layer that reads it (input_activation_qconfig_map)",
                          op));
    if (op == "ConvTranspose" && node.integer("group", 1) > 1 && ranges.weight && ranges.weight->per_channel)
      problem(name, "per_channel is not possible for ConvTranspose with groups; use one range per tensor");
    if (problems_.size() > before) return;

    if (analog && ranges.weight)
      result_.notes_.push_back(fmt::format(
          "'{}' is analog: its weight_quant has no effect; tiles have rpu_config, and number formats", name));
    if (analog && has_format(formats.accumulation))
      result_.notes_.push_back(fmt::format("'{}' is analog: its partial sums have no number format", name));
    if (!analog && ranges.weight)
      for (const std::size_t input : weights) quantize_weight(n, input, *ranges.weight);
    if (has_format(formats.weight))
      for (const std::size_t input : weights) format_weight(n, input, formats);
    if (!analog && has_format(formats.accumulation)) {
      accumulation_[static_cast<std::size_t>(layer)] = formats;
      result_.entries_.push_back({name, "partial sums", quant::to_string(formats.accumulation)});
    }
    if (ranges.input_activation) add_range(n, nn::TransformSide::input, *ranges.input_activation);
    if (ranges.activation) add_range(n, nn::TransformSide::output, *ranges.activation);
    if (has_format(formats.activation)) {
      places_.push_back({static_cast<int>(n), nn::TransformSide::output,
                         std::make_shared<FormatQuantizer>(formats.activation, formats.rounding,
                                                           stream_of(seed_, n, DrawTensor::activation))});
      result_.entries_.push_back({name, "output", quant::to_string(formats.activation)});
    }
  }

  void add_range(std::size_t n, nn::TransformSide side, const quant::ActivationQuantConfig& config) {
    const std::string& name = graph_.nodes[n].name;
    const std::string tensor = side == nn::TransformSide::input ? "input" : "output";
    auto quantizer = std::make_shared<RangeQuantizer>(fmt::format("{} of layer '{}'", tensor, name),
                                                      quant::manager_parameters(config));
    result_.quantizers_[name][tensor] = quantizer;
    const auto known = known_range(name, tensor, quant::manager_parameters(config));
    if (known) quantizer->set_range(*known);
    (known ? known_ : ranges_).emplace_back(quantizer, result_.entries_.size());
    result_.entries_.push_back({name, tensor, ""});
    places_.push_back({static_cast<int>(n), side, std::move(quantizer)});
  }

  /// The stored range of a tensor, fitted to the quantizer; a problem where it does not fit.
  std::optional<quant::UniformQuantizerState> known_range(const std::string& node, const std::string& tensor,
                                                          const quant::QuantizationManagerParameters& asked) {
    FittedRange fitted = fitted_range(parameters_.ranges, node, tensor, asked);
    if (!fitted.state) problem(node + "." + fitted.key, std::move(fitted.reason));
    if (!fitted.state || fitted.state->delta.empty()) return std::nullopt;
    return std::move(fitted.state);
  }

  /// Puts a constant of its own in place of a weight, which other nodes may share.
  void replace_weight(std::size_t n, std::size_t input, Tensor weight) {
    const nn::ValueId id =
        graph_.add_value(graph_.name_of(graph_.nodes[n].inputs[input]) + "_quantized", std::move(weight));
    graph_.nodes[n].inputs[input] = id;
  }

  void quantize_weight(std::size_t n, std::size_t input, const quant::WeightQuantConfig& config) {
    const nn::Node& node = graph_.nodes[n];
    quant::QuantizationManagerParameters p = quant::manager_parameters(config);
    if (config.per_channel && output_axis(node) != 0) {
      p.quantizer.per_channel = false;
      p.quantizer.axis = output_axis(node);
    }
    quant::QuantizationManager manager(p);
    manager.estimate_ranges();
    try {
      if (const auto known = known_range(node.name, "weight", p)) {
        manager.set_quantizer_state(*known);
        manager.fix_ranges();
      }
      const Tensor& stored = *graph_.tensor(node.inputs[input]);
      Tensor weight = manager.quantize(by_outputs(node, stored), false);
      result_.entries_.push_back({node.name, "weight", range_text(manager.quantizer())});
      replace_weight(n, input, std::move(weight).reshaped(stored.shape()));
    } catch (const InputError& error) {
      throw InputError(fmt::format("range of the weight of layer '{}': {}", node.name, error.what()));
    }
  }

  void format_weight(std::size_t n, std::size_t input, const quant::LayerFormats& formats) {
    const nn::Node& node = graph_.nodes[n];
    quant::Number number = formats.weight;
    // Dimension 0 of a format is the outputs of the layer, however the file stores the weight.
    if (auto* block = std::get_if<quant::BlockFloatingPoint>(&number);
        block != nullptr && (block->dim == 0 || block->dim == 1) && output_axis(node) == 1)
      block->dim = 1 - block->dim;
    const Tensor& stored = *graph_.tensor(node.inputs[input]);
    const Tensor weight = by_outputs(node, stored);
    Tensor result =
        formats.rounding == quant::Rounding::nearest
            ? quant::quantize_nearest(number, weight)
            : quant::quantize_stochastic(number, weight, {stream_of(seed_, n, DrawTensor::weight, input), 0, 0});
    result_.entries_.push_back({node.name, "weight", quant::to_string(formats.weight)});
    replace_weight(n, input, std::move(result).reshaped(stored.shape()));
  }

  void make_accumulators() {
    result_.accumulators_.resize(accumulation_.size());
    for (std::size_t l = 0; l < accumulation_.size(); ++l) {
      const quant::LayerFormats& formats = accumulation_[l];
      if (!has_format(formats.accumulation)) continue;
      const nn::LinearLayer& layer = result_.executor_->layers()[l];
      for (std::size_t p = 0; p < layer.parts.size(); ++p) {
        result_.operators_.push_back(std::make_unique<AccumulatingOperator>(
            layer.parts[p], formats.accumulation, formats.rounding, stream_of(seed_, l, DrawTensor::accumulation, p)));
        result_.accumulators_[l].push_back(result_.operators_.back().get());
      }
    }
  }

  void calibrate(const Shape& sample) {
    for (const auto& range : ranges_) range.first->estimate();
    const CalibrationParameters& calibration = parameters_.calibration;
    const nn::Executor& executor = *result_.executor_;
    nn::RunOptions options{
        .first_sample = 0, .parallel = parallel_, .overrides = &result_.accumulators_, .observer = {}};
    // Watched, networks of a fixed batch are evaluated in the order of the samples.
    if (executor.graph().batch == nn::BatchMode::fixed)
      options.transform_observer = [](const std::string&, const nn::TransformCall&) {};
    const std::int64_t all = std::min(data_.size(), calibration.batches * calibration.batch_size);
    for (std::int64_t first = 0, count = 0; first < all; first += count) {
      count = std::min(data_.batch_end(first, calibration.batch_size), all) - first;
      options.first_sample = static_cast<std::uint64_t>(first);
      static_cast<void>(executor.run(read_samples(data_, first, count, sample, parallel_), options));
    }
    for (const auto& range : ranges_) range.first->fix();
  }

  nn::Graph graph_;
  QuantizationParameters parameters_;
  const LayerResolver& resolve_;
  const io::DataSet& data_;
  std::uint64_t seed_;
  Parallel parallel_;
  QuantizedNetwork& result_;
  std::vector<quant::LayerFormats> accumulation_;
  nn::ExecutorOptions options_;
  std::vector<nn::TransformPlace> places_;
  std::vector<std::pair<std::shared_ptr<RangeQuantizer>, std::size_t>> ranges_;  ///< with the index of their entry
  std::vector<std::pair<std::shared_ptr<RangeQuantizer>, std::size_t>> known_;   ///< with a range from before
  std::set<std::string> appended_;  ///< types that append_default_conversions added
  std::vector<Problem> problems_;
};

QuantizedNetwork::QuantizedNetwork(const nn::Executor& reference, const QuantizationParameters& parameters,
                                   const LayerResolver& resolve, const io::DataSet& data, std::uint64_t seed,
                                   Parallel parallel) {
  validate(parameters);
  require<InputError>(data.size() > 0, "the data set '{}' has no samples to calibrate ranges on", data.name());
  Builder(reference, parameters, resolve, data, seed, parallel, *this).build();
}
QuantizedNetwork::~QuantizedNetwork() = default;
QuantizedNetwork::QuantizedNetwork(QuantizedNetwork&&) noexcept = default;
QuantizedNetwork& QuantizedNetwork::operator=(QuantizedNetwork&&) noexcept = default;

QuantizerRanges QuantizedNetwork::ranges() const {
  QuantizerRanges ranges;
  for (const auto& [node, tensors] : quantizers_)
    for (const auto& [tensor, quantizer] : tensors) {
      const quant::QuantizationManager& found = quantizer->manager();
      ranges[node][tensor] = {range_law(found), found.quantizer().state()};
    }
  return ranges;
}

void validate(const QuantizationParameters& parameters) {
  std::vector<Problem> problems;
  const auto collect = [&](const auto& check) {
    try {
      check();
    } catch (const ConfigError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  collect([&] { quant::validate(parameters.map, "quantization"); });
  collect([&] { quant::validate(parameters.formats.default_formats, "quantization.default_formats"); });
  for (const auto& entry : parameters.formats.module)
    collect([&] { quant::validate(entry.second, "quantization.module_formats_map." + entry.first); });
  for (const auto& entry : parameters.formats.instances)
    collect([&] { quant::validate(entry.second, "quantization.instance_formats_map." + entry.first); });
  if (parameters.calibration.batches < 1)
    problems.push_back({.file = {}, .key = "quantization.calibration.batches", .message = "must be >= 1"});
  if (parameters.calibration.batch_size < 1)
    problems.push_back({.file = {}, .key = "quantization.calibration.batch_size", .message = "must be >= 1"});
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

quant::LayerFormats resolve_formats(const QuantizationParameters& parameters, const std::string& name,
                                    const std::string& type, bool weighted) {
  const auto contains = [&](const std::string& entry) {
    return name == entry || (name.size() > entry.size() && name.starts_with(entry) && name[entry.size()] == '.');
  };
  if (std::ranges::any_of(parameters.map.excluded_modules, contains)) return {};
  const FormatMap& formats = parameters.formats;
  if (const auto found = formats.instances.find(name); found != formats.instances.end()) return found->second;
  for (const auto& [key, entry] : formats.module)
    if (quant::canonical_module_type(key) == quant::canonical_module_type(type)) return entry;
  return weighted ? formats.default_formats : quant::LayerFormats{};
}

}  // namespace tessera::sim
