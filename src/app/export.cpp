#include "tessera/app/export.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <memory>
#include <set>

#include "app/positions.hpp"
#include "app/reading.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/core/error.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/network_input.hpp"

namespace tessera::app {

namespace {

using config::Node;

/// Runs the tiles of a part and keeps its first vectors, in the order in which they come. On one thread only.
class KeepingOperator final : public nn::LinearOperator {
 public:
  KeepingOperator(const tile::AnalogLayer& layer, std::int64_t most) : layer_(layer), kept_(most, layer.inputs()) {}
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override {
    layer_.forward(x, y, {first_vector, parallel, nullptr, 0});
    for (std::int64_t r = 0; r < x.rows && count_ < kept_.rows(); ++r)
      std::copy_n(x.row(r), x.cols, kept_.view().row(count_++));
  }
  ConstMatrixView vectors() const { return std::as_const(kept_).view().rows_from(0, count_); }

 private:
  const tile::AnalogLayer& layer_;
  mutable Matrix kept_;
  mutable std::int64_t count_ = 0;
};

/// Adds codes and keeps those of the first elements. On one thread only.
class KeepingSum final : public nn::SumOperator {
 public:
  KeepingSum(const nn::SumOperator& sum, const sim::CodeSum& codes, std::int64_t most)
      : sum_(sum), codes_(codes), most_(most) {}
  void add(std::span<const float> a, std::span<const float> b, std::span<float> y) const override {
    const auto keep = [&](std::vector<std::int64_t>& kept, std::span<const float> values, float step) {
      for (const float v : values.first(std::min(values.size(), static_cast<std::size_t>(most_) - kept.size())))
        kept.push_back(std::llrint(static_cast<double>(v) / static_cast<double>(step)));
    };
    keep(first_, a, codes_.operand_step[0]);
    keep(second_, b, codes_.operand_step[1]);
    sum_.add(a, b, y);
    keep(output_, y, codes_.step);
  }
  const sim::CodeSum& codes() const { return codes_; }
  const std::vector<std::int64_t>& first() const { return first_; }
  const std::vector<std::int64_t>& second() const { return second_; }
  const std::vector<std::int64_t>& output() const { return output_; }

