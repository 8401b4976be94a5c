#include "quantization_tables.hpp"

#include <algorithm>

#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Node;
using config::Report;
using config::Section;
using config::Type;

using quant::RangeEstimators;

/// A quantizer configuration as it stands in a file.
struct Fields {
  int n_bits = 0;
  bool symmetric = true;
  bool per_channel = false;
  RangeEstimators range_estimator = RangeEstimators::current_minmax;
  Node range_estimator_params;
};

Type<quant::CurrentMinMaxEstimatorParams> current_params() {
  using P = quant::CurrentMinMaxEstimatorParams;
  return Section<P>("CurrentMinMaxEstimatorParams", "Extremes of the latest batch.")
      .field("percentile", &P::percentile, {.unit = "%", .help = "instead of the extremes; null: off"})
      .field("two_sided", &P::two_sided, {.help = "both percentiles for a per-tensor range too"});
}

Type<quant::RunningMinMaxEstimatorParams> running_params() {
  using P = quant::RunningMinMaxEstimatorParams;
  return Section<P>("RunningMinMaxEstimatorParams", "Exponential average of the extremes.")
      .field("momentum", &P::momentum, {.range = config::Range::between(0.0, 1.0), .help = "weight of the past"});
}

template <class P>
Type<P> search_params(const char* name) {
  return Section<P>(name, "Search for the range of least error.")
      .field("range_opt_method", [](auto& p) -> auto& { return p.range_opt_method; },
             choice<quant::OptMethod>(
                 {{"grid", quant::OptMethod::grid}, {"golden_section", quant::OptMethod::golden_section}}),
             {.help = "how to search"})
      .field("num_candidates", [](auto& p) -> auto& { return p.num_candidates; }, config::integer<int>(),
             {.help = "points of the grid"})
      .field("range_margin", [](auto& p) -> auto& { return p.range_margin; }, config::real(),
             {.help = "search this far beyond the data"});
}

/// Reads or writes the options of the estimator that `params` belongs to.
Node write_params(const quant::RangeEstimatorParams& params) {
  if (const auto* p = std::get_if<quant::CurrentMinMaxEstimatorParams>(&params)) return current_params().write(*p);
  if (const auto* p = std::get_if<quant::RunningMinMaxEstimatorParams>(&params)) return running_params().write(*p);
  if (const auto* p = std::get_if<quant::CrossEntropyEstimatorParams>(&params))
    return search_params<quant::CrossEntropyEstimatorParams>("CrossEntropyEstimatorParams").write(*p);
  if (const auto* p = std::get_if<quant::MSEEstimatorParams>(&params))
    return search_params<quant::MSEEstimatorParams>("MSEEstimatorParams").write(*p);
  return Node::null();
}

void read_params(const Node& given, const std::string& key, quant::RangeEstimatorParams& params, Report& report) {
  if (given.is_null()) return;
  Node node = given;
  if (node.is_map()) node.erase("type");
  if (auto* current = std::get_if<quant::CurrentMinMaxEstimatorParams>(&params))
    current_params().read(node, key, *current, report);
  else if (auto* running = std::get_if<quant::RunningMinMaxEstimatorParams>(&params))
    running_params().read(node, key, *running, report);
  else if (auto* cross = std::get_if<quant::CrossEntropyEstimatorParams>(&params))
    search_params<quant::CrossEntropyEstimatorParams>("CrossEntropyEstimatorParams").read(node, key, *cross, report);
  else if (auto* mse = std::get_if<quant::MSEEstimatorParams>(&params))
    search_params<quant::MSEEstimatorParams>("MSEEstimatorParams").read(node, key, *mse, report);
  else
    report.problem(node.position, key, "allminmax has no options; remove them");
}

template <class Config>
Fields fields_of(const Config& config) {
  Fields fields{.n_bits = config.n_bits,
                .symmetric = config.symmetric,
                .range_estimator = config.range_estimator(),
                .range_estimator_params = write_params(config.range_estimator_params())};
  if constexpr (requires { config.per_channel; }) fields.per_channel = config.per_channel;
  return fields;
}

