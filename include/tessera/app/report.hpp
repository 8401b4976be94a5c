#pragma once
#include <string>
#include <vector>

#include "tessera/results/report.hpp"

namespace tessera::app {

/// Where a report goes; "" is nowhere.
struct ReportOutputs {
  std::string html = {};        ///< one page that needs nothing else
  std::string markdown = {};    ///< tables
  std::string csv_folder = {};  ///< tables with all digits, one file each
};

/// Reports on result files of runs, sweeps, searches and diagnoses; a comparison comes first where there are several
/// runs or sweeps. All outputs appear together, or none. UsageError where an output would overwrite an input or
/// another output; InputError for files that are missing or of another kind.
std::vector<results::Report> report(const std::vector<std::string>& files, const ReportOutputs& outputs = {});

}  // namespace tessera::app
