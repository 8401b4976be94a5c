// Are a diagnosis' variants what their names say?
#include "tessera/sim/doctor.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "sim/small_network.hpp"

namespace tessera::sim {
namespace {

Diagnosis diagnosis_of(const LayerResolver& resolve, const Environment& environment = {}) {
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
  return diagnose(request, {2}, environment);
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

// Mechanisms are left out by values that, configured by somebody, would be worth a note.
TEST(DoctorTest, NotesSpeakOfTheConfigurationOnly) {
  std::vector<std::string> notes;
  Environment environment;
  environment.message = [&](Severity severity, const std::string& text) {
    if (severity == Severity::note) notes.push_back(text);
  };
  LayerParameters layer;
  layer.rpu.pre_post.periph_quant.n_bits = 3;
  diagnosis_of([&](const std::string&, const std::string&) { return layer; }, environment);
  EXPECT_THAT(notes, testing::IsEmpty());

  layer.rpu.forward.w_noise = 0.1;  // without a w_noise_type
  diagnosis_of([&](const std::string&, const std::string&) { return layer; }, environment);
  EXPECT_THAT(notes, testing::ElementsAre(testing::HasSubstr("forward.w_noise")));
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

// One effect on in a network with its encoding: alone it is the whole, and without it all is ideal.
void expect_whole(const DoctorStage& stage, const Diagnosis& diagnosis) {
  EXPECT_EQ(stage.only.accuracy, diagnosis.configured.accuracy);
  EXPECT_EQ(stage.only.sqnr_db, diagnosis.configured.sqnr_db);
}

LayerResolver with_forward(const std::function<void(tile::IOParameters&)>& change) {
  return [change](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.out_noise = 0.0;
    layer.rpu.forward.inp_res = layer.rpu.forward.out_res = -1.0;
    layer.rpu.forward.inp_bound = layer.rpu.forward.out_bound = 0.0;
    change(layer.rpu.forward);
    return layer;
  };
}

TEST(DoctorTest, DigitEncodingsAreDiagnosed) {
  for (const tile::AnalogMVType type : {tile::AnalogMVType::SPLIT_MODE, tile::AnalogMVType::BIT_WISE}) {
    const Diagnosis diagnosis = diagnosis_of(with_forward([type](tile::IOParameters& io) {
      io.mv_type = type;
      io.inp_bound = 1.0;
      io.inp_res = 14.0;
      io.split_mode_bit_shift = 2;
    }));
    ASSERT_EQ(diagnosis.stages.size(), 1U);
    const DoctorStage& dac = stage_of(diagnosis, "DAC");
    expect_whole(dac, diagnosis);
    EXPECT_TRUE(dac.removable);
    EXPECT_EQ(dac.without.sqnr_db, diagnosis.ideal.sqnr_db);
    EXPECT_LT(dac.only.sqnr_db.back(), 50.0);
  }
}

TEST(DoctorTest, EveryMechanismIsSeenUnderTheConfiguredEncoding) {
  const Diagnosis diagnosis = diagnosis_of(with_forward([](tile::IOParameters& io) {
    io.mv_type = tile::AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
    io.out_noise = 0.05;
  }));
  const DoctorStage& noise = stage_of(diagnosis, "output noise");
  expect_whole(noise, diagnosis);
  EXPECT_EQ(noise.without.sqnr_db, diagnosis.ideal.sqnr_db);
}

TEST(DoctorTest, SaturationKeepsTheBoundOfItsLaw) {
  const Diagnosis diagnosis = diagnosis_of(with_forward([](tile::IOParameters& io) {
    io.out_bound = 12.0;
    io.out_nonlinearity = 0.5;
  }));
  const DoctorStage& saturation = stage_of(diagnosis, "saturation");
  expect_whole(saturation, diagnosis);
  EXPECT_FALSE(stage_of(diagnosis, "ADC clip").removable);
}

}  // namespace
}  // namespace tessera::sim
