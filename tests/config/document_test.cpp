// Does every text become either the tree that it describes, with positions, or an error that says where and why?
#include "tessera/config/document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tessera/config/emit.hpp"

namespace tessera::config {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Node parse_text(std::string_view text) {
  return parse(text, {"t.yaml", {}});
}

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { parse_text(text); });
}

std::string place(const Node& node) {
  return fmt::format("{}:{}", node.position.line, node.position.column);
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ = fs::path(TESSERA_BINARY_DIR) / "config_test" / test->name();
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  std::string write(const std::string& name, const std::string& text) {
    const fs::path path = directory_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  fs::path directory_;
};

TEST(Document, KindsAndPositions) {
  const Node root = parse_text(
      "name: run one\n"
      "seed: 1\n"
      "list: [1, 'two', null]\n"
      "map:\n"
      "  nothing:\n"
      "  text: \"8\"\n"
      "block:\n"
      "  - a: 1\n"
      "    b: 2\n");
  ASSERT_TRUE(root.is_map());
  EXPECT_EQ(place(*root.find("name")), "1:7");
  EXPECT_EQ(root.find("name")->position.file(), "t.yaml");
  EXPECT_EQ(root.find("name")->scalar, "run one");
  EXPECT_FALSE(root.find("seed")->quoted);
  ASSERT_EQ(root.find("list")->items.size(), 3U);
  EXPECT_EQ(place(root.find("list")->items[1]), "3:11");
  EXPECT_TRUE(root.find("list")->items[1].quoted);
  EXPECT_TRUE(root.find("list")->items[2].is_null());
  const Node& nothing = *root.find("map")->find("nothing");
  EXPECT_TRUE(nothing.is_null());
  EXPECT_EQ(place(nothing), "5:3") << "a missing value stands where its key stands";
  EXPECT_TRUE(root.find("map")->find("text")->quoted);
  EXPECT_EQ(place(*root.find("block")->items[0].find("b")), "9:8");
}

TEST(Document, EmptyTextIsNull) {
  EXPECT_TRUE(parse_text("").is_null());
  EXPECT_TRUE(parse_text("# only a comment\n").is_null());
  EXPECT_TRUE(parse_text("\xEF\xBB\xBF").is_null());
}

TEST(Document, AnchorsAliasesAndMergeKeys) {
  const Node root = parse_text(
      "base: &b {x: 1, y: 2}\n"
      "more: &m {y: 3, z: 4}\n"
      "copy: *b\n"
      "over: {<<: *b, x: 9}\n"
      "both: {<<: [*m, *b], w: 0}\n"
      "late: {x: 7, <<: *b}\n");
  EXPECT_EQ(to_flow(*root.find("copy")), "{x: 1, \"y\": 2}");
  EXPECT_EQ(*root.find("over"), parse_text("{x: 9, y: 2}"));
  EXPECT_EQ(*root.find("both"), parse_text("{w: 0, y: 3, z: 4, x: 1}"));
  EXPECT_EQ(*root.find("late"), parse_text("{x: 7, y: 2}")) << "the place of << does not matter";
  EXPECT_EQ(place(*root.find("over")->find("y")), "1:20") << "an alias points to where the value is written";
}

TEST(Document, BrokenTextIsAnErrorWithPosition) {
  EXPECT_EQ(parse_error("a: [1, 2\nb: 3\n"), "t.yaml:2:2: not valid YAML: end of sequence flow not found");
  EXPECT_EQ(parse_error("a: 1\n  b: 2\n"), "t.yaml:2:4: not valid YAML: illegal map value");
  EXPECT_THAT(parse_error("a: 'open"), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error("a: 'open\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error("a: \"open\n\n  "), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error("a: {b: 1\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(parse_error("a: \"\\q\"\n"), HasSubstr("not valid YAML: unknown escape character"));
  EXPECT_THAT(parse_error("a: *nowhere\n"), HasSubstr("not valid YAML: the referenced anchor is not defined"));
  EXPECT_THAT(parse_error("a: %x\n"), HasSubstr("not valid YAML"));
  EXPECT_EQ(parse_error("a: 1\n---\nb: 2\n"),
            "t.yaml:2:1: a second document starts here (one document per file); remove the '---'");
  EXPECT_EQ(
      parse_error("a: !!python/object:x {b: 1}\n"),
      "t.yaml:1:4: the tag 'tag:yaml.org,2002:python/object:x' has no meaning here; write plain values (objects as "
      "`type:` plus fields)");
  EXPECT_EQ(parse_error("? [1, 2]\n: x\n"), "t.yaml:1:3: a key must be a word, not a list");
  EXPECT_EQ(parse_error("a: &x [*x]\n"), "t.yaml:1:8: an alias inside the value that it names");
  EXPECT_EQ(parse_error("a: {<<: 3}\n"), "t.yaml:1:9: '<<' merges maps, not '3'");
}

TEST(Document, DuplicateKeysAreAllReported) {
  EXPECT_EQ(parse_error("a: 1\nb: {c: 1, c: 2}\na: 3\n"),
            "t.yaml:2:11: duplicate key 'c' (first in line 2)\n"
            "t.yaml:3:1: duplicate key 'a' (first in line 1)");
}

TEST(Document, BinaryIsNotText) {
  EXPECT_EQ(parse_error(std::string("a: 1\nb: \0", 9)), "t.yaml:2:4: byte 0x00 is not text (is this YAML in UTF-8?)");
  EXPECT_EQ(parse_error("\x89HDF\r\n"), "t.yaml:1:1: byte 0x89 is not text (is this YAML in UTF-8?)");
  EXPECT_THAT(parse_error("a: \xC0\x80"), HasSubstr("byte 0xC0 is not text"));
  EXPECT_THAT(parse_error("a: \xED\xA0\x80"), HasSubstr("byte 0xED is not text"));
  EXPECT_THAT(parse_error("a: \xE2\x82"), HasSubstr("byte 0xE2 is not text"));
  EXPECT_EQ(parse_text("a: \xC2\xB5S \xE2\x82\xAC \xF0\x9F\x98\x80").find("a")->scalar,
            "\xC2\xB5S \xE2\x82\xAC \xF0\x9F\x98\x80");
}

TEST(Document, LimitsStopHostileTexts) {
  EXPECT_THAT(parse_error(std::string(100'000, '[')), HasSubstr("values are nested deeper than 64 levels"));
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(parse_error(deep), HasSubstr("nested deeper than 64 levels"));

  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format("a{}: &a{} [", i, i);
    for (int j = 0; j < 10; ++j) bomb += fmt::format("{}*a{}", j > 0 ? ", " : "", i - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(parse_error(bomb), HasSubstr("more than 200000 values (aliases count with all they repeat)"));

  std::string chain = "a0: &a0 [x]\n";
  for (int i = 1; i < 200; ++i) chain += fmt::format("a{}: &a{} [*a{}]\n", i, i, i - 1);
  EXPECT_THAT(parse_error(chain), HasSubstr("nested deeper than 64 levels")) << "depth counts through aliases";

  const Limits small{.bytes = 10};
  EXPECT_EQ(error_of([&] {
              parse("name: 0123456789", {"t.yaml", {}}, small);
            }),
            "t.yaml:1:1: 16 bytes; at most 10 are a configuration");
  EXPECT_EQ(parse_text("a: [" + std::string(1999, ',') + "]").kind, Node::Kind::map);
}

TEST_F(Folder, BasesMergeRelativeToTheFileThatNamesThem) {
  write("common/deep.yaml", "rpu: {forward: {out_noise: 0.1, inp_res: 254}, noise: {type: A, g: 1}}\nkeep: 1\n");
  write("common/mid.yaml", "base: deep.yaml\nrpu: {forward: {out_noise: 0.2}, noise: {type: B}}\nlist: [1, 2]\n");
  const std::string top = write("run.yaml", "base: common/mid.yaml\nrpu: {noise: null, mapping: {a: 1}}\nlist: [3]\n");
  const Node root = load(top);
  EXPECT_EQ(
      root,
      parse_text("rpu: {forward: {out_noise: 0.2, inp_res: 254}, noise: null, mapping: {a: 1}}\nkeep: 1\nlist: [3]\n"));
  EXPECT_EQ(root.find("keep")->position.file(), (directory_ / "common/deep.yaml").string());
  EXPECT_EQ(root.find("list")->position.file(), top);
  EXPECT_EQ(*load((directory_ / "common/mid.yaml").string()).find("rpu")->find("noise"), parse_text("{type: B}"))
      << "another type replaces the map";
}

TEST_F(Folder, SeveralBasesLaterWins) {
  write("a.yaml", "x: 1\ny: 1\n");
  write("b.yaml", "y: 2\nz: 2\n");
  EXPECT_EQ(load(write("c.yaml", "base: [a.yaml, b.yaml]\nz: 3\n")), parse_text("x: 1\ny: 2\nz: 3\n"));
  // Dumps spell private fields with an underscore; what lies over them need not.
  write("dump.yaml", "act: {_estimator: a, bits: 3}\n");
  EXPECT_EQ(load(write("over.yaml", "base: dump.yaml\nact: {estimator: b}\n")),
            parse_text("act: {_estimator: b, bits: 3}\n"));
}

TEST_F(Folder, BadBases) {
  const auto error = [&](const std::string& path) { return error_of([&] { load(path); }); };
  const std::string itself = write("self.yaml", "base: self.yaml\n");
  EXPECT_EQ(error(itself), itself + ":1:7: '" + itself + "' is its own base");
  write("ring_b.yaml", "base: ring_a.yaml\n");
  EXPECT_THAT(error(write("ring_a.yaml", "base: ring_b.yaml\n")), HasSubstr("ring_b.yaml:1:7: "));
  EXPECT_THAT(error(write("gone.yaml", "base: nowhere.yaml\n")),
              AllOf(HasSubstr("gone.yaml:1:7: base: cannot read '"), HasSubstr("nowhere.yaml' (no such file)")));
  EXPECT_THAT(error(write("folder.yaml", "base: .\n")), HasSubstr("it is a directory"));
  EXPECT_THAT(error(write("map.yaml", "base: [{a: 1}]\n")),
              HasSubstr("map.yaml:1:8: base: expected a path, got a map"));
  EXPECT_THAT(error((directory_ / "none.yaml").string()),
              HasSubstr("none.yaml: cannot read the configuration (no such file)"));
  EXPECT_THAT(error(write("list.yaml", "- 1\n")), HasSubstr("list.yaml:1:1: a configuration is a map, not a list"));
  std::string previous = write("f0.yaml", "a: 1\n");
  for (int i = 1; i < 80; ++i) previous = write(fmt::format("f{}.yaml", i), fmt::format("base: f{}.yaml\n", i - 1));
  EXPECT_THAT(error(previous), HasSubstr("more than 64 files through `base:`"));
}

TEST(Overrides, SetValuesAnywhere) {
  Node root = parse_text("a: {b: 1, keep: 2}\nlayers:\n  - {match: conv1, analog: true}\nnoise: {type: A, g: 1}\n");
  apply_overrides(root,
                  {"a.b=0.25", "a.new.deep=[1, 2]", "layers.0.analog=false", "layers.fc2.rpu.x=3",
                   "layers.\"block1.conv\".analog=false", "noise.type=B", "gone=null", "text='8'"},
                  {"layers"});
  EXPECT_EQ(
      root,
      parse_text(
          "a: {b: 0.25, keep: 2, new: {deep: [1, 2]}}\n"
          "layers: [{match: conv1, analog: false}, {match: fc2, rpu: {x: 3}}, {match: block1.conv, analog: false}]\n"
          "noise: {type: B}\ngone: null\ntext: '8'\n"));
  EXPECT_EQ(root.find("a")->find("b")->position.file(), "--set");
  EXPECT_EQ(root.find("a")->find("b")->position.line, 0);
  Node fresh = Node::map();
  apply_overrides(fresh, {"layers.fc2.analog=false"}, {"layers"});
  EXPECT_EQ(fresh, parse_text("layers: [{match: fc2, analog: false}]"));
}

TEST(Overrides, Mistakes) {
  Node root = parse_text("a: {b: 1}\nlist: [1]\n");
  const auto error = [&](const std::string& text) { return error_of([&] { apply_overrides(root, {text}); }); };
  EXPECT_EQ(error("a.b"), "--set a.b: expected key=value");
  EXPECT_EQ(error("=1"), "--set =1: expected key=value");
  EXPECT_EQ(error("a..b=1"), "'a..b' is not a key (a part between dots is empty)");
  EXPECT_EQ(error("a.=1"), "'a.' is not a key (it ends before a name)");
  EXPECT_EQ(error("\"a=1"), "'\"a' is not a key (a double quote is not closed)");
  EXPECT_EQ(error("a.b.c=1"), "--set: a.b.c: 'a.b' is '1', it has no keys");
  EXPECT_EQ(error("list.7=1"), "--set: list.7: 'list' has 1 entries, there is no entry 7");
  EXPECT_EQ(error("a.b=[1"), "--set a.b=[1: not valid YAML: end of sequence flow not found");
  std::string endless = "a";
  for (int i = 0; i < 10'000; ++i) endless += ".a";
  EXPECT_THAT(error(endless + "=1"), HasSubstr("more than 64 parts"));
}

TEST(Emit, EveryNodeReadsBackEqual) {
  const std::vector<std::string> texts = {"{}",
                                          "[]",
                                          "null",
                                          "a: 1\nb: [1, 2.5, x]\nc: {d: {e: f}}\n",
                                          "a: [{b: 1, c: [2]}, {d: {e: 1}}]\n",
                                          "a: '8'\nb: 'true'\nc: 'null'\nd: ''\ne: 'yes'\nf: '.inf'\n",
                                          "a: \"line\\nbreak \\\"quoted\\\" \\\\ tab\\t\"\n",
                                          "'a: b': '- #'\n\"8\": x\n",
                                          "a: \xC2\xB5S\n",
                                          "a: [[1, 2], [3]]\nb: [[{c: 1}]]\n",
                                          "a: []\nb: {}\nc: ~\n"};
  for (const std::string& text : texts) {
    const Node node = parse_text(text);
    EXPECT_EQ(parse_text(to_yaml(node)), node) << to_yaml(node);
    EXPECT_EQ(parse_text(to_flow(node)), node) << to_flow(node);
    EXPECT_EQ(parse_text(to_json(node)), node) << to_json(node);
  }
  EXPECT_EQ(to_yaml(parse_text("a: {b: [1, 2], c: x y}\nd: [{e: 1}]\n")),
            "a:\n  b: [1, 2]\n  c: \"x y\"\nd:\n  - e: 1\n");
}

TEST(Emit, RealsAreShortestAndExact) {
  EXPECT_EQ(format_real(1.0), "1.0");
  EXPECT_EQ(format_real(1.0 / 126.0), "0.007936507936507936");
  EXPECT_EQ(format_real(1e-7), "1.0e-07");
  EXPECT_EQ(format_real(2.5e-7), "2.5e-07");
  EXPECT_EQ(format_real(-0.0), "-0.0");
  EXPECT_EQ(format_real(1e300), "1.0e+300");
}

TEST(Nodes, EqualityIgnoresOrderAndPositionsButNotMeaning) {
  EXPECT_EQ(parse_text("{a: 1, b: 2}"), parse_text("b: 2\na: 1\n"));
  EXPECT_EQ(parse_text("a: 'x'"), parse_text("a: x"));
  EXPECT_FALSE(parse_text("a: '1'") == parse_text("a: 1"));
  EXPECT_FALSE(parse_text("a: [1, 2]") == parse_text("a: [2, 1]"));
  EXPECT_FALSE(parse_text("{a: 1}") == parse_text("{a: 1, b: 2}"));
  EXPECT_FALSE(parse_text("a: ''") == parse_text("a:"));
}

TEST(Nodes, LocateFindsTheValueOrItsNearestAncestor) {
  const Node root = parse_text("a:\n  _b:\n    - c: 1\n");
  const auto at = [&](const char* path) {
    const Position position = locate(root, path);
    return fmt::format("{}:{}", position.line, position.column);
  };
  EXPECT_EQ(at("a.b.0.c"), "3:10");
  EXPECT_EQ(at("a.b.0.none"), "3:7");
  EXPECT_EQ(at("a.b.5"), "3:5");
  EXPECT_EQ(at("none"), "1:1");
}

}  // namespace
}  // namespace tessera::config
