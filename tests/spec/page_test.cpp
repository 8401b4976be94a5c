// Do the documentation page and the schema say what the key tables say?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::spec {
namespace {

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// The first line of `b` that `a` has otherwise; "" for equal texts.
std::string first_difference(const std::string& a, const std::string& b) {
  if (a == b) return "";
  const auto lines = [](const std::string& text) { return std::istringstream(text + "\n(end)"); };
  std::istringstream left = lines(a), right = lines(b);
  std::string one, other;
  while (std::getline(left, one) && std::getline(right, other))
    if (one != other) break;
  return other;
}

TEST(Page, IsNotStale) {
  const std::string path = TESSERA_SOURCE_DIR + "/docs/formats/config.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) std::ofstream(path) << configuration_page();
  EXPECT_EQ(first_difference(read_file(path), configuration_page()), "")
      << "docs/formats/config.md is stale: run this test with TESSERA_UPDATE_DOCS=1 and commit the page";
}

const config::Node* property(const config::Node& schema, const config::TypeInfo& info, const std::string& name) {
  const config::Node* definition = info.name == "Configuration" ? &schema : schema.find("$defs")->find(info.name);
  return definition == nullptr ? nullptr : definition->find("properties")->find(name);
}

std::shared_ptr<const config::TypeInfo> evaluation_info() {
  for (const config::KeyInfo& key : run_config_type().info->keys)
    if (key.name == "evaluation") return key.type;
  return nullptr;
}

/// The guide for users of aihwkit says of every field of an `rpu_config` whether it is the same, different or unused. The
/// parameters of crossbars are another peer's, those of a fixed-point periphery nobody's: they have guides of their own.
TEST(Page, GuideFromAihwkitNamesEveryField) {
  const std::string guide = read_file(TESSERA_SOURCE_DIR + "/docs/guide/from_aihwkit.md");
  const std::string tables = guide.substr(guide.find("## Every field"));
  int fields = 0;
  const auto visit = [&](auto&& self, const config::TypeInfo& info) -> void {
    if (info.name.starts_with("Crossbar") || info.name == "FixedPointParameter") return;
    for (const config::KeyInfo& key : info.keys) {
      ++fields;
      EXPECT_NE(tables.find(fmt::format("`{}`", key.name)), std::string::npos) << info.name << "." << key.name;
      self(self, *key.type);
    }
    for (const auto& [name, alternative] : info.alternatives) self(self, *alternative);
  };
  visit(visit, *rpu_config_type().info);
  EXPECT_GT(fields, 150);
}

TEST(Schema, HasEveryKeyOfEveryTableAndNoOther) {
  const config::Node schema = config::parse(configuration_schema(), {"schema", {}});
  EXPECT_EQ(schema.find("$schema")->scalar, "https://json-schema.org/draft/2020-12/schema");
  int keys = 0;
  const std::string page = configuration_page();
  const auto visit = [&](auto&& self, const config::TypeInfo& info) -> void {
    if (info.kind == config::TypeInfo::Kind::section) {
      for (const config::KeyInfo& key : info.keys) {
        EXPECT_NE(property(schema, info, key.name), nullptr) << info.name << "." << key.name;
        EXPECT_NE(page.find("`" + key.name + "`"), std::string::npos) << info.name << "." << key.name;
        const bool explains_itself = !key.help.empty() || !key.type->keys.empty() ||
                                     key.type->kind == config::TypeInfo::Kind::variant || !key.unused_because.empty();
        EXPECT_TRUE(explains_itself) << info.name << "." << key.name;
        ++keys;
        self(self, *key.type);
      }
    }
    if (info.element) self(self, *info.element);
    for (const auto& [name, alternative] : info.alternatives) self(self, *alternative);
  };
  visit(visit, *run_config_type().info);
  EXPECT_GT(keys, 90);
  EXPECT_EQ(schema.find("properties")->entries.size(), run_config_type().info->keys.size() + 1)
      << "the tables' keys and base";

  EXPECT_EQ(config::to_flow(*property(schema, *evaluation_info(), "repeats")->find("anyOf")),
            "[{type: integer, minimum: 1.0, maximum: 1000000.0}, {\"$ref\": \"#/$defs/RepeatParameters\"}]");
  EXPECT_NE(page.find("| `repeats` | integer 1 to 1000000, or [RepeatParameters](#repeatparameters) |"),
            std::string::npos);

  // Every reference leads to a definition.
  int references = 0;
  const auto check = [&](auto&& self, const config::Node& node) -> void {
    if (const config::Node* reference = node.find("$ref")) {
      ++references;
      ASSERT_TRUE(reference->scalar.starts_with("#/$defs/"));
      EXPECT_NE(schema.find("$defs")->find(reference->scalar.substr(8)), nullptr) << reference->scalar;
    }
    for (const config::Node& item : node.items) self(self, item);
    for (const config::Node::Entry& entry : node.entries) self(self, entry.value);
  };
  check(check, schema);
  EXPECT_GT(references, 10);
}

}  // namespace
}  // namespace tessera::spec
