#pragma once
#include <array>
#include <optional>
#include <string>

#include "tessera/quant/range_estimator.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

/// A quantizer together with the estimator of its range (quantization reference, section C.1).
namespace tessera::quant {

/// Where the range comes from; words and numbers are part of the documented interface.
enum class Qstates { estimate_ranges = 0, fix_ranges = 1, learn_ranges = 2, estimate_ranges_train = 3 };
inline constexpr std::array<const char*, 4> qstate_names{"estimate_ranges", "fix_ranges", "learn_ranges",
                                                         "estimate_ranges_train"};
const char* to_string(Qstates state);

struct QuantizationManagerParameters {
  UniformQuantizerParameters quantizer;
  /// per_channel and axis are taken from the quantizer.
  RangeEstimators init = RangeEstimators::current_minmax;
  std::optional<RangeEstimatorParams> init_params = std::nullopt;  ///< none: the estimator's defaults
  std::optional<int> n_groups = std::nullopt;
  /// Both given: the range is set and fixed at construction. One alone is an error.
  std::optional<float> x_min = std::nullopt;
  std::optional<float> x_max = std::nullopt;
};
void validate(const QuantizationManagerParameters& parameters, const std::string& key = "quantization_manager");

/// | state                             | what observe() does with a batch                                         |
/// |-----------------------------------|--------------------------------------------------------------------------|
/// | estimate_ranges_train (at start)  | in training mode: estimator, then set_quant_range; else nothing          |
/// | estimate_ranges                   | estimator, then set_quant_range                                          |
/// | fix_ranges, learn_ranges          | nothing                                                                  |
///
/// The batch that updates a range is quantized with the updated range. forward() never changes anything, so a
/// calibrated manager may be used from any thread; without a range it throws QuantizerNotInitializedError.
///
/// Chosen otherwise than the peer: a manager built with x_min and x_max works; learn_ranges() without a range is an
/// error; estimating again after learning works (the range then is no longer trainable).
class QuantizationManager {
 public:
  /// ConfigError on bad parameters.
  explicit QuantizationManager(const QuantizationManagerParameters& parameters);

  Qstates state() const { return state_; }
  bool is_learning() const { return state_ == Qstates::learn_ranges; }
  void estimate_ranges();
  void estimate_ranges_train();
  /// QuantizerNotInitializedError without a range.
  void fix_ranges();
  void learn_ranges();
  /// Forgets the range and what the estimator saw; back to estimate_ranges_train.
  void reset_ranges();

  /// Whether observe() would update the range.
  bool is_estimating(bool training) const;
  void observe(const Shape& shape, std::span<const float> x, bool training);
  void observe(const Tensor& x, bool training);
  void forward(const Shape& shape, std::span<const float> x, std::span<float> y) const;
  Tensor forward(const Tensor& x) const;
  /// observe, then forward.
  Tensor quantize(const Tensor& x, bool training);

  const UniformQuantizer& quantizer() const { return quantizer_; }
  const RangeEstimator& estimator() const { return estimator_; }
  /// Replaces the range (by an optimizer, or from a model file).
  void set_quantizer_state(UniformQuantizerState state);

 private:
  void end_learning();

  UniformQuantizer quantizer_;
  RangeEstimator estimator_;
  Qstates state_ = Qstates::estimate_ranges_train;
};

}  // namespace tessera::quant
