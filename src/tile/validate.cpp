#include <cmath>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/tile/parameters.hpp"

namespace tessera::tile {
namespace {

constexpr int max_bits = 24;

class Checker {
 public:
  void require(bool condition, const std::string& key, const std::string& message) {
    if (!condition) problems_.push_back({{}, 0, 0, key, message});
  }
  void finite(double value, const std::string& key) {
    require(std::isfinite(value), key, fmt::format("{} is not a finite number", value));
  }
  void finite_or_infinite(double value, const std::string& key) {
    require(!std::isnan(value), key, fmt::format("{} is not a number", value));
  }
  void at_least(double value, double least, const std::string& key) {
    require(std::isfinite(value) && value >= least, key, fmt::format("{} must be at least {}", value, least));
  }
  void within(double value, double low, double high, const std::string& key) {
    require(value >= low && value <= high, key, fmt::format("{} must lie between {} and {}", value, low, high));
  }
  void throw_if_any() {
    if (!problems_.empty()) throw ConfigError(std::move(problems_));
  }

 private:
  std::vector<Problem> problems_;
};

// Steps from zero to the bound of a DAC with this resolution parameter; 0 without quantization.
double steps_to_bound(double resolution) {
  if (resolution <= 0.0) return 0.0;
  return 0.5 * (resolution > 1.0 ? resolution : 1.0 / resolution);
}

void check_encoding(Checker& check, const IOParameters& io) {
  const bool split = io.mv_type == AnalogMVType::SPLIT_MODE;
  if (!split && io.mv_type != AnalogMVType::BIT_WISE) return;
  const char* mode = split ? "SPLIT_MODE" : "BIT_WISE";
  const double steps = steps_to_bound(io.inp_res);
  const bool whole = steps >= 1.0 && std::fabs(steps - std::rint(steps)) < 1e-6 * steps;
  check.require(io.inp_bound > 0.0 && std::isfinite(io.inp_bound), "forward.inp_bound",
                fmt::format("{} sends integer input codes and needs a bounded DAC (inp_bound > 0)", mode));
  check.require(whole && steps <= 32767.0, "forward.inp_res",
                fmt::format("{} sends integer input codes: 1/inp_res must be an even number from 2 to 65534 (n bits: "
                            "2^n - 2), not {}",
                            mode, io.inp_res > 1.0 ? io.inp_res : 1.0 / io.inp_res));
  if (split && whole) {
    const int bits = static_cast<int>(std::ceil(std::log2(std::rint(steps) + 1.0)));
    check.require(io.split_mode_bit_shift >= 1 && io.split_mode_bit_shift < bits, "forward.split_mode_bit_shift",
                  fmt::format("{} must be from 1 to {}: a code has {} bits besides its sign", io.split_mode_bit_shift,
                              bits - 1, bits));
  }
}

bool is_perfect(const IOParameters& io) {
  return io.is_perfect || io.mv_type == AnalogMVType::IDEAL;
}

// A step of the whole range leaves the level 0 alone: +-bound lie half way to the next ones.
void check_levels(Checker& check, double bound, double resolution, bool stochastic, bool perfect,
                  const std::string& which) {
  const bool bounded = bound > 0.0 && std::isfinite(bound);
  check.require(
      perfect || stochastic || !bounded || !(std::fabs(resolution - 1.0) <= 1e-6), fmt::format("forward.{}_res", which),
      fmt::format("{} is a converter of one step over its range, whose only level is 0: nothing passes; n bits "
                  "are 2^n - 2 steps (8 bits: 254), -1 is no quantization",
                  resolution));
}

void check_forward(Checker& check, const IOParameters& io) {
  for (const auto& [value, key] : {std::pair{io.inp_res, "inp_res"},
                                   {io.inp_asymmetry, "inp_asymmetry"},
                                   {io.out_res, "out_res"},
                                   {io.out_scale, "out_scale"},
                                   {io.out_asymmetry, "out_asymmetry"},
                                   {io.v_offset_w_min, "v_offset_w_min"}})
    check.finite(value, std::string("forward.") + key);
  for (const auto& [value, key] : {std::pair{io.inp_bound, "inp_bound"},
                                   {io.out_bound, "out_bound"},
                                   {io.max_bm_res, "max_bm_res"},
                                   {io.nm_thres, "nm_thres"}})
    check.finite_or_infinite(value, std::string("forward.") + key);
  check.require(io.noise_management != NoiseManagementType::CONSTANT || std::isfinite(io.nm_thres), "forward.nm_thres",
                fmt::format("{} scales every input to 0 under CONSTANT", io.nm_thres));
  check_levels(check, io.inp_bound, io.inp_res, io.inp_sto_round, is_perfect(io), "inp");
  check_levels(check, io.out_bound, io.out_res, io.out_sto_round, is_perfect(io), "out");
  for (const auto& [value, key] : {std::pair{io.inp_noise, "inp_noise"},
                                   {io.out_noise, "out_noise"},
                                   {io.out_noise_std, "out_noise_std"},
                                   {io.w_noise, "w_noise"},
                                   {io.ir_drop, "ir_drop"},
                                   {io.out_nonlinearity, "out_nonlinearity"},
                                   {io.out_nonlinearity_std, "out_nonlinearity_std"},
                                   {io.slope_calibration, "slope_calibration"},
                                   {io.v_offset_std, "v_offset_std"},
                                   {io.r_series, "r_series"},
                                   {io.w_read_asymmetry_dtod, "w_read_asymmetry_dtod"}})
    check.at_least(value, 0.0, std::string("forward.") + key);
  check.require(std::isfinite(io.ir_drop_g_ratio) && io.ir_drop_g_ratio > 0.0, "forward.ir_drop_g_ratio",
                fmt::format("{} must be positive", io.ir_drop_g_ratio));
  check.require(io.max_bm_factor >= 0, "forward.max_bm_factor", fmt::format("{} must be at least 0", io.max_bm_factor));
  check.require(
      io.bound_management != BoundManagementType::SHIFT, "forward.bound_management",
      "SHIFT is defined nowhere (no implementation or publication says what is shifted); use ITERATIVE or NONE");
  check_encoding(check, io);
}

void check_input_range(Checker& check, const RpuParameters& p) {
  const InputRangeParameter& range = p.pre_post.input_range;
  const std::string key = "pre_post.input_range.";
  check.require(std::isfinite(range.init_value) && (range.init_value > 0.0 || !range.enable), key + "init_value",
                fmt::format("{} must be positive", range.init_value));
  check.at_least(range.init_from_data, 0, key + "init_from_data");
  check.at_least(range.init_std_alpha, 0.0, key + "init_std_alpha");
  check.at_least(range.decay, 0.0, key + "decay");
  check.within(range.input_min_percentage, 0.0, 1.0, key + "input_min_percentage");
  check.within(range.output_min_percentage, 0.0, 1.0, key + "output_min_percentage");
  check.finite(range.gradient_scale, key + "gradient_scale");
  check.require(!(range.enable && range.manage_output_clipping) ||
                    (p.forward.noise_management == NoiseManagementType::NONE &&
                     p.forward.bound_management == BoundManagementType::NONE && !p.forward.is_perfect),
                key + "manage_output_clipping",
                "needs forward.noise_management and forward.bound_management NONE and is_perfect false: the output "
                "bound must refer to the static input range");
}

void check_bits(Checker& check, int bits, const std::string& key) {
  check.require(bits >= 0 && bits <= max_bits, key,
                fmt::format("{} must be from 0 (off) to {} (float32 holds no wider code)", bits, max_bits));
}

void check_quantizers(Checker& check, const RpuParameters& p) {
  const PeripheryQuantizationParameter& periphery = p.pre_post.periph_quant;
  check_bits(check, periphery.n_bits, "pre_post.periph_quant.n_bits");
  check.require(
      !periphery.learn_quant_params || periphery.init_learning_after >= 1, "pre_post.periph_quant.init_learning_after",
      fmt::format("{} must be at least 1: learned ranges start from estimated ones", periphery.init_learning_after));
  if (!p.act_quant_config) return;
  const ActivationQuantConfig& act = *p.act_quant_config;
  check_bits(check, act.n_bits, "act_quant_config.n_bits");
  check.within(act.momentum, 0.0, 1.0, "act_quant_config.momentum");
  if (act.percentile) check.within(*act.percentile, 0.0, 50.0, "act_quant_config.percentile");
  check.require(act.num_candidates >= 1, "act_quant_config.num_candidates",
                fmt::format("{} must be at least 1", act.num_candidates));
  check.at_least(act.range_margin, 0.0, "act_quant_config.range_margin");
}

}  // namespace

void validate(const RpuParameters& parameters) {
  Checker check;
  check_forward(check, parameters.forward);
  check.finite(parameters.mapping.weight_scaling_omega, "mapping.weight_scaling_omega");
  check_input_range(check, parameters);
  check_quantizers(check, parameters);
  check.throw_if_any();
}

}  // namespace tessera::tile
