#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

/// If and Loop: the branch that is taken, and the iterations that run, become part of the network.
namespace tessera::io {

using N = const NodeImport&;

namespace {

void connect(N n, nn::ValueId from, std::size_t output) {
  if (n.output(output) == nn::no_value) return;
  require<InputError>(from != nn::no_value, "output {} of its sub-graph is missing", output);
  n.emit("Identity", {from}, {n.output(output)}, "result");
  n.set_onnx_type(n.output(output), n.onnx_type_of(from));
}

nn::ValueId boolean(N n, bool value) {
  const nn::ValueId id = n.constant("condition", nn::IntTensor{{}, {value ? 1 : 0}});
  n.set_onnx_type(id, onnx::TensorProto::BOOL);
  return id;
}

/// The condition's value, which must not depend on the data or the batch.
bool known_condition(N n, nn::ValueId id) {
  const auto condition = n.known_integers_of(id);
  require<InputError>(condition && condition->size() == 1,
                      "its condition depends on the data or the batch; only a constant one is supported: export a "
                      "traced model for one path");
  return condition->front() != 0;
}

}  // namespace

void import_if(N n) {
  const bool taken = known_condition(n, n.input(0));
  const std::vector<nn::ValueId> results =
      n.inline_graph(taken ? "then_branch" : "else_branch", {}, taken ? "then" : "else");
  require<InputError>(results.size() == n.output_count(), "its branch has {} outputs instead of {}", results.size(),
                      n.output_count());
  for (std::size_t i = 0; i < results.size(); ++i) connect(n, results[i], i);
}

/// Inputs: trip count, condition, then what is carried. Outputs of the body: condition, carried, what is collected.
void import_loop(N n) {
  constexpr std::int64_t most_iterations = 1024;
  std::optional<std::int64_t> trips;
  if (n.has(0)) {
    const auto known = n.known_integers(0);
    require<InputError>(known && known->size() == 1,
                        "its trip count depends on the data or the batch; only a constant one is supported: export "
                        "with fixed lengths, or a traced model");
    trips = known->front();
  }
  bool go_on = !n.has(1) || known_condition(n, n.input(1));
  const std::size_t carried_count = n.input_count() > 2 ? n.input_count() - 2 : 0;
  require<InputError>(n.output_count() >= carried_count, "it has {} outputs for {} carried values", n.output_count(),
                      carried_count);
  std::vector<nn::ValueId> carried;
  for (std::size_t i = 0; i < carried_count; ++i) carried.push_back(n.input(i + 2));
  std::vector<std::vector<nn::ValueId>> collected(n.output_count() - carried_count);
  for (std::int64_t i = 0; go_on && (!trips || i < *trips); ++i) {
    require<InputError>(i < most_iterations, "it runs more than {} times; such loops are not supported",
                        most_iterations);
    std::vector<nn::ValueId> inputs = {n.constant("iteration", nn::IntTensor{{}, {i}}), boolean(n, true)};
    n.set_onnx_type(inputs[0], onnx::TensorProto::INT64);
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    const std::vector<nn::ValueId> results = n.inline_graph("body", inputs, fmt::format("{}", i));
    require<InputError>(results.size() == 1 + n.output_count(), "its body has {} outputs instead of {}", results.size(),
                        1 + n.output_count());
    carried.assign(results.begin() + 1, results.begin() + 1 + static_cast<std::ptrdiff_t>(carried_count));
    for (std::size_t k = 0; k < collected.size(); ++k) collected[k].push_back(results[1 + carried_count + k]);
    // A loop with a trip count and a condition ends with whichever comes first.
    const bool only_counted = !n.has(1) && trips.has_value();
    go_on = only_counted || known_condition(n, results[0]);
  }
  for (std::size_t i = 0; i < carried_count; ++i) connect(n, carried[i], i);
  for (std::size_t k = 0; k < collected.size(); ++k) {
    const nn::ValueId to = n.output(carried_count + k);
    if (to == nn::no_value) continue;
    require<InputError>(!collected[k].empty(), "it never runs, so that output {} would be empty", carried_count + k);
    const nn::ValueId axis = n.integers_constant("collected_axis", {0});
    std::vector<nn::ValueId> rows;
    for (const nn::ValueId value : collected[k]) rows.push_back(n.emit_value("Unsqueeze", {value, axis}, "collected"));
    n.emit("Concat", rows, {to}, "all").attributes["axis"] = std::int64_t{0};
    n.set_onnx_type(to, n.onnx_type_of(collected[k].front()));
  }
}

}  // namespace tessera::io
