#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "cost/cost_cases.hpp"
#include "tessera/cost/network_cost.hpp"
#include "tessera/cost/table_text.hpp"

// Do the pages say what the model does? TESSERA_UPDATE_DOCS=1 rewrites their tables.
namespace tessera::cost {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The page's text between its markers <!-- name:begin ... --> and <!-- name:end -->.
void check_part(const std::string& page, const std::string& name, const std::string& expected) {
  const std::string path = std::string(TESSERA_SOURCE_DIR) + "/docs/models/" + page;
  std::string text = read_text(path);
  const std::size_t marker = text.find("<!-- " + name + ":begin");
  ASSERT_NE(marker, std::string::npos) << path;
  const std::size_t begin = text.find("-->\n", marker) + 4;
  const std::size_t end = text.find("<!-- " + name + ":end", begin);
  ASSERT_NE(end, std::string::npos) << path;
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) {
    text.replace(begin, end - begin, expected);
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  EXPECT_EQ(text.substr(begin, end - begin), expected)
      << path << " is stale: run this test with TESSERA_UPDATE_DOCS=1 and commit the page";
}

TEST(Page, ComponentTable) {
  check_part("cost.md", "components", table_markdown(ComponentTable()));
}

std::string ratio_text(const config::Node& published, const char* key, double ours) {
  const config::Node* found = published.find(key);
  return found != nullptr ? fmt::format("{} | {:.2f}", found->scalar, ours / number(*found)) : std::string(" | ");
}

TEST(Page, PublishedChips) {
  const config::Node root = read_json(std::string(TESSERA_SOURCE_DIR) + "/tests/data/cost/validation.json");
  const ComponentTable table;
  std::string text =
      "| macro | node, cell | TOPS/W published | ratio | within interval | TOPS/mm2 published | ratio | coefficients "
      "that it informed |\n|---|---|---|---|---|---|---|---|\n";
  int points = 0, within_two = 0, inside = 0;
  double logarithms = 0.0;
  for (const config::Node& chip : at(root, "chips").items) {
    const TileDesign design = with_hop(DesignReader(at(chip, "design")).read(), table);
    const double operations =
        2.0 * static_cast<double>(design.rows * design.columns) * number(at(chip, "operations_factor"));
    const std::vector<Interval> found = intervals(table, [&](const ComponentValues& values) {
      return std::vector<double>{tile_cost(design, values).energy_fJ.total()};
    });
    const Interval efficiency = reversed(operations * 1e3, found[0]);
    const TileCost cost = tile_cost(design, table.nominal());
    const double density = operations / cost.time_ns.interval_ns * 1e-3 / (cost.area_um2.total() * 1e-6);
    const config::Node& published = at(chip, "published");
    const double given = number(at(published, "tops_per_W"));
    const bool contained = efficiency.low <= given && given <= efficiency.high;
    std::vector<std::string> informed;
    for (const config::Node& key : at(chip, "coefficients_informed_by_this_chip").items) informed.push_back(key.scalar);
    fmt::format_to(std::back_inserter(text), "| {} | {} | {} | {} | {} | {} |\n", at(chip, "name").scalar,
                   at(chip, "technology").scalar, ratio_text(published, "tops_per_W", efficiency.nominal),
                   contained ? "yes" : "no", ratio_text(published, "tops_per_mm2", density),
                   informed.empty() ? std::string("none") : fmt::format("{}", fmt::join(informed, ", ")));
    if (at(chip, "derived").scalar == "true") continue;
    const double ratio = efficiency.nominal / given;
    ++points;
    within_two += ratio > 0.5 && ratio < 2.0 ? 1 : 0;
    inside += contained ? 1 : 0;
    logarithms += std::log(ratio);
  }
  fmt::format_to(std::back_inserter(text),
                 "\nTOPS/W, without the two derived rows: {} of {} points within a factor of 2, geometric mean {:.2f}; "
                 "the published value lies in the model's interval on {} of them.\n",
                 within_two, points, std::exp(logarithms / points), inside);
  check_part("cost_validation.md", "validation", text);
}

}  // namespace
}  // namespace tessera::cost
