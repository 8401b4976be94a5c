// Does every key of a configuration do something? tests/data/keys/every_key.yaml gives each of them a value in a small
// run; results change, or the key is reported as one without effect. A key without a row there fails.
#include <cmath>
#include <map>
#include <regex>
#include <set>

#include "cli/command_fixture.hpp"
#include "nn/network.hpp"
#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/spec/run_config.hpp"
#include "tessera/tile/effects.hpp"

namespace tessera::cli {
namespace {

using config::Node;
using config::TypeInfo;
using nn::test::Network;
using nn::test::random_tensor;

/// A convolution, batch normalization, a rectifier and a dense layer on [N, 1, 6, 6]; `dead`: an output without
/// weights.
nn::Graph probed_network(std::uint32_t seed, bool dead, bool any_size) {
  Network net;
  const nn::ValueId x = net.input(any_size ? Shape{-1, 1, -1, -1} : Shape{-1, 1, 6, 6});
  Tensor last = random_tensor({3, 180}, seed + 1, 0.15F);
  if (dead) std::fill_n(last.data() + 180, 180, 0.0F);
  const auto positive = [](Tensor t) {
    for (float& v : t.values()) v = 0.5F + std::fabs(v);
    return t;
  };
  const nn::ValueId h = net.node(
      "Conv",
      {x, net.constant(random_tensor({5, 1, 3, 3}, seed + 2, 0.4F)), net.constant(random_tensor({5}, seed + 3, 0.4F))},
      {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}}, "conv");
  const nn::ValueId n = net.node(
      "BatchNormalization",
      {h, net.constant(positive(random_tensor({5}, seed + 4, 0.4F))), net.constant(random_tensor({5}, seed + 5, 0.4F)),
       net.constant(random_tensor({5}, seed + 6, 0.4F)), net.constant(positive(random_tensor({5}, seed + 7, 0.4F)))},
      {}, "bn");
  const nn::ValueId f = net.node("Flatten", {net.node("Relu", {n}, {}, "relu")}, {}, "flat");
  net.output(net.node("Gemm", {f, net.constant(std::move(last)), net.constant(random_tensor({3}, seed + 8, 0.4F))},
                      {{"transB", std::int64_t{1}}}, "fc"));
  return net.graph;
}

nn::Graph dense_network(const Shape& image, std::int64_t inputs, std::int64_t outputs) {
  Network net;
  Shape shape = {-1};
  shape.insert(shape.end(), image.begin(), image.end());
  const nn::ValueId f = net.node("Flatten", {net.input(shape)}, {}, "flat");
  net.output(net.node("Gemm", {f, net.constant(random_tensor({outputs, inputs}, 21, 0.1F))},
                      {{"transB", std::int64_t{1}}}, "fc"));
  return net.graph;
}

/// A product of two activations in front of a dense layer.
nn::Graph gram_network() {
  Network net;
  const nn::ValueId x = net.input({-1, 1, 6, 6});
  const nn::ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 1, 3, 2}}}, "turned");
  const nn::ValueId f = net.node("Flatten", {net.node("MatMul", {x, t}, {}, "gram")}, {}, "flat");
  net.output(
      net.node("Gemm", {f, net.constant(random_tensor({3, 36}, 71, 0.1F))}, {{"transB", std::int64_t{1}}}, "fc"));
  return net.graph;
}

/// A state of three values beside the image.
nn::Graph stateful_network() {
  Network net;
  const nn::ValueId image = net.node("Flatten", {net.input({-1, 1, 6, 6})}, {}, "flat");
  const nn::ValueId state = net.input({-1, 3}, nn::ElementType::float32, "state");
  const nn::ValueId both = net.node("Concat", {image, state}, {{"axis", std::int64_t{1}}}, "both");
  const nn::ValueId y =
      net.node("Gemm", {both, net.constant(random_tensor({3, 39}, 61, 0.3F))}, {{"transB", std::int64_t{1}}}, "fc");
  net.output(y).output(net.node("Tanh", {y}, {}, "next"));
  net.graph.values[static_cast<std::size_t>(net.graph.outputs.back())].name = "next_state";
  return net.graph;
}

