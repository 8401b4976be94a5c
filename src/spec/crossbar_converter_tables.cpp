#include "crossbar_converter_tables.hpp"

#include "ranges.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using circuit::AdcLevels;
using circuit::AdcModel;
using circuit::AdcRange;
using circuit::AdcRangeOption;
using circuit::DacModel;
using config::choice;
using config::Node;
using config::Range;
using config::Report;
using config::Section;
using config::Type;

const Range bit_width = Range::between(0.0, 24.0);

/// {mvm: {...}} or the keys of mvm themselves.
template <class T>
Type<T> per_operation(const std::string& name, const std::string& help, const Type<T>& mvm) {
  const Type<T> pair = Section<T>(name, help)
                           .group("mvm", mvm)
                           .unused("vmm", "the transposed product of the peer")
                           .unused("match", "copies mvm to vmm in the peer");
  return {pair.info,
          [pair, mvm](const Node& node, const std::string& key, T& value, Report& report) {
            const bool pairs = node.find("mvm") != nullptr || node.find("vmm") != nullptr;
            (pairs ? pair : mvm).read(node, key, value, report);
          },
          pair};
}

void read_range(const Node& node, const std::string& key, AdcRange& range, Report& report) {
  std::vector<double> ends;
  config::list(config::real()).read(node, key, ends, report);
  if (ends.size() == 2)
    range = {ends[0], ends[1]};
  else
    report.problem(node.position, key, "a range is a pair [low, high]");
}

/// One pair, or one for each weight slice.
Type<std::vector<AdcRange>> ranges() {
  return {std::make_shared<config::TypeInfo>(),
          [](const Node& node, const std::string& key, std::vector<AdcRange>& value, Report& report) {
            std::vector<AdcRange> read;
            const bool several = node.is_list() && !node.items.empty() && node.items.front().is_list();
            if (several) {
              for (std::size_t s = 0; s < node.items.size(); ++s) {
                read.emplace_back();
                read_range(node.items[s], config::detail::index_key(key, s), read.back(), report);
              }
            } else if (!node.is_null() && !(node.is_list() && node.items.empty())) {
              read.emplace_back();
              read_range(node, key, read.back(), report);
            }
            value = std::move(read);
          },
          [](const std::vector<AdcRange>& value) {
            Node all = Node::list();
            for (const AdcRange& range : value)
              all.items.push_back(Node::list({Node::real(range.low), Node::real(range.high)}));
            return value.size() == 1 ? all.items.front() : all;
          }};
}

/// null, `optimal`, or a list of values.
Type<AdcLevels> levels() {
  return {std::make_shared<config::TypeInfo>(),
          [](const Node& node, const std::string& key, AdcLevels& value, Report& report) {
            if (node.is_null()) {
              value = std::vector<double>{};
            } else if (node.is_scalar() && node.scalar == "optimal") {
              value = circuit::OptimalLevels{};
            } else {
              std::vector<double> list;
              config::list(config::real()).read(node, key, list, report);
              value = std::move(list);
            }
          },
          [](const AdcLevels& value) {
            const auto* list = std::get_if<std::vector<double>>(&value);
            if (list == nullptr) return Node::plain("optimal");
            if (list->empty()) return Node::null();
            return config::list(config::real()).write(*list);
          }};
}

