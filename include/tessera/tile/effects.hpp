#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tessera/core/range.hpp"
#include "tessera/device/drift_compensation.hpp"
#include "tessera/device/parameters.hpp"
#include "tessera/tile/frozen.hpp"
#include "tessera/tile/parameters.hpp"

/// What makes a layer on analog tiles differ from floating point, effect by effect. An effect is one file of
/// src/tile/effects, which says all about it; who needs a list of effects goes through effects().
namespace tessera::tile {

/// Everything that an effect may depend on: the tiles of a layer and its devices.
struct AnalogParameters {
  RpuParameters rpu = {};
  std::optional<device::DeviceParameters> device = {};               ///< none: the target weights are used as they are
  std::optional<device::DriftCompensation> drift_compensation = {};  ///< with a device only
  /// File of a map of stuck devices (sim::read_fault_maps); replaces drawn faults. With a device only; empty: none.
  std::string fault_map = {};
  /// Products of two activations: the devices into which every matrix is programmed anew (`device` is empty for them).
  std::optional<device::DeviceParameters> written_device = {};

  bool operator==(const AnalogParameters&) const = default;
};

/// A key of an effect. Numbers, switches and enumerators are read and written as numbers; get is null for anything
/// else.
struct EffectKey {
  std::string key;   ///< relative to the `rpu_config`: "forward.inp_noise"
  Range range = {};  ///< legal values; they are finite besides
  std::string help = {};
  std::vector<double> examples = {};  ///< legal values that tests try, each with the rest at its default
  std::function<double(const RpuParameters&)> get = {};
  std::function<void(RpuParameters&, double)> set = {};
  /// Where the value lies if it is a member of IOParameters, else null.
  const void* (*member)(const IOParameters&) = nullptr;
  std::string number = {};  ///< its name in IOParameters::numbers if it lies there, else ""
};

/// Another effect without which this one is not what was configured; only where `when` says so, if given.
struct EffectNeed {
  std::string name;
  bool (*when)(const RpuParameters&) = nullptr;
};

/// Problems of parameters, found by an effect's check.
class EffectProblems;
/// What legal values do not do, said by an effect's note (notes.hpp).
class EffectNotes;
/// What an effect does in a pass (effect_law.hpp).
struct EffectLaw;

struct Effect {
  std::string name;  ///< "ADC rounding"
  int place = 0;     ///< on a vector's way through the layer, ascending
  std::string page;  ///< of docs/models
  std::string law;   ///< its equation
  std::vector<EffectKey> keys = {};
  /// Acts where products are perfect, too: input range, devices, digital periphery.
  bool with_perfect_product = false;
  /// Acts where tiles are crossbars; what acts in products only does not.
  bool on_crossbars = false;
  bool over_time = false;  ///< its part is what time does after programming
  /// Whether it does anything. Null: never by itself (encodings, managements): exact where nothing else is on.
  bool (*is_on)(const AnalogParameters&) = nullptr;
  /// Turns it off; what cannot be without it goes too. The result is valid if the parameters were. Null: nothing to do
  /// (what time does is left out by not letting it pass).
  void (*leave_out)(AnalogParameters&) = nullptr;
  /// Takes its settings over. Null: all keys.
  void (*take_over)(const AnalogParameters& from, AnalogParameters& to) = nullptr;
  /// Combinations without meaning; ranges are those of the keys.
  void (*check)(const RpuParameters&, EffectProblems&) = nullptr;
  /// Values of its keys that are legal and without effect, or mean something else than they seem to. Asked where it may
  /// act: products that are not perfect, crossbars, or `with_perfect_product`.
  void (*note)(const RpuParameters&, EffectNotes&) = nullptr;
  std::vector<EffectNeed> needs = {};
  const EffectLaw* act = nullptr;  ///< null: it acts outside of the product
  /// Scalar references in double precision of what it makes of a line's and of a column's value, where it is on.
  double (*line_reference)(const IOParameters&, double z) = nullptr;
  double (*column_reference)(const IOParameters&, const FrozenDraws&, std::size_t output, double v) = nullptr;
};

/// All effects of the library, in the order of a vector's way.
const std::vector<Effect>& effects();
/// These, and IOParameters::own_effects, in that order.
std::vector<const Effect*> effects_of(const IOParameters& io);
/// InputError for a name that no effect has.
const Effect& effect(const std::string& name);
/// The key "forward.inp_noise" of some effect; null if there is none.
const EffectKey* find_effect_key(const std::string& key);

bool is_on(const Effect& effect, const AnalogParameters& parameters);
/// All effects left out: products without error but for float32 rounding, on the same tiles, with the same encoding
/// (digits excepted: they are codes of a DAC).
AnalogParameters ideal(AnalogParameters parameters);
/// The ideal, with one effect as it is in `given`, and what this needs.
AnalogParameters alone(const Effect& effect, const AnalogParameters& given);
AnalogParameters without(const Effect& effect, AnalogParameters given);
/// Whether no other effect that is on needs this one.
bool stands_alone(const Effect& effect, const AnalogParameters& given);

}  // namespace tessera::tile
