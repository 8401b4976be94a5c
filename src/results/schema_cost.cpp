#include "results/schema_cost.hpp"

#include <limits>

namespace tessera::results {

std::vector<Variable> cost_variables() {
  constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
  constexpr auto f64 = h5::ElementType::float64;
  const std::vector<Dim> point{Dim::swept, Dim::time, Dim::repeat};
  const std::vector<Dim> per_swept{Dim::swept};
  constexpr std::string_view layer = "/layers/<layer>/cost";
  const auto at_point = [&](std::string_view name, std::string_view units, std::string_view meaning) {
    return Variable{"/cost", name, point, f64, units, meaning, Presence::cost, no_number};
  };
  const auto of_layer = [&](std::string_view name, std::vector<Dim> dims, std::string_view units,
                            std::string_view meaning, Presence presence) {
    return Variable{layer, name, std::move(dims), f64, units, meaning, presence, no_number};
  };
  const auto fixed = [&](std::string_view name, std::string_view units, std::string_view meaning) {
    return Variable{"/cost", name, per_swept, f64, units, meaning, Presence::cost, no_number};
  };
  const auto normalised = [&](std::string_view name, std::string_view units, std::string_view meaning) {
    return Variable{"/cost", name, point, f64, units, meaning, Presence::normalised_cost, no_number};
  };
  const auto at_ends = [&](std::string_view name, bool of_point, std::string_view units, std::string_view meaning) {
    std::vector<Dim> dims = of_point ? point : per_swept;
    dims.push_back(Dim::coefficient);
    return Variable{"/cost", name, std::move(dims), f64, units, meaning, Presence::cost, no_number};
  };
  const auto relative = [&](std::string_view name, bool of_point, std::string_view meaning) {
    return Variable{"/cost", name, of_point ? point : per_swept, f64, "1", meaning, Presence::relative_cost, no_number};
  };
  return {
      at_point("energy", "J", "energy of one inference, leakage included"),
      at_point("energy_low", "J", "lower end of its interval over the component table"),
      at_point("energy_high", "J", "upper end of its interval"),
      at_point("latency", "s", "time of one inference"),
      at_point("latency_worst", "s", "if every vector took the most bound-management rounds"),
      at_point("interval", "s", "time between inferences"),
      at_point("tops_per_W", "TOPS/W", "operations per energy; a multiply-accumulate is two"),
      at_point("tops_per_W_low", "TOPS/W", "lower end of its interval"),
      at_point("tops_per_W_high", "TOPS/W", "upper end of its interval"),
      at_point("tops_per_mm2", "TOPS/mm2", "operations per time and area of the tiles"),
      at_point("tops_per_mm2_low", "TOPS/mm2", "lower end of its interval"),
      at_point("tops_per_mm2_high", "TOPS/mm2", "upper end of its interval"),
      normalised("tops_per_W_1b", "TOPS/W", "times the bits of an input and of a weight (cost.weight_bits)"),
      normalised("tops_per_W_8b", "TOPS/W", "the same over 64: operations of 8 x 8 bits"),
      normalised("tops_per_mm2_1b", "TOPS/mm2", "times the bits of an input and of a weight (cost.weight_bits)"),
      normalised("tops_per_mm2_8b", "TOPS/mm2", "the same over 64: operations of 8 x 8 bits"),
      at_ends("energy_at_low", true, "J", "energy with this coefficient at its low end, the others nominal"),
      at_ends("energy_at_high", true, "J", "energy with this coefficient at its high end"),
      relative("energy_relative", true, "energy over that of the sweep's first point, same time and repeat"),
      relative("energy_relative_low", true, "lower end of its interval, coefficients in common"),
      relative("energy_relative_high", true, "upper end of its interval, coefficients in common"),
      fixed("area", "mm2", "area of all tiles"),
      fixed("area_low", "mm2", "lower end of its interval"),
      fixed("area_high", "mm2", "upper end of its interval"),
      at_ends("area_at_low", false, "mm2", "area with this coefficient at its low end, the others nominal"),
      at_ends("area_at_high", false, "mm2", "area with this coefficient at its high end"),
      relative("area_relative", false, "area over that of the sweep's first point"),
      relative("area_relative_low", false, "lower end of its interval, coefficients in common"),
      relative("area_relative_high", false, "upper end of its interval, coefficients in common"),
      fixed("operations", "1", "operations of one inference; a multiply-accumulate is two"),
      Variable{"/cost",
               "component_table",
               {},
               h5::ElementType::string,
               "1",
               "coefficients in force, as CSV: key,low,nominal,high,unit,source",
               Presence::cost},
      of_layer("energy", {Dim::swept, Dim::time, Dim::repeat, Dim::component}, "J",
               "energy of one inference by component", Presence::cost),
      of_layer("energy_low", point, "J", "lower end of the interval of the layer's energy", Presence::cost),
      of_layer("energy_high", point, "J", "upper end of its interval", Presence::cost),
      of_layer("latency", point, "s", "time of the layer in one inference", Presence::cost),
      of_layer("actions", {Dim::swept, Dim::time, Dim::repeat, Dim::action}, "1", "what happens in one inference",
               Presence::cost),
      of_layer("area", {Dim::swept, Dim::area_component}, "mm2", "area of the layer's tiles by component",
               Presence::analog_cost),
      of_layer("utilization", per_swept, "1", "used cells over those that are built", Presence::analog_cost),
      of_layer("input_mean", point, "1", "mean |DAC code| over the largest one; missing: assumed",
               Presence::analog_cost),
      of_layer("bit_density", point, "1", "mean fraction of ones in the bit planes; missing: assumed",
               Presence::analog_cost),
      of_layer("conductance_mean", point, "1", "mean of g+ + g- over g_max; missing: assumed", Presence::analog_cost),
  };
}

}  // namespace tessera::results
