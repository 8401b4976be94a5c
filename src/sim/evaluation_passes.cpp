#include <algorithm>

#include "evaluation.hpp"

/// Batches through the float32 network and the networks of a group, and what is measured on the way.
namespace tessera::sim {

Tensor Evaluation::read_batch(std::int64_t first, std::int64_t count) const {
  return networks_.encoded(read_samples(common_.data, first, count, input_shape_, parallel_), first);
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

/// The two networks may store a value in different order.
void add_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen, Parallel parallel) {
  if (reference.layout == seen.layout) return add_batch(error, reference, seen, parallel);
  const auto natural = [](const nn::Activation& activation) {
    return nn::Activation{.values = nn::to_natural(activation), .samples = activation.samples};
  };
  add_batch(error, natural(reference), natural(seen), parallel);
}

/// Those that a request records.
std::vector<Tensor> recorded(const EvaluationRequest& request, std::span<const Tensor> outputs) {
  std::vector<Tensor> chosen;
  for (const std::size_t o : request.record_network_outputs) chosen.push_back(outputs[o]);
  return chosen;
}

/// The spikes of a batch, by network and population.
void count(const SpikingNetwork& network, std::span<const std::size_t> networks, const std::string& node,
           const nn::TransformCall& call, std::vector<std::vector<SpikeCounts>>& spikes) {
  const auto found = std::ranges::find(network.spiking(), node);
  if (found == network.spiking().end()) return;
  const SpikeCounts counts = count_spikes(call, network.steps());
  for (const std::size_t i : networks) {
    spikes[i].resize(network.spiking().size());
    spikes[i][static_cast<std::size_t>(found - network.spiking().begin())] = counts;
  }
}

}  // namespace

void Evaluation::add_cumulative_error(ErrorMeasures& error, const nn::Activation& reference,
                                      const nn::Activation& seen) const {
  if (!networks_.is_spiking()) return add_error(error, reference, seen, parallel_);
  add_error(error, mean_over_steps(reference, networks_.steps()), mean_over_steps(seen, networks_.steps()), parallel_);
}

bool Evaluation::reference_goes_first() const {
  constexpr std::int64_t large = std::int64_t{32} << 20;
  if (statistics_ || scoring_.compares_with_float32() || common_.executor.forgettable_bytes() < large) return false;
  for (std::size_t t = 0; t < tasks_.size(); ++t)
    for (std::size_t l = 0; l < layer_count_; ++l)
      if (schedule_.classes().parameters(t, l).analog) return true;
  return false;
}

void Evaluation::forget_weights() const {
  if (!reference_first_) return;
  networks_.reference().forget_weights();
  for (std::size_t s = 0; s < networks_.count(); ++s) networks_.executor(s).forget_weights();
}

bool Evaluation::run_references() {
  PointGroup none;
  for (std::int64_t first = 0, count = 0; first < common_.data.size(); first += count) {
    if (environment_.cancelled()) return false;
    count = common_.data.batch_end(first, batch_size()) - first;
    run_reference(none, read_batch(first, count), first, true);
  }
  return true;
}

