#include "device_tables.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::Named;
using config::Range;
using config::Section;
using config::Type;

/// The rows that all converters share.
template <class C>
Section<C> converter(const std::string& name, const std::string& help) {
  Section<C> table(name, help);
  table.field("g_max", &C::g_max, {.unit = "uS", .range = Range::above(0.0), .help = "largest conductance of a device"})
      .field("g_min", &C::g_min, {.unit = "uS", .range = Range::at_least(0.0), .help = "smallest"})
      .unused("scale_ratio", "a computed value that dumps carry along");
  return table;
}

}  // namespace

Type<device::ConductanceConverter> conductance_converter() {
  using namespace device;
  const std::string factors = "significance of each pair, in the order in which they are filled";
  return config::one_of(
      "ConductanceConverter", "How a weight is split over the devices of a unit cell.",
      Named<SinglePairConductanceConverter>{
          "SinglePairConductanceConverter",
          converter<SinglePairConductanceConverter>("SinglePairConductanceConverter", "One differential pair.")},
      Named<SingleDeviceConductanceConverter>{
          "SingleDeviceConductanceConverter",
          converter<SingleDeviceConductanceConverter>("SingleDeviceConductanceConverter", "One device, no reference.")},
      Named<NPairConductanceConverter>{
          "NPairConductanceConverter",
          converter<NPairConductanceConverter>("NPairConductanceConverter", "Pairs of different significance.")
              .field("f_lst", &NPairConductanceConverter::f_lst, config::list(config::real(Range::above(0.0)), 1),
                     {.help = factors})},
      Named<DualPairConductanceConverter>{
          "DualPairConductanceConverter",
          converter<DualPairConductanceConverter>("DualPairConductanceConverter",
                                                  "Two pairs of different significance.")
              .field("f_lst", &DualPairConductanceConverter::f_lst, config::list(config::real(Range::above(0.0)), 2),
                     {.help = factors})},
      Named<CustomPairConductanceConverter>{
          "CustomPairConductanceConverter",
          converter<CustomPairConductanceConverter>("CustomPairConductanceConverter",
                                                    "Any placement of weights on pairs.")
              .field("f_lst", &CustomPairConductanceConverter::f_lst, config::list(config::real(Range::above(0.0)), 1),
                     {.help = factors})
              .field("g_lst", &CustomPairConductanceConverter::g_lst,
                     config::list(config::list(config::real(Range::at_least(0.0)), 1), 1),
                     {.unit = "uS",
                      .help = "[g+ of pair 1, g- of pair 1, ...], each a list over an even grid of weights"})});
}

}  // namespace tessera::spec
