#include "tessera/sim/network_input.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/shapes_agree.hpp"
#include "tessera/nn/packing.hpp"

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

RangeSamples range_samples(const io::DataSet& data,
                           const std::function<Tensor(std::int64_t first, std::int64_t count)>& read) {
  constexpr std::int64_t most_samples = 512, batch = 64;
  RangeSamples samples{{}, std::min(most_samples, data.size())};
  for (std::int64_t first = 0, count = 0; first < samples.count; first += count) {
    count = std::min(data.batch_end(first, batch), samples.count) - first;
    samples.batches.push_back(read(first, count));
  }
  return samples;
}

TokenInput token_input(const io::DataSet& data, std::int64_t length) {
  TokenInput found;
  const auto& parts = data.inputs();
  const auto fits = [&](const io::DataInput& part) { return element_count(part.sample_shape) == length; };
  auto tokens =
      std::ranges::find_if(parts, [&](const io::DataInput& part) { return part.name == "input_ids" && fits(part); });
  if (tokens == parts.end()) tokens = std::ranges::find_if(parts, fits);
  require<InputError>(tokens != parts.end() || (parts.empty() && element_count(data.sample_shape()) == length),
                      "evaluation.task language_model takes the next tokens from the labels, or from an input of {} "
                      "tokens, which '{}' does not have; give data.labels",
                      length, data.name());
  if (tokens == parts.end()) return found;
  found.begin = tokens->offset;
  for (const io::DataInput& part : parts)
    if (part.name == "attention_mask" && fits(part)) found.mask = part.offset;
  return found;
}

bool comparable(const Shape& a, const Shape& b) {
  return shapes_agree(a, b) || shapes_agree(b, a);
}

Order sample_order(const io::DataSet& data, const Shape& sample) {
  for (Order& order : orders(data))
    if (shapes_agree(ordered(data.sample_shape(), order), sample)) return std::move(order);
  throw InputError(fmt::format("the network takes samples of {}, '{}' has {}", text_of(sample), data.name(),
                               text_of(data.sample_shape())));
}

