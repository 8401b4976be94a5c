#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tessera/tile/notes.hpp"

namespace tessera::tile {

/// Private: collects what effects say of values that do nothing, or something else than they seem to.
class EffectNotes {
 public:
  void add(std::string key, std::string message) { notes_.push_back({std::move(key), std::move(message)}); }

  /// Of a value that is not the default while `effective` is false.
  template <class T>
  void unless(bool effective, const std::string& key, const T& value, const T& default_value, const char* why) {
    if (!effective && value != default_value) add(key, std::string("has no effect: ") + why);
  }

  /// Of the converter `which` ("inp", "out"): nothing to divide, a resolution that looks like bits, rounding of nothing.
  void converter(const std::string& which, double bound, double resolution, bool stochastic);

  std::vector<ParameterNote> take() { return std::move(notes_); }

 private:
  std::vector<ParameterNote> notes_;
};

/// Defaults to compare with.
inline const RpuParameters default_parameters;

}  // namespace tessera::tile
