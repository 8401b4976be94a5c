// Is every value moved to its place, and nothing else touched?
#include "tessera/kernels/transpose.hpp"

#include <gtest/gtest.h>

#include "tessera/core/error.hpp"

namespace tessera::kernels {
namespace {

TEST(Transpose, MovesEveryValueOfEveryShape) {
  for (const std::int64_t rows : {0, 1, 3, 4, 5, 16, 19, 37})
    for (const std::int64_t cols : {0, 1, 2, 4, 7, 16, 33})
      for (const std::int64_t extra : {0, 3}) {
        Matrix from(rows, cols + extra), to(cols, rows + extra);
        for (std::int64_t i = 0; i < rows; ++i)
          for (std::int64_t j = 0; j < cols + extra; ++j) from(i, j) = static_cast<float>(100 * i + j + 1);
        transpose({from.data(), rows, cols, cols + extra}, {to.data(), cols, rows, rows + extra});
        for (std::int64_t j = 0; j < cols; ++j)
          for (std::int64_t i = 0; i < rows + extra; ++i)
            ASSERT_EQ(to(j, i), i < rows ? from(i, j) : 0.0F) << rows << "x" << cols;
      }
}

TEST(Transpose, RefusesOtherShapes) {
  const Matrix from(3, 4);
  Matrix to(3, 4);
  EXPECT_THROW(transpose(from.view(), to.view()), InputError);
}

}  // namespace
}  // namespace tessera::kernels
