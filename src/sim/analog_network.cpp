#include "tessera/sim/analog_network.hpp"

#include <mutex>

namespace tessera::sim {

class AnalogOperator final : public nn::LinearOperator {
 public:
  AnalogOperator(std::string name, tile::AnalogLayer layer) : name_(std::move(name)), layer_(std::move(layer)) {}

  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override {
    tile::LayerStatistics counted;
    try {
      layer_.forward(x, y, {first_vector, parallel, count_ ? &counted : nullptr, 0});
    } catch (const RunError& error) {
      throw RunError(fmt::format("layer '{}': {}", name_, error.what()));
    }
    if (count_) {
      const std::lock_guard lock(mutex_);
      statistics_ += counted;
    }
  }

  const tile::AnalogLayer& layer() const { return layer_; }
  void count_statistics(bool count) { count_ = count; }
  tile::LayerStatistics statistics() const { return statistics_; }

 private:
  std::string name_;
  tile::AnalogLayer layer_;
  bool count_ = true;
  // Counts are integers and maxima: the order in which threads add theirs cannot change them.
  mutable std::mutex mutex_;
  mutable tile::LayerStatistics statistics_;
};

namespace {

std::unique_ptr<AnalogOperator> make_operator(const nn::LinearLayer& layer, std::size_t part,
                                              const tile::RpuParameters& parameters, const random::Address& address) {
  const nn::LinearPart& source = layer.parts[part];
  const std::string name = layer.part_name(part);
  try {
    return std::make_unique<AnalogOperator>(name,
                                            tile::AnalogLayer(parameters, source.weight.view(), source.bias, address));
  } catch (const ConfigError& error) {
    std::vector<Problem> problems = error.problems();
    for (Problem& problem : problems) problem.message += fmt::format(" (layer '{}')", name);
    throw ConfigError(std::move(problems));
  } catch (const InputError& error) {
    throw InputError(fmt::format("layer '{}': {}", name, error.what()));
  }
}

}  // namespace

AnalogNetwork::AnalogNetwork(const nn::Executor& executor, const LayerResolver& resolve, std::uint64_t seed,
                             std::uint32_t repeat) {
  const std::vector<nn::LinearLayer>& layers = executor.layers();
  constexpr std::size_t most_layers = 65536;
  require<InputError>(layers.size() < most_layers, "the network has {} weighted layers; at most {} can be addressed",
                      layers.size(), most_layers - 1);
  operators_.resize(layers.size());
  overrides_.resize(layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const nn::LinearLayer& layer = layers[l];
    const LayerParameters parameters =
        resolve(layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op);
    if (!parameters.analog) continue;
    for (std::size_t p = 0; p < layer.parts.size(); ++p) {
      const random::Address address{
          .seed = seed, .layer = static_cast<std::uint32_t>(p * most_layers + l), .repeat = repeat};
      operators_[l].push_back(make_operator(layer, p, parameters.rpu, address));
      overrides_[l].push_back(operators_[l].back().get());
    }
  }
}

AnalogNetwork::~AnalogNetwork() = default;
AnalogNetwork::AnalogNetwork(AnalogNetwork&&) noexcept = default;
AnalogNetwork& AnalogNetwork::operator=(AnalogNetwork&&) noexcept = default;

const tile::AnalogLayer& AnalogNetwork::part(std::size_t layer, std::size_t part) const {
  return operators_.at(layer).at(part)->layer();
}

void AnalogNetwork::count_statistics(bool count) {
  for (auto& parts : operators_)
    for (auto& part : parts) part->count_statistics(count);
}

tile::LayerStatistics AnalogNetwork::statistics(std::size_t layer) const {
  tile::LayerStatistics sum;
  for (const auto& part : operators_.at(layer)) sum += part->statistics();
  return sum;
}

std::int64_t AnalogNetwork::bytes() const {
  std::int64_t sum = 0;
  for (const auto& parts : operators_)
    for (const auto& part : parts) sum += part->layer().bytes();
  return sum;
}

}  // namespace tessera::sim
