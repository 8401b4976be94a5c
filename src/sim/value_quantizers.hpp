#pragma once
#include <string>
#include <vector>

#include "tessera/nn/linear.hpp"
#include "tessera/nn/transform.hpp"
#include "tessera/quant/number_format.hpp"
#include "tessera/quant/quantization_manager.hpp"
#include "tessera/sim/quantizer_ranges.hpp"

/// The quantizers that sit in a running network.
namespace tessera::sim {

/// A uniform quantizer with one range. While calibrating, every call updates the range first, so calls then come one
/// after the other; once fixed it never changes.
class RangeQuantizer final : public nn::ValueTransform {
 public:
  RangeQuantizer(std::string name, const quant::QuantizationManagerParameters& parameters);
  bool needs_order() const override { return ordered_; }
  void apply(const nn::TransformCall& call) const override;
  void estimate() { manager_.estimate_ranges(); }
  /// A range found before, for this quantizer.
  void set_range(const quant::UniformQuantizerState& range);
  void fix();
  const quant::QuantizationManager& manager() const { return manager_; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  bool ordered_;
  mutable quant::QuantizationManager manager_;
};

/// A number format, sample by sample.
class FormatQuantizer final : public nn::ValueTransform {
 public:
  FormatQuantizer(quant::Number number, quant::Rounding rounding, random::Stream stream)
      : number_(number), rounding_(rounding), stream_(stream) {}
  bool needs_order() const override;
  void apply(const nn::TransformCall& call) const override;

 private:
  quant::Number number_;
  quant::Rounding rounding_;
  random::Stream stream_;
};

/// A product whose partial sums are held in a number format: for inputs k in order, sum = format(sum + x_k w_k), then
/// the bias in float32.
class AccumulatingOperator final : public nn::LinearOperator {
 public:
  AccumulatingOperator(const nn::LinearPart& part, quant::Number number, quant::Rounding rounding,
                       random::Stream stream);
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const override;

 private:
  Matrix weight_;  // [in, out]
  std::vector<float> bias_;
  quant::Number number_;
  quant::Rounding rounding_;
  random::Stream stream_;
};

}  // namespace tessera::sim
