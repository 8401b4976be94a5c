#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/executor.hpp"

// Question: does every case of the ONNX node tests give the outputs stored beside it, or is it refused as this file
// says?
//   <case>/model.onnx, <case>/test_data_set_<i>/input_<k>.pb, output_<k>.pb
// The folder is that of Debian's package libonnx-testdata, or what TESSERA_ONNX_TESTS names (a newer set is written by
// tests/python/write_onnx_node_tests.py). TESSERA_ONNX_TESTS_VERBOSE prints every refusal and its reason.
namespace tessera::io {
namespace {

namespace fs = std::filesystem;

enum class Outcome { passed, refused, failed };

Tensor as_floats(const nn::Constant& constant) {
  if (const auto* tensor = std::get_if<Tensor>(&constant)) return *tensor;
  const auto& integers = std::get<nn::IntTensor>(constant);
  Tensor result(integers.shape);
  std::transform(integers.values.begin(), integers.values.end(), result.data(),
                 [](std::int64_t x) { return static_cast<float>(x); });
  return result;
}

std::vector<Tensor> read_tensors(const fs::path& folder, const std::string& stem) {
  std::vector<Tensor> tensors;
  for (int k = 0; fs::exists(folder / fmt::format("{}_{}.pb", stem, k)); ++k)
    tensors.push_back(as_floats(read_onnx_tensor((folder / fmt::format("{}_{}.pb", stem, k)).string())));
  return tensors;
}

struct Declared {
  std::string name;
  int type = 0;
};

/// The graph's inputs that are not initialisers, in file order, and its outputs.
std::pair<std::vector<Declared>, std::vector<Declared>> declared_values(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  onnx::ModelProto model;
  std::pair<std::vector<Declared>, std::vector<Declared>> result;
  if (!model.ParseFromIstream(&file)) return result;
  std::set<std::string> stored;
  for (const auto& tensor : model.graph().initializer()) stored.insert(tensor.name());
  for (const auto& input : model.graph().input())
    if (!stored.contains(input.name())) result.first.push_back({input.name(), input.type().tensor_type().elem_type()});
  for (const auto& output : model.graph().output())
    result.second.push_back({output.name(), output.type().tensor_type().elem_type()});
  return result;
}

/// Older sets keep bfloat16 values as the unsigned integers of their bits.
nn::Constant read_value(const fs::path& path, int type) {
  nn::Constant value = read_onnx_tensor(path.string());
  const auto* bits = std::get_if<nn::IntTensor>(&value);
  if (type != onnx::TensorProto::BFLOAT16 || bits == nullptr) return value;
  Tensor result(bits->shape);
  std::transform(bits->values.begin(), bits->values.end(), result.data(),
                 [](std::int64_t x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16U); });
  return result;
}

/// ONNX's own tolerance: |a - b| <= 1e-7 + 1e-3 |b|; 1e-6 absolute because exporters round differently near zero.
std::string compare(const Tensor& got, const Tensor& wanted) {
  if (got.shape() != wanted.shape())
    return fmt::format("shape {} instead of {}", to_string(got.shape()), to_string(wanted.shape()));
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const auto a = static_cast<double>(got.data()[i]), b = static_cast<double>(wanted.data()[i]);
    const bool equal = a == b || (std::isnan(a) && std::isnan(b)) || std::fabs(a - b) <= 1e-6 + 1e-3 * std::fabs(b);
    if (!equal) return fmt::format("element {}: {} instead of {}", i, a, b);
  }
  return {};
}

/// Inputs from `first_constant` on are given to the importer, the others when the network runs.
Outcome run_set(const fs::path& folder, const fs::path& set, std::size_t first_constant, std::string& reason) {
  reason.clear();
  try {
    const std::string model = (folder / "model.onnx").string();
    std::vector<Tensor> inputs;
    OnnxImportOptions options{.batched = false, .constants = {}};
    const auto [given, results] = declared_values(model);
    for (std::size_t k = 0; k < given.size() && fs::exists(set / fmt::format("input_{}.pb", k)); ++k) {
      nn::Constant value = read_value(set / fmt::format("input_{}.pb", k), given[k].type);
      if (k < first_constant)
        inputs.push_back(as_floats(value));
      else
        options.constants.emplace(given[k].name, std::move(value));
    }
    std::vector<Tensor> wanted;
    for (std::size_t k = 0; k < results.size() && fs::exists(set / fmt::format("output_{}.pb", k)); ++k)
      wanted.push_back(as_floats(read_value(set / fmt::format("output_{}.pb", k), results[k].type)));
    const nn::Executor executor(import_onnx(model, {}, options));
    const std::vector<Tensor> got = executor.run(inputs, {.parallel = {2}});
    if (got.size() != wanted.size()) reason = fmt::format("{} outputs instead of {}", got.size(), wanted.size());
    for (std::size_t k = 0; reason.empty() && k < got.size(); ++k) reason = compare(got[k], wanted[k]);
  } catch (const InputError& error) {
    reason = error.what();
    return Outcome::refused;
  } catch (const Error& error) {
    reason = error.what();
  }
  return reason.empty() ? Outcome::passed : Outcome::failed;
}

