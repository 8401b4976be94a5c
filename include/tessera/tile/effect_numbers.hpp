#pragma once
#include <map>
#include <string>
#include <string_view>

namespace tessera::tile {

/// Numbers of effects by key ("inp_nonlinearity"). 0, at which an effect is off, is what every key has from the start.
class EffectNumbers {
 public:
  double operator[](std::string_view key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? 0.0 : found->second;
  }
  void set(const std::string& key, double value) {
    if (value == 0.0)
      values_.erase(key);
    else
      values_[key] = value;
  }

  bool operator==(const EffectNumbers&) const = default;

 private:
  std::map<std::string, double, std::less<>> values_;
};

}  // namespace tessera::tile
