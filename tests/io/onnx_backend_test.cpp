#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "tessera/io/onnx_import.hpp"
#include "tessera/nn/executor.hpp"

// Question: does every network in a folder of the ONNX backend-test layout give the outputs stored beside it?
//   <case>/model.onnx, <case>/test_data_set_<i>/input_<k>.pb, output_<k>.pb
// TESSERA_ONNX_TESTS names the folder; cases that the importer refuses are counted, not failed.
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

/// Names of the graph's inputs that are not initialisers, in file order.
std::vector<std::string> input_names(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  onnx::ModelProto model;
  if (!model.ParseFromIstream(&file)) return {};
  std::set<std::string> stored;
  for (const auto& tensor : model.graph().initializer()) stored.insert(tensor.name());
  std::vector<std::string> names;
  for (const auto& input : model.graph().input())
    if (!stored.contains(input.name())) names.push_back(input.name());
  return names;
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
    const std::vector<std::string> names = input_names(model);
    for (std::size_t k = 0; k < names.size() && fs::exists(set / fmt::format("input_{}.pb", k)); ++k) {
      nn::Constant value = read_onnx_tensor((set / fmt::format("input_{}.pb", k)).string());
      if (k < first_constant)
        inputs.push_back(as_floats(value));
      else
        options.constants.emplace(names[k], std::move(value));
    }
    const std::vector<Tensor> wanted = read_tensors(set, "output");
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

TEST(OnnxBackend, EveryCaseOfTheGivenFolderAgrees) {
  const char* root = std::getenv("TESSERA_ONNX_TESTS");
  if (root == nullptr) GTEST_SKIP() << "set TESSERA_ONNX_TESTS to a folder in the ONNX backend-test layout";
  std::vector<fs::path> cases;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.path().filename() == "model.onnx") cases.push_back(entry.path().parent_path());
  std::ranges::sort(cases);
  ASSERT_FALSE(cases.empty()) << "no model.onnx under " << root;
  int passed = 0, refused = 0;
  for (const fs::path& folder : cases) {
    std::string reason;
    const Outcome outcome = run_case(folder, reason);
    if (outcome == Outcome::passed) ++passed;
    if (outcome == Outcome::refused) ++refused;
    if (outcome == Outcome::refused && std::getenv("TESSERA_ONNX_TESTS_VERBOSE") != nullptr)
      std::cout << "refused " << folder.filename().string() << ": " << reason << '\n';
    EXPECT_NE(outcome, Outcome::failed) << folder.string() << ": " << reason;
  }
  std::cout << passed << " of " << cases.size() << " cases agree, " << refused << " were refused\n";
  EXPECT_GT(passed, 0);
}

}  // namespace
}  // namespace tessera::io
