#pragma once
#include <chrono>
#include <map>
#include <string>

#include "app/load.hpp"
#include "tessera/app/execution.hpp"
#include "tessera/app/setup.hpp"
#include "tessera/results/records.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::app {

/// A command without what cannot change a result: output, threads, batch size, verbosity.
std::string neutral_command(const std::string& command, const Source& source);

/// The resolved configuration with the default batch size, which changes no result, no output file and no sweep.
std::string neutral_resolved_text(spec::RunConfig config);

/// What a configuration asks to evaluate. The network and the data must outlive the request.
sim::EvaluationRequest make_request(const spec::RunConfig& config, const nn::Executor& executor,
                                    const io::DataSet& data);
/// The same with ranges that were read before: requests share chips only where they have one in common.
sim::EvaluationRequest make_request(const spec::RunConfig& config, const nn::Executor& executor,
                                    const io::DataSet& data, ModelRanges ranges);

/// Who computed how, without the seconds of the passes.
results::Runtime make_runtime(const Execution& execution, std::int64_t batch_size,
                              std::chrono::steady_clock::time_point start);

/// What files hold, each read once.
class FileContents {
 public:
  /// The SHA-256 of a file; the path itself if there is no such file (a folder, a name to be).
  const std::string& of(const std::string& path);

 private:
  std::map<std::string, std::string> known_;
};

/// Names the chips of a configuration by everything that determines them: hash of the resolved configuration with
/// files by content, not by place, and without name, batch size and how many chips there are.
std::string chip_identity(spec::RunConfig config, bool isolated, FileContents& contents);

}  // namespace tessera::app
