#include "sim/relative_cost.hpp"

#include "tessera/h5/dataset.hpp"

namespace tessera::sim {

namespace {

/// Every value of "cost/<name>" with its ends, in the order of the file.
std::vector<cost::EndValues> end_values(const h5::Group& costs, const std::string& name) {
  const auto nominal = costs.dataset(name).read<double>();
  const auto low = costs.dataset(name + "_at_low").read<double>();
  const auto high = costs.dataset(name + "_at_high").read<double>();
  const std::size_t coefficients = nominal.empty() ? 0 : low.size() / nominal.size();
  std::vector<cost::EndValues> values;
  for (std::size_t i = 0; i < nominal.size(); ++i) {
    const auto part = [&](const std::vector<double>& all) {
      const auto from = all.begin() + static_cast<std::ptrdiff_t>(i * coefficients);
      return std::vector<double>(from, from + static_cast<std::ptrdiff_t>(coefficients));
    };
    values.push_back({nominal[i], part(low), part(high)});
  }
  return values;
}

results::RelativeCost over(const cost::EndValues& ours, const cost::EndValues& first) {
  const cost::Interval ratio = cost::ratio(ours, first);
  return {ratio.nominal, ratio.low, ratio.high};
}

}  // namespace

void RelativeCosts::add(bool first_point, const std::vector<std::int64_t>& swept, const h5::File& point,
                        std::int64_t first_repeat) {
  if (!writer_.header().costs()) return;
  const h5::Group costs = point.group("cost");
  if (!costs.contains("energy_at_low")) return;  // a point of an earlier version
  const std::vector<cost::EndValues> energy = end_values(costs, "energy");
  const cost::EndValues area = end_values(costs, "area").front();
  if (first_point) {
    first_energy_[first_repeat] = energy;
    first_area_ = area;
  }
  if (first_area_) writer_.write_relative_area(swept, over(area, *first_area_));
  const auto first = first_energy_.find(first_repeat);
  if (first == first_energy_.end()) return;
  const std::int64_t reads = writer_.header().reads;
  for (std::size_t i = 0; i < std::min(energy.size(), first->second.size()); ++i) {
    const auto place = static_cast<std::int64_t>(i);
    writer_.write_relative_energy({swept, place / reads, first_repeat + place % reads},
                                  over(energy[i], first->second[i]));
  }
}

}  // namespace tessera::sim
