// Are a diagnosis' variants what their names say?
#include "tessera/sim/doctor.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/small_network.hpp"

namespace tessera::sim {
namespace {

Diagnosis diagnosis_of(const LayerResolver& resolve) {
  const nn::Executor executor(test::small_network());
  const io::DataSet data = test::small_data(60);
  EvaluationParameters evaluation;
  evaluation.repeats = 2;
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .batch_size = 16,
                                  .seed = 3,
                                  .evaluation = evaluation,
                                  .resolve = resolve,
                                  .record_output = {}};
  return diagnose(request, {2}, {});
}

const DoctorStage& stage_of(const Diagnosis& diagnosis, const std::string& name) {
  for (const DoctorStage& stage : diagnosis.stages)
    if (stage.name == name) return stage;
  throw InputError("no stage " + name);
}

TEST(DoctorTest, OneMechanismAloneIsTheWholeNetworkAndWithoutItIsIdeal) {
  const Diagnosis diagnosis = diagnosis_of([](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.inp_res = layer.rpu.forward.out_res = -1.0;
    layer.rpu.forward.inp_bound = layer.rpu.forward.out_bound = 0.0;
    layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
    layer.rpu.forward.out_noise = 0.3;
    return layer;
  });
  EXPECT_LT(diagnosis.ideal_deviation, 1e-5);
  EXPECT_EQ(diagnosis.ideal_changed, 0);
  ASSERT_EQ(diagnosis.stages.size(), 1U);
  const DoctorStage& noise = stage_of(diagnosis, "output noise");
  EXPECT_EQ(noise.only.accuracy, diagnosis.configured.accuracy);
  EXPECT_EQ(noise.only.sqnr_db, diagnosis.configured.sqnr_db);
  EXPECT_EQ(noise.without.accuracy, diagnosis.ideal.accuracy);
  EXPECT_EQ(noise.without.sqnr_db, diagnosis.ideal.sqnr_db);
  EXPECT_LT(diagnosis.configured.sqnr_db.back(), 30.0) << "the noise is too weak: the test shows nothing";
  EXPECT_GT(diagnosis.ideal.sqnr_db.back(), 100.0);
}

TEST(DoctorTest, ScaleAndBiasBitsAreToldApart) {
  const Diagnosis diagnosis = diagnosis_of([](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.out_noise = 0.0;
    layer.rpu.mapping.weight_scaling_omega = 1.0;
    layer.rpu.mapping.weight_scaling_columnwise = true;
    layer.rpu.pre_post.periph_quant.n_bits = 3;
    return layer;
  });
  const DoctorStage& scale = stage_of(diagnosis, "scale bits");
  const DoctorStage& bias = stage_of(diagnosis, "bias bits");
  EXPECT_LT(scale.only.alone_db[1], 60.0);
  EXPECT_GT(bias.only.alone_db[1], 100.0) << "fc2 has no bias";
  EXPECT_GT(scale.without.alone_db[1], diagnosis.configured.alone_db[1]);
  EXPECT_THROW(stage_of(diagnosis, "output noise"), InputError);
  EXPECT_TRUE(stage_of(diagnosis, "ADC rounding").removable);
  EXPECT_FALSE(stage_of(diagnosis, "ADC clip").removable);
}

}  // namespace
}  // namespace tessera::sim
