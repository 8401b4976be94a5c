#include "tessera/sim/analog_network.hpp"

#include "sim/analog_operator.hpp"
#include "sim/rescaled_sum.hpp"

namespace tessera::sim {

AnalogNetwork::AnalogNetwork() = default;
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

void AnalogNetwork::count_activity(bool count) {
  for (auto& parts : operators_)
    for (auto& part : parts) part->count_activity(count);
}

void AnalogNetwork::observe_currents(std::size_t layer, const std::vector<circuit::CurrentHistogram>& histograms) {
  tile::LayerStatistics blank;
  for (const circuit::CurrentHistogram& histogram : histograms) blank.converters.emplace_back().histogram = histogram;
  for (const auto& part : operators_.at(layer)) part->count_like(blank);
}

tile::LayerStatistics AnalogNetwork::statistics(std::size_t layer) const {
  tile::LayerStatistics sum;
  for (const auto& part : operators_.at(layer)) sum += part->statistics();
  for (const Sum& joined : sums_) {
    if (joined.layer != layer || sum.vectors == 0) continue;
    sum.code_sums += joined.adds->outputs();
    sum.code_sums_saturated += joined.adds->saturated();
  }
  return sum;
}

std::int64_t AnalogNetwork::bytes() const {
  std::int64_t sum = 0;
  for (const auto& parts : operators_)
    for (const auto& part : parts) sum += part->layer().bytes();
  return sum;
}

}  // namespace tessera::sim
