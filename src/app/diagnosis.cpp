#include "tessera/app/diagnosis.hpp"

#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "app/reading.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::app {

namespace {

results::DiagnosisRun record_of(const sim::DoctorRun& run) {
  return {run.accuracy, run.sqnr_db, run.alone_db, run.clipped_in, run.clipped_out, run.adc_bits};
}

results::DiagnosisRecord record_of(const sim::Diagnosis& diagnosis, const sim::EvaluationRequest& request) {
  results::DiagnosisRecord record;
  record.seed = request.seed;
  record.rng_layout = random::rng_layout;
  record.chips = request.evaluation.repeats;
  record.samples = request.data.size();
  if (!diagnosis.configured.accuracy.empty()) record.reference_accuracy = diagnosis.reference.accuracy();
  record.ideal_deviation = diagnosis.ideal_deviation;
  record.layers = diagnosis.layers;
  record.mechanisms.push_back({"none", "", true, record_of(diagnosis.ideal), record_of(diagnosis.configured)});
  for (const sim::DoctorStage& stage : diagnosis.stages)
    record.mechanisms.push_back(
        {stage.name, stage.keys, stage.removable, record_of(stage.only), record_of(stage.without)});
  for (const sim::DoctorLayer& layer : diagnosis.ranking)
    record.ranking.push_back({static_cast<std::int64_t>(layer.layer), layer.output_sqnr_db, layer.accuracy});
  record.warnings = diagnosis.warnings;
  return record;
}

DiagnosisResult diagnose(const Source& source, const Execution& execution) {
  DiagnosisResult result;
  result.setup = open_setup(source, execution.environment);
  result.diagnosis = sim::diagnose(result.setup->request, execution.parallel, execution.environment);
  if (result.diagnosis.configured.sqnr_db.empty()) throw RunError("interrupted");
  result.record = record_of(result.diagnosis, result.setup->request);
  result.record.command = neutral_command("doctor", source);
  result.record.config_text = source.text;
  result.record.resolved_text = neutral_resolved_text(result.setup->config);
  return result;
}

}  // namespace

DiagnosisResult Simulation::diagnose(const Execution& execution) const {
  return with_positions(document(), [&] { return app::diagnose(source_, execution); });
}

}  // namespace tessera::app
