#include "tessera/tile/effects.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "tessera/tile/crossbar_engine.hpp"
#include "tile/effects/law.hpp"
#include "tile/effects_of_folder.hpp"

namespace tessera::tile {
namespace {

bool perfect(const RpuParameters& p) {
  return p.forward.is_perfect || p.forward.mv_type == AnalogMVType::IDEAL;
}

void take_over(const Effect& effect, const AnalogParameters& from, AnalogParameters& to) {
  if (effect.take_over != nullptr) return effect.take_over(from, to);
  for (const EffectKey& key : effect.keys)
    if (key.get != nullptr) key.set(to.rpu, key.get(from.rpu));
}

// The effect, and what it needs.
void add_needed(const std::string& name, const AnalogParameters& given, std::set<std::string>& names) {
  if (!names.insert(name).second) return;
  for (const EffectNeed& need : effect(name).needs)
    if (need.when == nullptr || need.when(given.rpu)) add_needed(need.name, given, names);
}

}  // namespace

const std::vector<Effect>& effects() {
  static const std::vector<Effect> list = [] {
    std::vector<Effect> all = effects_of_folder();
    std::stable_sort(all.begin(), all.end(), [](const Effect& a, const Effect& b) { return a.place < b.place; });
    return all;
  }();
  return list;
}

std::vector<const Effect*> effects_of(const IOParameters& io) {
  std::vector<const Effect*> all;
  for (const Effect& effect : effects()) all.push_back(&effect);
  for (const std::shared_ptr<const Effect>& effect : io.own_effects) all.push_back(effect.get());
  std::stable_sort(all.begin(), all.end(), [](const Effect* a, const Effect* b) { return a->place < b->place; });
  return all;
}

EffectKey number(const std::string& name, Range range, std::vector<double> examples, std::string help) {
  EffectKey key{"forward." + name, range, std::move(help), std::move(examples)};
  key.get = [name](const RpuParameters& p) { return p.forward.numbers[name]; };
  key.set = [name](RpuParameters& p, double value) { p.forward.numbers.set(name, value); };
  key.number = name;
  return key;
}

const Effect& effect(const std::string& name) {
  for (const Effect& candidate : effects())
    if (candidate.name == name) return candidate;
  throw InputError(fmt::format("no effect is called '{}'", name));
}

const EffectKey* find_effect_key(const std::string& key) {
  for (const Effect& effect : effects())
    for (const EffectKey& candidate : effect.keys)
      if (candidate.key == key) return &candidate;
  return nullptr;
}

bool is_on(const Effect& effect, const AnalogParameters& parameters) {
  if (effect.is_on == nullptr || (perfect(parameters.rpu) && !effect.with_perfect_product)) return false;
  // What `forward` says of products means nothing to a crossbar.
  if (parameters.rpu.crossbar && !effect.with_perfect_product && !effect.on_crossbars) return false;
  return effect.is_on(parameters);
}

AnalogParameters ideal(AnalogParameters parameters) {
  for (const Effect& effect : effects())
    if (effect.leave_out != nullptr) effect.leave_out(parameters);
  return parameters;
}

AnalogParameters alone(const Effect& effect, const AnalogParameters& given) {
  AnalogParameters result = ideal(given);
  std::set<std::string> names;
  add_needed(effect.name, given, names);
  for (const Effect& other : effects())
    if (names.contains(other.name)) take_over(other, given, result);
  return result;
}

AnalogParameters without(const Effect& effect, AnalogParameters given) {
  if (effect.leave_out != nullptr) effect.leave_out(given);
  return given;
}

bool stands_alone(const Effect& effect, const AnalogParameters& given) {
  return std::none_of(effects().begin(), effects().end(), [&](const Effect& other) {
    return other.name != effect.name && is_on(other, given) &&
           std::any_of(other.needs.begin(), other.needs.end(),
                       [&](const EffectNeed& need) { return need.name == effect.name && need.when == nullptr; });
  });
}

void validate(const RpuParameters& parameters) {
  EffectProblems problems;
  for (const Effect& effect : effects()) {
    for (const EffectKey& key : effect.keys)
      if (key.get != nullptr) problems.check(key, key.get(parameters));
    if (effect.check != nullptr) effect.check(parameters, problems);
  }
  problems.expect(std::isfinite(parameters.mapping.weight_scaling_omega), "mapping.weight_scaling_omega",
                  fmt::format("{} is not a finite number", parameters.mapping.weight_scaling_omega));
  for (const Problem& problem : crossbar_problems(parameters)) problems.expect(false, problem.key, problem.message);
  problems.throw_if_any();
}

FrozenDraws draw_frozen(const IOParameters& io, std::int64_t outputs, std::int64_t inputs,
                        const random::Address& address) {
  FrozenDraws frozen;
  if (io.is_perfect || io.mv_type == AnalogMVType::IDEAL) return frozen;
  for (const Effect* effect : effects_of(io))
    if (effect->act != nullptr && effect->act->freeze != nullptr)
      effect->act->freeze(io, outputs, inputs, address, frozen);
  return frozen;
}

}  // namespace tessera::tile
