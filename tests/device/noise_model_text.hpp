#pragma once
#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tessera/device/noise_model.hpp"

/// The few YAML forms of the golden file's `noise_model` attribute: nested maps and lists of numbers, by indentation.
namespace tessera::device::testing {

class FlatText {
 public:
  explicit FlatText(const std::string& text) {
    std::istringstream lines(text);
    std::vector<std::pair<std::size_t, std::string>> path;  // indentation, key
    for (std::string line; std::getline(lines, line);) {
      const std::size_t indent = line.find_first_not_of(' ');
      if (indent == std::string::npos) continue;
      line.erase(0, indent);
      if (line.starts_with("- ")) {
        values_[joined(path)].push_back(line.substr(2));
        continue;
      }
      while (!path.empty() && path.back().first >= indent) path.pop_back();
      const std::size_t colon = line.find(':');
      path.emplace_back(indent, line.substr(0, colon));
      const std::string value = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
      if (!value.empty()) values_[joined(path)] = {value};
    }
  }
  const std::string& text(const std::string& key) const { return at(key).front(); }
  double number(const std::string& key) const { return std::stod(text(key)); }
  std::vector<double> list(const std::string& key) const {
    std::vector<double> result;
    for (const std::string& v : at(key)) result.push_back(std::stod(v));
    return result;
  }
  /// The lists below a key, whose own keys are numbers ("0.2", "86400.0").
  CoefficientTable table(const std::string& key) const {
    CoefficientTable result;
    for (const auto& [name, values] : values_)
      if (name.starts_with(key + "/")) result[std::stod(name.substr(key.size() + 1))] = list(name);
    return result;
  }

 private:
  static std::string joined(const std::vector<std::pair<std::size_t, std::string>>& path) {
    std::string result;
    for (const auto& [indent, key] : path) result += (result.empty() ? "" : "/") + key;
    return result;
  }
  const std::vector<std::string>& at(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) throw InputError("the golden noise model has no key " + key);
    return found->second;
  }
  std::map<std::string, std::vector<std::string>> values_;
};

inline ConductanceConverter read_converter(const FlatText& text) {
  const std::string type = text.text("g_converter/type");
  ConductanceConverter result;
  if (type == "SinglePairConductanceConverter") {
    result = SinglePairConductanceConverter{};
  } else if (type == "SingleDeviceConductanceConverter") {
    result = SingleDeviceConductanceConverter{};
  } else if (type == "DualPairConductanceConverter") {
    result = DualPairConductanceConverter{.f_lst = text.list("g_converter/f_lst")};
  } else if (type == "NPairConductanceConverter") {
    result = NPairConductanceConverter{.f_lst = text.list("g_converter/f_lst")};
  } else {
    throw InputError("unknown converter " + type);
  }
  set_range(result, text.number("g_converter/g_min"), text.number("g_converter/g_max"));
  return result;
}

template <class Model>
void read_scales_and_times(const FlatText& text, Model& m) {
  m.t_0 = text.number("t_0");
  m.t_read = text.number("t_read");
  m.prog_noise_scale = text.number("prog_noise_scale");
  m.read_noise_scale = text.number("read_noise_scale");
  m.drift_scale = text.number("drift_scale");
}

template <class Model>
void read_pcm_like(const FlatText& text, Model& m) {
  m.g_converter = read_converter(text);
  m.prog_coeff = text.list("prog_coeff");
  m.prog_coeff_g_max_reference = text.number("prog_coeff_g_max_reference");
  read_scales_and_times(text, m);
}

inline NoiseModel read_noise_model(const std::string& yaml) {
  const FlatText text(yaml);
  const std::string type = text.text("type");
  if (type == "PCMLikeNoiseModel") {
    PCMLikeNoiseModel m;
    read_pcm_like(text, m);
    return m;
  }
  if (type == "CustomDriftPCMLikeNoiseModel") {
    CustomDriftPCMLikeNoiseModel m;
    read_pcm_like(text, m.pcm);
    m.custom_drift_model = {text.list("custom_drift_model/g_lst"), text.list("custom_drift_model/nu_mean_lst"),
                            text.list("custom_drift_model/nu_std_lst")};
    return m;
  }
  if (type == "HermesNoiseModel") {
    HermesNoiseModel m;
    m.num_devices = static_cast<int>(text.number("num_devices"));
    read_pcm_like(text, m);
    return m;
  }
  if (type == "StateIndependentNoiseModel") {
    StateIndependentNoiseModel m;
    m.g_converter = read_converter(text);
    m.prog_coeff = text.list("prog_coeff");
    m.drift_nu_mean = text.number("drift_nu_mean");
    m.drift_nu_std = text.number("drift_nu_std");
    read_scales_and_times(text, m);
    return m;
  }
  if (type == "ReRamWan2022NoiseModel") {
    ReRamWan2022NoiseModel m;
    m.g_converter = read_converter(text);
    m.coeff_dic = text.table("coeff_dic");
    m.coeff_g_max_reference = text.number("coeff_g_max_reference");
    m.noise_scale = text.number("noise_scale");
    return m;
  }
  if (type == "ReRamCMONoiseModel") {
    ReRamCMONoiseModel m;
    m.g_converter = read_converter(text);
    m.coeff_dict = text.table("coeff_dict");
    m.coeff_g_max_reference = text.number("coeff_g_max_reference");
    m.acceptance_range = text.number("acceptance_range");
    m.decay_mean = text.list("decay_dict/mean").at(0);
    m.decay_std = text.list("decay_dict/std");
    m.read_k = text.number("read_dict/K");
    m.t_read = text.number("read_dict/t_read");
    m.prog_noise_scale = text.number("prog_noise_scale");
    m.read_noise_scale = text.number("read_noise_scale");
    m.drift_scale = text.number("drift_scale");
    return m;
  }
  throw InputError("unknown noise model " + type);
}

}  // namespace tessera::device::testing
