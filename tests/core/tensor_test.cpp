// Question: do the containers keep their shape, alignment and contents, and refuse what does not fit?
#include "tessera/core/tensor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>

namespace tessera {
namespace {

bool aligned(const float* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 64 == 0;
}

TEST(Shape, CountsAndNamesElements) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3, 4}), 24);
  EXPECT_EQ(element_count({2, 0, 4}), 0);
  EXPECT_EQ(to_string(Shape{}), "scalar");
  EXPECT_EQ(to_string(Shape{2, 3}), "2x3");
}

TEST(Shape, RefusesNegativeAndOverflowingExtents) {
  EXPECT_THROW(element_count({2, -1}), InputError);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_THROW(element_count({huge, 2}), InputError);
}

TEST(Matrix, IsZeroAlignedAndRowMajor) {
  Matrix m(3, 5);
  EXPECT_TRUE(aligned(m.data()));
  for (const float v : m.values()) EXPECT_EQ(v, 0.0F);
  m(1, 2) = 7.0F;
  EXPECT_EQ(m.data()[1 * 5 + 2], 7.0F);
  EXPECT_EQ(m.values().size(), 15U);
}

TEST(Matrix, CopiesValuesAndStridedViews) {
  const std::array<float, 6> values = {1, 2, 3, 4, 5, 6};
  const Matrix m(2, 3, values);
  EXPECT_EQ(m(1, 0), 4.0F);
  const Matrix right(m.view().cols_from(1, 2));
  EXPECT_EQ(right.rows(), 2);
  EXPECT_EQ(right.cols(), 2);
  EXPECT_EQ(right(0, 0), 2.0F);
  EXPECT_EQ(right(1, 1), 6.0F);
  const Matrix bottom(m.view().rows_from(1, 1));
  EXPECT_EQ(bottom(0, 2), 6.0F);
}

TEST(Matrix, RefusesWrongSizes) {
  const std::array<float, 5> values{};
  EXPECT_THROW(Matrix(2, 3, values), InputError);
  EXPECT_THROW(Matrix(-1, 3), InputError);
}

TEST(Matrix, MayBeEmpty) {
  Matrix m(0, 4);
  EXPECT_EQ(m.values().size(), 0U);
  EXPECT_EQ(Matrix(m.view()).cols(), 4);
}

TEST(MatrixView, WritesThrough) {
  Matrix m(2, 4);
  MatrixView part = m.view().cols_from(2, 2);
  part(1, 1) = 3.0F;
  EXPECT_EQ(m(1, 3), 3.0F);
  const ConstMatrixView read = part;
  EXPECT_EQ(read(1, 1), 3.0F);
  EXPECT_EQ(read.row_span(1).size(), 2U);
}

TEST(Tensor, ReshapesWithoutChangingValues) {
  const std::array<float, 6> values = {1, 2, 3, 4, 5, 6};
  const Tensor t({2, 3}, values);
  EXPECT_TRUE(aligned(t.data()));
  const Tensor r = t.reshaped({3, 2});
  EXPECT_EQ(r.shape(), (Shape{3, 2}));
  EXPECT_TRUE(std::equal(values.begin(), values.end(), r.data()));
  EXPECT_EQ(t.shape(), (Shape{2, 3}));
  EXPECT_THROW(static_cast<void>(t.reshaped({4, 2})), InputError);
}

TEST(Tensor, MovedReshapeKeepsTheMemory) {
  Tensor t({4, 4});
  const float* memory = t.data();
  const Tensor flat = std::move(t).reshaped({16});
  EXPECT_EQ(flat.data(), memory);
  EXPECT_EQ(t.size(), 0);  // NOLINT(bugprone-use-after-move): the moved-from tensor is documented as empty
}

TEST(Tensor, RefusesWrongSizes) {
  const std::array<float, 5> values{};
  EXPECT_THROW(Tensor({2, 3}, values), InputError);
  EXPECT_THROW(Tensor({2, -3}), InputError);
  EXPECT_EQ(Tensor().size(), 0);
  EXPECT_EQ(Tensor(Shape{}).size(), 1);
}

}  // namespace
}  // namespace tessera
