#include "cost_tables.hpp"

#include "ranges.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Node;
using config::Range;
using config::Report;
using config::Section;
using config::Type;
using namespace cost;  // NOLINT(google-build-using-namespace): tables name its structs throughout

const Range count = Range::between(1.0, 1e9);

Type<std::optional<double>> given(const Range& range) {
  return config::optional(config::real(range));
}

Type<ArrayParameters> array_parameters() {
  using P = ArrayParameters;
  return Section<P>("CostArrayParameters", "The cells.")
      .field("cell", &P::cell,
             choice<CellType>({{"resistive", CellType::resistive},
                               {"capacitive", CellType::capacitive},
                               {"bitline", CellType::bitline}}),
             {.help = "PCM or ReRAM that conducts; SRAM that shares charge; SRAM that discharges a line"})
      .field("devices", &P::devices, {.range = count, .help = "per weight"})
      .field("bits", &P::bits, {.unit = "bit", .range = Range::between(1.0, 32.0), .help = "of a weight in SRAM cells"})
      .field("g_max_uS", &P::g_max_uS, given(positive),
             {.unit = "uS", .help = "null: that of the noise model, 25 without one"})
      .field("v_read_V", &P::v_read_V, {.unit = "V", .range = positive, .help = "across a resistive cell"})
      .field("v_supply_V", &P::v_supply_V, given(positive),
             {.unit = "V", .help = "what delivers the cells' current; null: supply_V"})
      .field("v_cell_V", &P::v_cell_V, given(positive), {.unit = "V", .help = "swing of SRAM cells; null: supply_V"})
      .field("cell_um2", &P::cell_um2, given(positive),
             {.unit = "um2", .help = "area of a weight; null: from cell.area_F2 or cell.sram_F2"});
}

Type<DacParameters> dac_parameters() {
  using P = DacParameters;
  return Section<P>("CostDacParameters", "What drives the rows.")
      .field("type", &P::type,
             choice<DacType>({{"pwm", DacType::pwm},
                              {"pulse_count", DacType::pulse_count},
                              {"voltage", DacType::voltage},
                              {"bit_serial", DacType::bit_serial}}),
             {.help = "a pulse as long as the code; as many pulses; a voltage; bit by bit (mv_type ONE_PASS or "
                      "BIT_WISE)"})
      .field("tick_ns", &P::tick_ns, {.unit = "ns", .range = positive, .help = "pwm, pulse_count: one step of a code"})
      .field("settle_ns", &P::settle_ns, {.unit = "ns", .range = positive, .help = "of a voltage or a bit plane"})
      .field("on_ns", &P::on_ns, given(non_negative),
             {.unit = "ns", .help = "how long the cells conduct of it; null: all the time"})
      .field("row_activity", &P::row_activity, given(non_negative),
             {.help = "rises of a row line per drive; null: those of the encoding"})
      .field("plane_steps", &P::plane_steps,
             choice<PlaneSteps>({{"one", PlaneSteps::one}, {"binary", PlaneSteps::binary}}),
             {.help = "a bit plane takes one settling time, or 2^k for bit k"})
      .field("v_line_V", &P::v_line_V, given(positive), {.unit = "V", .help = "swing of a row line; null: supply_V"})
      .field("lines_per_row", &P::lines_per_row, {.range = count, .help = "driven together"});
}

Type<AdcParameters> adc_parameters() {
  using P = AdcParameters;
  return Section<P>("CostAdcParameters", "What converts the columns. Bits are those of rpu_config.forward.out_res.")
      .field("type", &P::type,
             choice<AdcType>({{"sar", AdcType::sar},
                              {"walden", AdcType::walden},
                              {"counting", AdcType::counting},
                              {"flash", AdcType::flash},
                              {"fixed", AdcType::fixed}}),
             {.help = "law of its energy, time and area; counting: ramp or oscillator; fixed: energy_fJ"})
      .field("columns", &P::columns, {.range = count, .help = "per converter, one after another"})
      .field("rate_MSps", &P::rate_MSps, {.unit = "MS/s", .range = positive, .help = "conversions; not of counting"})
      .field("enob_loss", &P::enob_loss,
             {.unit = "bit", .range = non_negative, .help = "sar, walden: nominal minus effective bits"})
      .field("energy_fJ", &P::energy_fJ, given(non_negative), {.unit = "fJ", .help = "of a conversion; null: the law"})
      .field("area_um2", &P::area_um2, given(non_negative), {.unit = "um2", .help = "of a converter; null: the law"});
}

Type<DigitalParameters> digital_parameters() {
  using P = DigitalParameters;
  return Section<P>("CostDigitalParameters", "Digital periphery of the tiles, and layers that stay digital.")
      .field("periphery", &P::periphery, {.help = "false: tiles hand out their codes; scale, bias, sums not counted"})
      .field("lanes", &P::lanes, {.range = count, .help = "columns of a tile at a time"})
      .field("clock_GHz", &P::clock_GHz,
             {.unit = "GHz", .range = positive, .help = "of the periphery and of digital layers"})
      .field("digital_lanes", &P::digital_lanes,
             {.range = count, .help = "multiply-accumulates of digital layers at a time"});
}