namespace {

std::string inputs_of(const nn::Graph& graph) {
  std::vector<std::string> texts;
  for (const nn::GraphInput& input : graph.inputs)
    texts.push_back(
        fmt::format("{} ({})", graph.name_of(input.value), input.shape.empty() ? "scalar" : text_of(input.shape)));
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// Free extents from what inputs with data know of axes of the same name.
Shape filled_sample(const nn::GraphInput& input, const Shape& given, const std::map<std::string, std::int64_t>& known,
                    const std::string& name) {
  Shape sample(input.shape.begin() + 1, input.shape.end());
  if (!given.empty()) {
    const std::optional<Shape> fitted = filled(given, sample);
    require<InputError>(fitted.has_value(), "input '{}' takes samples of {}, its sample_shape is {}", name,
                        text_of(sample), text_of(given));
    return *fitted;
  }
  for (std::size_t d = 0; d < sample.size(); ++d) {
    if (sample[d] >= 0) continue;
    const std::string axis = d + 1 < input.axes.size() ? input.axes[d + 1] : std::string();
    const auto found = known.find(axis);
    require<InputError>(!axis.empty() && found != known.end(),
                        "input '{}' takes samples of {}, of which no file says the extent; give "
                        "data.inputs.{}.sample_shape",
                        name, text_of(sample), name);
    sample[d] = found->second;
  }
  return sample;
}

}  // namespace

void pack_inputs(nn::Graph& graph, const io::DataSet& data) {
  const auto index_of = [&](const std::string& name) {
    const auto called = [&](const nn::GraphInput& input) { return graph.name_of(input.value) == name; };
    return static_cast<std::size_t>(std::ranges::find_if(graph.inputs, called) - graph.inputs.begin());
  };
  const auto is_state = [&](std::size_t i) {
    return std::ranges::any_of(graph.states, [&](const nn::GraphState& state) { return state.input == i; });
  };
  std::vector<std::string> problems;
  std::vector<bool> given(graph.inputs.size());
  const auto find = [&](const std::string& name) {
    const std::size_t i = index_of(name);
    if (i == graph.inputs.size())
      problems.push_back(
          fmt::format("data.inputs.{}: the network has no such input; it has {}", name, inputs_of(graph)));
    else if (is_state(i))
      problems.push_back(
          fmt::format("data.inputs.{}: it is fed back from an output; its first value is "
                      "model.state.OUTPUT.initial",
                      name));
    else
      given[i] = true;
    return i < graph.inputs.size() && given[i] ? std::optional(i) : std::nullopt;
  };
  std::vector<nn::PackedInput> packed;
  std::map<std::string, std::int64_t> known;
  std::int64_t size = 0;
  for (const io::DataInput& part : data.inputs()) {
    size = part.offset + element_count(part.sample_shape);
    const std::optional<std::size_t> i = find(part.name);
    if (!i) continue;
    const nn::GraphInput& input = graph.inputs[*i];
    if (!input.batched) {
      problems.push_back(
          fmt::format("data.inputs.{}: it is the same for all samples; give {{constant: ...}}", part.name));
      continue;
    }
    const Shape wanted(input.shape.begin() + 1, input.shape.end());
    const std::optional<Shape> fitted = filled(part.sample_shape, wanted);
    if (!fitted) {
      problems.push_back(fmt::format("data.inputs.{}: the network takes samples of {}, the file has {}", part.name,
                                     text_of(wanted), text_of(part.sample_shape)));
      continue;
    }
    for (std::size_t d = 0; d < fitted->size() && d + 1 < input.axes.size(); ++d) {
      const std::string& axis = input.axes[d + 1];
      if (wanted[d] >= 0 || axis.empty()) continue;
      const auto [place, fresh] = known.emplace(axis, (*fitted)[d]);
      if (!fresh && place->second != (*fitted)[d])
        problems.push_back(
            fmt::format("data.inputs.{}: samples of {} give axis '{}' an extent of {}, another input has "
                        "{} there",
                        part.name, text_of(*fitted), axis, (*fitted)[d], place->second));
    }
    packed.push_back({*i, *fitted, part.offset});
  }
  std::vector<nn::FilledInput> fills;
  std::vector<std::pair<std::size_t, double>> whole;
  for (const io::ConstantInput& constant : data.constants()) {
    const std::size_t at = index_of(constant.name);
    // A constant of rank 0 has become part of the network.
    if (at == graph.inputs.size() && graph.find_value(constant.name) == nn::no_value && constant.sample_shape.empty())
      continue;
    if (at == graph.inputs.size() && graph.is_constant(graph.find_value(constant.name))) continue;
    const std::optional<std::size_t> i = find(constant.name);
    if (!i) continue;
    try {
      if (!graph.inputs[*i].batched)
        whole.emplace_back(*i, constant.value);
      else
        fills.push_back(
            {*i, filled_sample(graph.inputs[*i], constant.sample_shape, known, constant.name), constant.value});
    } catch (const InputError& error) {
      problems.emplace_back(error.what());
    }
  }
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    if (!given[i] && !is_state(i))
      problems.push_back(fmt::format(
          "input '{}' ({}) of the network is given neither data nor a constant, nor fed back by model.state",
          graph.name_of(graph.inputs[i].value), text_of(graph.inputs[i].shape)));
  require<InputError>(problems.empty(), "{}", fmt::join(problems, "\n"));
  std::ranges::sort(whole, std::greater{});
  for (const auto& [input, value] : whole) {
    nn::fill_input(graph, input, value);
    for (nn::PackedInput& part : packed) part.input -= part.input > input ? 1 : 0;
    for (nn::FilledInput& part : fills) part.input -= part.input > input ? 1 : 0;
  }
  nn::pack_inputs(graph, packed, fills, size);
}

Shape fitted_sample_shape(const nn::Graph& graph, const io::DataSet& data) {
  require<InputError>(graph.inputs.size() - graph.states.size() == 1,
                      "the network has {} inputs: {}; data.inputs says where each comes from: {{NAME: file, ...}}, and "
                      "model.state: {{OUTPUT: INPUT}} which are fed back",
                      graph.inputs.size(), inputs_of(graph));
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
