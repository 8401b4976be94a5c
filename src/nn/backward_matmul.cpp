#include "backward_list.hpp"
#include "broadcast.hpp"
#include "tessera/kernels/general_product.hpp"

/// The product of two activations: da = dy b^T, db = a^T dy, summed over the batches that share an operand.
namespace tessera::nn {

void backward_matmul(const BackwardContext& c) {
  Shape a = c.in[0].shape, b = c.in[1].shape;
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  const std::int64_t rows = a[a.size() - 2], inner = a.back(), cols = b.back();
  const std::vector<Shape> batches = {{a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}};
  const Shape batch = broadcast_shape(batches, c.where());
  const std::int64_t count = element_count(batch);
  const float* dy = c.d_out[0].floats();
  for (std::size_t k = 0; k < 2; ++k) {
    if (!c.wants(k)) continue;
    const std::int64_t own = element_count(batches[k]);
    std::vector<std::vector<std::int64_t>> uses(static_cast<std::size_t>(own));
    for (std::int64_t i = 0; i < count; ++i)
      uses[static_cast<std::size_t>(broadcast_index(i, batch, batches[k]))].push_back(i);
    parallel_for(c.parallel, own, [&](std::int64_t m) {
      auto accumulate = kernels::Accumulate::no;
      for (const std::int64_t i : uses[static_cast<std::size_t>(m)]) {
        const ConstMatrixView gradient(dy + i * rows * cols, rows, cols);
        if (k == 0) {
          const ConstMatrixView right(c.in[1].floats() + broadcast_index(i, batch, batches[1]) * inner * cols, inner,
                                      cols);
          Matrix turned = Matrix::uninitialized(cols, inner);
          for (std::int64_t r = 0; r < inner; ++r)
            for (std::int64_t j = 0; j < cols; ++j) turned(j, r) = right(r, j);
          kernels::general_product(gradient, turned.view(), {c.d_in[0].floats() + m * rows * inner, rows, inner},
                                   accumulate);
        } else {
          const ConstMatrixView left(c.in[0].floats() + broadcast_index(i, batch, batches[0]) * rows * inner, rows,
                                     inner);
          kernels::general_product(kernels::transposed(left), gradient,
                                   {c.d_in[1].floats() + m * inner * cols, inner, cols}, accumulate);
        }
        accumulate = kernels::Accumulate::yes;
      }
    });
  }
}

}  // namespace tessera::nn