Type<BufferParameters> buffer_parameters() {
  using P = BufferParameters;
  return Section<P>("CostBufferParameters", "SRAM beside every tile.")
      .field("size_kB", &P::size_kB, {.unit = "kB", .range = positive, .help = "of a tile's memory"})
      .field("access_kB", &P::access_kB, given(positive),
             {.unit = "kB", .help = "size of the memory that is accessed; null: size_kB"});
}

/// A number or `auto`.
Type<std::optional<double>> number_or_auto(const Range& range) {
  const Type<std::optional<double>> number = given(range);
  return {number.info,
          [number](const Node& node, const std::string& key, std::optional<double>& value, Report& report) {
            if (node.is_scalar() && !node.quoted && node.scalar == "auto")
              value.reset();
            else
              number.read(node, key, value, report);
          },
          number};
}

Type<InterconnectParameters> network_parameters() {
  using P = InterconnectParameters;
  return Section<P>("CostNetworkParameters", "Wires and routers between tiles.")
      .field("hop_mm", &P::hop_mm, number_or_auto(non_negative),
             {.unit = "mm", .help = "a value's way; auto or null: the edge of a tile"});
}

Type<AssumedBits> assumed_bits() {
  using P = AssumedBits;
  const Type<std::optional<int>> bits = config::optional(config::integer<int>(Range::between(2.0, 24.0)));
  return Section<P>("CostAssumedBits", "What stands for a quantizer that is off: it has no hardware.")
      .field("inp_bits", &P::inp_bits, bits, {.unit = "bit", .help = "of a DAC code, with its sign"})
      .field("out_bits", &P::out_bits, bits, {.unit = "bit", .help = "of an ADC code, with its sign"});
}

/// The keys that may differ between layers, for a struct in which `access` finds them.
template <class T, class Access>
void add_hardware(Section<T>& table, Access access) {
  const auto part = [access](auto member) {
    return [ access, member ](auto& value) -> auto& {
      return access(value).*member;
    };
  };
  using P = HardwareParameters;
  table
      .field("technology", part(&P::technology), config::real(positive),
             {.unit = "nm", .help = "node; the technology table has 7 to 130 nm"})
      .field("supply_V", part(&P::supply_V), given(positive), {.unit = "V", .help = "null: the node's"})
      .field("tile", part(&P::tile), config::list(config::integer<std::int64_t>(count)),
             {.help = "rows and columns that are built; []: mapping.max_input_size and max_output_size"})
      .field("array", part(&P::array), array_parameters())
      .field("dac", part(&P::dac), dac_parameters())
      .field("adc", part(&P::adc), adc_parameters())
      .field("digital", part(&P::digital), digital_parameters())
      .field("buffer", part(&P::buffer), config::optional(buffer_parameters()), {.help = "null: not counted"})
      .field("network", part(&P::network), config::optional(network_parameters()), {.help = "null: not counted"})
      .field("phases", part(&P::phases), config::integer<int>(Range::between(1.0, 64.0)),
             {.help = "reads of every drive; 4: input sign times weight sign, each with its own integration"})
      .field("overlap", part(&P::overlap), config::boolean(),
             {.help = "a vector is driven while the one before is converted and scaled"})
      .field("assume", part(&P::assume), assumed_bits());
}

Type<Coefficient> interval_keys() {
  using P = Coefficient;
  return Section<P>("CostCoefficient", "A coefficient with its interval; a number alone has none.")
      .field("low", &P::low, {.range = non_negative, .help = "lower end, at most nominal", .required = true})
      .field("nominal", &P::nominal, {.range = non_negative, .help = "what is counted with", .required = true})
      .field("high", &P::high, {.range = non_negative, .help = "upper end, at least nominal", .required = true});
}

}  // namespace

Type<Coefficient> coefficient() {
  const Type<Coefficient> table = interval_keys();
  const Type<double> number = config::real(non_negative);
  auto info = std::make_shared<config::TypeInfo>(*table.info);
  info->scalar_allowed = true;
  info->element = number.info;
  return {info,
          [table, number](const Node& node, const std::string& key, Coefficient& value, Report& report) {
            if (!node.is_scalar()) {
              const std::size_t before = report.problems().size();
              table.read(node, key, value, report);
              if (report.problems().size() != before) return;
              try {
                validate(key, value);
              } catch (const ConfigError& error) {
                report.problem(node.position, key, error.problems().front().message);
              }
              return;
            }
            number.read(node, key, value.nominal, report);
            value.low = value.high = value.nominal;
          },
          [table, number](const Coefficient& value) {
            return value.low == value.high ? number.write(value.nominal) : table.write(value);
          }};
}

