// Question: do errors say what, where and what to do, and are near misses found?
#include "tessera/core/error.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tessera {
namespace {

TEST(Problem, TextLeavesOutWhatIsUnknown) {
  EXPECT_EQ((Problem{"a.yaml", 3, 7, "seed", "must be >= 0"}.text()), "a.yaml:3:7: seed: must be >= 0");
  EXPECT_EQ((Problem{"a.yaml", 0, 0, "seed", "must be >= 0"}.text()), "a.yaml: seed: must be >= 0");
  EXPECT_EQ((Problem{"", 0, 0, "seed", "must be >= 0"}.text()), "seed: must be >= 0");
  EXPECT_EQ((Problem{"", 0, 0, "", "empty"}.text()), "empty");
}

TEST(ConfigError, HoldsEveryProblem) {
  const ConfigError error({{"a.yaml", 1, 2, "x", "first"}, {"a.yaml", 3, 4, "y", "second"}});
  EXPECT_EQ(error.problems().size(), 2U);
  EXPECT_STREQ(error.what(), "a.yaml:1:2: x: first\na.yaml:3:4: y: second");
  EXPECT_STREQ(ConfigError("g_max", "must be > 0").what(), "g_max: must be > 0");
}

TEST(Errors, AreAllOfTheOneFamily) {
  EXPECT_THROW(throw UsageError("x"), Error);
  EXPECT_THROW(throw InputError("x"), Error);
  EXPECT_THROW(throw RunError("x"), Error);
  EXPECT_THROW(throw ConfigError("k", "x"), Error);
  EXPECT_THROW(throw Error("x"), std::runtime_error);
}

TEST(Require, ThrowsTheNamedErrorWithTheFormattedMessage) {
  EXPECT_NO_THROW(require<InputError>(true, "never"));
  try {
    require<InputError>(false, "{} rows for {} columns", 3, 4);
    FAIL() << "nothing was thrown";
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "3 rows for 4 columns");
  }
}

TEST(NearestWord, FindsTypingErrors) {
  const std::vector<std::string> legal = {"out_res", "inp_res", "out_noise", "is_perfect", "n_bits", "out_bound"};
  EXPECT_EQ(nearest_word("out_rse", legal), "out_res");     // swapped
  EXPECT_EQ(nearest_word("out_nois", legal), "out_noise");  // missing
  EXPECT_EQ(nearest_word("nbits", legal), "n_bits");
  EXPECT_EQ(nearest_word("IS_PERFECT", legal), "is_perfect");  // case costs nothing
  EXPECT_EQ(nearest_word("out_res", legal), "out_res");
}

TEST(NearestWord, IsSilentWhenNothingIsNear) {
  const std::vector<std::string> legal = {"out_res", "n_bits"};
  EXPECT_EQ(nearest_word("temperature", legal), "");
  EXPECT_EQ(nearest_word("xy", legal), "");
  EXPECT_EQ(nearest_word("anything", {}), "");
  EXPECT_EQ(nearest_word("", legal), "");
}

TEST(NearestWord, PrefersTheNearestAndThenTheFirst) {
  EXPECT_EQ(nearest_word("abcdef", {"abcxyf", "abcdeg"}), "abcdeg");
  EXPECT_EQ(nearest_word("abcdef", {"abcdeg", "abcdeh"}), "abcdeg");
}

}  // namespace
}  // namespace tessera
