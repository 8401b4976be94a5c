// Is the table the whole truth about a file, and the page about the table?
#include "tessera/results/schema.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <functional>
#include <set>

#include "h5/temporary_directory.hpp"
#include "results/sample_run.hpp"
#include "tessera/core/atomic_file.hpp"

namespace tessera::results {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ResultSchema : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::string path_ = directory_ / "results.h5";
};

TEST_F(ResultSchema, EveryWrittenFileAgreesWithTheTable) {
  for (const Header& header : {sample::run_header(), sample::sweep_header(), sample::with_costs(sample::run_header()),
                               sample::with_costs(sample::sweep_header())}) {
    sample::write_file(path_, header);
    EXPECT_THAT(check_schema(h5::File::open(path_)), IsEmpty());
  }
}

/// The sample has everything that its task allows: a row that nothing writes would be a promise without a keeper.
TEST_F(ResultSchema, EveryRowIsWritten) {
  Header isolated = sample::run_header();
  isolated.isolated = true;
  Header stopped = sample::run_header();
  stopped.stopped = true;
  Header anomaly = sample::run_header();
  anomaly.task = Task::anomaly;
  Header language = sample::run_header();
  language.task = Task::language_model;
  Header outputs = sample::run_header();
  outputs.outputs = {{"logits", {3}}};
  Header integers = sample::run_header();
  integers.layers[0].fixed_point = true;
  std::set<std::string> written;
  const auto file_group = [](const Variable& row) {
    constexpr std::string_view layer = "/layers/<layer>";
    if (row.group == "/outputs/<output>") return std::string("/outputs/logits");
    if (!row.group.starts_with(layer)) return std::string(row.group == "/" ? "" : row.group);
    return "/layers/conv1" + std::string(row.group.substr(layer.size()));
  };
  for (const Header& header : {sample::run_header(), isolated, stopped, anomaly, language, outputs, integers,
                               sample::with_costs(sample::run_header()), sample::with_costs(sample::sweep_header())}) {
    sample::write_file(path_, header);
    const h5::File file = h5::File::open(path_);
    EXPECT_THAT(check_schema(file), IsEmpty());
    for (const Variable& row : variables()) {
      const std::string path = file_group(row) + "/" + std::string(row.name);
      if (file.contains(path)) written.insert(path);
    }
  }
  for (const Variable& row : variables()) {
    EXPECT_TRUE(written.contains(file_group(row) + "/" + std::string(row.name))) << row.group << " " << row.name;
  }
  sample::write_file(path_, sample::run_header());
  EXPECT_TRUE(h5::File::open(path_).contains("/confusion"));
  sample::write_file(path_, anomaly);
  EXPECT_FALSE(h5::File::open(path_).contains("/confusion"));
}

TEST_F(ResultSchema, RowsAreUniqueAndSpeak) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Variable& row : variables()) {
    EXPECT_TRUE(seen.emplace(row.group, row.name).second) << row.group << " " << row.name;
    EXPECT_FALSE(row.units.empty()) << row.name;
    EXPECT_FALSE(row.long_name.empty()) << row.name;
    if (!row.dims.empty() && row.dims.front() == Dim::swept && row.name != "finished") {
      EXPECT_TRUE(row.fill.has_value()) << row.name << ": a point may be missing";
    }
  }
  EXPECT_EQ(variable("/", "loss").units, "nat");
  EXPECT_THROW(variable("/", "los"), InputError);
}

TEST_F(ResultSchema, WhateverIsUndeclaredIsFound) {
  const auto problems = [&](const std::function<void(h5::File&)>& change) {
    testing::write_bytes(partial_path(directory_ / "changed.h5"), testing::read_bytes(path_));
    const AtomicFile target(directory_ / "changed.h5", AtomicFile::Start::resume);
    h5::File file = h5::File::resume(target);
    change(file);
    return check_schema(file);
  };
  sample::write_file(path_, sample::sweep_header());
  EXPECT_THAT(problems([](h5::File&) {}), IsEmpty());
  EXPECT_THAT(problems([](h5::File& f) { f.write_scalar("extra", 1.0); }),
              ElementsAre(HasSubstr("the variable /extra is not declared")));
  EXPECT_THAT(problems([](h5::File& f) { f.write_scalar("layers/conv1/loss", 1.0); }),
              ElementsAre(HasSubstr("the variable /layers/conv1/loss is not declared")));
  EXPECT_THAT(problems([](h5::File& f) { f.create_group("layers/conv1/deep"); }),
              ElementsAre(HasSubstr("the group /layers/conv1/deep is not declared")));
  EXPECT_THAT(problems([](h5::File& f) { f.create_dimension("feature", 3); }),
              ElementsAre(HasSubstr("the axis /feature is not declared")));
  EXPECT_THAT(problems([](h5::File& f) { f.set_attribute("note", 1); }),
              ElementsAre(HasSubstr("attribute note of / is not declared")));
  EXPECT_THAT(problems([](h5::File& f) { f.set_attribute("seed", 1.0); }),
              ElementsAre(HasSubstr("attribute seed of / is float64, not uint64")));
  EXPECT_THAT(problems([](h5::File& f) { f.dataset("loss").set_attribute("units", "bit"); }),
              ElementsAre(HasSubstr("/loss has the attribute units 'bit', not 'nat'")));
  EXPECT_THAT(problems([](h5::File& f) { f.dataset("loss").set_attribute("comment", "x"); }),
              ElementsAre(HasSubstr("attribute comment of /loss is not declared")));
  EXPECT_THAT(problems([](h5::File& f) { f.write_scalar("layers/block.fc/input_range", 1.0F); }),
              Contains(HasSubstr("/layers/block.fc/input_range holds float32, not float64")));
  EXPECT_THAT(problems([](h5::File& f) { f.write_scalar("layers/block.fc/input_range", 1.0); }),
              Contains(HasSubstr("has the axes (), not (n_bits, w_noise_type, tile)")));
}

TEST(ResultGroupNames, AreLegalUniqueAndStable) {
  EXPECT_THAT(group_names({"conv1", "layer1.0.conv", "fc 2"}), ElementsAre("conv1", "layer1.0.conv", "fc 2"));
  EXPECT_THAT(group_names({"/a/b", "a.b", "a/b"}), ElementsAre("a.b~2", "a.b", "a.b~3"));
  EXPECT_THAT(group_names({"", ".", "..", "/", "x\ny", " z "}),
              ElementsAre("layer", "layer.", "layer..", "layer~2", "x_y", "_z_"));
}

TEST(ResultPage, IsUpToDate) {
  const std::string path = TESSERA_SOURCE_DIR + "/docs/formats/results.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) testing::write_bytes(path, schema_page());
  EXPECT_EQ(testing::read_bytes(path), schema_page()) << "rewrite it with TESSERA_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace tessera::results