template <class Config>
Type<Config> quantizer_type(const char* name, const char* help) {
  constexpr bool weight = requires(Config c) {
    c.per_channel;
  };
  Section<Fields> section(name, help);
  section.field("n_bits", &Fields::n_bits, {.unit = "bit", .help = "0: not quantized"})
      .field("symmetric", &Fields::symmetric, {.help = "zero point 0"});
  if constexpr (weight) section.field("per_channel", &Fields::per_channel, {.help = "one range per output"});
  section
      .field("range_estimator", &Fields::range_estimator,
             choice<RangeEstimators>({{"current_minmax", RangeEstimators::current_minmax},
                                      {"allminmax", RangeEstimators::allminmax},
                                      {"running_minmax", RangeEstimators::running_minmax},
                                      {"MSE", RangeEstimators::MSE},
                                      {"cross_entropy", RangeEstimators::cross_entropy}}),
             {.help = "how the range is found"})
      .field("range_estimator_params", &Fields::range_estimator_params, config::anything(),
             {.help = "current_minmax: percentile, two_sided; running_minmax: momentum; MSE and cross_entropy: "
                      "range_opt_method, num_candidates, range_margin"});
  const Type<Fields> table = section.type(fields_of(Config{}));
  return {table.info,
          [table](const Node& node, const std::string& key, Config& value, Report& report) {
            Fields fields = fields_of(value);
            fields.range_estimator_params = Node::null();
            const std::size_t before = report.problems().size();
            table.read(node, key, fields, report);
            if (report.problems().size() > before) return;
            Config read = value;
            read.n_bits = fields.n_bits;
            read.symmetric = fields.symmetric;
            if constexpr (weight) read.per_channel = fields.per_channel;
            if (fields.range_estimator != value.range_estimator()) read.set_range_estimator(fields.range_estimator);
            quant::RangeEstimatorParams params = read.range_estimator_params();
            read_params(fields.range_estimator_params, key + ".range_estimator_params", params, report);
            if (report.problems().size() > before) return;
            read.set_range_estimator_params(params);
            value = read;
          },
          [table](const Config& value) { return table.write(fields_of(value)); }};
}

Type<quant::ActivationQuantConfig> activation_type() {
  return quantizer_type<quant::ActivationQuantConfig>("LayerActivationQuantConfig",
                                                      "Quantizer of the output or input of a layer.");
}

Type<quant::QuantizationConfig> qconfig_type() {
  using P = quant::QuantizationConfig;
  return Section<P>("QuantizationConfig", "Quantizers of one layer.")
      .field("activation_quant", &P::activation_quant, activation_type(), {.help = "of the output"})
      .field("weight_quant", &P::weight_quant,
             quantizer_type<quant::WeightQuantConfig>("WeightQuantConfig", "Quantizer of a weight."),
             {.help = "of the weight; the bias is never quantized"});
}

Type<quant::QuantizedModuleConfig> module_type() {
  using P = quant::QuantizedModuleConfig;
  return Section<P>("QuantizedModuleConfig", "How a layer is quantized.")
      .field("quantized_module", &P::quantized_module,
             {.help = "QuantLinear, QuantConv2d, ...; \"\": the one that fits the layer"})
      .field("module_qconfig", &P::module_qconfig, qconfig_type(), {.help = "its quantizers"});
}

/// A map from names, as std::map. `read_entry` gets the struct that holds the map, too; `shown`: entries have the form
/// of the element only.
template <class Owner, class Element>
Type<Owner> named(std::map<std::string, Element>& (*map)(Owner&), Type<Element> element,
                  std::function<void(const Node&, const std::string&, Owner&, Element&, Report&)> read_entry,
                  bool shown = true) {
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::map;
  info->element = shown ? element.info : std::make_shared<const config::TypeInfo>();
  return {info,
          [map, read_entry](const Node& node, const std::string& key, Owner& owner, Report& report) {
            if (node.is_null()) return map(owner).clear();
            config::detail::read_map_entries(
                node, key, report, [&](const Node::Entry& entry, const std::string& entry_key) {
                  Element value{};
                  if (const auto found = map(owner).find(entry.key); found != map(owner).end()) value = found->second;
                  read_entry(entry.value, entry_key, owner, value, report);
                  map(owner)[entry.key] = std::move(value);
                });
          },
          [map, element](const Owner& owner) {
            Node node = Node::map();
            for (const auto& [name, value] : map(const_cast<Owner&>(owner)))
              node.entries.push_back({name, element.write(value), {}});
            return node;
          }};
}

using Parameters = sim::QuantizationParameters;

/// An entry of the type and instance maps: the peer's form, its module_qconfig alone, or the word "default".
void read_module(const Node& node, const std::string& key, Parameters& owner, quant::QuantizedModuleConfig& value,
                 Report& report) {
  if (node.is_scalar()) {
    if (node.scalar == "default")
      value = {.quantized_module = "", .module_qconfig = owner.map.default_qconfig};
    else
      report.problem(node.position, key, "must be a map of activation_quant and weight_quant, or the word 'default'");
    return;
  }
  const bool whole =
      node.is_map() && (node.find("module_qconfig") != nullptr || node.find("quantized_module") != nullptr);
  if (whole)
    module_type().read(node, key, value, report);
  else
    qconfig_type().read(node, key, value.module_qconfig, report);
}

