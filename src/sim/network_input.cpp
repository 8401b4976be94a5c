#include "tessera/sim/network_input.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/shapes_agree.hpp"

namespace tessera::sim {

namespace {

using Order = std::vector<std::int64_t>;

std::string text_of(const Shape& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
  return extents.empty() ? "scalars" : fmt::format("{}", fmt::join(extents, "x"));
}

Shape without_ones(Shape shape) {
  std::erase(shape, 1);
  return shape;
}

/// `wanted` with the data's extents where it leaves them free; none if the two do not match.
std::optional<Shape> filled(const Shape& given, const Shape& wanted) {
  if (std::ranges::find(wanted, -1) == wanted.end())
    return shapes_agree(given, wanted) ? std::optional(wanted) : std::nullopt;
  // Free extents are those of the data's axes, which extents of 1 may lie between.
  const bool same_rank = given.size() == wanted.size();
  const Shape from = same_rank ? given : without_ones(given);
  Shape result = wanted;
  std::size_t next = 0;
  for (std::int64_t& extent : result) {
    if (!same_rank && extent == 1) continue;
    if (next == from.size() || (extent >= 0 && extent != from[next])) return std::nullopt;
    extent = from[next++];
  }
  return next == from.size() ? std::optional(result) : std::nullopt;
}

/// Orders in which samples may be shown: as they are, and for images channels last or first, beginning with what the
/// named layout is not.
std::vector<Order> orders(const io::DataSet& data) {
  std::vector<Order> result = {{}};
  if (!data.layout()) return result;
  const Order to_last = {1, 2, 0}, to_first = {2, 0, 1};
  const bool first = *data.layout() == io::ImageLayout::nchw;
  result.push_back(first ? to_last : to_first);
  result.push_back(first ? to_first : to_last);
  return result;
}

Shape ordered(const Shape& shape, const Order& order) {
  return order.empty() ? shape : io::transposed(shape, order);
}

/// What the configuration could say to make the samples fit.
std::string advice(const Shape& given, const Shape& wanted) {
  Order order(given.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  while (given.size() <= 5 && std::next_permutation(order.begin(), order.end())) {
    if (!filled(io::transposed(given, order), wanted)) continue;
    const bool image = order == Order{1, 2, 0} || order == Order{2, 0, 1};
    return fmt::format("axes are not moved unasked: give data.transpose: [{}]{}", fmt::join(order, ", "),
                       image ? fmt::format(", or data.layout: {} for images", order[0] == 1 ? "nchw" : "nhwc") : "");
  }
  const bool known = std::ranges::find(wanted, -1) == wanted.end();
  if (known && element_count(given) == element_count(wanted))
    return fmt::format(
        "as many values in another shape have another meaning; if it is the one that the network takes, "
        "give data.sample_shape: [{}]",
        fmt::join(wanted, ", "));
  return "check model.file and data.inputs, or give data.sample_shape";
}

}  // namespace

bool comparable(const Shape& a, const Shape& b) {
  return shapes_agree(a, b) || shapes_agree(b, a);
}

Order sample_order(const io::DataSet& data, const Shape& sample) {
  for (Order& order : orders(data))
    if (shapes_agree(ordered(data.sample_shape(), order), sample)) return std::move(order);
  throw InputError(fmt::format("the network takes samples of {}, '{}' has {}", text_of(sample), data.name(),
                               text_of(data.sample_shape())));
}

Shape fitted_sample_shape(const nn::Graph& graph, const io::DataSet& data) {
  require<InputError>(graph.inputs.size() == 1,
                      "the network has {} inputs; only networks with one input can be evaluated", graph.inputs.size());
  const Shape& input = graph.inputs.front().shape;
  const Shape wanted(input.begin() + (input.empty() ? 0 : 1), input.end());
  for (const Order& order : orders(data))
    if (std::optional<Shape> fitted = filled(ordered(data.sample_shape(), order), wanted)) return *std::move(fitted);
  throw InputError(fmt::format("the network takes samples of {}, '{}' has {}: {}", text_of(wanted), data.name(),
                               text_of(data.sample_shape()), advice(data.sample_shape(), wanted)));
}

Tensor read_samples(const io::DataSet& data, std::int64_t first, std::int64_t count, const Shape& sample,
                    Parallel parallel) {
  Shape shape = sample;
  shape.insert(shape.begin(), count);
  Tensor stored = data.read(first, count, parallel);
  const Order order = sample_order(data, sample);
  if (order.empty()) return std::move(stored).reshaped(std::move(shape));
  Tensor result = Tensor::uninitialized(std::move(shape));
  const auto each = static_cast<std::size_t>(element_count(sample));
  parallel_for(parallel, count, [&](std::int64_t s) {
    const std::size_t begin = static_cast<std::size_t>(s) * each;
    io::transpose(stored.values().subspan(begin, each), data.sample_shape(), order,
                  result.values().subspan(begin, each));
  });
  return result;
}

}  // namespace tessera::sim
