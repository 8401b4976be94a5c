// Does a model come back exactly as it was saved, and is a file that is not a good model an error?
#include "tessera/io/model_file.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "h5/temporary_directory.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Every kind of constant, attribute and input there is.
Model sample_model() {
  Model model;
  nn::Graph& graph = model.graph;
  graph.name = "sample µ";
  const auto x = graph.add_value("x");
  const auto tokens = graph.add_value("tokens");
  std::vector<float> ramp(std::size_t{600} * 700);
  for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = std::sin(static_cast<float>(i));
  const auto weight = graph.add_value("conv1/weight", Tensor({600, 700}, ramp));
  const auto scalar = graph.add_value("one", Tensor(Shape{}, std::vector<float>{1.0F}));
  const auto special = graph.add_value("special", Tensor({4}, std::vector<float>{-0.0F, 1e-45F, INFINITY, -INFINITY}));
  const auto empty = graph.add_value("empty", Tensor(Shape{0, 3}));
  const auto shape = graph.add_value("shape", nn::IntTensor{{2}, {-1, std::numeric_limits<std::int64_t>::max()}});
  const auto axis = graph.add_value("axis", nn::IntTensor{{}, {3}});
  const auto hidden = graph.add_value("hidden");
  const auto y = graph.add_value("y");
  graph.nodes.push_back({"conv1",
                         "Gemm",
                         {x, weight, nn::no_value, scalar},
                         {hidden, nn::no_value},
                         {{"alpha", 0.1F},
                          {"transB", std::int64_t{1}},
                          {"mode", std::string("same µ")},
                          {"pads", std::vector<std::int64_t>{0, 1, -2}},
                          {"one", std::vector<std::int64_t>{7}},
                          {"none", std::vector<std::int64_t>{}},
                          {"scales", std::vector<float>{0.1F, 2.0F}},
                          {"no_scales", std::vector<float>{}},
                          {"activations", std::vector<std::string>{"Tanh", "", "Relu"}},
                          {"no_text", std::string()},
                          {"path/like name", std::int64_t{-1}}}});
  graph.nodes.push_back({"layer1.0 sum", "Concat", {hidden, special, empty, shape, axis, tokens}, {y}, {}});
  graph.inputs = {{x, nn::ElementType::float32, {4, 700}, true}, {tokens, nn::ElementType::int64, {}, false}};
  graph.outputs = {y, hidden};
  graph.batch = nn::BatchMode::fixed;
  graph.samples_at_a_time = 4;
  model.calibration = {{"conv1", {{"input_range", {0.1, 2.5}}, {"quantizer.delta", {}}}}, {"layer1.0 sum", {}}};
  model.progress = {{"step", {7}}, {"optimizer.0.first", {0.25, -1e-30}}};
  model.notes = {{"source", "sample.onnx"}, {"training", "two\nlines"}, {"empty", ""}};
  return model;
}

void expect_equal(const nn::Constant& a, const nn::Constant& b) {
  ASSERT_EQ(a.index(), b.index());
  if (const auto* integers = std::get_if<nn::IntTensor>(&a)) {
    EXPECT_EQ(*integers, std::get<nn::IntTensor>(b));
    return;
  }
  const auto& x = std::get<Tensor>(a);
  const auto& y = std::get<Tensor>(b);
  ASSERT_EQ(x.shape(), y.shape());
  if (x.values().empty()) return;
  EXPECT_EQ(std::memcmp(x.data(), y.data(), sizeof(float) * x.values().size()), 0);
}

void expect_equal(const nn::Graph& a, const nn::Graph& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.batch, b.batch);
  EXPECT_EQ(a.samples_at_a_time, b.samples_at_a_time);
  EXPECT_EQ(a.outputs, b.outputs);
  ASSERT_EQ(a.values.size(), b.values.size());
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    EXPECT_EQ(a.values[i].name, b.values[i].name);
    ASSERT_EQ(a.values[i].constant.has_value(), b.values[i].constant.has_value()) << a.values[i].name;
    if (a.values[i].constant) expect_equal(*a.values[i].constant, *b.values[i].constant);
  }
  ASSERT_EQ(a.inputs.size(), b.inputs.size());
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    EXPECT_EQ(a.inputs[i].value, b.inputs[i].value);
    EXPECT_EQ(a.inputs[i].type, b.inputs[i].type);
    EXPECT_EQ(a.inputs[i].shape, b.inputs[i].shape);
    EXPECT_EQ(a.inputs[i].batched, b.inputs[i].batched);
  }
  ASSERT_EQ(a.nodes.size(), b.nodes.size());
  for (std::size_t i = 0; i < a.nodes.size(); ++i) {
    EXPECT_EQ(a.nodes[i].name, b.nodes[i].name);
    EXPECT_EQ(a.nodes[i].op, b.nodes[i].op);
    EXPECT_EQ(a.nodes[i].inputs, b.nodes[i].inputs);
    EXPECT_EQ(a.nodes[i].outputs, b.nodes[i].outputs);
    EXPECT_EQ(a.nodes[i].attributes, b.nodes[i].attributes);
  }
}

