#include "sim/training_state.hpp"

#include <fmt/format.h>
#include "tessera/core/error.hpp"

namespace tessera::sim {

namespace {

using Numbers = std::vector<double>;
using results::TrainingEpoch;

const std::string best_constant = "best.constant.";
const std::string best_calibration = "best.calibration|";

constexpr double TrainingEpoch::*epoch_numbers[] = {
    &TrainingEpoch::loss,          &TrainingEpoch::accuracy,           &TrainingEpoch::learning_rate,
    &TrainingEpoch::gradient_norm, &TrainingEpoch::reference_accuracy, &TrainingEpoch::reference_loss,
    &TrainingEpoch::seconds};

template <class T>
Numbers as_numbers(const T& values) {
  return Numbers(values.begin(), values.end());
}

std::vector<float> as_floats(const Numbers& values) {
  std::vector<float> result;
  result.reserve(values.size());
  for (const double value : values) result.push_back(static_cast<float>(value));
  return result;
}

Numbers epoch_record(const TrainingEpoch& epoch) {
  Numbers record{epoch.analog ? 1.0 : 0.0, epoch.best ? 1.0 : 0.0};
  for (const auto member : epoch_numbers) record.push_back(epoch.*member);
  record.push_back(static_cast<double>(epoch.validation_accuracy.size()));
  record.insert(record.end(), epoch.validation_accuracy.begin(), epoch.validation_accuracy.end());
  record.insert(record.end(), epoch.validation_loss.begin(), epoch.validation_loss.end());
  return record;
}

[[noreturn]] void damaged(const std::string& name) {
  throw InputError(fmt::format("the checkpoint is damaged ('{}'); delete it, or start anew with --fresh", name));
}

TrainingEpoch epoch_of(const Numbers& record, const std::string& name) {
  constexpr std::size_t head = 2 + std::size(epoch_numbers) + 1;
  if (record.size() < head) damaged(name);
  TrainingEpoch epoch;
  epoch.analog = record[0] != 0.0;
  epoch.best = record[1] != 0.0;
  for (std::size_t i = 0; i < std::size(epoch_numbers); ++i) epoch.*epoch_numbers[i] = record[2 + i];
  const auto accuracies = static_cast<std::ptrdiff_t>(record[head - 1]);
  const auto rest = std::ssize(record) - static_cast<std::ptrdiff_t>(head);
  if (accuracies < 0 || accuracies > rest) damaged(name);
  const auto middle = record.begin() + static_cast<std::ptrdiff_t>(head) + accuracies;
  epoch.validation_accuracy.assign(middle - accuracies, middle);
  epoch.validation_loss.assign(middle, record.end());
  return epoch;
}

class Reader {
 public:
  explicit Reader(const io::LayerNumbers& numbers) : numbers_(numbers) {}
  const Numbers& get(const std::string& name) const {
    const auto found = numbers_.find(name);
    if (found == numbers_.end()) damaged(name);
    return found->second;
  }
  double number(const std::string& name) const {
    const Numbers& values = get(name);
    if (values.size() != 1) damaged(name);
    return values.front();
  }
  std::int64_t integer(const std::string& name) const { return static_cast<std::int64_t>(number(name)); }

 private:
  const io::LayerNumbers& numbers_;
};

}  // namespace

io::LayerNumbers to_numbers(const TrainingState& state) {
  io::LayerNumbers numbers;
  const auto put = [&](const std::string& name, double value) { numbers[name] = {value}; };
  put("analog", state.analog ? 1.0 : 0.0);
  put("phase_epoch", static_cast<double>(state.phase_epoch));
  put("phase_steps", static_cast<double>(state.phase_steps));
  put("total_steps", static_cast<double>(state.total_steps));
  put("stale", static_cast<double>(state.stale));
  put("epochs", static_cast<double>(state.epochs.size()));
  for (std::size_t e = 0; e < state.epochs.size(); ++e)
    numbers[fmt::format("epoch.{}", e)] = epoch_record(state.epochs[e]);
  put("optimizer", static_cast<double>(state.optimizer.size()));
  for (std::size_t i = 0; i < state.optimizer.size(); ++i) {
    put(fmt::format("optimizer.{}.steps", i), static_cast<double>(state.optimizer[i].steps));
    numbers[fmt::format("optimizer.{}.first", i)] = as_numbers(state.optimizer[i].first);
    numbers[fmt::format("optimizer.{}.second", i)] = as_numbers(state.optimizer[i].second);
  }
  if (!state.best) return numbers;
  put("best.score", state.best->score);
  put("best.epoch", static_cast<double>(state.best->epoch));
  for (std::size_t id = 0; id < state.best->graph.values.size(); ++id)
    if (const Tensor* tensor = state.best->graph.tensor(static_cast<nn::ValueId>(id)))
      numbers[best_constant + std::to_string(id)] = as_numbers(tensor->values());
  for (const auto& [layer, found] : state.best->calibration)
    for (const auto& [name, values] : found) numbers[fmt::format("{}{}|{}", best_calibration, layer, name)] = values;
  return numbers;
}

TrainingState training_state(const io::LayerNumbers& numbers, const nn::Graph& graph) {
  const Reader reader(numbers);
  TrainingState state;
  state.analog = reader.number("analog") != 0.0;
  state.phase_epoch = reader.integer("phase_epoch");
  state.phase_steps = reader.integer("phase_steps");
  state.total_steps = reader.integer("total_steps");
  state.stale = reader.integer("stale");
  const std::int64_t epochs = reader.integer("epochs");
  for (std::int64_t e = 0; e < epochs; ++e) {
    const std::string name = fmt::format("epoch.{}", e);
    state.epochs.push_back(epoch_of(reader.get(name), name));
  }
  const std::int64_t arrays = reader.integer("optimizer");
  for (std::int64_t i = 0; i < arrays; ++i)
    state.optimizer.push_back({reader.integer(fmt::format("optimizer.{}.steps", i)),
                               as_floats(reader.get(fmt::format("optimizer.{}.first", i))),
                               as_floats(reader.get(fmt::format("optimizer.{}.second", i)))});
  if (!numbers.contains("best.score")) return state;
  BestModel best{
      .score = reader.number("best.score"), .epoch = reader.integer("best.epoch"), .graph = graph, .calibration = {}};
  for (std::size_t id = 0; id < best.graph.values.size(); ++id) {
    auto& constant = best.graph.values[id].constant;
    if (!constant || !std::holds_alternative<Tensor>(*constant)) continue;
    Tensor& tensor = std::get<Tensor>(*constant);
    const std::string name = best_constant + std::to_string(id);
    const std::vector<float> values = as_floats(reader.get(name));
    if (static_cast<std::int64_t>(values.size()) != tensor.size()) damaged(name);
    tensor = Tensor(tensor.shape(), values);
  }
  for (const auto& [name, values] : numbers) {
    if (!name.starts_with(best_calibration)) continue;
    const std::string rest = name.substr(best_calibration.size());
    const std::size_t bar = rest.rfind('|');
    if (bar == std::string::npos) damaged(name);
    best.calibration[rest.substr(0, bar)][rest.substr(bar + 1)] = values;
  }
  state.best = std::move(best);
  return state;
}

}  // namespace tessera::sim
