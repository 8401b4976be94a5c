// Do programmed chips come back from a model file as they were written, and is a damaged file an error?
#include "tessera/io/chip_file.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "h5/temporary_directory.hpp"
#include "tessera/core/atomic_file.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

class ChipFile : public ::testing::Test {
 protected:
  static Model model() {
    Model model;
    nn::Graph& graph = model.graph;
    const auto x = graph.add_value("x");
    const auto y = graph.add_value("y");
    graph.nodes.push_back({"relu", "Relu", {x}, {y}, {}});
    graph.inputs = {{x, nn::ElementType::float32, {-1, 3}, true}};
    graph.outputs = {y};
    return model;
  }
  static ChipTile tile(std::uint32_t number, std::uint32_t repeat) {
    ChipTile tile;
    tile.part = "block/fc.1";
    tile.chip = {.seed = 0xffffffffffffff00U, .layer = 7, .tile = number, .repeat = repeat};
    tile.target = Matrix(2, 3, std::vector<float>{0.5F, -1.0F, 0.0F, 0.25F, 1.0F, -0.0F});
    tile.devices = 2;
    tile.uS_per_weight = 25.0;
    tile.conductances = {12.0F, 0.5F, 0.0F, 6.0F, 25.5F, 0.1F, 0.2F, 24.0F, 0.0F, 0.0F, 0.0F, 1e-42F};
    tile.drift.assign(12, 0.05F);
    tile.faults = {0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0};
    tile.mean_pulses = 3.5;
    tile.unconverged_fraction = 0.25;
    return tile;
  }
  static void write(const std::string& path, const std::vector<ChipTile>& tiles) {
    ChipFileWriter writer(path, model(), {1.0, 3600.0}, 1);
    for (const ChipTile& tile : tiles) writer.add(tile);
    writer.commit();
  }
  /// What reading says after `change` was made to the file of one tile.
  std::string after(const std::function<void(h5::Group&)>& change) const {
    const std::string path = directory_ / "changed.h5";
    {
      write(path, {tile(0, 0)});
      AtomicFile target(path);
      h5::File file = h5::File::create(target);
      const h5::File old = h5::File::open(path);
      for (const char* name : {"filetype", "schema_version", "tessera_version"})
        file.set_attribute(name, old.attribute<std::string>(name));
      h5::Group chips = file.create_group("chips");
      h5::Group group = chips.create_group("0");
      group.set_attribute("part", "fc");
      for (const char* name : {"seed", "layer", "tile", "repeat"}) group.set_attribute(name, std::int64_t{0});
      group.set_attribute("devices", std::int64_t{1});
      group.set_attribute("uS_per_weight", 25.0);
      for (const char* name : {"weight_offset", "mean_pulses", "unconverged_fraction"}) group.set_attribute(name, 0.0);
      change(group);
      file.close();
      target.commit();
    }
    try {
      read_chips(path);
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }

  testing::TemporaryDirectory directory_;
};

TEST_F(ChipFile, RoundTripIsExact) {
  const std::string path = directory_ / "chips.h5";
  std::vector<ChipTile> tiles{tile(0, 0), tile(1, 0), tile(0, 1)};
  tiles[1].drift.clear();
  tiles[2].faults.clear();
  write(path, tiles);
  EXPECT_TRUE(read_chips(path) == tiles);
  EXPECT_EQ(read_model(path).graph.nodes.size(), 1U) << "it is a model file too";
  tiles[0].conductances[0] += 1.0F;
  EXPECT_FALSE(read_chips(path) == tiles) << "the comparison can fail";
}

TEST_F(ChipFile, KeepsTheWeightsOfEveryReadApart) {
  const std::string path = directory_ / "chips.h5";
  {
    ChipFileWriter writer(path, model(), {1.0, 3600.0}, 2);
    writer.add(tile(0, 3));
    Matrix weights(2, 3);
    weights(1, 2) = 0.75F;
    writer.add_drifted("block/fc.1", 0, 3, 1, 1, weights.view());
    EXPECT_THROW(writer.add_drifted("block/fc.1", 0, 3, 2, 0, weights.view()), InputError) << "no such time";
    EXPECT_THROW(writer.add_drifted("block/fc.1", 0, 2, 0, 0, weights.view()), InputError) << "no such chip";
    EXPECT_THROW(writer.add(tile(0, 3)), InputError) << "twice";
    writer.commit();
  }
  const h5::File file = h5::File::open(path);
  const h5::Dataset weights = file.dataset("chips/0/weights");
  EXPECT_THAT(weights.shape(), ElementsAre(2, 2, 2, 3));
  const std::vector<float> values = weights.read<float>();
  EXPECT_EQ(values.back(), 0.75F);
  EXPECT_TRUE(std::isnan(values.front())) << "a read that was not made is missing";
}

TEST_F(ChipFile, AModelWithoutChipsHasNone) {
  const std::string path = directory_ / "model.h5";
  write_model(model(), path);
  EXPECT_THAT(read_chips(path), IsEmpty());
}

TEST_F(ChipFile, RefusesArraysThatDoNotFit) {
  ChipTile wrong = tile(0, 0);
  wrong.drift.pop_back();
  ChipFileWriter writer(directory_ / "x.h5", model(), {}, 1);
  EXPECT_THAT([&] { writer.add(wrong); }, ThrowsMessage<InputError>(HasSubstr("11 drift parameters")));
}

TEST_F(ChipFile, RefusesDamagedTiles) {
  const std::vector<float> good{0.5F, 1.0F};
  const auto with = [&](const Shape& shape, const std::vector<float>& conductances) {
    return [=](h5::Group& group) {
      group.write("target", Shape{1, 2}, std::span<const float>(good));
      group.write("conductances", shape, std::span<const float>(conductances));
    };
  };
  EXPECT_EQ(after(with({1, 1, 2}, {1.0F, 2.0F})), "") << "control";
  EXPECT_THAT(after(with({1, 2, 1}, {1.0F, 2.0F})), HasSubstr("shape"));
  EXPECT_THAT(after(with({1, 1, 2}, {1.0F, NAN})), HasSubstr("not finite"));
  EXPECT_THAT(after([](h5::Group&) {}), HasSubstr("target"));
}

}  // namespace
}  // namespace tessera::io
