#include "tessera/sim/evaluate.hpp"

#include <algorithm>

#include "evaluation.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {

using tessera::to_string;

namespace {

Shape without_ones_of(Shape shape) {
  std::erase(shape, 1);
  return shape;
}

Shape output_of_sample(const EvaluationRequest& request) {
  Shape shape = request.executor.output_shapes(1).at(0);
  if (!shape.empty()) shape.erase(shape.begin());
  return shape;
}

const std::string& output_name(const nn::Graph& graph) {
  return graph.name_of(graph.outputs.at(0));
}

/// The axis of classes in an output of this shape, for labels of shape `labels` (both without extents of 1).
std::size_t class_axis(const EvaluationRequest& request, const Shape& shape, const Shape& labels) {
  const std::string& name = output_name(request.executor.graph());
  const auto rest_of = [&](std::size_t axis) {
    Shape rest = shape;
    if (!rest.empty()) rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(axis));
    return without_ones_of(rest);
  };
  const std::size_t last = shape.empty() ? 0 : shape.size() - 1;
  if (request.evaluation.class_axis) {
    const auto rank = static_cast<int>(shape.size());
    const int axis = *request.evaluation.class_axis;
    require<InputError>(
        axis >= -rank && axis < rank && (axis == 0 || axis == -rank || axis == -1 || axis == rank - 1),
        "evaluation.class_axis {} is neither the first nor the last axis of the output '{}' of a sample, "
        "{}",
        axis, name, to_string(shape));
    const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
    require<InputError>(rest_of(at) == labels,
                        "output '{}' of a sample has the shape {}, the labels of '{}' have {}: they do not belong "
                        "together",
                        name, to_string(shape), request.data.name(), to_string(labels));
    return at;
  }
  const bool fits_last = rest_of(last) == labels, fits_first = last > 0 && rest_of(0) == labels;
  if (labels.empty() && without_ones_of(shape).size() <= 1) {
    // One axis of classes, wherever it stands.
    const auto wide = std::ranges::find_if(shape, [](std::int64_t extent) { return extent != 1; });
    return wide == shape.end() ? last : static_cast<std::size_t>(wide - shape.begin());
  }
  require<InputError>(fits_last || fits_first,
                      "output '{}' of a sample has the shape {}, which is no list of classes for labels of shape {}: "
                      "it needs the extents of the labels and one of classes, first or last{}",
                      name, to_string(shape), to_string(labels),
                      labels == without_ones_of(shape)
                          ? "; one-hot labels are given as class indices, or as real numbers for regression"
                          : "");
  require<InputError>(
      !(fits_last && fits_first) || shape.size() < 2 || shape.front() == 1 || shape.back() == 1,
      "output '{}' of a sample has the shape {}, of which either end may count the classes of labels of "
      "shape {}; give evaluation.class_axis: 0 or -1",
      name, to_string(shape), to_string(labels));
  return fits_last ? last : 0;
}

/// Positions of a sample's output and the axis of its classes.
std::pair<Shape, std::size_t> classes_of(const EvaluationRequest& request, Task task) {
  const Shape shape = output_of_sample(request);
  const io::DataSet& data = request.data;
  if (task == Task::classification) {
    const std::size_t axis = class_axis(request, shape, without_ones_of(data.label_shape()));
    return {without_ones_of(data.label_shape()), axis};
  }
  if (task == Task::language_model) {
    require<InputError>(shape.size() >= 2,
                        "evaluation.task language_model needs an output [positions, tokens]; '{}' of a sample has the "
                        "shape {}",
                        output_name(request.executor.graph()), to_string(shape));
    return {Shape(shape.begin(), shape.end() - 1), shape.size() - 1};
  }
  if (request.evaluation.class_axis && shape.size() > 1) {
    const int rank = static_cast<int>(shape.size()), axis = *request.evaluation.class_axis;
    if (axis == 0 || axis == -rank) return {Shape(shape.begin() + 1, shape.end()), 0};
  }
  if (without_ones_of(shape).size() <= 1) return {{}, shape.empty() ? 0 : shape.size() - 1};
  return {without_ones_of(Shape(shape.begin(), shape.end() - 1)), shape.size() - 1};
}

}  // namespace

ClassLayout class_layout(const EvaluationRequest& request, Task task) {
  const auto [positions, axis] = classes_of(request, task);
  const std::int64_t values = element_count(output_of_sample(request));
  ClassLayout layout;
  layout.positions = element_count(positions);
  layout.classes = layout.positions > 0 ? values / layout.positions : 0;
  layout.classes_first = axis == 0 && layout.positions > 1;
  return layout;
}

Shape class_positions(const EvaluationRequest& request, Task task) {
  return classes_of(request, task).first;
}

Task task_of(const EvaluationRequest& request) {
  const io::DataSet& data = request.data;
  Task task = request.evaluation.task;
  if (task == Task::automatic)
    task = data.has_targets() ? Task::regression : data.has_labels() ? Task::classification : Task::agreement;
  const nn::Executor& executor = request.executor;
  const nn::Graph& graph = executor.graph();
  require<InputError>(graph.batch == nn::BatchMode::none || executor.samples_of(graph.outputs.at(0)).any(),
                      "output '{}' of the network does not depend on its input; choose another by model.output",
                      output_name(graph));
  const Shape shape = output_of_sample(request);
  const std::optional<std::int32_t> ignored = request.evaluation.ignore_index;
  if (task == Task::classification) {
    require<InputError>(data.has_labels(), "evaluation.task classification needs integer labels; '{}' has {}",
                        data.name(), data.has_targets() ? "real ones: set evaluation.task: regression" : "none");
    data.require_labels_below(class_layout(request, task).classes, ignored);
  } else if (task == Task::language_model) {
    const ClassLayout layout = class_layout(request, task);
    require<InputError>(layout.positions > 1, "output '{}' has one position: there is no next token",
                        output_name(graph));
    require<InputError>(!data.has_targets(), "evaluation.task language_model needs integer labels; '{}' has real ones",
                        data.name());
    if (data.has_labels()) {
      require<InputError>(element_count(data.label_shape()) == layout.positions,
                          "output '{}' of a sample has {} positions, the labels of '{}' have the shape {}: each needs "
                          "its token",
                          output_name(graph), layout.positions, data.name(), to_string(data.label_shape()));
      data.require_labels_below(layout.classes, ignored);
    } else {
      static_cast<void>(token_input(data, layout.positions));
    }
  } else if (task == Task::regression) {
    require<InputError>(data.has_targets() || data.has_labels(),
                        "evaluation.task regression needs labels; '{}' has none", data.name());
    const Shape targets = data.has_targets() ? data.target_shape() : Shape{1};
    require<InputError>(comparable(targets, shape),
                        "output '{}' of a sample has the shape {}, the labels of '{}' have {}: they do not belong "
                        "together",
                        output_name(graph), to_string(shape), data.name(), to_string(targets));
  } else if (task == Task::anomaly) {
    require<InputError>(!request.spiking, "evaluation.task anomaly does not go with spiking neurons");
    const Shape input = fitted_sample_shape(graph, data);
    require<InputError>(
        comparable(input, shape),
        "evaluation.task anomaly compares outputs with inputs: output '{}' of a sample has the shape {}, "
        "its input {}",
        output_name(graph), to_string(shape), to_string(input));
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
