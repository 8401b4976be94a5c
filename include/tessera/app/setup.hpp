#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/config/node.hpp"
#include "tessera/core/messages.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::app {

/// A configuration as it was given.
struct Source {
  std::string name;                    ///< the file, or what stands for text in messages
  std::string text;                    ///< as given, without bases and overrides
  std::vector<std::string> overrides;  ///< "key=value"
  config::Node document;               ///< merged, with overrides
};

/// A network and data in memory, instead of those that a configuration names.
struct Given {
  std::shared_ptr<const nn::Graph> network = {};  ///< null: model.file
  /// What calibration or training found about `network`, as a model file has it (model.use_calibration).
  std::map<std::string, io::LayerNumbers> calibration = {};
  std::optional<io::DataSet> data = {};  ///< none: `data`
};

/// Model and data of a configuration, opened, and what is asked of them.
struct Setup {
  /// Checks every layer. `environment` hears of what is skipped or folded.
  Setup(spec::RunConfig config, const Environment& environment, const Given& given = {});
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;

  const spec::RunConfig config;
  const io::DataSet data;
  const nn::Executor executor;
  const sim::EvaluationRequest request;  ///< refers to the others
};

}  // namespace tessera::app