template <auto Member>
Type<Parameters> modules() {
  return named<Parameters, quant::QuantizedModuleConfig>(
      [](Parameters& p) -> std::map<std::string, quant::QuantizedModuleConfig>& { return p.map.*Member; },
      module_type(), read_module, false);
}

template <auto Member>
Type<Parameters> formats() {
  return named<Parameters, quant::LayerFormats>(
      [](Parameters& p) -> std::map<std::string, quant::LayerFormats>& { return p.formats.*Member; },
      layer_formats_type(),
      [](const Node& node, const std::string& key, Parameters&, quant::LayerFormats& value, Report& report) {
        layer_formats_type().read(node, key, value, report);
      });
}

// Number formats ------------------------------------------------------------------------------------------------

constexpr const char* double_rounding_help = "true restores QPyTorch's second rounding (docs/models/peer_defects.md)";

Type<quant::FixedPoint> fixed_type() {
  using P = quant::FixedPoint;
  return Section<P>("FixedPoint", "Multiples of 2^-fl in wl bits.")
      .field("wl", &P::wl, {.unit = "bit"})
      .field("fl", &P::fl, {.unit = "bit"})
      .field("clamp", &P::clamp)
      .field("symmetric", &P::symmetric)
      .field("double_rounding", &P::double_rounding, {.help = double_rounding_help});
}
Type<quant::BlockFloatingPoint> block_type() {
  using P = quant::BlockFloatingPoint;
  return Section<P>("BlockFloatingPoint", "One exponent per block.")
      .field("wl", &P::wl, {.unit = "bit"})
      .field("dim", &P::dim)
      .field("double_rounding", &P::double_rounding, {.help = double_rounding_help});
}
Type<quant::FloatingPoint> float_type() {
  using P = quant::FloatingPoint;
  return Section<P>("FloatingPoint", "Sign, exp exponent and man mantissa bits.")
      .field("exp", &P::exp, {.unit = "bit"})
      .field("man", &P::man, {.unit = "bit"})
      .field("nan", &P::nan,
             choice<quant::NanRule>({{"propagate", quant::NanRule::propagate}, {"as_bits", quant::NanRule::as_bits}}))
      .field("double_rounding", &P::double_rounding, {.help = double_rounding_help});
}
Type<quant::IntegerNumber> integer_type() {
  using P = quant::IntegerNumber;
  return Section<P>("IntegerNumber", "Saturating integers.")
      .field("bits", &P::bits, {.unit = "bit"})
      .field("is_signed", &P::is_signed);
}

template <class P>
quant::Number read_format(const Type<P>& type, const Node& node, const std::string& key, Report& report) {
  P value;
  type.read(node, key, value, report);
  return value;
}

template <class P>
Node write_format(const char* format, const Type<P>& type, const P& value) {
  Node node = Node::map();
  node.set("format", Node::plain(format));
  for (Node::Entry& entry : type.write(value).entries) node.entries.push_back(std::move(entry));
  return node;
}

Node write_number(const quant::Number& number) {
  if (std::holds_alternative<std::monostate>(number)) return Node::null();
  for (const std::string& name : quant::number_names())
    if (quant::named_number(name) == number) return Node::plain(name);
  if (const auto* p = std::get_if<quant::FixedPoint>(&number)) return write_format("fixed", fixed_type(), *p);
  if (const auto* p = std::get_if<quant::BlockFloatingPoint>(&number)) return write_format("block", block_type(), *p);
  if (const auto* p = std::get_if<quant::FloatingPoint>(&number)) return write_format("float", float_type(), *p);
  return write_format("integer", integer_type(), std::get<quant::IntegerNumber>(number));
}

void read_number(const Node& node, const std::string& key, quant::Number& number, Report& report) {
  const std::size_t before = report.problems().size();
  const std::vector<std::string> words{"fixed", "block", "float", "integer"};
  quant::Number read;
  try {
    if (node.is_null()) {
      number = {};
      return;
    }
    if (node.is_scalar()) {
      number = quant::named_number(node.scalar, key);
      return;
    }
    const Node* format = node.is_map() ? node.find("format") : nullptr;
    if (format == nullptr || !format->is_scalar()) {
      report.problem(node.position, key,
                     "must be a format's name, such as fp16, or a map with 'format': fixed, block, float or integer");
      return;
    }
    Node rest = node;
    rest.erase("format");
    if (format->scalar == words[0])
      read = read_format(fixed_type(), rest, key, report);
    else if (format->scalar == words[1])
      read = read_format(block_type(), rest, key, report);
    else if (format->scalar == words[2])
      read = read_format(float_type(), rest, key, report);
    else if (format->scalar == words[3])
      read = read_format(integer_type(), rest, key, report);
    else
      report.problem(format->position, key + ".format",
                     fmt::format("unknown format '{}'; legal are fixed, block, float, integer", format->scalar));
    if (report.problems().size() > before) return;
    quant::validate(read, key);
    number = read;
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) report.problem(node.position, problem.key, problem.message);
  }
}

}  // namespace

