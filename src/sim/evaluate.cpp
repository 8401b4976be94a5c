#include "tessera/sim/evaluate.hpp"

#include <algorithm>

#include "evaluation.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {

using tessera::to_string;

namespace {

/// One axis of classes, and others of 1.
bool comparable_as_classes(const Shape& shape) {
  return std::ranges::count_if(shape, [](std::int64_t extent) { return extent != 1; }) <= 1;
}

}  // namespace

Task task_of(const EvaluationRequest& request) {
  const io::DataSet& data = request.data;
  Task task = request.evaluation.task;
  if (task == Task::automatic) {
    if (data.has_labels()) task = Task::classification;
    if (data.has_targets()) task = Task::regression;
  }
  const nn::Executor& executor = request.executor;
  const nn::Graph& graph = executor.graph();
  const nn::ValueId output = graph.outputs.at(0);
  const std::string& output_name = graph.values[static_cast<std::size_t>(output)].name;
  require<InputError>(graph.batch == nn::BatchMode::none || executor.samples_of(output).any(),
                      "output '{}' of the network does not depend on its input; choose another by model.output",
                      output_name);
  Shape shape = executor.output_shapes(1).at(0);
  if (!shape.empty()) shape.erase(shape.begin());
  const std::int64_t outputs = element_count(shape);
  if (task == Task::classification) {
    require<InputError>(data.has_labels(), "evaluation.task classification needs integer labels; '{}' has {}",
                        data.name(), data.has_targets() ? "real ones: set evaluation.task: regression" : "none");
    require<InputError>(
        comparable_as_classes(shape),
        "output '{}' of a sample has the shape {}, which is no list of classes for one label: classes for "
        "each position need labels for each",
        output_name, to_string(shape));
    data.require_labels_below(outputs);
  } else if (task == Task::regression) {
    require<InputError>(data.has_targets() || data.has_labels(),
                        "evaluation.task regression needs labels; '{}' has none", data.name());
    const Shape targets = data.has_targets() ? data.target_shape() : Shape{1};
    require<InputError>(comparable(targets, shape),
                        "output '{}' of a sample has the shape {}, the labels of '{}' have {}: they do not belong "
                        "together",
                        output_name, to_string(shape), data.name(), to_string(targets));
  } else if (task == Task::anomaly) {
    require<InputError>(!request.spiking, "evaluation.task anomaly does not go with spiking neurons");
    const Shape input = fitted_sample_shape(graph, data);
    require<InputError>(
        comparable(input, shape),
        "evaluation.task anomaly compares outputs with inputs: output '{}' of a sample has the shape {}, "
        "its input {}",
        output_name, to_string(shape), to_string(input));
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