/// Test cases of single operators give weights and axes as inputs; what cannot be imported that way is tried with all
/// inputs but the first as constants, and with all as constants (which checks the folding of constants).
Outcome run_case(const fs::path& folder, std::string& reason) {
  Outcome outcome = Outcome::refused;
  for (int i = 0; fs::exists(folder / fmt::format("test_data_set_{}", i)); ++i) {
    const fs::path set = folder / fmt::format("test_data_set_{}", i);
    for (const std::size_t first_constant : {std::size_t{1000}, std::size_t{1}, std::size_t{0}}) {
      outcome = run_set(folder, set, first_constant, reason);
      if (outcome != Outcome::refused) break;
    }
    if (outcome != Outcome::passed) break;
  }
  return outcome;
}

// --- what may be refused ---------------------------------------------------------------------------------------------

/// Operators outside of what networks for inference are made of.
const std::map<std::string, std::set<std::string>>& refused_operators() {
  static const std::map<std::string, std::set<std::string>> table = {
      {"text", {"RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"}},
      {"sequences and optional values",
       {"ConcatFromSequence", "OptionalGetElement", "OptionalHasElement", "SequenceAt", "SequenceConstruct",
        "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence"}},
      {"random numbers",
       {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}},
      {"training", {"Adagrad", "Adam", "Momentum", "Gradient", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"}},
      {"trees and labels", {"ArrayFeatureExtractor", "Binarizer", "LabelEncoder", "TreeEnsemble"}},
      {"files of images", {"ImageDecoder"}},
      {"a shape that depends on data", {"NonMaxSuppression", "Unique"}},
      {"signals and the sampling of images",
       {"AffineGrid", "CenterCropPad", "Col2Im", "DFT", "DeformConv", "GridSample", "MelWeightMatrix", "RoiAlign",
        "STFT"}},
      {"linear algebra", {"Det"}},
      {"control flow over data", {"Scan"}},
  };
  return table;
}

/// Cases that are refused although their operators are not, and why.
const std::map<std::string, std::string>& refused_cases() {
  static const std::map<std::string, std::string> table = {
      {"test_batchnorm_epsilon_training_mode", "training"},
      {"test_batchnorm_example_training_mode", "training"},
      {"test_cast_BFLOAT16_to_FLOAT", "an input that is not a number"},
      {"test_castlike_BFLOAT16_to_FLOAT", "an input that is not a number"},
      {"test_castlike_BFLOAT16_to_FLOAT_expanded", "an input that is not a number"},
      {"test_cast_FLOAT_to_BFLOAT16", "an input that is not a number"},
      {"test_castlike_FLOAT_to_BFLOAT16", "an input that is not a number"},
      {"test_castlike_FLOAT_to_BFLOAT16_expanded", "an input that is not a number"},
      {"test_identity_opt", "sequences and optional values"},
      {"test_identity_sequence", "sequences and optional values"},
      {"test_training_dropout", "random numbers"},
      {"test_training_dropout_default", "random numbers"},
      {"test_training_dropout_default_mask", "random numbers"},
      {"test_training_dropout_mask", "random numbers"},
  };
  return table;
}

const std::set<std::string>& imprecise_types() {
  static const std::set<std::string> table = {"FLOAT16", "BFLOAT16", "DOUBLE"};
  return table;
}

struct CaseFacts {
  std::set<std::string> operators, types;
  std::int64_t opset = 0;
};

void add_operators(const onnx::GraphProto& graph, CaseFacts& facts) {
  for (const auto& node : graph.node()) {
    facts.operators.insert(node.op_type());
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) add_operators(attribute.g(), facts);
  }
}

CaseFacts facts_of(const fs::path& folder) {
  std::ifstream file(folder / "model.onnx", std::ios::binary);
  onnx::ModelProto model;
  CaseFacts facts;
  if (!model.ParseFromIstream(&file)) return facts;
  add_operators(model.graph(), facts);
  for (const auto* values : {&model.graph().input(), &model.graph().output()})
    for (const auto& value : *values) {
      const int type = value.type().tensor_type().elem_type();
      facts.types.insert(onnx::TensorProto::DataType_IsValid(type)
                             ? onnx::TensorProto::DataType_Name(static_cast<onnx::TensorProto::DataType>(type))
                             : fmt::format("type {}", type));
    }
  for (const auto& entry : model.opset_import())
    if (entry.domain().empty()) facts.opset = entry.version();
  return facts;
}

/// Why a case may be refused; empty if it may not.
std::string allowed_refusal(const std::string& name, const CaseFacts& facts) {
  for (const auto& [reason, operators] : refused_operators())
    for (const std::string& op : facts.operators)
      if (operators.contains(op)) return reason;
  const auto found = refused_cases().find(name);
  if (found != refused_cases().end()) return found->second;
  if (facts.opset > largest_opset) return "a newer opset";
  for (const char* type : {"STRING", "COMPLEX64", "COMPLEX128"})
    if (facts.types.contains(type)) return "elements that are no real numbers";
  for (const std::string& type : facts.types)
    if (type.starts_with("type 17") || type.starts_with("type 18") || type.starts_with("type 19") ||
        type.starts_with("type 20") || type.starts_with("type 23") || type.starts_with("type 24"))
      return "8 and 4 bit floating point";
  return {};
}

// --- exports ---------------------------------------------------------------------------------------------------------

/// Samples one after the other along axis 0.
Tensor joined(const std::vector<Tensor>& samples) {
  Shape shape = samples.front().shape();
  if (shape.empty()) return samples.front();
  shape[0] = 0;
  std::vector<float> values;
  for (const Tensor& sample : samples) {
    shape[0] += sample.dim(0);
    values.insert(values.end(), sample.values().begin(), sample.values().end());
  }
  return {shape, values};
}

/// Empty if every element is within `tolerance` of the largest; the difference relative to it enters `worst`.
std::string compare_relative(const Tensor& got, const Tensor& wanted, double tolerance, double& worst) {
  if (got.shape() != wanted.shape())
    return fmt::format("shape {} instead of {}", to_string(got.shape()), to_string(wanted.shape()));
  double largest = 0.0, difference = 0.0;
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const auto a = static_cast<double>(got.data()[i]), b = static_cast<double>(wanted.data()[i]);
    largest = std::max(largest, std::fabs(b));
    if (!(a == b))
      difference = std::isnan(a - b) ? std::numeric_limits<double>::infinity() : std::max(difference, std::fabs(a - b));
  }
  if (largest > 0.0) worst = std::max(worst, difference / largest);
  return difference <= tolerance * largest ? "" : fmt::format("differs by {:.2g} of {:.2g}", difference, largest);
}