class ModelFile : public ::testing::Test {
 protected:
  /// A copy of the saved file with a change.
  std::string changed(const std::function<void(h5::File&)>& change) {
    const std::string path = directory_ / "changed.h5";
    testing::write_bytes(partial_path(path), testing::read_bytes(path_));
    AtomicFile target(path, AtomicFile::Start::resume);
    h5::File file = h5::File::resume(target);
    change(file);
    file.close();
    target.commit();
    return path;
  }

  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "model.h5";
};

TEST_F(ModelFile, EverythingComesBack) {
  const Model model = sample_model();
  write_model(model, path_);
  const Model back = read_model(path_);
  expect_equal(model.graph, back.graph);
  EXPECT_EQ(model.calibration, back.calibration);
  EXPECT_EQ(model.progress, back.progress);
  EXPECT_EQ(model.notes, back.notes);
  save_model(back.graph, path_);
  expect_equal(model.graph, load_model(path_));
  EXPECT_TRUE(read_model(path_).calibration.empty());
}

TEST_F(ModelFile, TheSameModelGivesTheSameBytes) {
  write_model(sample_model(), path_);
  write_model(read_model(path_), directory_ / "again.h5");
  EXPECT_EQ(testing::read_bytes(path_), testing::read_bytes(directory_ / "again.h5"));
}

TEST_F(ModelFile, ManyNodesKeepTheirOrder) {
  nn::Graph graph;
  auto last = graph.add_value("x");
  graph.inputs = {{last, nn::ElementType::float32, {-1, 4}, true}};
  for (int i = 0; i < 120; ++i) {
    const auto next = graph.add_value("value");
    graph.nodes.push_back({"relu_" + std::to_string(i), "Relu", {last}, {next}, {}});
    last = next;
  }
  graph.outputs = {last};
  save_model(graph, path_);
  expect_equal(graph, load_model(path_));
}

TEST_F(ModelFile, BadModelsAreNotWritten) {
  Model model = sample_model();
  model.graph.outputs = {99};
  EXPECT_THROW(write_model(model, path_), InputError);
  model = sample_model();
  model.calibration["conv2"] = {};
  EXPECT_THAT([&] { write_model(model, path_); }, ThrowsMessage<InputError>(HasSubstr("no such node")));
  model = sample_model();
  model.calibration["conv1"]["a/b"] = {1};
  EXPECT_THROW(write_model(model, path_), InputError);
  model = sample_model();
  model.notes["broken"] = "\xff";
  EXPECT_THROW(write_model(model, path_), RunError);
  EXPECT_TRUE(std::filesystem::is_empty(std::filesystem::path(path_).parent_path()));
  EXPECT_THROW(write_model(sample_model(), directory_ / "none/model.h5"), RunError);
}

TEST_F(ModelFile, OtherFilesAreRefused) {
  EXPECT_THROW(load_model(directory_ / "absent.h5"), InputError);
  testing::write_bytes(path_, "not HDF5");
  EXPECT_THROW(load_model(path_), InputError);
  h5::File::create(path_).set_attribute("filetype", "tessera-results");
  EXPECT_THAT([&] { load_model(path_); }, ThrowsMessage<InputError>(HasSubstr("is not a model file of tessera")));
}

