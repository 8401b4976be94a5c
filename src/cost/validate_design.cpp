#include <cmath>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/cost/tile_cost.hpp"

namespace tessera::cost {

namespace {

using tile::AnalogMVType;

std::string_view word_of(AnalogMVType type) {
  switch (type) {
    case AnalogMVType::IDEAL:
      return "IDEAL";
    case AnalogMVType::ONE_PASS:
      return "ONE_PASS";
    case AnalogMVType::POS_NEG_SEPARATE:
      return "POS_NEG_SEPARATE";
    case AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM:
      return "POS_NEG_SEPARATE_DIGITAL_SUM";
    case AnalogMVType::SPLIT_MODE:
      return "SPLIT_MODE";
    case AnalogMVType::BIT_WISE:
      return "BIT_WISE";
  }
  return "";
}

}  // namespace

void validate(const TileDesign& d) {
  std::vector<Problem> problems;
  const auto problem = [&](std::string key, std::string message) {
    Problem& made = problems.emplace_back();
    made.key = std::move(key);
    made.message = std::move(message);
  };
  if (!(d.node_nm > 0.0)) problem("technology", "the node must be above 0 nm");
  if (!(d.supply_V > 0.0)) problem("supply_V", "the supply must be above 0 V");
  if (d.rows < 1 || d.columns < 1) problem("tile", "a tile needs at least one row and one column");
  if (d.built_rows < d.rows || d.built_columns < d.columns)
    problem("tile", fmt::format("{} x {} lines are built, but the mapping uses {} x {}; make the tile larger, or "
                                "rpu_config.mapping.max_input_size and max_output_size smaller",
                                d.built_rows, d.built_columns, d.rows, d.columns));
  if (d.input_codes < 1 || d.adc_bits <= 0.0) problem("assume", "converters need at least one code of each sign");
  const bool one_drive = d.mv_type == AnalogMVType::ONE_PASS || d.mv_type == AnalogMVType::IDEAL;
  const bool several_levels = d.dac == DacType::pwm || d.dac == DacType::voltage;
  if (!one_drive && d.mv_type != AnalogMVType::BIT_WISE && !several_levels)
    problem("dac.type",
            d.dac == DacType::bit_serial
                ? fmt::format("bit_serial sends bit planes, which rpu_config.forward.mv_type {} has not; set mv_type "
                              "to ONE_PASS (planes are summed as charge) or BIT_WISE (each is converted), or "
                              "dac.type to pwm or voltage",
                              word_of(d.mv_type))
                : fmt::format("pulse_count drives the rows once, but rpu_config.forward.mv_type is {}; set mv_type to "
                              "ONE_PASS, or dac.type to pwm or voltage",
                              word_of(d.mv_type)));
  if (d.adc == AdcType::fixed && !d.adc_fJ)
    problem("adc.energy_fJ", "an ADC of type fixed needs the energy of a conversion");
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace tessera::cost