std::string check_export(const fs::path& folder, bool together, double& worst) {
  const std::string model = (folder / "model.onnx").string();
  std::string notes;
  Environment environment;
  environment.message = [&](Severity, const std::string& text) { notes += text + "; "; };
  const nn::Executor executor(import_onnx(model, environment, {.batched = together, .constants = {}}));
  std::vector<std::vector<Tensor>> inputs, outputs;  // by number, then by sample
  const std::size_t samples = static_cast<std::size_t>(
      std::count_if(fs::directory_iterator(folder), fs::directory_iterator(),
                    [](const auto& entry) { return entry.path().filename().string().starts_with("test_data_set_"); }));
  for (std::size_t k = 0; k < samples; ++k) {
    const fs::path set = folder / fmt::format("test_data_set_{}", k);
    const std::vector<Tensor> in = read_tensors(set, "input"), out = read_tensors(set, "output");
    if (!together) {
      const std::vector<Tensor> got = executor.run(in, {.parallel = {2}});
      for (std::size_t o = 0; o < out.size(); ++o)
        if (const std::string reason = compare_relative(got.at(o), out[o], 1e-5, worst); !reason.empty())
          return fmt::format("sample {}, output {}: {}", k, o, reason);
      continue;
    }
    inputs.resize(in.size());
    outputs.resize(out.size());
    for (std::size_t i = 0; i < in.size(); ++i) inputs[i].push_back(in[i]);
    for (std::size_t o = 0; o < out.size(); ++o) outputs[o].push_back(out[o]);
  }
  if (!together) return {};
  std::vector<Tensor> batch;
  for (const auto& list : inputs) batch.push_back(joined(list));
  const std::vector<Tensor> got = executor.run(batch, {.parallel = {2}});
  for (std::size_t o = 0; o < outputs.size(); ++o)
    if (const std::string reason = compare_relative(got.at(o), joined(outputs[o]), 1e-5, worst); !reason.empty())
      return fmt::format("output {} of a batch: {} ({})", o, reason, notes);
  if (!notes.empty()) std::cout << folder.filename().string() << ": " << notes << '\n';
  return {};
}

