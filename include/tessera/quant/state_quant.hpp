#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/tensor.hpp"

/// Quantization of a spiking neuron's state to a table of levels (quantization reference, sections G.1 to G.3; the
/// parameters are snnTorch's `state_quant`).
namespace tessera::quant {

/// What happens to values that no level is near.
enum class LevelRule {
  nearest,       ///< values beyond the levels go to the outermost one, NaN stays NaN
  peer_distance  ///< snnTorch: NaN, infinities and values so large that all float32 distances are equal go to level 0
};

struct StateQuantParameters {
  int num_bits = 8;                                 ///< 2^num_bits levels; 1..16
  bool uniform = true;                              ///< equally spaced; thr_centered and multiplier then have no effect
  bool thr_centered = true;                         ///< exponential levels are dense at the threshold, else at 0
  double threshold = 1.0;                           ///< T; not 0 for exponential levels
  double lower_limit = 0.0;                         ///< l: the lowest level is -(T + T l)
  double upper_limit = 0.2;                         ///< u: the highest level is T + T u
  std::optional<double> multiplier = std::nullopt;  ///< ratio q > 0 of neighbouring steps; none: by num_bits
  LevelRule rule = LevelRule::nearest;

  bool operator==(const StateQuantParameters&) const = default;
};

/// Throws ConfigError naming every value out of range.
void validate(const StateQuantParameters& parameters, const std::string& key = "state_quant");

/// The ratio used when none is given: 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.925 for 1 to 7 bits, 0.95 beyond.
double default_multiplier(int num_bits);

/// The L = 2^num_bits levels from lo = -(T + T l) to hi = T + T u.
///
/// uniform: h = (hi - lo) / (L - 1) in float32; level i = lo + h i in the lower half, hi - h (L - 1 - i) in the upper.
/// exponential, in double, rounded to float32 at the end: with c = T or 0, A = c - lo, B = hi - c, n1 = floor(L A/(hi -
/// lo)), n2 = L - n1, the steps from lo up towards c are A q^j / sum q^j for j = 0..n1-1 and from c up to hi B q^j /
/// sum q^j for j = n2-1..0. The centre itself is no level; the first level is lo, the last hi up to rounding. Ascending
/// for T > 0; a negative T gives the peer's unsorted table.
std::vector<float> state_levels(const StateQuantParameters& parameters);

/// Replaces each value by the level of smallest float32 distance |level - x|, the first of equals (the lower level).
class StateQuant {
 public:
  /// ConfigError on bad parameters.
  explicit StateQuant(const StateQuantParameters& parameters);
  /// A table of one's own; ConfigError when it is empty or not finite.
  explicit StateQuant(std::vector<float> levels, LevelRule rule = LevelRule::nearest);

  const std::vector<float>& levels() const { return levels_; }

  /// Elementwise; y may be x.
  void forward(std::span<const float> x, std::span<float> y) const;
  Tensor forward(const Tensor& x) const;
  /// Straight through, also beyond the levels: grad_x = grad_y. The levels get no gradient.
  static void backward(std::span<const float> grad_y, std::span<float> grad_x);

 private:
  float nearest_level(float x) const;

  std::vector<float> levels_;
  // decisions_[k] is the largest value that still takes level k rather than k + 1, padded to 2^n - 1 entries; empty
  // where the table has to be searched level by level.
  std::vector<float> decisions_;
  std::vector<float> padded_levels_;
  LevelRule rule_ = LevelRule::nearest;
  bool ascending_ = true;
  float lowest_ = 0.0f;
  float highest_ = 0.0f;
};

}  // namespace tessera::quant
