#include "sim/evaluation_schedule.hpp"

#include <algorithm>

namespace tessera::sim {

namespace {

std::vector<Point> all_points(std::span<const EvaluationTask> tasks) {
  EvaluationParameters most{.repeats = 0, .read_repeats = 0, .times = {}};
  std::int64_t times = 0;
  const auto times_of = [](const EvaluationTask& task) {
    return std::max<std::int64_t>(1, std::ssize(task.request.evaluation.times));
  };
  for (const EvaluationTask& task : tasks) {
    most.repeats = std::max(most.repeats, task.request.evaluation.repeats);
    most.read_repeats = std::max(most.read_repeats, task.request.evaluation.read_repeats);
    times = std::max(times, times_of(task));
  }
  std::vector<Point> points;
  for (std::int64_t program = 0; program < most.repeats; ++program)
    for (std::int64_t time = 0; time < times; ++time)
      for (std::int64_t read = 0; read < most.read_repeats; ++read)
        for (std::size_t t = 0; t < tasks.size(); ++t) {
          const EvaluationParameters& evaluation = tasks[t].request.evaluation;
          if (program < evaluation.repeats && time < times_of(tasks[t]) && read < evaluation.read_repeats)
            points.push_back({t, {time, program * evaluation.read_repeats + read}});
        }
  return points;
}

std::vector<const EvaluationRequest*> requests_of(std::span<const EvaluationTask> tasks) {
  std::vector<const EvaluationRequest*> requests;
  for (const EvaluationTask& task : tasks) requests.push_back(&task.request);
  return requests;
}

}  // namespace

EvaluationSchedule::EvaluationSchedule(std::span<const EvaluationTask> tasks)
    : requests_(requests_of(tasks)), points_(all_points(tasks)), classes_(requests_) {}

std::int64_t EvaluationSchedule::program(const Point& point) const {
  return request(point).first_program + point.index.repeat / request(point).evaluation.read_repeats;
}

std::optional<double> EvaluationSchedule::time(const Point& point) const {
  const std::vector<double>& times = request(point).evaluation.times;
  return times.empty() ? std::nullopt : std::optional(times[static_cast<std::size_t>(point.index.time)]);
}

std::int64_t EvaluationSchedule::read(const Point& point) const {
  return point.index.repeat % request(point).evaluation.read_repeats;
}

EvaluationSchedule::Numbers EvaluationSchedule::numbers(const Point& point) {
  Numbers numbers;
  for (std::size_t l = 0; l < request(point).executor.layers().size(); ++l) {
    const auto number = [&](std::uint32_t of) {
      return classes_.at(point.task, l, of, program(point), time(point), read(point));
    };
    numbers.layers.push_back(number(classes_.whole(point.task, l)));
    numbers.products.push_back(number(classes_.product(point.task, l)));
  }
  return numbers;
}

}  // namespace tessera::sim