bool Evaluation::run_group(PointGroup& group, bool first_group) {
  const std::int64_t samples = common_.data.size();
  for (std::int64_t first = 0, count = 0; first < samples; first += count) {
    if (environment_.cancelled()) return false;
    count = common_.data.batch_end(first, batch_size()) - first;
    if (group.watched && common_.data.sequence_starts() == nullptr) count = std::min(count, watched_samples - first);
    const Tensor batch = read_batch(first, count);
    run_reference(group, batch, first, first_group && !reference_first_);
    const auto alone = std::count_if(group.points.begin(), group.points.end(),
                                     [this](const Point& point) { return tasks_[point.task].request.isolated; });
    done_ += count * alone;
    if (alone > 0 && environment_.progress) environment_.progress(done_, total_, "samples");
    try {
      for (std::size_t s = 0; s < networks_.count(); ++s) run_networks(group, s, batch, first);
    } catch (const Cancelled&) {
      return false;
    }
    if (group.watched && first + count >= std::min(samples, watched_samples)) end_watch(group);
  }
  if (statistics_ || activity_) collect_counts(group);
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
  } else if (!scoring_.compares_with_float32() && (!count_score || known)) {
    return;
  }
  const Stopwatch watch;
  std::vector<Tensor> outputs = networks_.reference().run({&batch, 1}, options);
  reference_seconds_ += watch.seconds() - observed_seconds;
  reference_samples_ += batch.dim(0) / networks_.steps();
  if (count_score)
    for (const Job& task : tasks_)
      if (task.sink.reference_outputs && !task.request.record_network_outputs.empty())
        task.sink.reference_outputs(first, recorded(task.request, outputs));
  reference_output_ = networks_.decoded(std::move(outputs.front()));
  if (!count_score) return;
  scoring_.add(reference_, reference_output_, reference_output_, batch, first);
  for (const Job& task : tasks_)
    if (task.sink.reference_predictions) task.sink.reference_predictions(first, scoring_.predicted(reference_output_));
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
    for (const std::size_t leader : leaders) {
      group.networks[leader].count_statistics(false);
      group.networks[leader].count_activity(false);
    }
    const std::vector<nn::Activation> alone =
        networks_.executor(simulated_of(group, n))
            .apply_branches(layer, branches, record.input, first_sample(first), parallel_);
    for (std::size_t b = 0; b < leaders.size(); ++b) {
      const std::size_t leader = leaders[b];
      group.networks[leader].count_statistics(statistics_);
      group.networks[leader].count_activity(activity_);
      ErrorMeasures& error = group.results[leader].layers[layer].isolated;
      if (fuses_relu(group.networks[leader], layer))
        add_error(error, rectified(record.output), alone[b], parallel_);
      else
        add_error(error, record.output, alone[b], parallel_);
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
  const SpikingNetwork* const spiking = networks_.spiking(simulated_index);
  if (spiking != nullptr)
    run.transform_observer = [&](std::span<const std::size_t> networks, const std::string& node,
                                 const nn::TransformCall& call) { count(*spiking, networks, node, call, spikes); };
  run.output = [&](std::span<const std::size_t> networks, std::span<const Tensor> outputs) {
    std::optional<Tensor> images;
    if (networks_.is_spiking()) images = networks_.decoded(outputs.front());
    const Tensor& output = images ? *images : outputs.front();
    for (const std::size_t i : networks) {
      const std::size_t n = members[i];
      group.results[n].spikes.resize(spikes[i].size());
      for (std::size_t p = 0; p < spikes[i].size(); ++p) group.results[n].spikes[p] += spikes[i][p];
      const Job& task = tasks_[group.points[n].task];
      if (statistics_) add_batch(group.results[n].output, {.values = reference_output_}, {.values = output}, parallel_);
      std::vector<float> right;
      const bool wanted = task.sink.right && scoring_.compares_classes();
      scoring_.add(group.results[n].score, output, reference_output_, batch, first, wanted ? &right : nullptr);
      if (wanted) task.sink.right(group.points[n].index, first, right);
      if (task.sink.losses) task.sink.losses(group.points[n].index, first, scoring_.losses(output, batch, first));
      if (task.sink.predictions) task.sink.predictions(group.points[n].index, first, scoring_.predicted(output));
      if (task.sink.network_outputs && !task.request.record_network_outputs.empty())
        task.sink.network_outputs(group.points[n].index, first, recorded(task.request, outputs));
    }
    done_ += output.dim(0) * std::ssize(networks);
    if (environment_.progress) environment_.progress(done_, total_, "samples");
    if (environment_.cancelled()) throw Cancelled{};
  };
  const Stopwatch watch;
  networks_.executor(simulated_index).run_branched(batch, run);
  analog_seconds_ += watch.seconds() - observed_seconds;
  for (const std::size_t n : members)
    tasks_[group.points[n].task].result.analog_samples += batch.dim(0) / networks_.steps();
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
      task.sink.output(
          group.points[n].index, seen.layer, first,
          nn::samples_first(networks_.is_spiking() ? mean_over_steps(seen.output, networks_.steps()) : seen.output));
  }
}

}  // namespace tessera::sim
