#pragma once
#include <map>
#include <string>

#include "tessera/circuit/parameters.hpp"
#include "tessera/config/document.hpp"

/// The parameters of a golden case: JSON with dotted names.
namespace tessera::circuit::testing {

template <class E>
E enumerator(const std::string& name, const std::map<std::string, E>& names) {
  const auto at = names.find(name);
  if (at == names.end()) throw InputError("golden file: unknown enumerator " + name);
  return at->second;
}

inline std::vector<AdcRange> read_ranges(const config::Node& node) {
  std::vector<AdcRange> ranges;
  if (node.is_null()) return ranges;
  if (node.items.front().is_list()) {
    for (const config::Node& pair : node.items)
      ranges.push_back({std::stod(pair.items.at(0).scalar), std::stod(pair.items.at(1).scalar)});
  } else {
    ranges.push_back({std::stod(node.items.at(0).scalar), std::stod(node.items.at(1).scalar)});
  }
  return ranges;
}

/// Sets one value; the name must be known, so that a new one in another file is noticed.
inline void set_parameter(CrossbarParameters& p, const std::string& name, const config::Node& node) {
  const auto number = [&] { return std::stod(node.scalar); };
  const auto integer = [&] { return std::stoi(node.scalar); };
  const auto boolean = [&] { return node.scalar == "true"; };
  const auto optional = [&] { return node.is_null() ? std::optional<double>() : std::optional<double>(number()); };
  const auto strategy = [&] {
    return enumerator<PartitionStrategy>(node.scalar,
                                         {{"MAX", PartitionStrategy::MAX}, {"EQUAL", PartitionStrategy::EQUAL}});
  };
  CoreParameters& core = p.core;
  if (name == "core.style")
    core.style = enumerator<CoreStyle>(
        node.scalar,
        {{"BALANCED", CoreStyle::BALANCED}, {"BITSLICED", CoreStyle::BITSLICED}, {"OFFSET", CoreStyle::OFFSET}});
  else if (name == "core.rows_max")
    core.rows_max = integer();
  else if (name == "core.cols_max")
    core.cols_max = integer();
  else if (name == "core.weight_bits")
    core.weight_bits = integer();
  else if (name == "core.balanced.style")
    core.balanced.style = enumerator<BalancedStyle>(
        node.scalar, {{"ONE_SIDED", BalancedStyle::ONE_SIDED}, {"TWO_SIDED", BalancedStyle::TWO_SIDED}});
  else if (name == "core.balanced.interleaved_posneg")
    core.balanced.interleaved_posneg = boolean();
  else if (name == "core.balanced.subtract_current_in_xbar")
    core.balanced.subtract_current_in_xbar = boolean();
  else if (name == "core.bit_sliced.style")
    core.bit_sliced.style = enumerator<BitSlicedStyle>(
        node.scalar, {{"BALANCED", BitSlicedStyle::BALANCED}, {"OFFSET", BitSlicedStyle::OFFSET}});
  else if (name == "core.bit_sliced.num_slices")
    core.bit_sliced.num_slices = integer();
  else if (name == "core.offset.style")
    core.offset.style =
        enumerator<OffsetStyle>(node.scalar, {{"DIGITAL_OFFSET", OffsetStyle::DIGITAL_OFFSET},
                                              {"UNIT_COLUMN_SUBTRACTION", OffsetStyle::UNIT_COLUMN_SUBTRACTION}});
  else if (name == "core.mapping.weights.percentile")
    core.weights.percentile = optional();
  else if (name == "core.mapping.weights.min")
    core.weights.min = optional();
  else if (name == "core.mapping.weights.max")
    core.weights.max = optional();
  else if (name == "core.mapping.weights.clipping")
    core.weights.clipping = boolean();
  else if (name == "core.mapping.weights.row_partition_strategy")
    core.weights.row_partition_strategy = strategy();
  else if (name == "core.mapping.weights.col_partition_strategy")
    core.weights.col_partition_strategy = strategy();
  else if (name == "core.mapping.inputs.mvm.min")
    core.inputs.min = number();
  else if (name == "core.mapping.inputs.mvm.max")
    core.inputs.max = number();
  else if (name == "core.mapping.inputs.mvm.percentile")
    core.inputs.percentile = optional();
  else if (name == "xbar.device.Rmin")
    p.device.Rmin = number();
  else if (name == "xbar.device.Rmax")
    p.device.Rmax = number();
  else if (name == "xbar.device.infinite_on_off_ratio")
    p.device.infinite_on_off_ratio = boolean();
  else if (name == "xbar.device.cell_bits")
    p.device.cell_bits = integer();
  else if (name == "xbar.array.Icol_max")
    p.array.Icol_max = number();
  else if (name == "xbar.dac.mvm.model")
    p.dac.model = enumerator<DacModel>(node.scalar, {{"IdealDAC", DacModel::IdealDAC},
                                                     {"QuantizerDAC", DacModel::QuantizerDAC},
                                                     {"SignMagnitudeDAC", DacModel::SignMagnitudeDAC}});
  else if (name == "xbar.dac.mvm.bits")
    p.dac.bits = integer();
  else if (name == "xbar.dac.mvm.signed")
    p.dac.is_signed = boolean();
  else if (name == "xbar.dac.mvm.input_bitslicing")
    p.dac.input_bitslicing = boolean();
  else if (name == "xbar.dac.mvm.slice_size")
    p.dac.slice_size = integer();
  else if (name == "xbar.adc.mvm.model")
    p.adc.model = enumerator<AdcModel>(node.scalar, {{"IdealADC", AdcModel::IdealADC},
                                                     {"QuantizerADC", AdcModel::QuantizerADC},
                                                     {"SignMagnitudeADC", AdcModel::SignMagnitudeADC}});
  else if (name == "xbar.adc.mvm.bits")
    p.adc.bits = integer();
  else if (name == "xbar.adc.mvm.signed")
    p.adc.is_signed = boolean();
  else if (name == "xbar.adc.mvm.adc_per_ibit")
    p.adc.adc_per_ibit = boolean();
  else if (name == "xbar.adc.mvm.adc_range_option")
    p.adc.adc_range_option = enumerator<AdcRangeOption>(node.scalar, {{"CALIBRATED", AdcRangeOption::CALIBRATED},
                                                                      {"MAX", AdcRangeOption::MAX},
                                                                      {"GRANULAR", AdcRangeOption::GRANULAR}});
  else if (name == "xbar.adc.mvm.calibrated_range")
    p.adc.calibrated_range = read_ranges(node);
  else
    throw InputError("golden file: unknown parameter " + name);
}

inline CrossbarParameters read_parameters(const std::string& defaults, const std::string& differing) {
  CrossbarParameters p;
  p.compat.adc_range_rule = AdcRangeRule::CROSSSIM;
  p.compat.partition_sizes = PartitionSizes::CROSSSIM;
  for (const std::string& text : {defaults, differing}) {
    const config::Node node = config::parse(text, {.name = "crossbar.h5", .directory = {}});
    for (const config::Node::Entry& entry : node.entries) set_parameter(p, entry.key, entry.value);
  }
  return p;
}

}  // namespace tessera::circuit::testing
