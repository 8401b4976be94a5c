#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tessera/device/life_cycle.hpp"

namespace tessera::device {

namespace {

class Law {
 public:
  void put(const std::string& key, double value) { entries_[key] = fmt::format("{}", value); }
  void put(const std::string& key, const std::vector<double>& values) {
    entries_[key] = fmt::format("[{}]", fmt::join(values, ", "));
  }
  template <class Value>
  void put(const std::string& key, const std::optional<Value>& value) {
    value ? put(key, *value) : put_text(key, "default");
  }
  void put_text(const std::string& key, std::string text) { entries_[key] = std::move(text); }

  void model(const PCMLikeNoiseModel& m) {
    put("noise_model.prog_coeff", m.prog_coeff);
    put("noise_model.prog_coeff_g_max_reference", m.prog_coeff_g_max_reference);
    scales(m);
  }
  void model(const CustomDriftPCMLikeNoiseModel& m) {
    model(m.pcm);
    put("noise_model.custom_drift_model.g_lst", m.custom_drift_model.g_lst);
    put("noise_model.custom_drift_model.nu_mean_lst", m.custom_drift_model.nu_mean_lst);
    put("noise_model.custom_drift_model.nu_std_lst", m.custom_drift_model.nu_std_lst);
  }
  void model(const StateIndependentNoiseModel& m) {
    put("noise_model.prog_coeff", m.prog_coeff);
    put("noise_model.drift_nu_mean", m.drift_nu_mean);
    put("noise_model.drift_nu_std", m.drift_nu_std);
    scales(m);
  }
  void model(const ReRamWan2022NoiseModel& m) {
    put("noise_model.coeff_dic", m.coeff_dic.empty() ? std::vector<double>{} : m.coeff_dic.begin()->second);
    put("noise_model.noise_scale", m.noise_scale);
    put("noise_model.coeff_g_max_reference", m.coeff_g_max_reference);
  }
  void model(const ReRamCMONoiseModel& m) {
    const auto found = m.coeff_dict.find(m.acceptance_range);
    put("noise_model.acceptance_range", m.acceptance_range);
    put("noise_model.coeff_dict", found == m.coeff_dict.end() ? std::vector<double>{} : found->second);
    put("noise_model.coeff_g_max_reference", m.coeff_g_max_reference);
    put("noise_model.prog_noise_scale", m.prog_noise_scale);
  }
  void model(const HermesNoiseModel& m) {
    put("noise_model.num_devices", static_cast<double>(m.num_devices));
    put("noise_model.prog_coeff", m.prog_coeff);
    put("noise_model.prog_coeff_g_max_reference", m.prog_coeff_g_max_reference);
    scales(m);
  }
  void model(const TableNoiseModel& m) {
    put("noise_model.programming_sigma.g", m.programming_sigma.g);
    put("noise_model.programming_sigma.values", m.programming_sigma.values);
    put("noise_model.prog_noise_scale", m.prog_noise_scale);
  }

  std::map<std::string, std::string> entries() && { return std::move(entries_); }

 private:
  template <class Model>
  void scales(const Model& m) {
    put("noise_model.prog_noise_scale", m.prog_noise_scale);
    put("noise_model.drift_scale", m.drift_scale);
  }

  std::map<std::string, std::string> entries_;
};

}  // namespace

std::map<std::string, std::string> programming_law(const DeviceParameters& parameters) {
  Law law;
  law.put_text("noise_model.type", type_name(parameters.noise_model));
  std::visit([&](const auto& model) { law.model(model); }, parameters.noise_model);
  law.put("faults.stuck_at_zero_rate", parameters.faults.stuck_at_zero_rate);
  law.put("faults.stuck_at_max_rate", parameters.faults.stuck_at_max_rate);
  if (const auto& verify = parameters.program_and_verify) {
    law.put("program_and_verify.tolerance", verify->tolerance);
    law.put("program_and_verify.max_pulses", static_cast<double>(verify->max_pulses));
    law.put("program_and_verify.gain", verify->gain);
    law.put("program_and_verify.pulse_noise", verify->pulse_noise);
    law.put("program_and_verify.read_noise", verify->read_noise);
  } else {
    law.put_text("program_and_verify", "null");
  }
  return std::move(law).entries();
}

}  // namespace tessera::device
