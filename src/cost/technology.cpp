#include "tessera/cost/technology.hpp"

#include <array>
#include <cmath>

namespace tessera::cost {

namespace {

/// e(V) = a V^2 + b V + c in an arbitrary unit; area relative to 45 nm; the usual core supply.
struct Node {
  double node_nm, supply_V, a, b, c, area;

  double energy() const { return a * 0.81 + b * 0.9 + c; }
};

constexpr std::array<Node, 10> nodes = {{{7.0, 0.7, 0.1776, -0.09097, 0.02447, 0.059},
                                         {10.0, 0.75, 0.2068, -0.09311, 0.02375, 0.10},
                                         {14.0, 0.8, 0.2363, -0.09675, 0.02239, 0.17},
                                         {16.0, 0.8, 0.2958, -0.1241, 0.03024, 0.19},
                                         {20.0, 0.8, 0.373, -0.1582, 0.04104, 0.21},
                                         {32.0, 0.9, 0.9559, -0.7823, 0.471, 0.46},
                                         {45.0, 0.9, 1.103, -0.362, 0.2767, 1.0},
                                         {65.0, 1.0, 3.755, -4.398, 1.975, 1.5},
                                         {90.0, 1.1, 4.762, -4.781, 2.092, 2.8},
                                         {130.0, 1.2, 7.171, -6.709, 2.904, 6.4}}};
constexpr std::size_t reference_node = 6;  // 45 nm

template <class Value>
double interpolate(double node_nm, const Value& value) {
  std::size_t i = 0;
  while (i + 2 < nodes.size() && node_nm > nodes[i + 1].node_nm) ++i;
  const Node& low = nodes[i];
  const Node& high = nodes[i + 1];
  const double at = std::log(node_nm / low.node_nm) / std::log(high.node_nm / low.node_nm);
  return std::exp((1.0 - at) * std::log(value(low)) + at * std::log(value(high)));
}

}  // namespace

double nominal_supply_V(double node_nm) {
  return interpolate(node_nm, [](const Node& node) { return node.supply_V; });
}

double digital_energy_factor(double node_nm, double supply_V) {
  const double ratio = supply_V / 0.9;
  return interpolate(node_nm, [](const Node& node) { return node.energy(); }) / nodes[reference_node].energy() * ratio *
         ratio;
}

double logic_area_factor(double node_nm) {
  return interpolate(node_nm, [](const Node& node) { return node.area; });
}

}  // namespace tessera::cost
