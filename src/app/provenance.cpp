#include "app/provenance.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "tessera/core/format.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/kernels/product.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/spec/glob.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::app {

namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// Most memory that the process had at one time, bytes. getrusage() counts what the process that started this one had.
std::int64_t peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::int64_t kilobytes = 0; word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  rusage usage{};
  return getrusage(RUSAGE_SELF, &usage) == 0 ? std::int64_t{usage.ru_maxrss} * 1024 : 0;
}

}  // namespace

std::string neutral_command(const std::string& command, const Source& source) {
  std::string text = "tessera " + command + " " + shell_quoted(source.name);
  for (const std::string& given : source.overrides)
    if (!given.starts_with("data.batch_size=")) text += " --set " + shell_quoted(given);
  return text;
}

std::string neutral_resolved_text(spec::RunConfig config) {
  config.data.batch_size = io::DataParameters{}.batch_size;
  config.output.file.clear();
  config.output.chips.clear();
  config.calibration.reset();
  config.sweep.reset();
  config.search.reset();
  config.training.reset();
  return spec::resolved_text(config);
}

const std::string& FileContents::of(const std::string& path) {
  const auto found = known_.find(path);
  if (found != known_.end()) return found->second;
  if (!std::filesystem::is_regular_file(path)) return known_.emplace(path, path).first->second;
  std::ifstream stream(path, std::ios::binary);
  require<InputError>(stream.good(), "{}: cannot be read", path);
  Sha256 hash;
  std::vector<char> block(std::size_t{1} << 20);
  while (stream.read(block.data(), static_cast<std::streamsize>(block.size())) || stream.gcount() > 0)
    hash.update(std::string_view(block.data(), static_cast<std::size_t>(stream.gcount())));
  return known_.emplace(path, "sha256:" + hash.hex()).first->second;
}

std::string chip_identity(spec::RunConfig config, bool isolated, FileContents& contents) {
  config.name.clear();
  config.data.batch_size = io::DataParameters{}.batch_size;
  config.output.file.clear();
  config.sweep.reset();
  config.search.reset();
  config.evaluation.repeats = 1;
  const std::string text = spec::portable_text(config, [&](const std::string& path) { return contents.of(path); });
  return sha256_hex(
      fmt::format("chips of rng layout {}{}\n{}", random::rng_layout, isolated ? ", isolated" : "", text));
}

sim::EvaluationRequest make_request(const spec::RunConfig& config, const nn::Executor& executor,
                                    const io::DataSet& data) {
  return make_request(config, executor, data, load_ranges(config.model, executor));
}

sim::EvaluationRequest make_request(const spec::RunConfig& config, const nn::Executor& executor,
                                    const io::DataSet& data, ModelRanges ranges) {
  sim::EvaluationRequest request{
      .executor = executor,
      .data = data,
      .batch_size = config.data.batch_size,
      .seed = config.seed,
      .evaluation = config.evaluation,
      .resolve =
          sim::with_calibration(spec::layer_resolver(config, executor.options().products), std::move(ranges.layers)),
      .statistics = config.output.record.statistics,
      .record_output = {}};
  std::vector<std::string> names;
  for (const nn::LinearLayer& layer : executor.layers()) names.push_back(layer.name);
  request.record_output = spec::select_names(config.output.record.tensors, names, "output.record.tensors");
  if (config.output.record.outputs) {
    const std::vector<std::string>& asked = config.model.outputs;
    const nn::Graph& graph = executor.graph();
    for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
      const std::string& name = graph.name_of(graph.outputs[o]);
      if (o == 0 || std::ranges::find(asked, name) != asked.end() || std::ranges::find(asked, "*") != asked.end())
        request.record_network_outputs.push_back(o);
    }
  }
  request.quantization = config.quantization;
  if (request.quantization) request.quantization->ranges = std::move(ranges.quantizers);
  if (config.spiking) request.spiking = load_neurons(*config.spiking, config.model);
  if (std::optional<sim::CostModel> cost = spec::cost_model(config, layer_names(executor)))
    request.cost = std::make_shared<const sim::CostModel>(*std::move(cost));
  return request;
}

results::Runtime make_runtime(const Execution& execution, std::int64_t batch_size,
                              std::chrono::steady_clock::time_point start) {
  results::Runtime runtime;
  runtime.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  runtime.command = execution.command_line;
  runtime.threads = execution.parallel.threads;
  runtime.batch_size = batch_size;
  runtime.instruction_set = kernels::instruction_set();
  runtime.peak_memory_bytes = peak_memory();
  runtime.host = host_name();
  return runtime;
}

}  // namespace tessera::app
