#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tessera/quant/quantization_manager.hpp"

/// What is quantized where in a network: digital low precision (quantization reference, sections C.2 to C.5).
namespace tessera::quant {

/// Fields common to activations and weights. The estimator and its options are kept in step: choosing an estimator
/// replaces the options by its defaults; options of another estimator are refused.
struct BaseQuantConfig {
  int n_bits = 0;         ///< <= 0: no quantization
  bool symmetric = true;  ///< symmetric or asymmetric uniform quantizer; only matters with n_bits > 0

  RangeEstimators range_estimator() const { return range_estimator_; }
  const RangeEstimatorParams& range_estimator_params() const { return params_; }
  void set_range_estimator(RangeEstimators estimator);
  /// ConfigError when the options belong to another estimator (cross-entropy options fit MSE), or for any options with
  /// allminmax.
  void set_range_estimator_params(const RangeEstimatorParams& params);
  bool enabled() const { return n_bits > 0; }

  bool operator==(const BaseQuantConfig&) const = default;

 protected:
  explicit BaseQuantConfig(RangeEstimators estimator) { set_range_estimator(estimator); }

 private:
  RangeEstimators range_estimator_ = RangeEstimators::current_minmax;
  RangeEstimatorParams params_;
};

/// Of a layer's OUTPUT (its input counts as quantized by the layer before); one range per tensor.
struct ActivationQuantConfig : BaseQuantConfig {
  ActivationQuantConfig() : BaseQuantConfig(RangeEstimators::running_minmax) {}
  bool operator==(const ActivationQuantConfig&) const = default;
};

/// Of a layer's weight; per_channel: one range per index of dimension 0 (output).
struct WeightQuantConfig : BaseQuantConfig {
  WeightQuantConfig() : BaseQuantConfig(RangeEstimators::current_minmax) {}
  bool per_channel = false;
  bool operator==(const WeightQuantConfig&) const = default;
};

struct QuantizationConfig {
  ActivationQuantConfig activation_quant;
  WeightQuantConfig weight_quant;
  /// Whether it changes anything.
  bool enabled() const { return activation_quant.enabled() || weight_quant.enabled(); }
  bool operator==(const QuantizationConfig&) const = default;
};

/// Throws ConfigError naming every value out of range.
void validate(const ActivationQuantConfig& config, const std::string& key = "activation_quant");
void validate(const WeightQuantConfig& config, const std::string& key = "weight_quant");
void validate(const QuantizationConfig& config, const std::string& key = "qconfig");

/// The manager of a configured tensor (C.4): scale domain linear, options passed on to the estimator. Only for
/// enabled() configurations.
QuantizationManagerParameters manager_parameters(const ActivationQuantConfig& config);
QuantizationManagerParameters manager_parameters(const WeightQuantConfig& config);

/// The layer types that have a quantized form (C.3) and what of them is quantized. The bias never is.
///
/// | module      | operators                          | quantized            |
/// |-------------|------------------------------------|----------------------|
/// | Linear      | Gemm, MatMul                       | weight, output       |
/// | Conv2d      | Conv                               | weight, output       |
/// | LayerNorm   | LayerNormalization                 | gain (if any), output |
/// | Embedding   | Gather with a constant table       | table                |
/// | BatchNorm2d | BatchNormalization                 | output               |
/// | ConvTranspose2d | ConvTranspose                  | weight, output (beyond the peer) |
/// | LSTM, GRU, RNN | the same                        | weights W and R, output sequence (beyond the peer) |
///
/// Batch normalization is not folded into anything by quantization.
struct QuantizedModuleKind {
  const char* quantized_module;  ///< e.g. "QuantLinear"
  const char* module;            ///< e.g. "Linear"
  bool weight;                   ///< weights are quantized
  bool activation;               ///< the output is quantized
};
const std::vector<QuantizedModuleKind>& quantized_module_kinds();
/// "Linear" for "Linear", "nn.Linear", "QuantLinear", "Gemm" and "MatMul"; other types unchanged.
std::string canonical_module_type(const std::string& type);

/// How a module is replaced: the quantized form and its configuration. An empty name stands for the module's own
/// quantized form.
struct QuantizedModuleConfig {
  std::string quantized_module;
  QuantizationConfig module_qconfig;
  bool operator==(const QuantizedModuleConfig&) const = default;
};

/// What to quantize in a whole network. Types are canonical or operator names, modules are named as in the model.
/// Precedence (C.5): excluded_modules over instance_qconfig_map over module_qconfig_map; input_activation_qconfig_map
/// on top of any of the last two. default_qconfig is used by append_default_conversions only.
struct QuantizationMap {
  QuantizationConfig default_qconfig;
  std::map<std::string, QuantizedModuleConfig> module_qconfig_map;
  std::map<std::string, QuantizedModuleConfig> instance_qconfig_map;
  std::map<std::string, ActivationQuantConfig> input_activation_qconfig_map;
  std::vector<std::string> excluded_modules;
  bool operator==(const QuantizationMap&) const = default;
};

/// ConfigError: values out of range, module types without a quantized form, a quantized form of another type.
void validate(const QuantizationMap& map, const std::string& key = "quantization");

/// Adds default_qconfig for Linear, LayerNorm, Embedding and Conv2d where the type map has no entry.
void append_default_conversions(QuantizationMap& map);

/// What the map says about one module.
struct ResolvedQuantization {
  std::optional<WeightQuantConfig> weight;                ///< none: full precision
  std::optional<ActivationQuantConfig> activation;        ///< of the output
  std::optional<ActivationQuantConfig> input_activation;  ///< of the input, before the module
  bool enabled() const { return weight || activation || input_activation; }
};

/// The configuration of the module `name` of type `type`. A name or any of its dotted parents in excluded_modules:
/// canonical_module_type(). ConfigError when an instance entry asks for the quantized form of another type.
ResolvedQuantization resolve_quantization(const QuantizationMap& map, const std::string& name, const std::string& type);

/// Names in the instance map, the input map or the exclusions that no module of the network carries (nor is a parent
/// of); for a warning or an error by the caller.
std::vector<std::string> unmatched_names(const QuantizationMap& map, const std::vector<std::string>& module_names);

}  // namespace tessera::quant
