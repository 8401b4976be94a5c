#include <algorithm>
#include <limits>

#include "evaluation.hpp"

/// Batches through the float32 network and the networks of a group, and what is measured on the way.
namespace tessera::sim {

namespace {

/// Stands for positions without a next token.
constexpr std::int32_t no_token = std::numeric_limits<std::int32_t>::min();

}  // namespace

std::int64_t Evaluation::program_of(const Point& point) const {
  const EvaluationRequest& request = tasks_[point.task].request;
  return request.first_program + point.index.repeat / request.evaluation.read_repeats;
}

std::optional<double> Evaluation::time_of(const Point& point) const {
  const std::vector<double>& times = tasks_[point.task].request.evaluation.times;
  return times.empty() ? std::nullopt : std::optional(times[static_cast<std::size_t>(point.index.time)]);
}

Tensor Evaluation::read_batch(std::int64_t first, std::int64_t count) const {
  Tensor batch = read_samples(common_.data, first, count, input_shape_, parallel_);
  if (!reference_network_) return batch;
  return reference_network_->encode(batch, static_cast<std::uint64_t>(first), parallel_);
}

const nn::Executor& Evaluation::simulated(const Job& task) const {
  if (spiking_[task.simulated]) return spiking_[task.simulated]->executor();
  const std::optional<QuantizedNetwork>& quantized = quantized_[task.simulated];
  return quantized ? quantized->executor() : common_.executor;
}

namespace {

/// Whether the output of a layer has a ReLU already.
bool fuses_relu(const AnalogNetwork& network, std::size_t layer) {
  return network.is_analog(layer) && network.part(layer, 0).fused_relu();
}

nn::Activation rectified(nn::Activation activation) {
  for (float& v : activation.values.values()) v = std::max(v, 0.0F);
  return activation;
}

}  // namespace

void Evaluation::add_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const {
  if (reference.layout == seen.layout) return add_batch(error, reference, seen, parallel_);
  const auto natural = [](const nn::Activation& activation) {
    return nn::Activation{.values = nn::to_natural(activation), .samples = activation.samples};
  };
  add_batch(error, natural(reference), natural(seen), parallel_);
}

void Evaluation::add_cumulative_error(ErrorMeasures& error, const nn::Activation& reference,
                                      const nn::Activation& seen) const {
  if (!reference_network_) return add_error(error, reference, seen);
  add_error(error, mean_over_steps(reference, steps_), mean_over_steps(seen, steps_));
}

bool Evaluation::run_group(PointGroup& group, bool first_group) {
  const std::int64_t samples = common_.data.size();
  const std::int64_t batch_size = std::max<std::int64_t>(1, common_.batch_size / steps_);
  for (std::int64_t first = 0, count = 0; first < samples; first += count) {
    if (environment_.cancelled()) return false;
    count = common_.data.batch_end(first, batch_size) - first;
    if (group.watched && common_.data.sequence_starts() == nullptr) count = std::min(count, watched_samples - first);
    const Tensor batch = read_batch(first, count);
    run_reference(group, batch, first, first_group);
    const auto alone = std::count_if(group.points.begin(), group.points.end(),
                                     [this](const Point& point) { return tasks_[point.task].request.isolated; });
    done_ += count * alone;
    if (alone > 0 && environment_.progress) environment_.progress(done_, total_, "samples");
    try {
      for (std::size_t s = 0; s < quantized_.size(); ++s) run_networks(group, s, batch, first);
    } catch (const Cancelled&) {
      return false;
    }
    if (group.watched && first + count >= std::min(samples, watched_samples)) end_watch(group);
  }
  if (statistics_) collect_counts(group);
  return true;
}

void Evaluation::end_watch(PointGroup& group) {
  collect_counts(group);
  for (std::size_t n = 0; n < group.points.size(); ++n) {
    warn(group, n);
    group.networks[n].count_statistics(false);
    for (LayerResult& layer : group.results[n].layers) layer.counts = {};
  }
  group.watched = false;
}

void Evaluation::collect_counts(PointGroup& group) const {
  for (std::size_t n = 0; n < group.points.size(); ++n) {
    for (std::size_t l = 0; l < layer_count_; ++l) {
      std::size_t first = 0;
      const auto shares = [&](std::size_t m) {
        return simulated_of(group, m) == simulated_of(group, n) && !request_of(group, m).isolated &&
               std::equal(group.same_layer[m].begin(), group.same_layer[m].begin() + static_cast<std::ptrdiff_t>(l),
                          group.same_layer[n].begin()) &&
               group.same_product[m][l] == group.same_product[n][l];
      };
      while (first < n && !shares(first)) ++first;
      group.results[n].layers[l].counts = group.networks[first].statistics(l);
    }
  }
}

void Evaluation::run_reference(PointGroup& group, const Tensor& batch, std::int64_t first, bool count_score) {
  double observed_seconds = 0.0;
  nn::RunOptions options{.first_sample = first_sample(first), .parallel = parallel_};
  const bool known = std::all_of(tasks_.begin(), tasks_.end(), [](const Job& task) {
    return task.request.known_reference.has_value() && task.request.record_network_outputs.empty();
  });
  if (statistics_) {
    reference_outputs_.resize(layer_count_);
    options.observer = [&](const nn::LinearRecord& record) {
      const Stopwatch watch;
      reference_outputs_[record.layer] = record.output;
      measure_isolated(group, record, first);
      observed_seconds += watch.seconds();
    };
  } else if (!compares_with_float32() && (!count_score || known)) {
    return;
  }
  const Stopwatch watch;
  const nn::Executor& reference = reference_network_ ? reference_network_->executor() : common_.executor;
  std::vector<Tensor> outputs = reference.run({&batch, 1}, options);
  reference_seconds_ += watch.seconds() - observed_seconds;
  reference_samples_ += batch.dim(0) / steps_;
  if (count_score)
    for (const Job& task : tasks_)
      if (task.sink.reference_outputs && !task.request.record_network_outputs.empty())
        task.sink.reference_outputs(first, recorded(task.request, outputs));
  reference_output_ = decoded(std::move(outputs.front()));
  if (!count_score) return;
  add_score(reference_, reference_output_, reference_output_, batch, first);
  for (const Job& task : tasks_)
    if (task.sink.reference_predictions) task.sink.reference_predictions(first, predicted(reference_output_));
}

void Evaluation::measure_isolated(PointGroup& group, const nn::LinearRecord& record, std::int64_t first) {
  const std::size_t layer = record.layer;
  std::vector<bool> done(group.points.size());
  for (std::size_t n = 0; n < group.points.size(); ++n) {
    const EvaluationRequest& request = request_of(group, n);
    if (done[n] || !group.networks[n].is_analog(layer) || !(request.statistics || request.isolated)) continue;
    // All that share the product, a few at a time: their outputs are in memory together.
    constexpr std::size_t most = 16;
    std::vector<std::size_t> leaders;
    std::vector<nn::LayerBranch> branches;
    for (std::size_t m = n; m < group.points.size() && branches.size() < most; ++m) {
      if (done[m] || group.same_product[m][layer] != group.same_product[n][layer] ||
          simulated_of(group, m) != simulated_of(group, n))
        continue;
      const bool known = std::any_of(leaders.begin(), leaders.end(), [&](std::size_t leader) {
        return group.same_layer[leader][layer] == group.same_layer[m][layer];
      });
      if (known) continue;
      leaders.push_back(m);
      branches.push_back({group.networks[m].operators(layer), 0});
    }
    for (const std::size_t leader : leaders) group.networks[leader].count_statistics(false);
    const std::vector<nn::Activation> alone =
        simulated(tasks_[group.points[n].task])
            .apply_branches(layer, branches, record.input, first_sample(first), parallel_);
    for (std::size_t b = 0; b < leaders.size(); ++b) {
      const std::size_t leader = leaders[b];
      group.networks[leader].count_statistics(statistics_);
      ErrorMeasures& error = group.results[leader].layers[layer].isolated;
      if (fuses_relu(group.networks[leader], layer))
        add_error(error, rectified(record.output), alone[b]);
      else
        add_error(error, record.output, alone[b]);
      for (std::size_t m = leader; m < group.points.size(); ++m) {
        if (group.same_layer[m][layer] != group.same_layer[leader][layer] ||
            simulated_of(group, m) != simulated_of(group, leader))
          continue;
        group.results[m].layers[layer].isolated = error;
        done[m] = true;
      }
    }
  }
}

void Evaluation::run_networks(PointGroup& group, std::size_t simulated_index, const Tensor& batch, std::int64_t first) {
  double observed_seconds = 0.0;
  nn::BranchedRun run{
      .first_sample = first_sample(first), .parallel = parallel_, .memory_bytes = common_.memory_bytes / 2};
  std::vector<std::size_t> members;
  bool observed = false;
  for (std::size_t n = 0; n < group.points.size(); ++n) {
    const EvaluationRequest& request = request_of(group, n);
    if (simulated_of(group, n) != simulated_index || request.isolated) continue;
    members.push_back(n);
    run.networks.push_back(&group.overrides[n]);
    run.same_layer.push_back(group.same_layer[n]);
    run.same_product.push_back(group.same_product[n]);
    const std::vector<bool>& record = request.record_output;
    observed |= request.statistics ||
                (tasks_[group.points[n].task].sink.output && std::ranges::find(record, true) != record.end());
  }
  if (members.empty()) return;
  if (observed)
    run.observer = [&](std::span<const std::size_t> networks, const nn::LinearRecord& seen) {
      const Stopwatch watch;
      observe(group, members, networks, seen, first);
      observed_seconds += watch.seconds();
    };
  std::vector<std::vector<SpikeCounts>> spikes(members.size());
  if (spiking_[simulated_index])
    run.transform_observer = [&](std::span<const std::size_t> networks, const std::string& node,
                                 const nn::TransformCall& call) {
      count(*spiking_[simulated_index], networks, node, call, spikes);
    };
  run.output = [&](std::span<const std::size_t> networks, std::span<const Tensor> outputs) {
    const Tensor output = decoded(outputs.front());
    for (const std::size_t i : networks) {
      const std::size_t n = members[i];
      group.results[n].spikes.resize(spikes[i].size());
      for (std::size_t p = 0; p < spikes[i].size(); ++p) group.results[n].spikes[p] += spikes[i][p];
      const Job& task = tasks_[group.points[n].task];
      if (statistics_) add_batch(group.results[n].output, {.values = reference_output_}, {.values = output}, parallel_);
      std::vector<float> right;
      const bool wanted = task.sink.right && compares_classes();
      add_score(group.results[n].score, output, reference_output_, batch, first, wanted ? &right : nullptr);
      if (wanted) task.sink.right(group.points[n].index, first, right);
      if (task.sink.predictions) task.sink.predictions(group.points[n].index, first, predicted(output));
      if (task.sink.network_outputs && !task.request.record_network_outputs.empty())
        task.sink.network_outputs(group.points[n].index, first, recorded(task.request, outputs));
    }
    done_ += output.dim(0) * std::ssize(networks);
    if (environment_.progress) environment_.progress(done_, total_, "samples");
    if (environment_.cancelled()) throw Cancelled{};
  };
  const Stopwatch watch;
  simulated(tasks_[group.points[members.front()].task]).run_branched(batch, run);
  analog_seconds_ += watch.seconds() - observed_seconds;
  for (const std::size_t n : members) tasks_[group.points[n].task].result.analog_samples += batch.dim(0) / steps_;
}

std::vector<Tensor> Evaluation::recorded(const EvaluationRequest& request, std::span<const Tensor> outputs) {
  std::vector<Tensor> chosen;
  for (const std::size_t o : request.record_network_outputs) chosen.push_back(outputs[o]);
  return chosen;
}

void Evaluation::count(const SpikingNetwork& network, std::span<const std::size_t> networks, const std::string& node,
                       const nn::TransformCall& call, std::vector<std::vector<SpikeCounts>>& spikes) {
  const auto found = std::ranges::find(network.spiking(), node);
  if (found == network.spiking().end()) return;
  const SpikeCounts counts = count_spikes(call, network.steps());
  for (const std::size_t i : networks) {
    spikes[i].resize(network.spiking().size());
    spikes[i][static_cast<std::size_t>(found - network.spiking().begin())] = counts;
  }
}

void Evaluation::observe(PointGroup& group, const std::vector<std::size_t>& members,
                         std::span<const std::size_t> networks, const nn::LinearRecord& seen, std::int64_t first) {
  const std::size_t leader = members[networks.front()];
  ErrorMeasures error = group.results[leader].layers[seen.layer].cumulative;
  if (statistics_) {
    const nn::Activation& reference = reference_outputs_[seen.layer];
    if (fuses_relu(group.networks[leader], seen.layer))
      add_cumulative_error(error, rectified(reference), seen.output);
    else
      add_cumulative_error(error, reference, seen.output);
  }
  for (const std::size_t i : networks) {
    const std::size_t n = members[i];
    const Job& task = tasks_[group.points[n].task];
    group.results[n].layers[seen.layer].cumulative = error;
    const std::vector<bool>& record = task.request.record_output;
    if (task.sink.output && !record.empty() && record[seen.layer])
      task.sink.output(group.points[n].index, seen.layer, first,
                       nn::samples_first(reference_network_ ? mean_over_steps(seen.output, steps_) : seen.output));
  }
}

std::vector<std::int32_t> Evaluation::predicted(const Tensor& output) const {
  if (!compares_classes()) return predicted_classes(rows_of(output));
  const Tensor rows = class_rows(output, layout_);
  return predicted_classes(rows_of(rows));
}

std::vector<std::int32_t> Evaluation::expected_classes(const Tensor& reference, const Tensor& input, std::int64_t first,
                                                       std::int64_t count) const {
  if (compared_with_ == sim::Task::agreement) return predicted(reference);
  const std::int64_t each = layout_.positions;
  const io::DataSet& data = common_.data;
  std::vector<std::int32_t> labels;
  if (data.has_labels()) {
    const auto own =
        data.labels().subspan(static_cast<std::size_t>(first * each), static_cast<std::size_t>(count * each));
    labels.assign(own.begin(), own.end());
  }
  if (compared_with_ == sim::Task::classification) return labels;
  // The token of the next position; the last one has none.
  const std::int32_t none = common_.evaluation.ignore_index.value_or(no_token);
  std::vector<std::int32_t> next(static_cast<std::size_t>(count * each), none);
  const std::int64_t size = count > 0 ? input.size() / count : 0;
  for (std::int64_t s = 0; s < count; ++s)
    for (std::int64_t p = 0; p + 1 < each; ++p) {
      const auto to = static_cast<std::size_t>(s * each + p);
      if (data.has_labels()) {
        next[to] = labels[to + 1];
        continue;
      }
      const float* const sample = input.data() + s * size;
      if (tokens_.mask >= 0 && sample[tokens_.mask + p + 1] == 0.0F) continue;
      const float token = sample[tokens_.begin + p + 1];
      require<InputError>(token == static_cast<float>(static_cast<std::int32_t>(token)) && token >= 0.0F &&
                              token < static_cast<float>(layout_.classes),
                          "sample {}: {} is no token of the {} that the network has logits of; give data.labels",
                          first + s, token, layout_.classes);
      next[to] = static_cast<std::int32_t>(token);
    }
  return next;
}

void Evaluation::add_score(TaskScore& score, const Tensor& output, const Tensor& reference, const Tensor& input,
                           std::int64_t first, std::vector<float>* right) const {
  const std::int64_t count = output.dim(0);
  const io::DataSet& data = common_.data;
  if (compares_classes()) {
    const Tensor rows = class_rows(output, layout_);
    const std::vector<std::int32_t> expected = expected_classes(reference, input, first, count);
    std::optional<std::int32_t> ignored = common_.evaluation.ignore_index;
    if (compared_with_ == sim::Task::language_model && !ignored) ignored = no_token;
    if (compares_with_float32())
      score.add_agreement(rows_of(rows), rows_of(class_rows(reference, layout_)), kind_, layout_.positions);
    if (compared_with_ == sim::Task::agreement) {
      score.correct = score.agreed;
      score.count = score.compared;
      ignored.reset();
    } else {
      score.add(rows_of(rows), expected, kind_, ignored);
    }
    if (right == nullptr) return;
    const std::vector<std::int32_t> seen = predicted_classes(rows_of(rows));
    for (std::int64_t s = 0; s < count; ++s) {
      std::int64_t hits = 0, counted = 0;
      for (std::int64_t p = s * layout_.positions; p < (s + 1) * layout_.positions; ++p) {
        const auto at = static_cast<std::size_t>(p);
        if (ignored && expected[at] == *ignored) continue;
        ++counted;
        hits += seen[at] == expected[at] ? 1 : 0;
      }
      right->push_back(counted > 0 ? static_cast<float>(hits) / static_cast<float>(counted) : 1.0F);
    }
    return;
  }
  const auto labels = data.has_labels()
                          ? data.labels().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))
                          : std::span<const std::int32_t>();
  if (compared_with_ == sim::Task::regression) {
    const Tensor targets =
        data.has_targets() ? data.read_targets(first, count) : Tensor(Shape{count, 1}, as_floats(labels));
    score.add_targets(rows_of(output), rows_of(targets));
  } else if (compared_with_ == sim::Task::anomaly) {
    score.add_reconstructions(rows_of(output), rows_of(input), labels, common_.evaluation.normal_labels);
  }
}

std::vector<float> Evaluation::as_floats(std::span<const std::int32_t> labels) {
  std::vector<float> values;
  for (const std::int32_t label : labels) values.push_back(static_cast<float>(label));
  return values;
}

}  // namespace tessera::sim