// Written by tests/python/check_exports.py: networks as they are exported today, with ONNX Runtime's outputs.
TEST(OnnxExports, AgreeWithOnnxRuntimeAloneAndInBatches) {
  const char* root = std::getenv("TESSERA_ONNX_EXPORTS");
  if (root == nullptr)
    GTEST_SKIP() << "no part of continuous integration: made and run by tests/python/check_exports.py";
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(root))
    if (fs::exists(entry.path() / "test_data_set_0")) cases.push_back(entry.path());
  std::ranges::sort(cases);
  ASSERT_FALSE(cases.empty());
  int agreed = 0;
  for (const fs::path& folder : cases) {
    std::string reason;
    double worst = 0.0;
    try {
      reason = check_export(folder, false, worst);
      if (reason.empty()) reason = check_export(folder, true, worst);
      fmt::print("{}: {:.1e} of the largest output\n", folder.filename().string(), worst);
    } catch (const Error& error) {
      reason = error.what();
    }
    EXPECT_TRUE(reason.empty()) << folder.filename().string() << ": " << reason;
    agreed += reason.empty() ? 1 : 0;
  }
  std::cout << agreed << " of " << cases.size() << " exports agree\n";
}

TEST(OnnxBackend, EveryCaseAgreesOrIsRefusedForAReasonThatIsListed) {
  const char* given = std::getenv("TESSERA_ONNX_TESTS");
  const fs::path root = given != nullptr ? given : "/usr/share/libonnx-testdata/data/node";
  if (!fs::exists(root))
    GTEST_SKIP() << root << " is not there: install libonnx-testdata, or name another folder in TESSERA_ONNX_TESTS";
  std::vector<fs::path> cases;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.path().filename() == "model.onnx") cases.push_back(entry.path().parent_path());
  std::ranges::sort(cases);
  ASSERT_FALSE(cases.empty()) << "no model.onnx under " << root;
  std::map<std::string, int> refused;
  int passed = 0, imprecise = 0;
  for (const fs::path& folder : cases) {
    const std::string name = folder.filename().string();
    const CaseFacts facts = facts_of(folder);
    std::string reason;
    const Outcome outcome = run_case(folder, reason);
    if (outcome == Outcome::passed) {
      ++passed;
    } else if (outcome == Outcome::refused) {
      const std::string allowed = allowed_refusal(name, facts);
      EXPECT_FALSE(allowed.empty()) << name << " is refused: " << reason;
      ++refused[allowed.empty() ? "(not listed)" : allowed];
      if (std::getenv("TESSERA_ONNX_TESTS_VERBOSE") != nullptr)
        std::cout << "refused " << name << " (" << allowed << "): " << reason << '\n';
    } else {
      const bool excused =
          std::ranges::any_of(facts.types, [](const auto& type) { return imprecise_types().contains(type); });
      EXPECT_TRUE(excused) << name << " is wrong: " << reason;
      if (excused) std::cout << "not as precise as its type: " << name << ": " << reason << '\n';
      imprecise += excused ? 1 : 0;
    }
  }
  std::cout << passed << " of " << cases.size() << " cases agree; " << imprecise
            << " are of types that are computed in float32\n";
  for (const auto& [reason, count] : refused) std::cout << "refused: " << count << ", " << reason << '\n';
  EXPECT_GT(passed, 0);
}

}  // namespace
}  // namespace tessera::io
