#include "tessera/quant/quantization_config.hpp"

#include <algorithm>
#include <utility>
#include "tessera/core/problems.hpp"

namespace tessera::quant {

void BaseQuantConfig::set_range_estimator(RangeEstimators estimator) {
  params_ = default_params(estimator);
  range_estimator_ = estimator;
}

void BaseQuantConfig::set_range_estimator_params(const RangeEstimatorParams& params) {
  if (range_estimator_ == RangeEstimators::allminmax) {
    if (std::holds_alternative<std::monostate>(params)) return;
    throw ConfigError("range_estimator_params", "allminmax has no options; remove them");
  }
  if (!params_fit(range_estimator_, params)) {
    throw ConfigError("range_estimator_params",
                      fmt::format("options of another estimator than {}; choose the estimator "
                                  "first, then its options",
                                  to_string(range_estimator_)));
  }
  params_ = params;
}

namespace {

QuantizationManagerParameters parameters_of(const BaseQuantConfig& config, bool per_channel) {
  QuantizationManagerParameters p;
  p.quantizer.n_bits = config.n_bits;
  p.quantizer.method = config.symmetric ? QMethod::symmetric_uniform : QMethod::asymmetric_uniform;
  p.quantizer.per_channel = per_channel;
  p.init = config.range_estimator();
  p.init_params = config.range_estimator_params();
  return p;
}

bool names_or_contains(const std::string& entry, const std::string& name) {
  return name == entry || (name.size() > entry.size() && name.starts_with(entry) && name[entry.size()] == '.');
}

const QuantizedModuleKind* kind_of(const std::string& type) {
  const std::string canonical = canonical_module_type(type);
  for (const QuantizedModuleKind& kind : quantized_module_kinds()) {
    if (canonical == kind.module) return &kind;
  }
  return nullptr;
}

void check_form(Problems& problems, const std::string& key, const std::string& form, const std::string& type) {
  if (form.empty()) return;
  const QuantizedModuleKind* wanted = kind_of(form);
  if (wanted == nullptr || form != wanted->quantized_module) {
    std::vector<std::string> legal;
    for (const QuantizedModuleKind& kind : quantized_module_kinds()) legal.emplace_back(kind.quantized_module);
    const std::string near = nearest_word(form, legal);
    problems.add(key + ".quantized_module", fmt::format("unknown quantized module '{}'{}", form,
                                                        near.empty() ? "" : "; did you mean '" + near + "'?"));
  } else if (!type.empty() && canonical_module_type(type) != wanted->module) {
    problems.add(key + ".quantized_module",
                 fmt::format("{} replaces modules of type {}, not {}", form, wanted->module, type));
  }
}

}  // namespace

void validate(const ActivationQuantConfig& config, const std::string& key) {
  if (config.enabled()) validate(manager_parameters(config), key);
}

void validate(const WeightQuantConfig& config, const std::string& key) {
  if (config.enabled()) validate(manager_parameters(config), key);
}

void validate(const QuantizationConfig& config, const std::string& key) {
  Problems problems;
  problems.collect("", [&] { validate(config.activation_quant, key + ".activation_quant"); });
  problems.collect("", [&] { validate(config.weight_quant, key + ".weight_quant"); });
  problems.throw_if_any();
}

QuantizationManagerParameters manager_parameters(const ActivationQuantConfig& config) {
  return parameters_of(config, false);
}

QuantizationManagerParameters manager_parameters(const WeightQuantConfig& config) {
  return parameters_of(config, config.per_channel);
}

const std::vector<QuantizedModuleKind>& quantized_module_kinds() {
  static const std::vector<QuantizedModuleKind> kinds{
      {"QuantLinear", "Linear", true, true},
      {"QuantConv2d", "Conv2d", true, true},
      {"QuantLayerNorm", "LayerNorm", true, true},
      {"QuantEmbedding", "Embedding", true, false},
      {"QuantBatchNorm2d", "BatchNorm2d", false, true},
      {"QuantConvTranspose2d", "ConvTranspose2d", true, true},
      {"QuantLSTM", "LSTM", true, true},
      {"QuantGRU", "GRU", true, true},
      {"QuantRNN", "RNN", true, true},
  };
  return kinds;
}

std::string canonical_module_type(const std::string& type) {
  static const std::map<std::string, std::string> canonical{
      {"Gemm", "Linear"},
      {"MatMul", "Linear"},
      {"QuantLinear", "Linear"},
      {"Conv", "Conv2d"},
      {"QuantConv2d", "Conv2d"},
      {"LayerNormalization", "LayerNorm"},
      {"QuantLayerNorm", "LayerNorm"},
      {"Gather", "Embedding"},
      {"QuantEmbedding", "Embedding"},
      {"BatchNormalization", "BatchNorm2d"},
      {"QuantBatchNorm2d", "BatchNorm2d"},
      {"ConvTranspose", "ConvTranspose2d"},
      {"QuantConvTranspose2d", "ConvTranspose2d"},
      {"QuantLSTM", "LSTM"},
      {"QuantGRU", "GRU"},
      {"QuantRNN", "RNN"},
  };
  std::string name = type;
  for (const char* prefix : {"torch.", "nn."}) {
    if (name.starts_with(prefix)) name.erase(0, std::string(prefix).size());
  }
  const auto found = canonical.find(name);
  return found == canonical.end() ? name : found->second;
}

void validate(const QuantizationMap& map, const std::string& key) {
  Problems problems;
  problems.collect("", [&] { validate(map.default_qconfig, key + ".default_qconfig"); });
  std::map<std::string, std::string> seen;
  for (const auto& typed : map.module_qconfig_map) {
    const std::string& type = typed.first;
    const QuantizedModuleConfig& entry = typed.second;
    const std::string at = fmt::format("{}.module_qconfig_map.{}", key, type);
    problems.collect("", [&] { validate(entry.module_qconfig, at + ".module_qconfig"); });
    if (kind_of(type) == nullptr) {
      std::vector<std::string> legal;
      for (const QuantizedModuleKind& kind : quantized_module_kinds()) legal.emplace_back(kind.module);
      const std::string near = nearest_word(type, legal);
      problems.add(at, "modules of this type have no quantized form" +
                           (near.empty() ? fmt::format("; those of {} have", fmt::join(legal, ", "))
                                         : "; did you mean '" + near + "'?"));
    } else {
      check_form(problems, at, entry.quantized_module, type);
    }
    const auto [first, added] = seen.emplace(canonical_module_type(type), type);
    if (!added) {
      problems.add(at, fmt::format("the same type as '{}' above; keep one of them", first->second));
    }
  }
  for (const auto& named : map.instance_qconfig_map) {
    const QuantizedModuleConfig& entry = named.second;
    const std::string at = fmt::format("{}.instance_qconfig_map.{}", key, named.first);
    problems.collect("", [&] { validate(entry.module_qconfig, at + ".module_qconfig"); });
    check_form(problems, at, entry.quantized_module, "");
  }
  for (const auto& named : map.input_activation_qconfig_map) {
    const std::string at = fmt::format("{}.input_activation_qconfig_map.{}", key, named.first);
    problems.collect("", [&] { validate(named.second, at); });
  }
  problems.throw_if_any();
}

void append_default_conversions(QuantizationMap& map) {
  const auto present = [&](const std::string& type) {
    return std::any_of(map.module_qconfig_map.begin(), map.module_qconfig_map.end(),
                       [&](const auto& entry) { return canonical_module_type(entry.first) == type; });
  };
  for (const char* type : {"Linear", "LayerNorm", "Embedding", "Conv2d"}) {
    if (!present(type)) {
      map.module_qconfig_map[type] = {.quantized_module = std::string("Quant") + type,
                                      .module_qconfig = map.default_qconfig};
    }
  }
}

ResolvedQuantization resolve_quantization(const QuantizationMap& map, const std::string& name,
                                          const std::string& type) {
  ResolvedQuantization resolved;
  const bool excluded = std::any_of(map.excluded_modules.begin(), map.excluded_modules.end(),
                                    [&](const std::string& entry) { return names_or_contains(entry, name); });
  if (excluded) return resolved;

  const std::string canonical = canonical_module_type(type);
  const QuantizedModuleConfig* chosen = nullptr;
  if (const auto instance = map.instance_qconfig_map.find(name); instance != map.instance_qconfig_map.end()) {
    chosen = &instance->second;
    Problems problems;
    check_form(problems, "quantization.instance_qconfig_map." + name, chosen->quantized_module, type);
    problems.throw_if_any();
  } else {
    for (const auto& [key, entry] : map.module_qconfig_map) {
      if (canonical_module_type(key) == canonical) chosen = &entry;
    }
  }
  const QuantizedModuleKind* kind = kind_of(type);
  if (chosen != nullptr && chosen->module_qconfig.enabled()) {
    if (kind == nullptr) {
      throw ConfigError(
          "quantization.instance_qconfig_map." + name,
          fmt::format("modules of type {} have no quantized form; quantize its input or exclude it", type));
    }
    const QuantizationConfig& config = chosen->module_qconfig;
    if (kind->weight && config.weight_quant.enabled()) resolved.weight = config.weight_quant;
    if (kind->activation && config.activation_quant.enabled()) resolved.activation = config.activation_quant;
  }
  const auto input = map.input_activation_qconfig_map.find(name);
  if (input != map.input_activation_qconfig_map.end() && input->second.enabled()) {
    resolved.input_activation = input->second;
  }
  return resolved;
}

std::vector<std::string> unmatched_names(const QuantizationMap& map, const std::vector<std::string>& module_names) {
  std::vector<std::string> unmatched;
  const auto check = [&](const std::string& entry, bool parents) {
    const bool known = std::any_of(module_names.begin(), module_names.end(), [&](const std::string& name) {
      return parents ? names_or_contains(entry, name) : name == entry;
    });
    if (!known) unmatched.push_back(entry);
  };
  for (const auto& entry : map.instance_qconfig_map) check(entry.first, false);
  for (const auto& entry : map.input_activation_qconfig_map) check(entry.first, false);
  for (const std::string& entry : map.excluded_modules) check(entry, true);
  return unmatched;
}

}  // namespace tessera::quant