Type<ComponentRows> component_rows_type() {
  const Type<ComponentRows> map = config::map_of(coefficient());
  return {map.info,
          [map](const Node& node, const std::string& key, ComponentRows& value, Report& report) {
            for (const Node::Entry& entry : node.entries) {
              if (find_component(entry.key)) continue;
              const std::string near = nearest_word(entry.key, component_keys());
              report.problem(entry.position, key.empty() ? entry.key : key + "." + entry.key,
                             near.empty() ? std::string("unknown component; `tessera cost --table` lists them")
                                          : fmt::format("unknown component; did you mean '{}'?", near));
            }
            map.read(node, key, value, report);
          },
          map};
}

namespace {

std::shared_ptr<const config::TypeInfo> preset_words() {
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::choice;
  info->words = preset_names();
  info->nullable = true;
  return info;
}

void start_from_hardware(const Node& node, const std::string& key, CostParameters& value, Report& report) {
  if (node.is_null()) return;
  if (!node.is_scalar()) {
    report.problem(node.position, key, fmt::format("expected the name of a preset, got {}", describe(node)));
    return;
  }
  try {
    value = preset(node.scalar);
  } catch (const ConfigError& error) {
    for (const Problem& problem : error.problems()) report.problem(node.position, key, problem.message);
  }
}

Type<CalibrationFactors> calibration_factors() {
  using P = CalibrationFactors;
  return Section<P>("CostCalibration", "Factors by which a model meets its chip; they cancel in ratios.")
      .field("energy", &P::energy, {.range = positive, .help = "of all energy but leakage"})
      .field("area", &P::area, {.range = positive, .help = "of the area of all tiles"});
}

}  // namespace

Type<CostParameters> cost_parameters() {
  using P = CostParameters;
  Section<P> table(
      "CostParameters",
      "What the hardware is built like, for energy, latency and area (docs/guide/cost.md). Bits, encodings, "
      "mapping and periphery are those of rpu_config.");
  table.action("preset", preset_words(), {.help = "a named start; the keys beside it are read over it"},
               start_from_hardware);
  add_hardware(
      table, [](auto& value) -> auto& { return value.hardware; });
  table
      .field("pipeline", &P::pipeline, choice<Pipeline>({{"none", Pipeline::none}, {"layers", Pipeline::layers}}),
             {.help = "layers: each works on an inference of its own"})
      .field("gated", &P::gated, {.help = "tiles leak only while their layer works"})
      .field("copies", &P::copies, config::map_of(config::integer<std::int64_t>(count)),
             {.help = "patterns of layer names: how often the layer's tiles are built; copies share the vectors"})
      .field("activity", &P::activity,
             config::optional(choice<Activity>({{"measured", Activity::measured}, {"assumed", Activity::assumed}})),
             {.help = "inputs, conductances and rounds of the run, or activity.* of the component table; null: "
                      "measured in run and sweep, assumed without data"})
      .field("weight_bits", &P::weight_bits, config::optional(config::integer<int>(Range::between(1.0, 32.0))),
             {.unit = "bit",
              .help = "analog weights have none; given: efficiencies also by bits (1b: times the bits of "
                      "an input and of a weight; 8b: that over 64)"})
      .field("calibrations_per_day", &P::calibrations_per_day,
             {.unit = "1/day", .range = non_negative, .help = "read-outs of all tiles for drift compensation"})
      .field("inferences_per_programming", &P::inferences_per_programming, given(positive),
             {.help = "programming is shared by so many; null: not amortised"})
      .field("component_table", &P::component_table, config::path_or_null(),
             {.help = "rows key,low,nominal,high (CSV) or key: value (YAML) over the built-in table"})
      .field("components", &P::components, component_rows_type(),
             {.help = "numbers or {low, nominal, high} over both; `tessera cost --table` lists the keys"})
      .field("calibration", &P::calibration, calibration_factors())
      .check([](const P& p) { validate(p); });
  const Type<P> type = table;
  return {type.info,
          [type](const Node& node, const std::string& key, P& value, Report& report) {
            const std::size_t before = report.problems().size();
            type.read(node, key, value, report);
            if (report.problems().size() != before) return;
            value.file_rows.clear();
            if (!value.component_table.empty())
              value.file_rows =
                  read_component_file(value.component_table, config::locate(node, "component_table"), report);
          },
          type};
}

const Type<HardwareParameters>& hardware_keys() {
  static const Type<HardwareParameters> type = [] {
    Section<HardwareParameters> table(
        "CostLayerParameters", "Keys of `cost:` that may differ between layers, read over those of the network.");
    add_hardware(
        table, [](auto& value) -> auto& { return value; });
    return Type<HardwareParameters>(table);
  }();
  return type;
}

}  // namespace tessera::spec
