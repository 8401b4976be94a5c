#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/results/writer.hpp"
#include "tessera/sim/evaluate.hpp"

/// From what a simulation computes to what a result file holds.
namespace tessera::sim {

/// The numbers of one layer at one point; effective bits follow from the converters of `parameters`.
results::LayerPoint layer_point(const LayerResult& layer, const tile::IOParameters& parameters);

/// Accuracy and loss; everything missing where there were no labels.
results::Score score_record(const TaskScore& score);

/// What a population of `units` neurons did in `steps` time steps.
results::PopulationPoint population_point(const SpikeCounts& counts, std::int64_t units, std::int64_t steps);

/// The tiles of a layer with their periphery, all parts of it.
results::LayerHardware hardware_record(const AnalogNetwork& network, std::size_t layer);

/// Adds arrays and converters of a layer on crossbars, and with `wires` what its wires alone take.
void add_crossbars(results::LayerHardware& record, const AnalogNetwork& network, std::size_t layer, bool wires,
                   Parallel parallel);

/// What programming left in the devices of a layer (which has some), over all its parts.
results::LayerProgramming programming_record(const ProgrammedChip& chip, std::size_t layer, Parallel parallel);

/// The weights of an analog layer as they are read, with their drift compensation, against the targets.
results::LayerWeights weights_record(const AnalogNetwork& network, std::size_t layer);

/// Completes a header that holds the provenance: axes, labels, layers. `record_output` is by layer, may be empty.
void describe_run(results::Header& header, const EvaluationRequest& request, const RecordParameters& record);

/// A sink that writes everything evaluate() yields to `writer`, at `swept` on the swept axes. `writer` and `request`
/// must outlive it; `parallel` is for statistics of weights.
EvaluationSink recording_sink(results::Writer& writer, const EvaluationRequest& request,
                              const std::vector<std::int64_t>& swept = {}, Parallel parallel = {});

}  // namespace tessera::sim
