// Does a network need memory for its weights once, however it is stored and evaluated? The command runs in a process of its own, whose
// peak is compared with that of a network of one small layer.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "cli/command_fixture.hpp"
#include "io/onnx_model.hpp"
#include "tessera/io/npy.hpp"

namespace tessera::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t layer_size = 1024, layer_bytes = layer_size * layer_size * 4;
constexpr int large_layers = 24;

class MemoryTest : public CommandTest {
 protected:
  /// A chain of dense layers, every second one stored transposed; the weights in the file or beside it.
  std::string network(const std::string& name, int layers, bool beside) const {
    io::test::OnnxModel model;
    model.input("x", {0, layer_size}).output(fmt::format("y{}", layers - 1));
    const fs::path weights = path(name + ".bin");
    std::ofstream data(weights, std::ios::binary);
    std::vector<float> values(static_cast<std::size_t>(layer_size * layer_size));
    std::uint32_t state = 1;
    for (int l = 0; l < layers; ++l) {
      for (float& value : values) {
        state = state * 1664525U + 1013904223U;
        value = (static_cast<float>(state >> 8U) / 8388608.0F - 1.0F) * 0.05F;
      }
      onnx::TensorProto& tensor = model.initializer(fmt::format("w{}", l), {layer_size, layer_size});
      if (beside) {
        const auto add = [&](const std::string& key, const std::string& value) {
          auto* entry = tensor.add_external_data();
          entry->set_key(key);
          entry->set_value(value);
        };
        add("location", name + ".bin");
        add("offset", std::to_string(l * layer_bytes));
        add("length", std::to_string(layer_bytes));
        tensor.set_data_location(onnx::TensorProto::EXTERNAL);
        data.write(reinterpret_cast<const char*>(values.data()), layer_bytes);
      } else {
        tensor.set_raw_data(values.data(), static_cast<std::size_t>(layer_bytes));
      }
      const std::string x = l == 0 ? "x" : fmt::format("y{}", l - 1);
      model.node(l % 2 == 0 ? "MatMul" : "Gemm", {x, fmt::format("w{}", l)}, {fmt::format("y{}", l)},
                 fmt::format("layer{}", l));
    }
    std::ofstream file(path(name + ".onnx"), std::ios::binary);
    EXPECT_TRUE(model.model.SerializeToOstream(&file));
    return path(name + ".onnx");
  }

  std::string configuration(const std::string& name, const std::string& model, const std::string& more) const {
    Tensor x({8, layer_size}), y({8, layer_size});
    for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = y.data()[i] = static_cast<float>(i % 7) / 7.0F;
    io::write_npy(path("x.npy"), x);
    io::write_npy(path("y.npy"), y);
    return write(name, fmt::format("model: {{file: {}}}\ndata: {{format: npy, inputs: x.npy, labels: y.npy, "
                                   "batch_size: 4}}\n{}",
                                   model, more));
  }

  /// Largest resident memory of `tessera run`, in bytes.
  static std::int64_t peak(const std::string& config, const std::string& result) {
    const std::string binary = TESSERA_BINARY_DIR + "/bin/tessera";
    const pid_t child = fork();
    if (child == 0) {
      if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
      execl(binary.c_str(), "tessera", "run", config.c_str(), "-o", result.c_str(), "-q", "--no-progress", "--threads",
            "1", nullptr);
      _exit(127);
    }
    int status = 0;
    rusage usage{};
    wait4(child, &status, 0, &usage);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << config;
    return usage.ru_maxrss * 1024;
  }

  /// Peak above that of a small network, in units of the weights.
  double weights_held(bool beside, const std::string& more) const {
    const std::int64_t small = peak(configuration("small.yaml", network("small", 1, beside), more), path("small.h5"));
    const std::int64_t large =
        peak(configuration("large.yaml", network("large", large_layers, beside), more), path("large.h5"));
    return static_cast<double>(large - small) / static_cast<double>((large_layers - 1) * layer_bytes);
  }
};

TEST_F(MemoryTest, WeightsOfADigitalNetworkAreHeldOnce) {
  for (const bool beside : {false, true})
    EXPECT_LE(weights_held(beside, "layers: [{match: '*', analog: false}]\n"), 1.5) << beside;
}

/// Packed for the float32 pass, then on the tiles of one chip, then of another.
TEST_F(MemoryTest, WeightsOnTilesAreHeldOnce) {
  for (const bool beside : {false, true})
    EXPECT_LE(weights_held(beside, "output: {record: {statistics: false}}\nevaluation: {repeats: 2}\n"), 1.5) << beside;
}

/// Compared layer by layer with the float32 network, they are needed in both forms; not in a third.
TEST_F(MemoryTest, WeightsThatAreComparedAreHeldTwice) {
  const double held = weights_held(true, "output: {record: {statistics: true}}\n");
  EXPECT_GT(held, 1.5) << "or the tests above see nothing";
  EXPECT_LE(held, 2.5);
}

}  // namespace
}  // namespace tessera::cli
