#pragma once
#include <string>
#include <utility>
#include <vector>

#include "results/report_values.hpp"
#include "tessera/results/report.hpp"

/// The parts of a report on one file. A section of which the file has nothing says so in its notes or is empty.
namespace tessera::results {

/// The answer in a few sentences: accuracy against float32, what is missing.
ReportSection summary_section(const ReportSource& source);
/// Accuracy of every point, against each swept axis, for each pair of them, and over time.
ReportSection accuracy_section(const ReportSource& source);
/// Accuracy by class and which classes are taken for which; errors of regression and of anomaly detection.
ReportSection task_section(const ReportSource& source);
/// Layers: errors, clipping, effective bits.
ReportSection layer_section(const ReportSource& source);
/// SQNR of every layer against every swept axis and time.
ReportSection sensitivity_section(const ReportSource& source);
/// Energy, latency and area: where they go, and against accuracy in a sweep.
ReportSection cost_section(const ReportSource& source);
/// Layers on crossbars: arrays, converters, weight slices, and where wires take current.
ReportSection crossbar_section(const ReportSource& source);
/// Conductances and programming errors.
ReportSection device_section(const ReportSource& source);
ReportSection provenance_section(const ReportSource& source);

/// What every kind of file ends with: how it was made (name and value; empty values are left out), and its
/// configuration.
ReportSection provenance_section(const std::vector<std::pair<std::string, std::string>>& rows,
                                 const std::string& config_text, const std::string& resolved_text);
/// The last part of a path.
std::string file_name(const std::string& path);

}  // namespace tessera::results
