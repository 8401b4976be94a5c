// Does any damaged text crash, hang or slip through as something that cannot be written and read back?
#include <gtest/gtest.h>

#include <random>

#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"

namespace tessera::config {
namespace {

const std::string sample =
    "name: mnist\n"
    "seed: 1   # a comment\n"
    "model: {file: \"a b.onnx\", list: [1, 2.5e-7, 'x''y', ~, null]}\n"
    "anchor: &io {res: 254, nested: [[1], [2, 3]]}\n"
    "copy: *io\n"
    "merge: {<<: *io, res: -1}\n"
    "layers:\n"
    "  - match: \"conv*\"\n"
    "    analog: false\n"
    "  - {match: fc, rpu_config: {forward: {out_noise: .5}}}\n"
    "text: |\n"
    "  two\n"
    "  lines\n"
    "folded: >-\n"
    "  more\n"
    "  text\n"
    "? explicit\n"
    ": value\n";

TEST(Fuzz, DamagedTextIsATreeOrAnErrorWithPosition) {
  const std::string alphabet = "\n\n  :-[]{},&*#?|>'\"!%@`~<a0.1\t\r\\\x01\x80\xC3\xFF";
  std::mt19937 random(20240607);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int trees = 0;
  int errors = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = sample;
    for (std::size_t edits = 1 + below(6); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = below(text.size());
      const std::size_t length = std::min(text.size() - at, 1 + below(20));
      switch (below(5)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, 1, alphabet[below(alphabet.size())]);
          break;
        case 2:
          text[at] = alphabet[below(alphabet.size())];
          break;
        case 3:
          text.insert(below(text.size()), text.substr(at, length));
          break;
        default:
          text.resize(at);
          break;
      }
    }
    try {
      const Node node = parse(text, {"t.yaml", {}});
      ASSERT_EQ(parse(to_yaml(node), {"again", {}}), node) << text << "\n---\n" << to_yaml(node);
      ASSERT_EQ(parse(to_json(node), {"again", {}}).kind, node.kind) << text << "\n---\n" << to_json(node);
      ++trees;
    } catch (const ConfigError& error) {
      ASSERT_FALSE(error.problems().empty());
      for (const Problem& problem : error.problems()) ASSERT_GE(problem.line, 1) << text;
      ++errors;
    }
  }
  EXPECT_GT(trees, 2000);
  EXPECT_GT(errors, 2000);
}

}  // namespace
}  // namespace tessera::config