std::string npy(const Shape& shape, const void* data, std::size_t bytes, const char* type) {
  std::string dimensions;
  for (const std::int64_t extent : shape) dimensions += fmt::format("{}, ", extent);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, dimensions);
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string file = "\x93NUMPY";
  file += '\1';
  file += '\0';
  file += static_cast<char>(header.size() % 256);
  file += static_cast<char>(header.size() / 256);
  return file + header + std::string(static_cast<const char*>(data), bytes);
}

/// All numbers and texts of a file but what depends on the clock and the machine.
std::string digest(const std::string& path) {
  if (!std::filesystem::exists(path)) return {};
  std::string all;
  if (!h5::is_hdf5(path)) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return sha256_hex(text.str());
  }
  const h5::File file = h5::File::open(path);
  file.visit([&](const std::string& name, h5::Kind kind) {
    if (kind != h5::Kind::dataset || name.find("runtime") != std::string::npos ||
        name.find("config/") != std::string::npos || name.find("seconds") != std::string::npos)
      return;
    const h5::Dataset data = file.dataset(name);
    all += name + to_string(data.shape());
    if (data.type() == h5::ElementType::string) {
      for (const std::string& text : data.read<std::string>()) all += text + '\n';
    } else if (data.type() == h5::ElementType::uint64) {
      for (const std::uint64_t v : data.read<std::uint64_t>()) all += fmt::format("{} ", v);
    } else if (h5::is_integer(data.type())) {
      for (const std::int64_t v : data.read<std::int64_t>()) all += fmt::format("{} ", v);
    } else if (h5::is_floating(data.type())) {
      for (const double v : data.read<double>()) all += fmt::format("{} ", v);
    }
  });
  return sha256_hex(all);
}

/// "rpu_config.noise_model.PCMLikeNoiseModel.g_max": the key's path, and the type that every choice on it has.
struct KeyPath {
  std::string path;
  std::vector<std::pair<std::string, std::string>> types;

  explicit KeyPath(const std::string& key) {
    for (const std::string& part : config::split_path(key)) {
      // CrossSim's own keys may begin with a capital: Rmin, Icol_max.
      if (!key.starts_with("rpu_config.crossbar.") && part.size() > 3 && part[0] >= 'A' && part[0] <= 'Z')
        types.emplace_back(path, part);
      else
        path += (path.empty() ? "" : ".") + part;
    }
    if (path.starts_with("layers.")) path = "layers.0." + path.substr(7);
  }
};

class EveryKey : public CommandTest {
 protected:
  struct Outcome {
    int code = 0;
    std::string digest;
    std::string messages;
  };

