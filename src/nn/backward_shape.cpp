#include <algorithm>
#include <cstring>
#include <numeric>

#include "backward_list.hpp"
#include "broadcast.hpp"

/// Operators that only move, select and repeat elements.
namespace tessera::nn {

void backward_view(const BackwardContext& c) {
  if (c.wants(0))
    std::memcpy(c.d_in[0].data, c.d_out[0].data, static_cast<std::size_t>(c.in[0].size()) * sizeof(float));
}

/// Where each output element came from is found by moving numbers instead of values: element e of input i is
/// 1 + first[i] + e, and 0 is a fill value.
void backward_moved(const BackwardContext& c) {
  const std::string& op = c.node.op;
  const bool many = op == "Concat";
  std::vector<Array> in(c.in.begin(), c.in.end()), out(c.out.begin(), c.out.end());
  std::vector<std::vector<std::int64_t>> from(many ? in.size() : 1), to(out.size());
  std::vector<std::int64_t> first{0};
  for (std::size_t i = 0; i < from.size(); ++i) {
    from[i].resize(static_cast<std::size_t>(in[i].size()));
    std::iota(from[i].begin(), from[i].end(), 1 + first.back());
    first.push_back(first.back() + in[i].size());
    in[i].type = ElementType::int64;
    in[i].data = from[i].data();
  }
  // Also of inputs that only say a shape.
  for (std::size_t i = 0; i < in.size(); ++i)
    if (c.wants(i)) std::fill_n(c.d_in[i].floats(), c.d_in[i].size(), 0.0F);
  if (op == "Pad" && in.size() > 2) in[2] = {};
  for (std::size_t o = 0; o < out.size(); ++o) {
    if (out[o].data == nullptr) continue;
    to[o].resize(static_cast<std::size_t>(out[o].size()));
    out[o].type = ElementType::int64;
    out[o].data = to[o].data();
  }
  find_operator(op)->compute({.node = c.node, .in = in, .out = out, .parallel = c.parallel});
  // Elements that are read several times must be added up in order.
  const bool repeats = op == "Tile" || op == "Expand" || op == "DepthWindows" || op.starts_with("Gather") ||
                       (op == "Pad" && c.node.text("mode", "constant") != "constant");
  for (std::size_t o = 0; o < out.size(); ++o) {
    if (c.d_out[o].data == nullptr) continue;
    const float* dy = c.d_out[o].floats();
    const std::int64_t count = out[o].size();
    parallel_for_blocks(repeats ? Parallel{1} : c.parallel, count, elementwise_block,
                        [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                          for (std::int64_t e = begin; e < end; ++e) {
                            const std::int64_t source = to[o][static_cast<std::size_t>(e)] - 1;
                            if (source < 0) continue;
                            std::size_t i = 0;
                            while (source >= first[i + 1]) ++i;
                            if (c.wants(i)) c.d_in[i].floats()[source - first[i]] += dy[e];
                          }
                        });
  }
}

}  // namespace tessera::nn