 private:
  const nn::SumOperator& sum_;
  const sim::CodeSum& codes_;
  std::int64_t most_;
  mutable std::vector<std::int64_t> first_, second_, output_;
};

const char* to_text(kernels::FixedPointRounding rounding) {
  constexpr const char* names[] = {"nearest_even", "half_up", "half_away", "truncate", "toward_zero", "stochastic"};
  return names[static_cast<std::size_t>(rounding)];
}
const char* to_text(kernels::FixedPointOverflow overflow) {
  return overflow == kernels::FixedPointOverflow::saturate ? "saturate" : "wrap";
}

/// Writes the files of an export beside its directory and notes their names; all of them appear in it together.
class Directory {
 public:
  explicit Directory(const std::string& path)
      : path_(std::filesystem::path(path + "/.").lexically_normal().parent_path()),
        partial_(partial_path(path_.string())) {
    std::error_code error;
    std::filesystem::remove_all(partial_, error);
    std::filesystem::create_directories(partial_, error);
    require<RunError>(!error, "cannot write '{}' (making '{}': {})", path, partial_.string(), error.message());
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(partial_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  Node array(const std::string& name, const Shape& shape, std::span<const std::int64_t> values) {
    const std::string file = file_of(name);
    io::write_npy((partial_ / file).string(), shape, values);
    return Node::text(file);
  }
  Node array(const std::string& name, const tile::CodeMatrix& codes) {
    return array(name, {codes.rows, codes.columns}, codes.values);
  }
  Node array(const std::string& name, const Matrix& values) {
    const std::string file = file_of(name);
    io::write_npy((partial_ / file).string(), {values.rows(), values.cols()}, values.values());
    return Node::text(file);
  }
  /// Writes the description, and puts everything in place, the description last. Returns the number of files.
  std::int64_t commit(const Node& description) {
    AtomicFile file((partial_ / description_).string());
    file.write(config::to_json(description));
    file.commit();
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    for (const std::string& name : files_)
      if (!error) std::filesystem::rename(partial_ / name, path_ / name, error);
    if (!error) std::filesystem::rename(partial_ / description_, path_ / description_, error);
    require<RunError>(!error, "cannot write '{}' ({})", path_.string(), error.message());
    return std::ssize(files_) + 1;
  }

 private:
  /// Names of layers may hold what names of files may not; what then is alike gets a number.
  std::string file_of(std::string name) {
    for (char& c : name)
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '_' && c != '-') c = '_';
    std::string file = name + ".npy";
    for (int n = 2; !files_.insert(file).second; ++n) file = fmt::format("{}_{}.npy", name, n);
    return file;
  }

  static constexpr const char* description_ = "codes.json";
  std::filesystem::path path_, partial_;
  std::set<std::string> files_;
};

std::vector<std::int64_t> as_wide(const std::vector<std::int32_t>& values) {
  return {values.begin(), values.end()};
}

Node format_node(const tile::FixedPointFormat& format) {
  Node node = Node::map();
  node.set("integer_bits", Node::integer(format.integer_bits));
  node.set("fraction_bits", Node::integer(format.fraction_bits));
  node.set("signed", Node::boolean(format.is_signed));
  return node;
}

Node datapath_node(const tile::FixedPointParameter& p, const kernels::FixedPointDatapath& path) {
  Node node = Node::map();
  node.set("scale", format_node(tile::format_of(p.scale)));
  node.set("bias", format_node(tile::format_of(p.bias)));
  node.set("bias_at", Node::text(p.bias.at == tile::BiasPlace::tile ? "tile" : "array"));
  node.set("product_cut", Node::integer(path.cut));
  node.set("product_rounding", Node::text(to_text(path.product_rounding)));
  node.set("accumulator_bits", Node::integer(path.accumulator_bits));
  node.set("accumulator_fraction_bits", Node::integer(path.fraction_bits));
  node.set("accumulator_overflow", Node::text(to_text(path.accumulator_overflow)));
  node.set("relu", Node::boolean(path.relu));
  node.set("output_bits", Node::integer(path.output_bits));
  node.set("output_signed", Node::boolean(path.output_signed));
  node.set("output_rounding", Node::text(to_text(path.output_rounding)));
  node.set("output_overflow", Node::text(to_text(path.output_overflow)));
  return node;
}

Node tile_node(Directory& to, const std::string& name, const tile::AnalogLayer& layer, std::int64_t t,
               const tile::FixedPointTrace::Tile& codes) {
  const tile::FixedPointReport report = layer.fixed_point_report(t);
  const std::string prefix = fmt::format("{}.tile{}.", name, t);
  const std::int64_t columns = report.place.outputs;
  Node node = Node::map();
  node.set("first_input", Node::integer(report.place.first_input));
  node.set("inputs", Node::integer(report.place.inputs));
  node.set("first_output", Node::integer(report.place.first_output));
  node.set("outputs", Node::integer(columns));
  node.set("adc_step", Node::real(report.adc.step));
  node.set("largest_adc_code", Node::integer(report.adc.largest_code));
  if (const double step = layer.input_code_step(t); step > 0.0) node.set("dac_step", Node::real(step));
  node.set("weights", to.array(prefix + "weights", layer.tile_weights(t)));
  node.set("scale_code", to.array(prefix + "scale_code", {columns}, report.scale.code));
  node.set("exponent", to.array(prefix + "exponent", {columns}, as_wide(report.scale.exponent)));
  node.set("shift", to.array(prefix + "shift", {columns}, as_wide(report.scale.shift)));
  if (!report.bias.code.empty()) {
    node.set("bias_code", to.array(prefix + "bias_code", {columns}, report.bias.code));
    node.set("bias_aligned", to.array(prefix + "bias_aligned", {columns}, report.bias.aligned));
  }
  if (codes.dac.rows > 0) node.set("dac", to.array(prefix + "dac", codes.dac));
  node.set("adc", to.array(prefix + "adc", codes.adc));
  node.set("product", to.array(prefix + "product", codes.product));
  node.set("sum", to.array(prefix + "sum", codes.sum));
  return node;
}

Node part_node(Directory& to, const std::string& name, const tile::AnalogLayer& layer, ConstMatrixView x) {
  const tile::FixedPointTrace trace = layer.trace_fixed_point(x, {0, Parallel{1}, nullptr, 0});
  Node node = Node::map();
  node.set("name", Node::text(name));
  node.set("vectors", Node::integer(x.rows));
  node.set("output_step", Node::real(static_cast<double>(layer.output_step())));
  node.set("formats", datapath_node(*layer.parameters().pre_post.fixed_point, layer.fixed_point_report(0).datapath));
  Node tiles = Node::list();
  for (std::int64_t t = 0; t < layer.tile_count(); ++t)
    tiles.items.push_back(tile_node(to, name, layer, t, trace.tiles[static_cast<std::size_t>(t)]));
  node.set("tiles", std::move(tiles));
  node.set("accumulator", to.array(name + ".accumulator", trace.accumulator));
  node.set("output", to.array(name + ".output", trace.output));
  return node;
}

Node sum_node(Directory& to, const std::string& name, const std::string& layer, const KeepingSum& sum) {
  const sim::CodeSum& codes = sum.codes();
  const auto pair = [](const auto& values, auto&& node) {
    Node list = Node::list();
    for (const auto value : values) list.items.push_back(node(value));
    return list;
  };
  const auto real = [](float value) { return Node::real(static_cast<double>(value)); };
  Node node = Node::map();
  node.set("name", Node::text(name));
  node.set("layer", Node::text(layer));
  node.set("format", format_node(tile::format_of(codes.format)));
  node.set("rounding", Node::text(to_text(codes.format.rounding)));
  node.set("multiplier", pair(codes.multiplier, [](std::int64_t value) { return Node::integer(value); }));
  node.set("operand_step", pair(codes.operand_step, real));
  node.set("step", real(codes.step));
  node.set("largest_code", Node::integer(codes.largest_code));
  const Shape shape{std::ssize(sum.output())};
  node.set("first", to.array(name + ".first", shape, sum.first()));
  node.set("second", to.array(name + ".second", shape, sum.second()));
  node.set("output", to.array(name + ".output", shape, sum.output()));
  return node;
}

CodeExport export_codes(const Setup& setup, const CodeExportOptions& options, const Execution& execution) {
  require<UsageError>(!options.directory.empty(), "which directory? Give --codes DIR");
  require<UsageError>(options.samples > 0 && options.vectors > 0, "--samples and --vectors are at least 1");
  const nn::Executor& executor = setup.executor;
  const auto& layers = executor.layers();
  sim::ProgrammedChip chip(
      executor, setup.request.resolve,
      {setup.request.seed, static_cast<std::uint32_t>(setup.request.first_program), execution.parallel});
  const Shape sample = sim::fitted_sample_shape(executor.graph(), setup.data);
  const auto read = [&](std::int64_t first, std::int64_t count) {
    return sim::read_samples(setup.data, first, count, sample, execution.parallel);
  };
  if (chip.needs_activation_ranges()) {
    const sim::RangeSamples known = sim::range_samples(setup.data, read);
    chip.estimate_activation_ranges(executor, known.batches);
    execution.environment.note(fmt::format("ranges of output codes estimated from the first {} samples", known.count));
  }
  CodeExport result;
  std::vector<std::unique_ptr<KeepingOperator>> operators;
  const sim::AnalogNetwork network = chip.at(std::nullopt, 0, execution.parallel);
  nn::LinearOverrides overrides(layers.size());
  std::vector<std::vector<const KeepingOperator*>> kept(layers.size());
  std::vector<std::unique_ptr<KeepingSum>> sums;
  overrides.sums = network.overrides().sums;
  for (const sim::CodeSum& sum : chip.code_sums()) {
    const nn::SumOperator*& adds = overrides.sums[static_cast<std::size_t>(sum.node)];
    sums.push_back(std::make_unique<KeepingSum>(*adds, sum, options.vectors));
    adds = sums.back().get();
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (chip.part_count(l) == 0) continue;
    if (layers[l].kind == nn::LinearKind::product) {
      result.skipped.push_back(
          fmt::format("layer '{}': a product of two activations has no stored weights", layers[l].name));
      continue;
    }
    for (std::size_t p = 0; p < chip.part_count(l); ++p) {
      operators.push_back(std::make_unique<KeepingOperator>(chip.layer(l, p), options.vectors));
      overrides[l].push_back(operators.back().get());
      kept[l].push_back(operators.back().get());
    }
    if (!chip.link(l).fixed_point) {
      result.skipped.push_back(fmt::format("layer '{}': has no fixed-point periphery", layers[l].name));
      kept[l].clear();
    }
  }
  const std::int64_t samples = std::min(options.samples, setup.data.size());
  require<InputError>(samples > 0, "the data set '{}' has no samples", setup.data.name());
  executor.run(read(0, samples), {.parallel = Parallel{1}, .overrides = &overrides, .observer = {}});
  Directory to(options.directory);
  Node description = Node::map();
  description.set("format", Node::text("tessera-codes 1"));
  description.set("name", Node::text(setup.config.name));
  description.set("seed", Node::text(fmt::format("{}", setup.request.seed)));
  description.set("samples", Node::integer(samples));
  Node all = Node::list();
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (kept[l].empty()) continue;
    Node node = Node::map();
    node.set("layer", Node::text(layers[l].name));
    const sim::ProgrammedChip::InputCodes& codes = chip.input_codes(l);
    Node sources = Node::list();
    for (const std::size_t source : codes.sources) sources.items.push_back(Node::text(layers[source].name));
    node.set("chained", Node::boolean(codes.chained));
    if (codes.chained) node.set("codes_of", std::move(sources));
    if (!codes.chained) node.set("converted_because", Node::text(codes.broken));
    Node parts = Node::list();
    for (std::size_t p = 0; p < kept[l].size(); ++p)
      parts.items.push_back(part_node(to, layers[l].part_name(p), chip.layer(l, p), kept[l][p]->vectors()));
    node.set("parts", std::move(parts));
    all.items.push_back(std::move(node));
    result.layers.push_back(layers[l].name);
  }
  require<InputError>(!result.layers.empty(),
                      "no layer has a fixed-point periphery (rpu_config.pre_post.fixed_point): there are no codes");
  description.set("layers", std::move(all));
  Node adds = Node::list();
  for (const auto& sum : sums)
    adds.items.push_back(sum_node(to, executor.graph().nodes[static_cast<std::size_t>(sum->codes().node)].name,
                                  layers[sum->codes().layer].name, *sum));
  description.set("adds", std::move(adds));
  result.files = to.commit(description);
  return result;
}

}  // namespace

CodeExport Simulation::export_codes(const CodeExportOptions& options, const Execution& execution) const {
  return with_positions(document(), [&] {
    const auto setup = open_setup(source_, execution.environment, {});
    return app::export_codes(*setup, options, execution);
  });
}

}  // namespace tessera::app