  void SetUp() override {
    CommandTest::SetUp();
    io::save_model(probed_network(1, false, false), path("net.h5"));
    io::save_model(probed_network(50, false, false), path("other.h5"));
    io::save_model(probed_network(1, true, false), path("dead.h5"));
    io::save_model(probed_network(1, false, true), path("any_size.h5"));
    io::save_model(dense_network({1, 28, 28}, 784, 10), path("digits.h5"));
    io::save_model(dense_network({1, 6, 6}, 36, 36), path("auto.h5"));
    io::save_model(dense_network({2, 6, 6}, 72, 3), path("two_channels.h5"));
    nn::Graph two = probed_network(1, false, false);
    two.outputs.push_back(two.nodes.front().outputs.front());
    two.values[static_cast<std::size_t>(two.outputs.back())].name = "second";
    io::save_model(two, path("two.h5"));
    io::save_model(stateful_network(), path("stream.h5"));
    io::save_model(gram_network(), path("gram.h5"));
    write_floats("initial.npy", random_tensor({1, 3}, 62));
    const std::vector<std::int64_t> lengths = {15, 9};
    write("lengths.npy", npy({2}, lengths.data(), lengths.size() * sizeof lengths[0], "<i8"));
    const Tensor x = random_tensor({24, 1, 6, 6}, 31);
    std::vector<std::int64_t> labels(24);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i % 3);
    write_floats("x.npy", x);
    write_floats("x2.npy", random_tensor({24, 1, 6, 6}, 32, 1.5F));
    write_floats("many.npy", random_tensor({600, 1, 6, 6}, 33));
    write_floats("channels_last.npy", random_tensor({24, 6, 6, 2}, 35));
    write("y.npy", npy({24}, labels.data(), labels.size() * sizeof labels[0], "<i8"));
    const Tensor scores = nn::Executor(probed_network(1, false, false)).run(x);
    std::vector<std::int64_t> own;  // what the network says itself
    for (std::int64_t n = 0; n < 24; ++n)
      own.push_back(std::max_element(scores.data() + 3 * n, scores.data() + 3 * n + 3) - (scores.data() + 3 * n));
    write("own.npy", npy({24}, own.data(), own.size() * sizeof own[0], "<i8"));
    write("components.yaml", "digital.add_fJ_bit: 50\n");
    {
      h5::File file = h5::File::create(path("d.h5"));
      file.write<float>("inputs", x.shape(), x.values());
      file.write<float>("other", x.shape(), random_tensor({24, 1, 6, 6}, 34).values());
      file.write<std::int64_t>("labels", {24}, labels);
      std::reverse(labels.begin(), labels.end());
      file.write<std::int64_t>("labels2", {24}, labels);
      file.close();
      h5::File faults = h5::File::create(path("faults.h5"));
      for (const auto& [name, outputs, inputs] : {std::tuple{"conv", 5, 9}, {"fc", 3, 180}}) {
        std::vector<std::uint8_t> map(static_cast<std::size_t>(2 * outputs * inputs), 0);
        for (std::size_t i = 0; i < map.size(); i += 4) map[i] = i % 8 == 0 ? 1 : 2;
        faults.write<std::uint8_t>(name, {2, outputs, inputs}, map);
      }
      faults.close();
    }
    write("sigma.csv", "0,0.5\n25,1.5\n");
    table_ = config::load(TESSERA_SOURCE_DIR + "/tests/data/keys/every_key.yaml");
    Node calibrate = probe("calibrate");
    run("calibrate", calibrate);
    std::filesystem::copy_file(path("out.h5"), path("calibrated.h5"));
    Node devices = probe("devices");
    config::set_path(devices, "rpu_config.noise_model", Node::plain("PCMLikeNoiseModel"));
    config::set_path(devices, "output.chips", Node::text(path("chips.h5")));
    run("run", devices);
  }

  void write_floats(const std::string& name, const Tensor& t) {
    write(name, npy(t.shape(), t.data(), t.values().size_bytes(), "<f4"));
  }
  Node probe(const std::string& name) const { return *config::find_path(table_, "probes." + name + ".config"); }

  const Outcome& run(const std::string& command, const Node& configuration) {
    const std::string text = config::to_yaml(configuration);
    const auto [at, is_new] = outcomes_.try_emplace(command + text);
    if (!is_new) return at->second;
    write("run.yaml", text);
    for (const char* file : {"out.h5", "out.yaml", "points.h5", "written.h5", "elsewhere.h5"})
      std::filesystem::remove(path(file));
    const bool search = command == "search";
    std::vector<std::string> arguments = {command, path("run.yaml"), "-o", path(search ? "out.yaml" : "out.h5")};
    if (command != "cost") arguments.insert(arguments.end(), {"--threads", "1"});
    const CommandResult result = run_command(arguments);
    at->second.code = result.code;
    at->second.messages = result.err;
    at->second.digest = digest(path("out.h5"));
    if (search) at->second.digest += digest(path("out.yaml"));
    if (command == "cost") at->second.digest += result.out;  // what is printed is the answer
    // An epoch may leave the kept model as it is and still be another one.
    static const std::regex duration(", [0-9.]+ (s|min)");
    if (command == "train") at->second.digest += std::regex_replace(result.err, duration, "");
    return at->second;
  }

  // "" if the row holds.
  std::string check(const std::string& key, const Node& row) {
    const auto text_of = [&](const char* name) {
      const Node* given = row.find(name);
      return given == nullptr ? std::string() : given->scalar;
    };
    const std::string probe_name = row.find("probe") != nullptr ? text_of("probe") : "run";
    const std::string command = config::find_path(table_, "probes." + probe_name + ".command")->scalar;
    Node base = probe(probe_name);
    const KeyPath where(key);
    for (const auto& [path, type] : where.types) {
      Node chosen = Node::map();
      chosen.set("type", Node::plain(type));
      config::set_path(base, path, chosen);
    }
    if (const Node* with = row.find("with"))
      for (const Node::Entry& entry : with->entries) config::set_path(base, entry.key, entry.value);
    Node changed = base;
    config::set_path(changed, where.path, *row.find("value"));
    const Outcome before = run(command, base);
    const Outcome after = run(command, changed);
    const std::string said = fmt::format(" (exit {} and {}; {})", before.code, after.code,
                                         (before.code != 0 ? before : after).messages.substr(0, 600));
    if (const std::string error = text_of("error"); !error.empty()) {
      const std::string& message = before.code != 0 ? before.messages : after.messages;
      return before.code != after.code && message.find(error) != std::string::npos ? "" : "should be an error" + said;
    }
    if (before.code != 0 || after.code != 0) return "fails" + said;
    if (const std::string file = text_of("file"); !file.empty())
      return std::filesystem::exists(path(file)) ? "" : file + " is not written" + said;
    if (text_of("result") == "same") return before.digest == after.digest ? "" : "changes a result" + said;
    const bool reported = after.messages.find(where.path.substr(where.path.rfind('.') + 1)) != std::string::npos &&
                          after.messages.find("no effect") != std::string::npos;
    return before.digest != after.digest || reported ? "" : "changes no result and is not reported" + said;
  }

  Node table_;
  std::map<std::string, Outcome> outcomes_;
};

