#pragma once
#include <chrono>
#include <string>

#include "cli/commands.hpp"
#include "tessera/results/records.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::cli {

/// A command without what cannot change a result: output, threads, batch size, verbosity.
std::string neutral_command(const std::string& command, const std::string& config, CommonOptions common);

/// The resolved configuration with the default batch size, which changes no result, no output file and no sweep.
std::string neutral_resolved_text(spec::RunConfig config);

/// What a configuration asks to evaluate. The network and the data must outlive the request.
sim::EvaluationRequest make_request(const spec::RunConfig& config, const nn::Executor& executor,
                                    const io::DataSet& data);

/// Who computed how, without the seconds of the passes.
results::Runtime make_runtime(const Invocation& invocation, Parallel parallel, std::int64_t batch_size,
                              std::chrono::steady_clock::time_point start);

}  // namespace tessera::cli
