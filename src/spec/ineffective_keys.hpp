#pragma once
#include "tessera/config/node.hpp"
#include "tessera/config/report.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::spec {

/// Reports keys that a document gives although the choice that they belong to is another one: the quantile of a
/// calibration by MAX, the momentum of adam. Values that are the default are not reported. (Keys of `rpu_config` depend
/// on the layer: tile/notes.hpp.)
void report_ineffective_keys(const config::Node& document, const RunConfig& config, config::Report& report);

}  // namespace tessera::spec
