#pragma once
#include <memory>
#include <string>

#include "tessera/app/result_file.hpp"
#include "tessera/app/setup.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::app {

struct RunOptions {
  std::string file = {};  ///< result file; "": in memory (`output.file` of the configuration is for the command line)
  Given given = {};       ///< network and data in memory
};

struct RunResult {
  std::shared_ptr<const Setup> setup;
  sim::EvaluationResult evaluation;  ///< finished points; `complete` is false where it was cancelled
  ResultFile file;                   ///< holds the finished points, too (docs/formats/results.md)
  std::string chips = {};            ///< file of the programmed chips (output.chips); "": none was written
};

}  // namespace tessera::app