TEST_F(ModelFile, WhateverIsWrongInsideIsNamed) {
  write_model(sample_model(), path_);
  EXPECT_NO_THROW(load_model(changed([](h5::File&) {})));
  EXPECT_NO_THROW(load_model(changed([](h5::File& f) { f.set_attribute("schema_version", "1.9"); })));
  const auto wrong = [&](const std::function<void(h5::File&)>& change, const char* message) {
    EXPECT_THAT([&] { load_model(changed(change)); }, ThrowsMessage<InputError>(HasSubstr(message)));
  };
  const auto set = [](const char* group, const char* name, auto value) {
    return [=](h5::File& f) { f.group(group).set_attribute(name, value); };
  };
  wrong(set("/", "schema_version", "2.0"), "this program reads 1.x");
  wrong(set("/", "schema_version", ""), "this program reads 1.x");
  wrong(set("/graph", "batch", "some"), "is 'some', which is none of its values");
  wrong(set("/graph", "samples_at_a_time", std::int64_t{3}), "takes 4 samples at a time");
  wrong(set("/graph/inputs/0", "shape", std::vector<std::int64_t>{-1, 700}), "takes -1 samples at a time");
  wrong(set("/graph/inputs/0", "type", "float64"), "which is none of its values");
  wrong(set("/graph/inputs/0", "value", 1000), "a graph input refers to value 1000");
  wrong(set("/graph/inputs/0", "value", std::int64_t{1} << 40), "which int32 cannot hold");
  wrong(set("/graph/inputs/1", "batched", 2), "where 0 or 1 is expected");
  wrong(set("/graph/nodes/0", "name", "a/b"), "contains '/'");
  wrong(set("/graph/nodes/0", "name", 1), "as text");
  wrong(set("/graph/nodes/0", "inputs", std::vector<std::int32_t>{0, -7}), "reads value -7");
  wrong(set("/graph/nodes/0", "outputs", std::vector<std::int32_t>{0}), "already defined");
  wrong(set("/graph/nodes/0/attributes", "alpha", 0.5), "holds float64 (expected int64, float32 or string)");
  wrong([](h5::File& f) { f.create_group("/graph/nodes/7"); }, "there is no group /graph/nodes/2");
  wrong([](h5::File& f) { f.write_scalar("/graph/constants/99", 1.0F); }, "is not the number of one of the 10 values");
  wrong([](h5::File& f) { f.write_scalar("/graph/constants/2x", 1.0F); }, "is not the number of one of the 10 values");
  wrong([](h5::File& f) { f.write_scalar("/graph/constants/0", 1.0F); }, "is also a constant");
  wrong([](h5::File& f) { f.write_scalar("/graph/constants/0", 1.0); }, "holds float64 (expected float32 or int64)");
  wrong([](h5::File& f) { f.dataset("/graph/constants/3").write(std::vector<float>{NAN}); }, "('one') in");
}

TEST_F(ModelFile, OlderFilesWithAFreeBatchTakeOneSampleAtATime) {
  write_model(sample_model(), path_);
  const nn::Graph old = load_model(changed([](h5::File& f) {
    f.group("/graph").set_attribute("batch", "per_sample");
    f.group("/graph").set_attribute("samples_at_a_time", std::int64_t{0});
    f.group("/graph/inputs/0").set_attribute("shape", std::vector<std::int64_t>{-1, 700});
  }));
  EXPECT_EQ(old.batch, nn::BatchMode::fixed);
  EXPECT_EQ(old.samples_at_a_time, 1);
  EXPECT_EQ(old.inputs[0].shape, (Shape{1, 700}));
}

TEST_F(ModelFile, TruncatedFilesAreErrors) {
  write_model(sample_model(), path_);
  const std::string bytes = testing::read_bytes(path_);
  const std::string cut = directory_ / "cut.h5";
  for (std::size_t part = 0; part < 100; ++part) {
    testing::write_bytes(cut, bytes.substr(0, bytes.size() * part / 100));
    EXPECT_THROW(load_model(cut), InputError) << part;
  }
}

/// Almost every byte is under a checksum; what a change does not reach must read as before.
TEST_F(ModelFile, ChangedBytesAreErrorsOrHarmless) {
  Model model = sample_model();
  model.graph.values[2].constant = Tensor({3, 3}, std::vector<float>(9, 0.5F));
  write_model(model, path_);
  const std::string bytes = testing::read_bytes(path_);
  const std::string damaged = directory_ / "damaged.h5";
  int errors = 0;
  int silent = 0;
  for (std::size_t position = 0; position < bytes.size(); position += 31) {
    std::string changed = bytes;
    changed[position] = static_cast<char>(changed[position] ^ (1 << (position % 8)));
    testing::write_bytes(damaged, changed);
    try {
      const nn::Graph back = load_model(damaged);
      ++silent;
      ASSERT_EQ(back.values.size(), model.graph.values.size());
      expect_equal(*model.graph.values[2].constant, *back.values[2].constant);
    } catch (const InputError&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 50);
  EXPECT_GT(silent, 10) << "unused space exists";
}

}  // namespace
}  // namespace tessera::io
