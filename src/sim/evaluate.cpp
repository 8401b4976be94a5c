#include "tessera/sim/evaluate.hpp"

#include <algorithm>

#include "evaluation.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {

using tessera::to_string;

Task task_of(const EvaluationRequest& request) {
  const io::DataSet& data = request.data;
  Task task = request.evaluation.task;
  if (task == Task::automatic) {
    if (data.has_labels()) task = Task::classification;
    if (data.has_targets()) task = Task::regression;
  }
  const std::int64_t outputs = element_count(request.executor.output_shapes(1).at(0));
  if (task == Task::classification) {
    require<InputError>(data.has_labels(), "evaluation.task classification needs integer labels; '{}' has {}",
                        data.name(), data.has_targets() ? "real ones: set evaluation.task: regression" : "none");
    data.require_labels_below(outputs);
  } else if (task == Task::regression) {
    require<InputError>(data.has_targets() || data.has_labels(),
                        "evaluation.task regression needs labels; '{}' has none", data.name());
    const std::int64_t targets = data.has_targets() ? element_count(data.target_shape()) : 1;
    require<InputError>(targets == outputs, "the network has {} outputs, the labels of '{}' have {} values per sample",
                        outputs, data.name(), targets);
  } else if (task == Task::anomaly) {
    require<InputError>(!request.spiking, "evaluation.task anomaly does not go with spiking neurons");
    const std::int64_t inputs = element_count(data.sample_shape());
    require<InputError>(inputs == outputs,
                        "evaluation.task anomaly compares outputs with inputs: the network has {} outputs, a sample {} "
                        "values",
                        outputs, inputs);
  }
  return task;
}

OutputKind output_kind(const nn::Graph& graph) {
  const std::vector<int> producer = nn::producers(graph);
  nn::ValueId value = graph.outputs.empty() ? nn::no_value : graph.outputs.front();
  while (value != nn::no_value && producer[static_cast<std::size_t>(value)] >= 0) {
    const nn::Node& node = graph.nodes[static_cast<std::size_t>(producer[static_cast<std::size_t>(value)])];
    if (node.op == "Softmax") return OutputKind::probabilities;
    if (node.op == "LogSoftmax") return OutputKind::log_probabilities;
    if (node.op != "Identity" && node.op != "Reshape" && node.op != "Flatten") break;
    value = node.input(0);
  }
  return OutputKind::logits;
}

Shape fitted_sample_shape(const nn::Graph& graph, const Shape& sample_shape) {
  require<InputError>(graph.inputs.size() == 1,
                      "the network has {} inputs; only networks with one input can be evaluated", graph.inputs.size());
  const Shape& wanted = graph.inputs.front().shape;
  Shape fixed(wanted.begin() + (wanted.empty() ? 0 : 1), wanted.end());
  if (fixed.size() == sample_shape.size())
    for (std::size_t axis = 0; axis < fixed.size(); ++axis)
      if (fixed[axis] < 0) fixed[axis] = sample_shape[axis];
  const bool all_known = std::all_of(fixed.begin(), fixed.end(), [](std::int64_t extent) { return extent >= 0; });
  if (!all_known) {
    require<InputError>(false,
                        "the network's input has free extents and {} axes after the batch, the data's samples are {};"
                        " give data.sample_shape",
                        fixed.size(), to_string(sample_shape));
  }
  require<InputError>(
      element_count(fixed) == element_count(sample_shape),
      "the network wants samples of shape {} ({} values), the data has {} ({} values); check model.file and"
      " data.inputs, or give data.sample_shape",
      to_string(fixed), element_count(fixed), to_string(sample_shape), element_count(sample_shape));
  return fixed;
}

EvaluationResult evaluate(const EvaluationRequest& request, const EvaluationSink& sink, Parallel parallel,
                          const Environment& environment) {
  note_replaced(request.executor, request.resolve, environment);
  const EvaluationTask task{request, sink};
  EvaluationResult result = std::move(evaluate_together({&task, 1}, parallel, environment).front());
  for (const LayerWarning& warning : result.warnings) environment.warn(warning.text);
  return result;
}

std::vector<EvaluationResult> evaluate_together(std::span<const EvaluationTask> tasks, Parallel parallel,
                                                const Environment& environment) {
  if (tasks.empty()) return {};
  const io::DataSet& data = tasks.front().request.data;
  require<InputError>(data.size() > 0, "the data set '{}' has no samples", data.name());
  std::vector<EvaluationResult> results(tasks.size());
  std::vector<bool> done(tasks.size());
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (done[t]) continue;
    std::vector<EvaluationTask> alike;
    std::vector<std::size_t> places;
    for (std::size_t other = t; other < tasks.size(); ++other) {
      if (!go_together(tasks[t].request, tasks[other].request)) continue;
      alike.push_back(tasks[other]);
      places.push_back(other);
      done[other] = true;
    }
    std::vector<EvaluationResult> part = Evaluation(alike, parallel, environment).run();
    for (std::size_t i = 0; i < part.size(); ++i) results[places[i]] = std::move(part[i]);
  }
  return results;
}

}  // namespace tessera::sim
