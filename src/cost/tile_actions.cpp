#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/cost/tile_cost.hpp"
#include "tile_laws.hpp"

namespace tessera::cost {

using tile::AnalogMVType;

int bits_of_codes(double count) {
  // 2 n + 1 codes never are a power of two but for rounding of a given width: 8.0 bits are 8.
  return static_cast<int>(std::ceil(std::log2(count) - 1e-9));
}

int input_planes(const TileDesign& design) {
  const int bits = bits_of_codes(static_cast<double>(design.input_codes) + 1.0);
  return (bits + design.slice_bits - 1) / design.slice_bits;
}

bool sends_planes(const TileDesign& design) {
  return design.dac == DacType::bit_serial || design.mv_type == AnalogMVType::BIT_WISE;
}

Drives drives_of(const TileDesign& design) {
  const auto n = static_cast<double>(design.input_codes);
  switch (design.mv_type) {
    case AnalogMVType::BIT_WISE:
      return {.count = input_planes(design), .conversions = input_planes(design), .ticks = {1.0, 1.0}, .planes = true};
    case AnalogMVType::POS_NEG_SEPARATE:
      return {.count = 2, .conversions = 1, .ticks = {n, n}, .signs = true};
    case AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM:
      return {.count = 2, .conversions = 2, .ticks = {n, n}, .signs = true};
    case AnalogMVType::SPLIT_MODE: {
      const double base = std::ldexp(1.0, design.split_bits);
      return {.count = 2, .conversions = 2, .ticks = {base - 1.0, std::floor(n / base)}};
    }
    case AnalogMVType::IDEAL:
    case AnalogMVType::ONE_PASS:
      if (sends_planes(design))
        return {.count = input_planes(design), .conversions = 1, .ticks = {1.0, 1.0}, .planes = true};
      return {.count = 1, .conversions = 1, .ticks = {n, 0.0}};
  }
  return {};
}

double Drives::tick_sum() const {
  return planes ? static_cast<double>(count) : ticks[0] + ticks[1];
}

PeripheryWidths periphery_widths(const TileDesign& design) {
  PeripheryWidths widths;
  widths.input = bits_of_codes(2.0 * static_cast<double>(design.input_codes) + 1.0);
  widths.output = static_cast<int>(std::ceil(design.adc_bits - 1e-9));
  widths.sum = widths.output + (drives_of(design).conversions > 1 ? widths.input : 0) +
               (design.weight_slices - 1) * design.weight_slice_bits;
  const int tiles = bits_of_codes(static_cast<double>(design.row_tiles));
  widths.accumulator =
      design.accumulator_bits > 0 ? design.accumulator_bits : widths.sum + design.scale_bits + tiles + 1;
  if (design.activation_bits > 0)
    widths.result = design.activation_bits;
  else
    widths.result = design.scale_bits > 0 ? widths.output : 32;
  return widths;
}

TileActions tile_actions(const TileDesign& design, const ComponentValues& values) {
  const Drives drives = drives_of(design);
  const double x = design.input_mean.value_or(values[Component::activity_x_mean]);
  const double density = design.bit_density.value_or(values[Component::activity_bit_density]);
  const double on_ns = design.on_ns.value_or(design.settle_ns);
  const bool counting = design.adc == AdcType::counting;

  TileActions actions;
  actions.drives = drives.count;
  actions.tick_sum = drives.tick_sum();
  actions.conversions = drives.conversions;

  // In the encodings by sign a row is on in one of its two drives.
  const double active_drives = drives.signs ? 1.0 : static_cast<double>(drives.count);
  if (drives.planes)
    actions.conduction_ns = active_drives * on_ns * density;
  else if (design.dac == DacType::voltage)
    actions.conduction_ns = active_drives * on_ns * x;
  else if (design.mv_type == AnalogMVType::SPLIT_MODE)  // low digits are as good as random
    actions.conduction_ns = design.tick_ns * (0.5 * drives.ticks[0] + x * drives.ticks[1]);
  else
    actions.conduction_ns = design.tick_ns * actions.tick_sum * x / (drives.signs ? 2.0 : 1.0);

  actions.switching = active_drives * (drives.planes ? density : 1.0);
  if (design.cell == CellType::bitline && design.dac == DacType::pulse_count) actions.switching *= actions.tick_sum * x;

  if (design.row_activity)
    actions.row_rises = static_cast<double>(drives.count) * *design.row_activity;
  else if (drives.planes)
    actions.row_rises = active_drives * density;
  else if (design.dac == DacType::pulse_count && !drives.signs)
    actions.row_rises = actions.tick_sum * x;
  else
    actions.row_rises = active_drives;

  const std::int64_t slices = design.weight_slices;
  const auto up = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  actions.reads = design.rounds * static_cast<double>(design.phases);
  actions.converters = up(design.built_columns * slices, design.columns_per_converter);
  actions.groups = up(design.columns * slices, actions.converters);
  actions.integrations = counting ? actions.groups : 1;

  const auto rows = static_cast<double>(design.rows);
  const auto columns = static_cast<double>(design.columns);
  actions.dac_conversions = rows * actions.reads;
  actions.row_pulses = rows * actions.row_rises * actions.reads * static_cast<double>(actions.integrations);
  actions.adc_conversions = columns * static_cast<double>(slices * actions.conversions) * actions.reads;

  const PeripheryWidths widths = periphery_widths(design);
  const auto row_tiles = static_cast<double>(design.row_tiles);
  const double result_bits = columns * widths.result / row_tiles;
  if (design.buffered)
    actions.buffer_bits = rows * widths.input * (design.input_writes + design.input_reads) + result_bits;
  if (design.networked) {
    const double partial = widths.sum + (design.scale_bits > 0 ? design.scale_bits : 32);
    actions.network_bits = rows * widths.input + columns * partial * (row_tiles - 1.0) / row_tiles + result_bits;
  }
  return actions;
}

namespace {

/// The time of one vector that takes `reads` rounds times phases.
TimeBreakdown time_of(const TileDesign& design, const TileActions& actions, double reads,
                      const ComponentValues& values) {
  const Drives drives = drives_of(design);
  const bool settles = drives.planes || design.dac == DacType::voltage;
  TimeBreakdown time;
  if (design.adc == AdcType::counting) {
    const double count_ns = values[Component::adc_count_ns] * std::exp2(design.adc_bits);
    double sum = 0.0;
    for (int i = 0; i < drives.count; ++i) {
      const double drive =
          settles ? design.settle_ns : drives.ticks[static_cast<std::size_t>(std::min(i, 1))] * design.tick_ns;
      sum += std::max(drive, count_ns);
    }
    time.analog_ns = reads * static_cast<double>(actions.groups) * sum;
  } else {
    if (drives.planes && design.plane_steps == PlaneSteps::binary)
      time.analog_ns = reads * (std::exp2(drives.count) - 1.0) * design.settle_ns;
    else if (settles)
      time.analog_ns = reads * drives.count * design.settle_ns;
    else
      time.analog_ns = reads * actions.tick_sum * design.tick_ns;
    time.conversion_ns = reads * actions.conversions * static_cast<double>(actions.groups) * 1e3 / design.rate_MSps;
  }
  if (design.periphery)
    time.digital_ns =
        std::ceil(static_cast<double>(design.columns) / static_cast<double>(design.lanes)) / design.clock_GHz;
  time.vector_ns = time.analog_ns + time.conversion_ns + time.digital_ns;
  time.interval_ns = design.overlap ? std::max({time.analog_ns, time.conversion_ns, time.digital_ns}) : time.vector_ns;
  return time;
}

}  // namespace

TimeBreakdown tile_time(const TileDesign& design, const TileActions& actions, const ComponentValues& values) {
  return time_of(design, actions, actions.reads, values);
}

TimeBreakdown worst_tile_time(const TileDesign& design, const TileActions& actions, const ComponentValues& values) {
  const double rounds = std::max(design.rounds, design.worst_rounds);
  return time_of(design, actions, rounds * static_cast<double>(design.phases), values);
}

}  // namespace tessera::cost
