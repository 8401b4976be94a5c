// Does one key table read strictly, write back, and describe itself, always in agreement?
#include "tessera/config/section.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/config/schema.hpp"

namespace tessera::config {
namespace {

using testing::HasSubstr;

enum class Law { none, abs_max };

struct Pcm {
  double g_max = 25.0;
  std::vector<double> coefficients = {0.5, 1.5};
  bool operator==(const Pcm&) const = default;
};
struct Ideal {
  bool operator==(const Ideal&) const = default;
};
using Noise = std::variant<Pcm, Ideal>;

struct Inner {
  int bits = 8;
  double scale = 1.0;
  double offset = 0.0;
  bool operator==(const Inner&) const = default;
};

struct Outer {
  std::string name = "x";
  std::uint64_t seed = 1;
  std::int64_t count = 10;
  bool on = false;
  int plain = 0;
  Law law = Law::none;
  Inner inner;
  std::optional<Inner> extra;
  std::optional<Noise> noise;
  std::vector<double> times;
  std::vector<std::pair<std::string, Inner>> by_name;
  std::string file;
  std::vector<std::string> files;
  bool operator==(const Outer&) const = default;
};

Type<Inner> inner_type(const std::string& name) {
  const Type<Inner> params = Section<Inner>(name + "Params", "").field("offset", &Inner::offset, {.help = "offset"});
  return Section<Inner>(name, "An inner part.")
      .field("bits", &Inner::bits, {.unit = "bit", .range = Range::between(0, 24), .help = "width"})
      .field("scale", &Inner::scale, {.range = Range::above(0), .help = "a|b"})
      .group("params", params, true);
}

Type<Outer> outer_type() {
  const Type<Pcm> pcm = Section<Pcm>("Pcm", "Phase change.")
                            .field("g_max", &Pcm::g_max, {.unit = "uS", .range = Range::above(0), .help = "largest"})
                            .field("prog_coeff", &Pcm::coefficients, list(real(), 1), {.help = "polynomial"});
  const Type<Ideal> ideal = Section<Ideal>("Ideal", "No noise.");
  return Section<Outer>("Outer", "Everything.")
      .field("name", &Outer::name, {.help = "a name"})
      .field("seed", &Outer::seed, {.help = "of the noise"})
      .field("count", &Outer::count, {.range = Range::at_least(1), .help = "how many"})
      .field("plain", &Outer::plain)
      .field("on", &Outer::on, {.help = "switch"})
      .field("law", &Outer::law, choice<Law>({{"NONE", Law::none}, {"ABS_MAX", Law::abs_max, {"AbsMax"}}}),
             {.help = "law"})
      .field("inner", &Outer::inner, inner_type("Inner"))
      .field("extra", &Outer::extra, optional(inner_type("Inner")), {.help = "null: none"})
      .field(
          "noise_model", &Outer::noise,
          optional(one_of("Noise", "A noise model.", Named<Pcm>{"PcmModel", pcm}, Named<Ideal>{"IdealModel", ideal})))
      .field("times", &Outer::times, {.unit = "s", .range = Range::at_least(0), .help = "times"})
      .field("by_name", &Outer::by_name, map_of(inner_type("Inner")))
      .field("file", &Outer::file, path(), {.help = "a file"})
      .field("files", &Outer::files, one_or_list(path()))
      .unused("backward", "training only")
      .check([](const Outer& o) {
        if (o.inner.bits == 1 && o.count == 1) throw ConfigError("inner.bits", "1 does not go with count 1");
      });
}

Outer read_text(const std::string& text, const Outer& start = {}) {
  return read(parse(text, {"t.yaml", "/data"}), outer_type(), start);
}

std::string error_of(const std::string& text) {
  try {
    read_text(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Section, ReadsEveryType) {
  const Outer outer = read_text(
      "name: 12\nseed: 18446744073709551615\ncount: 3\non: true\nlaw: AbsMax\n"
      "inner: {bits: 4, scale: 2, params: {offset: -1.5e-3}}\nextra: {bits: 2}\n"
      "noise_model: {type: PcmModel, g_max: 30, prog_coeff: [1, 2]}\ntimes: [0, 3600, 1e5]\n"
      "by_name: {b: {bits: 1}, a: {}}\nfile: x/../m.onnx\nfiles: /abs/y.h5\n");
  Outer expected;
  expected.name = "12";
  expected.seed = 18446744073709551615ULL;
  expected.count = 3;
  expected.on = true;
  expected.law = Law::abs_max;
  expected.inner = {4, 2.0, -1.5e-3};
  expected.extra = Inner{.bits = 2};
  expected.noise = Pcm{30.0, {1.0, 2.0}};
  expected.times = {0.0, 3600.0, 1e5};
  expected.by_name = {{"b", {.bits = 1}}, {"a", {}}};
  expected.file = "/data/m.onnx";
  expected.files = {"/abs/y.h5"};
  EXPECT_EQ(outer, expected);
  EXPECT_EQ(read(outer_type().write(expected), outer_type()), expected) << "what is written reads back";
  EXPECT_EQ(read_text(to_yaml(outer_type().write(expected))), expected);
}

TEST(Section, WholeNumbersMayBeWrittenAsReals) {
  EXPECT_EQ(read_text("count: 1000.0").count, 1000);
  EXPECT_EQ(read_text("count: 1e3").count, 1000);
  EXPECT_EQ(read_text("seed: 5.0").seed, 5U);
}

TEST(Section, InfinityWhereTheKeyHasAUseForIt) {
  const Type<double> bound = real(Range::or_infinite());
  const double infinity = std::numeric_limits<double>::infinity();
  for (const char* text : {".inf", "inf", ".INF", "+.inf"}) EXPECT_EQ(read(Node::plain(text), bound), infinity) << text;
  EXPECT_EQ(bound.write(infinity).scalar, ".inf");
  EXPECT_THROW(read(Node::plain("-.inf"), bound), ConfigError);
  EXPECT_THROW(read(Node::plain(".nan"), bound), ConfigError);
}

TEST(Section, ReadsOverWhatIsThere) {
  Outer start;
  start.inner.scale = 3.0;
  start.extra = Inner{.bits = 5, .scale = 5.0};
  start.noise = Pcm{40.0, {7.0}};
  Outer merged = read_text("inner: {bits: 2}\nextra: {bits: 6}\nnoise_model: {prog_coeff: [1]}\n", start);
  EXPECT_EQ(merged.inner, (Inner{.bits = 2, .scale = 3.0}));
  EXPECT_EQ(merged.extra, (Inner{.bits = 6, .scale = 5.0}));
  EXPECT_EQ(merged.noise, Noise(Pcm{40.0, {1.0}}));
  EXPECT_EQ(read_text("noise_model: {type: IdealModel}", start).noise, Noise(Ideal{}));
  EXPECT_EQ(read_text("noise_model: {type: PcmModel, g_max: 1}", start).noise, Noise(Pcm{1.0, {7.0}}));
  EXPECT_EQ(read_text("noise_model: IdealModel").noise, Noise(Ideal{}));
  merged = read_text("extra: null\nnoise_model: ~\n", start);
  EXPECT_FALSE(merged.extra || merged.noise);
}

TEST(Section, WordsOfChoicesMatchAsPeopleWriteThem) {
  for (const char* word : {"ABS_MAX", "AbsMax", "abs_max", "absmax", "Law.ABS_MAX", "'AbsMax'"})
    EXPECT_EQ(read_text(fmt::format("law: {}", word)).law, Law::abs_max) << word;
}

TEST(Section, LeadingUnderscoresAreDropped) {
  EXPECT_EQ(read_text("_count: 4\ninner: {_bits: 3}").count, 4);
  EXPECT_EQ(error_of("_count: 4\ncount: 5\n"), "t.yaml:2:1: count: means the same as '_count', which is also given");
}

TEST(Section, UnusedKeysAreReportedOnceAndAcceptAnything) {
  Report report;
  Outer outer;
  const Node node = parse("backward: {anything: [1, {x: y}]}", {"t.yaml", {}});
  outer_type().read(node, "rpu", outer, report);
  outer_type().read(node, "rpu", outer, report);
  EXPECT_THAT(report.unused(), testing::ElementsAre(testing::Pair("rpu.backward", "training only")));
  EXPECT_EQ(outer, Outer{});
}

struct Mistake {
  const char* text;
  const char* message;
};

TEST(Section, EveryMistakeHasItsMessage) {
  const Mistake mistakes[] = {
      {"coutn: 3", "t.yaml:1:1: coutn: unknown key 'coutn'; did you mean 'count'?"},
      {"inner: {bitz: 3}", "t.yaml:1:9: inner.bitz: unknown key 'bitz'; did you mean 'bits'?"},
      {"bits: 3", "t.yaml:1:1: bits: unknown key 'bits'; did you mean 'inner.bits'?"},
      {"zzzzzzzz: 3",
       "t.yaml:1:1: zzzzzzzz: unknown key 'zzzzzzzz'; the keys here are name, seed, count, plain, on, law, inner, "
       "extra, "
       "noise_model, times, by_name, file, files"},
      {"count: many", "t.yaml:1:8: count: expected an integer, got 'many'"},
      {"count: 2.5", "t.yaml:1:8: count: expected an integer, got '2.5'"},
      {"count: .inf", "t.yaml:1:8: count: expected an integer, got '.inf'"},
      {"count: 1e300", "t.yaml:1:8: count: expected an integer, got '1e300'"},
      {"count: '2'", "t.yaml:1:8: count: expected an integer, got the text '2'"},
      {"count: 010", "t.yaml:1:8: count: expected an integer, got '010'"},
      {"count: [2]", "t.yaml:1:8: count: expected an integer, got a list"},
      {"count: null", "t.yaml:1:1: count: expected an integer, got null"},
      {"count:", "t.yaml:1:1: count: expected an integer, got null"},
      {"count: 0", "t.yaml:1:8: count: 0 is out of range (must be >= 1)"},
      {"count: 99999999999999999999", "t.yaml:1:8: count: 99999999999999999999 does not fit an integer of 64 bits"},
      {"seed: -1", "t.yaml:1:7: seed: -1 is out of range (must be >= 0)"},
      {"seed: 18446744073709551616", "t.yaml:1:7: seed: 18446744073709551616 does not fit an integer of 64 bits"},
      {"inner: {bits: -1}", "t.yaml:1:15: inner.bits: -1 is out of range (must be 0 to 24)"},
      {"plain: 2147483648", "t.yaml:1:8: plain: 2147483648 does not fit an integer of 32 bits"},
      {"inner: {bits: 4294967296}", "t.yaml:1:15: inner.bits: 4294967296 is out of range (must be 0 to 24)"},
      {"inner: {scale: 0}", "t.yaml:1:16: inner.scale: 0 is out of range (must be > 0)"},
      {"inner: {scale: .nan}", "t.yaml:1:16: inner.scale: .nan is not finite"},
      {"inner: {scale: nan}", "t.yaml:1:16: inner.scale: nan is not finite"},
      {"inner: {scale: -.inf}", "t.yaml:1:16: inner.scale: -.inf is not finite"},
      {"inner: {scale: 1e39}", "t.yaml:1:16: inner.scale: 1e39 does not fit a float32"},
      {"inner: {scale: 1e999}", "t.yaml:1:16: inner.scale: 1e999 does not fit a float32"},
      {"inner: {scale: 1_000}", "t.yaml:1:16: inner.scale: expected a number, got '1_000'"},
      {"inner: {scale: 0x10}", "t.yaml:1:16: inner.scale: expected a number, got '0x10'"},
      {"inner: 3", "t.yaml:1:8: inner: expected a map, got '3'"},
      {"inner:", "t.yaml:1:1: inner: expected a map, got null"},
      {"on: yes", "t.yaml:1:5: on: expected true or false, got 'yes'"},
      {"on: 1", "t.yaml:1:5: on: expected true or false, got '1'"},
      {"law: ABS_MIN", "t.yaml:1:6: law: unknown word 'ABS_MIN'; did you mean 'ABS_MAX'? (one of NONE, ABS_MAX)"},
      {"law: whatever", "t.yaml:1:6: law: unknown word 'whatever'; must be one of NONE, ABS_MAX"},
      {"law: {}", "t.yaml:1:6: law: expected one of NONE, ABS_MAX, got a map"},
      {"noise_model: {g_max: 2}", "t.yaml:1:14: noise_model: missing key 'type' (one of PcmModel, IdealModel)"},
      {"noise_model: {type: PcnModel}",
       "t.yaml:1:21: noise_model.type: unknown type 'PcnModel'; did you mean 'PcmModel'? (one of PcmModel, "
       "IdealModel)"},
      {"noise_model: Pcm", "t.yaml:1:14: noise_model: unknown type 'Pcm'; must be one of PcmModel, IdealModel"},
      {"noise_model: [1]", "t.yaml:1:14: noise_model: expected a map with `type:`, got a list"},
      {"noise_model: {type: IdealModel, g_max: 2}",
       "t.yaml:1:33: noise_model.g_max: unknown key 'g_max'; there are no keys here"},
      {"noise_model: {type: PcmModel, prog_coeff: []}",
       "t.yaml:1:43: noise_model.prog_coeff: 0 entries given, at least 1 needed"},
      {"times: 3", "t.yaml:1:8: times: expected a list of number >= 0, got '3'"},
      {"times: [1, -2, x]",
       "t.yaml:1:12: times.1: -2 is out of range (must be >= 0)\nt.yaml:1:16: times.2: expected a number, got 'x'"},
      {"by_name: {a: {bits: x}}", "t.yaml:1:21: by_name.a.bits: expected an integer, got 'x'"},
      {"by_name: [1]", "t.yaml:1:10: by_name: expected a map, got a list"},
      {"file: ''", "t.yaml:1:7: file: expected a path, got empty text"},
      {"file: [a]", "t.yaml:1:7: file: expected a path, got a list"},
      {"name: {a: b}", "t.yaml:1:7: name: expected text, got a map"},
      {"count: 1\ninner: {scale: 2, bits: 1}", "t.yaml:2:25: inner.bits: 1 does not go with count 1"},
      {"count: 1\ninner: {bits: 1}\non: 3", "t.yaml:3:5: on: expected true or false, got '3'"},
  };
  for (const Mistake& mistake : mistakes) EXPECT_EQ(error_of(mistake.text), mistake.message) << mistake.text;
}

TEST(Section, AllProblemsAtOnceInOrderOfTheFile) {
  EXPECT_EQ(error_of("inner: {bits: x}\nnam: 1\ncount: 0\n"),
            "t.yaml:1:15: inner.bits: expected an integer, got 'x'\n"
            "t.yaml:2:1: nam: unknown key 'nam'; did you mean 'name'?\n"
            "t.yaml:3:8: count: 0 is out of range (must be >= 1)");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += fmt::format("unknown{}: 1\n", i);
  EXPECT_THAT(error_of(many), HasSubstr("... and 950 more problems"));
}

TEST(Section, RequiredKeys) {
  struct File {
    std::string name;
  };
  const Type<File> type =
      Section<File>("File", "").field("name", &File::name, {.help = "what to read", .required = true});
  try {
    read(parse("{}", {"t.yaml", {}}), type);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "t.yaml:1:1: missing key 'name' (what to read)");
  }
}

TEST(Schema, SaysWhatTheTableSays) {
  const Node schema = parse(json_schema(*outer_type().info, "outer"), {"schema", {}});
  EXPECT_EQ(schema.find("$schema")->scalar, "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema.find("additionalProperties")->scalar, "false");
  const Node& properties = *schema.find("properties");
  EXPECT_EQ(properties.entries.size(), outer_type().info->keys.size());
  EXPECT_EQ(to_flow(*properties.find("count")),
            "{type: integer, minimum: 1.0, description: \"how many\", default: 10}");
  EXPECT_EQ(to_flow(*properties.find("law")->find("enum")), "[NONE, ABS_MAX, AbsMax]");
  EXPECT_EQ(to_flow(*properties.find("inner")), "{\"$ref\": \"#/$defs/Inner\"}");
  EXPECT_EQ(to_flow(*properties.find("extra")->find("anyOf")), "[{\"$ref\": \"#/$defs/Inner\"}, {type: \"null\"}]");
  EXPECT_EQ(to_flow(*properties.find("times")),
            "{type: array, items: {type: number, minimum: 0.0}, description: \"times [s]\", default: []}");
  const Node& definitions = *schema.find("$defs");
  EXPECT_EQ(to_flow(*definitions.find("Inner")->find("properties")->find("bits")),
            "{type: integer, minimum: 0.0, maximum: 24.0, description: \"width [bit]\", default: 8}");
  EXPECT_EQ(definitions.find("Noise")->find("anyOf")->items.size(), 3U);
  EXPECT_EQ(to_flow(definitions.find("Noise")->find("anyOf")->items[0]), "{\"$ref\": \"#/$defs/Pcm\"}");
  EXPECT_EQ(definitions.find("Pcm")->find("properties")->find("type")->find("const")->scalar, "PcmModel");
}

TEST(Markdown, SaysWhatTheTableSays) {
  const std::string page = markdown_tables(*outer_type().info);
  EXPECT_THAT(page, HasSubstr("## Outer\n\nEverything.\n\n| key | type | default | unit | meaning |\n"));
  EXPECT_THAT(page, HasSubstr("| `count` | integer >= 1 | `10` |  | how many |\n"));
  EXPECT_THAT(page, HasSubstr("| `inner` | [Inner](#inner) |  |  |  |\n"));
  EXPECT_THAT(page, HasSubstr("| `noise_model` | [Noise](#noise), or null | `null` |  |  |\n"));
  EXPECT_THAT(page, HasSubstr("| `scale` | number > 0 | `1.0` |  | a\\|b |\n"));
  EXPECT_THAT(page, HasSubstr("| [PcmModel](#pcm) | Phase change. |\n"));
  EXPECT_THAT(page, HasSubstr("Accepted without effect: `backward` (training only)."));
  EXPECT_THAT(page, HasSubstr("| `g_max` | number > 0 | `25.0` | uS | largest |\n"));
}

}  // namespace
}  // namespace tessera::config