/// Calls visit(key) for every key that is no section of its own, each section once.
void for_each_key(const TypeInfo& info, const std::string& prefix, std::set<std::string>& seen,
                  const std::function<void(const std::string&)>& visit) {
  for (const config::KeyInfo& key : info.keys) {
    if (!key.unused_because.empty()) continue;
    const std::string path = prefix + key.name;
    const TypeInfo* type = key.type.get();
    if (type->kind == TypeInfo::Kind::list && type->element && !type->element->keys.empty()) type = type->element.get();
    if (type->kind == TypeInfo::Kind::variant) {
      for (const auto& [name, alternative] : type->alternatives)
        if (seen.insert(name).second) for_each_key(*alternative, path + "." + name + ".", seen, visit);
    } else if (!type->keys.empty()) {
      if (seen.insert(type->name).second) for_each_key(*type, path + ".", seen, visit);
    } else {
      visit(path);
    }
  }
}

TEST_F(EveryKey, ChangesAResultOrIsReported) {
  const Node& rows = *table_.find("keys");
  std::set<std::string> known, seen;
  // Rules last: what they share with the sections of the top is looked at there.
  TypeInfo top = *spec::run_config_type().info;
  std::stable_partition(top.keys.begin(), top.keys.end(), [](const auto& key) { return key.name != "layers"; });
  for_each_key(top, "", seen, [&](const std::string& key) {
    known.insert(key);
    if (rows.find(key) != nullptr) return;
    // What an effect has beyond aihwkit's keys brings its own example.
    const tile::EffectKey* own = key.starts_with("rpu_config.") ? tile::find_effect_key(key.substr(11)) : nullptr;
    if (own == nullptr || own->examples.empty()) {
      ADD_FAILURE() << key << " has no row in tests/data/keys/every_key.yaml";
      return;
    }
    Node row = Node::map();
    row.set("value", Node::plain(fmt::format("{}", own->examples.front())));
    EXPECT_EQ(check(key, row), "") << key;
  });
  EXPECT_GT(known.size(), 300U);
  for (const Node::Entry& row : rows.entries) EXPECT_EQ(check(row.key, row.value), "") << row.key;
}

}  // namespace
}  // namespace tessera::cli