config::Type<quant::Number> number_type() {
  return {std::make_shared<const config::TypeInfo>(), read_number, write_number};
}

config::Type<quant::LayerFormats> layer_formats_type() {
  using P = quant::LayerFormats;
  return Section<P>(
             "LayerFormats",
             "Number formats of one layer: a name (fp16, bfloat16, fp8_e4m3, int8, ...), {format: fixed, wl, fl, "
             "clamp, symmetric}, {format: block, wl, dim}, {format: float, exp, man, nan}, {format: integer, "
             "bits, is_signed}, or null.")
      .field("weight", &P::weight, number_type(), {.help = "of the weight of a digital layer"})
      .field("activation", &P::activation, number_type(), {.help = "of the output"})
      .field("accumulation", &P::accumulation, number_type(), {.help = "of the partial sums of a digital layer"})
      .field(
          "rounding", &P::rounding,
          choice<quant::Rounding>({{"nearest", quant::Rounding::nearest}, {"stochastic", quant::Rounding::stochastic}}),
          {.help = "of all of them"});
}

config::Type<sim::QuantizationParameters> quantization_parameters() {
  using P = Parameters;
  const Type<sim::CalibrationParameters> calibration =
      Section<sim::CalibrationParameters>("CalibrationParameters",
                                          "The first samples of the data set, on which ranges are estimated.")
          .field("batches", &sim::CalibrationParameters::batches,
                 {.range = config::Range::at_least(1.0), .help = "at most this many"})
          .field("batch_size", &sim::CalibrationParameters::batch_size,
                 {.unit = "samples",
                  .range = config::Range::at_least(1.0),
                  .help = "of these; data.batch_size has no influence"});
  return Section<P>("QuantizationParameters", "Digital low precision: uniform quantizers and number formats.")
      .field("default_qconfig", [](auto& p) -> auto& { return p.map.default_qconfig; }, qconfig_type(),
             {.help = "what 'default' means in the maps, and what append_default_conversions adds"})
      .field("append_default_conversions", &P::append_default_conversions,
             {.help = "default_qconfig for Linear, Conv2d, LayerNorm and Embedding without an entry of their own"})
      .field("module_qconfig_map", [](auto& p) -> auto& { return p; },
             modules<&quant::QuantizationMap::module_qconfig_map>(),
             {.help = "by type: Linear (Gemm, MatMul), Conv2d (Conv), LayerNorm, Embedding, BatchNorm2d, "
                      "ConvTranspose2d, LSTM, GRU, RNN; an entry is "
                      "{quantized_module, module_qconfig}, a module_qconfig alone, or the word default"})
      .field("instance_qconfig_map", [](auto& p) -> auto& { return p; },
             modules<&quant::QuantizationMap::instance_qconfig_map>(), {.help = "by layer name, over the type"})
      .field("input_activation_qconfig_map", [](auto& p) -> auto& { return p; },
             named<P, quant::ActivationQuantConfig>(
                 [](P& p) -> std::map<std::string, quant::ActivationQuantConfig>& {
                   return p.map.input_activation_qconfig_map;
                 },
                 activation_type(),
                 [](const Node& node, const std::string& key, P&, quant::ActivationQuantConfig& value, Report& report) {
                   activation_type().read(node, key, value, report);
                 }),
             {.help = "quantizers in front of layers, by name"})
      .field("excluded_modules", [](auto& p) -> auto& { return p.map.excluded_modules; },
             config::one_or_list(config::text()), {.help = "names of layers, or of their parents, left as they are"})
      .field("default_formats", [](auto& p) -> auto& { return p.formats.default_formats; }, layer_formats_type(),
             {.help = "number formats of every weighted layer"})
      .field("module_formats_map", [](auto& p) -> auto& { return p; }, formats<&sim::FormatMap::module>(),
             {.help = "by layer type, over the default"})
      .field("instance_formats_map", [](auto& p) -> auto& { return p; }, formats<&sim::FormatMap::instances>(),
             {.help = "by layer name, over the type"})
      .field("calibration", &P::calibration, calibration, {.help = "samples for ranges"});
}

}  // namespace tessera::spec