Type<circuit::AdcParameters> adc_keys() {
  using P = circuit::AdcParameters;
  return Section<P>("CrossbarADC", "The analog-to-digital converters of an array.")
      .field("model", &P::model,
             choice<AdcModel>({{"IdealADC", AdcModel::IdealADC},
                               {"QuantizerADC", AdcModel::QuantizerADC},
                               {"SignMagnitudeADC", AdcModel::SignMagnitudeADC},
                               {"RampADC", AdcModel::RampADC},
                               {"SarADC", AdcModel::SarADC, {"SARADC"}},
                               {"PipelineADC", AdcModel::PipelineADC},
                               {"CyclicADC", AdcModel::CyclicADC}}),
             {.help = "law; Ramp, Sar, Pipeline and Cyclic are circuits with mismatch"})
      .field("bits", &P::bits, {.unit = "bit", .range = bit_width, .help = "0: no conversion"})
      .field("signed", &P::is_signed, {.help = "false: MAX and GRANULAR ranges begin at 0"})
      .field("stochastic_rounding", &P::stochastic_rounding, {.help = "of QuantizerADC and SignMagnitudeADC"})
      .field("adc_per_ibit", &P::adc_per_ibit,
             {.help = "every input slice is converted and added digitally; false: charge is added, one conversion"})
      .field("adc_range_option", &P::adc_range_option,
             choice<AdcRangeOption>({{"CALIBRATED", AdcRangeOption::CALIBRATED, {"1"}},
                                     {"MAX", AdcRangeOption::MAX, {"2"}},
                                     {"GRANULAR", AdcRangeOption::GRANULAR, {"3"}}}),
             {.help = "calibrated_range; the smallest range that cannot clip; or steps of one cell and input digit"})
      .field("calibrated_range", &P::calibrated_range, ranges(),
             {.help = "[low, high] in units of one fully-on cell at full input; bit-sliced: one pair per weight slice, "
                      "LSB slice first; []: those that tessera calibrate found"})
      .field("gain_db", &P::gain_db, {.unit = "dB", .help = "gain of the amplifiers of converter circuits"})
      .field("sigma_capacitor", &P::sigma_capacitor,
             {.range = non_negative, .help = "Ramp, Sar: relative spread of the unit capacitor"})
      .field("sigma_comparator", &P::sigma_comparator,
             {.range = non_negative, .help = "spread of comparator offsets over half the range"})
      .field("symmetric_cdac", &P::symmetric_cdac, {.help = "Ramp: signed capacitor array"})
      .field("split_cdac", &P::split_cdac, {.help = "Sar: capacitor array split by a bridge"})
      .field("group_size", &P::group_size,
             {.range = Range::at_least(1.0), .help = "Sar, Pipeline, Cyclic: outputs that share a converter"})
      .field("sigma_C1", &P::sigma_C1, {.range = non_negative, .help = "Pipeline, Cyclic: spread of C1"})
      .field("sigma_C2", &P::sigma_C2, {.range = non_negative, .help = "Pipeline, Cyclic: spread of C2"})
      .field("sigma_Cpar", &P::sigma_Cpar,
             {.range = non_negative, .help = "Pipeline, Cyclic: spread of the parasitic capacitance"})
      .field(
          "levels", &P::levels, levels(),
          {.help =
               "values of the codes of a QuantizerADC, ascending, in the units of calibrated_range; optimal: Lloyd-Max "
               "levels that tessera calibrate found; null: even"})
      .field(
          "inl", &P::inl,
          {.unit = "LSB", .help = "integral nonlinearity of a QuantizerADC: shift of the threshold below every code"});
}

Type<circuit::DacParameters> dac_keys() {
  using P = circuit::DacParameters;
  return Section<P>("CrossbarDAC", "The digital-to-analog converters of the inputs.")
      .field("model", &P::model,
             choice<DacModel>({{"IdealDAC", DacModel::IdealDAC},
                               {"QuantizerDAC", DacModel::QuantizerDAC},
                               {"SignMagnitudeDAC", DacModel::SignMagnitudeDAC}}),
             {.help = "law; a signed QuantizerDAC has no level at 0"})
      .field("bits", &P::bits, {.unit = "bit", .range = bit_width, .help = "0: no conversion"})
      .field("signed", &P::is_signed, {.help = "inputs of both signs"})
      .field("input_bitslicing", &P::input_bitslicing, {.help = "inputs are sent digit by digit"})
      .field("slice_size", &P::slice_size, {.unit = "bit", .range = Range::between(1.0, 24.0), .help = "of a digit"});
}

}  // namespace

Type<circuit::DacParameters> crossbar_dac() {
  return per_operation<circuit::DacParameters>("CrossbarDACs", "By operation; the level mvm may be left out.",
                                               dac_keys());
}

Type<circuit::AdcParameters> crossbar_adc() {
  return per_operation<circuit::AdcParameters>("CrossbarADCs", "By operation; the level mvm may be left out.",
                                               adc_keys());
}

}  // namespace tessera::spec
