#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/quant/state_quant.hpp"
#include "tessera/quant/surrogate.hpp"

/// The leaky integrate-and-fire neuron (quantization reference, section G.4; names and defaults are snnTorch's
/// `Leaky`).
namespace tessera::quant {

enum class ResetMechanism { subtract, zero, none };
inline constexpr std::array<const char*, 3> reset_mechanism_names{"subtract", "zero", "none"};
const char* to_string(ResetMechanism mechanism);

struct LeakyParameters {
  std::vector<float> beta;                ///< decay per step, clamped to [0, 1]; one value, or one per unit
  std::vector<float> threshold = {1.0f};  ///< T; one value, or one per unit
  ResetMechanism reset_mechanism = ResetMechanism::subtract;
  bool reset_delay = true;            ///< the reset acts one step after the spike
  bool inhibition = false;            ///< only the unit with the largest U - T of a sample may fire
  float graded_spikes_factor = 1.0f;  ///< f: size of a spike; not 0
  std::optional<StateQuantParameters> state_quant = std::nullopt;  ///< of U, each step
  Surrogate spike_grad;

  bool operator==(const LeakyParameters&) const = default;
};
/// Throws ConfigError naming every value out of range.
void validate(const LeakyParameters& parameters, const std::string& key = "leaky");

/// One time step of all units of a batch, U starting at 0 (batch x units; every line is one float32 operation per
/// sign):
///
///     R = 1[U - T > 0]                                      from the state before
///     subtract: U = (beta U + I) - R T      zero: U = beta ((1 - R) U) + I      none: U = beta U + I
///     U = Q(U)                                              if state_quant
///     S = 1[U - T > 0] f                                    inhibition: only the largest U - T of a row, without f
///     without reset_delay, D = 1[U - T > 0] - R:            subtract: U = U - D T       zero: U = U - D U
///
/// "zero" clears the old state only; the input of the step survives. The state after a reset without delay is not
/// quantized again. Whether T is one of the levels decides when the neuron fires.
class Leaky {
 public:
  /// ConfigError on bad parameters.
  explicit Leaky(LeakyParameters parameters);
  /// With a level table of one's own in place of parameters.state_quant.
  Leaky(LeakyParameters parameters, StateQuant state_quant);
  const LeakyParameters& parameters() const { return parameters_; }
  /// The level table of state_quant; empty without.
  std::span<const float> levels() const;

  /// `mem` is the state U, updated in place; `spikes` is overwritten. All are batch x units. InputError when shapes
  /// differ, or when there are not as many units as values of beta or threshold.
  void step(ConstMatrixView input, MatrixView mem, MatrixView spikes) const;

  /// Gradients of one step, for back-propagation through time. `previous` is U before the step; grad_spikes and
  /// grad_mem are the gradients of its two results. The spike is differentiated by the surrogate (also inside the reset
  /// without delay), the reset R not at all, quantization straight through, beta only inside [0, 1]. `grad_input` and
  /// `grad_previous` are overwritten; the sums over the batch are added to grad_beta and grad_threshold (sizes of beta
  /// and threshold; may be empty). Inhibition lets gradients pass to the winners only.
  struct StepGradients {
    MatrixView input;
    MatrixView previous;
    std::span<double> beta;
    std::span<double> threshold;
  };
  void backward(ConstMatrixView input, ConstMatrixView previous, ConstMatrixView grad_spikes, ConstMatrixView grad_mem,
                const StepGradients& gradients, const RandomDraws& draws = {}) const;

 private:
  void check_shape(std::int64_t rows, std::int64_t cols, ConstMatrixView view, const char* what) const;
  float beta_of(std::int64_t unit) const;
  float threshold_of(std::int64_t unit) const;
  // State after the update and its quantization, before the spike; and the reset R of the state before.
  void integrate(const float* input, const float* previous, std::int64_t units, float* state, float* reset) const;
  void fire(const float* state, std::int64_t units, float* fired) const;

  LeakyParameters parameters_;
  std::optional<StateQuant> quantizer_;
};

}  // namespace tessera::quant
