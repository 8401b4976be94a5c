#pragma once
/// Tessera: analog in-memory computing tiles, and neural networks on them.
///
/// This header and those that it includes are the public interface, and all that is installed:
///
/// | want                                                  | use                                                       |
/// |-------------------------------------------------------|-----------------------------------------------------------|
/// | what the commands do: run, sweep, search, diagnose    | app::Simulation (app/simulation.hpp)                      |
/// | one layer on tiles                                    | tile::AnalogLayer (tile/analog_layer.hpp), tile::preset() |
/// | rpu_config as YAML, also a dump of aihwkit            | spec::read_rpu_config() (spec/rpu_config.hpp)             |
/// | an effect of one's own between DAC and ADC            | tile::EffectLaw (tile/effect_law.hpp)                     |
/// | devices: programming, drift, read noise               | device::NoiseModel (device/noise_model.hpp)               |
/// | quantizers and number formats                         | module quant                                              |
/// | a network, evaluated with parameters of one's own     | app::Setup::request, sim::evaluate() (sim/evaluate.hpp)   |
/// | result files                                          | results::Reader (results/reader.hpp), compare.hpp         |
///
/// Link with the target tessera::tessera of find_package(tessera); programs to begin with are in examples/.
#include "tessera/app/inspect.hpp"
#include "tessera/app/report.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/core/version.hpp"
#include "tessera/device/noise_model.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/quant/leaky.hpp"
#include "tessera/quant/number_quantizer.hpp"
#include "tessera/quant/range_estimator.hpp"
#include "tessera/quant/state_quant.hpp"
#include "tessera/quant/uniform_quantizer.hpp"
#include "tessera/results/compare.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/rpu_config.hpp"
#include "tessera/tile/analog_layer.hpp"
#include "tessera/tile/effect_law.hpp"
#include "tessera/tile/presets.hpp"
