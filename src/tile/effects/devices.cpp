#include "tile/effects/law.hpp"

// What becomes of weights on devices; the laws are module device's.
namespace tessera::tile {
namespace {

bool on_devices(const AnalogParameters& p) {
  return p.device.has_value() || p.written_device.has_value();
}

void leave_out(AnalogParameters& p) {
  p.device.reset();
  p.written_device.reset();
  p.drift_compensation.reset();
  p.fault_map.clear();
}

void take_over(const AnalogParameters& from, AnalogParameters& to) {
  to.device = from.device;
  to.written_device = from.written_device;
  to.drift_compensation = from.drift_compensation;
  to.fault_map = from.fault_map;
}

}  // namespace

std::vector<Effect> devices() {
  return {{.name = "programming",
           .place = 30,
           .page = "device_life_cycle.md",
           .law = "W -> W_p, programming noise",
           .keys = {{.key = "noise_model"}},
           .with_perfect_product = true,
           .is_on = on_devices,
           .leave_out = leave_out,
           .take_over = take_over},
          {.name = "programming and drift",
           .place = 31,
           .page = "device_life_cycle.md",
           .law = "W_p -> W(t), drift, read noise, compensation",
           .keys = {{.key = "evaluation.times"}},
           .with_perfect_product = true,
           .over_time = true,
           .is_on = on_devices,
           .take_over = take_over}};
}

}  // namespace tessera::tile
