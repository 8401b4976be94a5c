#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx_model.hpp"
#include "tessera/nn/executor.hpp"

// Question: do If, Loop and the functions of a file become the part of the network that runs, and are those that depend
// on data refused by name?
namespace tessera::io {
namespace {

using test::OnnxModel;
using testing::HasSubstr;

const Tensor x = Tensor({2, 2}, std::vector<float>{-1, 2, -3, 4});

Tensor run(const OnnxModel& model) {
  return nn::Executor(model.import()).run(x);
}

/// A sub-graph of one node that reads `from` and writes "out".
onnx::GraphProto one_node(const std::string& op, const std::string& from) {
  onnx::GraphProto graph;
  auto* node = graph.add_node();
  node->set_op_type(op);
  node->set_name("inner");
  node->add_input(from);
  node->add_output("out");
  graph.add_output()->set_name("out");
  return graph;
}

void set_graph(onnx::NodeProto& node, const std::string& name, const onnx::GraphProto& graph) {
  auto* attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(onnx::AttributeProto::GRAPH);
  *attribute->mutable_g() = graph;
}

void add_branches(onnx::NodeProto& node) {
  set_graph(node, "then_branch", one_node("Relu", "x"));
  set_graph(node, "else_branch", one_node("Neg", "x"));
}

TEST(OnnxControl, IfTakesTheBranchOfItsConstantCondition) {
  for (const bool condition : {true, false}) {
    OnnxModel m(17);
    m.input("x", {0, 2}).output("y");
    m.initializer("c", {}, onnx::TensorProto::BOOL).add_int32_data(condition ? 1 : 0);
    add_branches(m.node("If", {"c"}, {"y"}, "choose"));
    const Tensor y = run(m);
    for (std::int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(y.data()[i], condition ? std::max(0.0F, x.data()[i]) : -x.data()[i]) << condition;
  }
}

// As exporters write squeeze(): a condition on the shape of the input, which no batch changes.
TEST(OnnxControl, IfOnAnExtentThatIsFixed) {
  OnnxModel m(17);
  m.input("x", {0, 2}).output("y").ints("axis", {1}).ints("one", {1});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Gather", {"shape", "axis"}, {"extent"});
  m.node("Equal", {"extent", "one"}, {"c"});
  add_branches(m.node("If", {"c"}, {"y"}, "choose"));
  EXPECT_EQ(run(m).data()[0], 1.0F);
}

TEST(OnnxControl, IfOnTheBatchOrTheDataIsRefused) {
  OnnxModel batch(17);
  batch.input("x", {0, 2}).output("y").ints("axis", {0}).ints("one", {1});
  batch.node("Shape", {"x"}, {"shape"});
  batch.node("Gather", {"shape", "axis"}, {"extent"});
  batch.node("Equal", {"extent", "one"}, {"c"});
  add_branches(batch.node("If", {"c"}, {"y"}, "choose"));
  EXPECT_THAT(batch.error(),
              HasSubstr("node 3 'choose' (If, opset 17): its condition depends on the data or the batch"));
}

TEST(OnnxControl, WhatIsWrongInsideABranchIsNamed) {
  OnnxModel m(17);
  m.input("x", {0, 2}).output("y");
  m.initializer("c", {}, onnx::TensorProto::BOOL).add_int32_data(1);
  auto& node = m.node("If", {"c"}, {"y"}, "choose");
  set_graph(node, "then_branch", one_node("Rellu", "x"));
  set_graph(node, "else_branch", one_node("Neg", "x"));
  EXPECT_THAT(m.error(),
              HasSubstr("node 0 'choose' (If, opset 17): in its sub-graph, node 0 'inner' (Rellu, opset 17)"));
}

/// v = v + v, collected before every doubling.
onnx::GraphProto doubling_body() {
  onnx::GraphProto body;
  for (const char* name : {"i", "c", "v"}) body.add_input()->set_name(name);
  auto* same = body.add_node();
  same->set_op_type("Identity");
  same->add_input("c");
  same->add_output("c_out");
  auto* add = body.add_node();
  add->set_op_type("Add");
  add->add_input("v");
  add->add_input("v");
  add->add_output("v_out");
  for (const char* name : {"c_out", "v_out", "v"}) body.add_output()->set_name(name);
  return body;
}

TEST(OnnxControl, LoopRunsAsOftenAsItsConstantTripCountSays) {
  OnnxModel m(17);
  m.input("x", {0, 2}).output("y").output("all");
  m.initializer("trips", {}, onnx::TensorProto::INT64).add_int64_data(3);
  set_graph(m.node("Loop", {"trips", "", "x"}, {"y", "all"}, "loop"), "body", doubling_body());
  const nn::Graph graph = m.import({}, {.batched = false, .constants = {}});
  const std::vector<Tensor> y = nn::Executor(graph).run(std::vector<Tensor>{x});
  ASSERT_EQ(y[1].shape(), (Shape{3, 2, 2}));
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(y[0].data()[i], 8.0F * x.data()[i]);
    EXPECT_EQ(y[1].data()[8 + i], 4.0F * x.data()[i]);
  }
}

TEST(OnnxControl, LoopOverDataIsRefused) {
  OnnxModel m(17);
  m.input("x", {0, 2}).input("trips", {}, onnx::TensorProto::INT64).output("y");
  set_graph(m.node("Loop", {"trips", "", "x"}, {"y", ""}, "loop"), "body", doubling_body());
  EXPECT_THAT(m.error(), HasSubstr("'loop' (Loop, opset 17): its trip count depends on the data"));
}

TEST(OnnxControl, FunctionsOfTheFileAreInlinedWithTheirAttributes) {
  OnnxModel m(17);
  m.opset_import("own", 1);
  auto* function = m.model.add_functions();
  function->set_name("Leaky");
  function->set_domain("own");
  function->add_input("a");
  function->add_output("b");
  function->add_attribute("slope");
  auto* opset = function->add_opset_import();
  opset->set_version(17);
  auto* node = function->add_node();
  node->set_op_type("LeakyRelu");
  node->add_input("a");
  node->add_output("b");
  auto* attribute = node->add_attribute();
  attribute->set_name("alpha");
  attribute->set_type(onnx::AttributeProto::FLOAT);
  attribute->set_ref_attr_name("slope");
  m.input("x", {0, 2}).output("y");
  auto& call = m.node("Leaky", {"x"}, {"y"}, "leaky");
  call.set_domain("own");
  OnnxModel::set_float(call, "slope", 0.5F);
  EXPECT_EQ(run(m).data()[0], -0.5F);
  EXPECT_EQ(run(m).data()[1], 2.0F);
}

}  // namespace
}  // namespace tessera::io
