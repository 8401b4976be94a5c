#include "tessera/sim/train.hpp"

#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>

#include "sim/learning_tiles.hpp"
#include "sim/low_precision_training.hpp"
#include "sim/rate_factor.hpp"
#include "sim/spiking_training.hpp"
#include "sim/training_batches.hpp"
#include "sim/training_state.hpp"
#include "sim/training_validation.hpp"
#include "sim/weight_init.hpp"
#include "tessera/nn/training.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/quantized_network.hpp"

namespace tessera::sim {

namespace {

/// Over the samples and steps of one epoch.
struct Sums {
  double loss = 0.0;
  double gradient_norm = 0.0;
  std::int64_t correct = 0;
};

class Trainer {
 public:
  Trainer(const TrainingRequest& request, const EpochSink& sink, Parallel parallel, const Environment& environment)
      : request_(request),
        parameters_(request.parameters),
        sink_(sink),
        parallel_(parallel),
        environment_(environment),
        input_shape_(fitted_sample_shape(request.model.graph, request.data)),
        batches_(request.data, parameters_, request.seed, input_shape_, parallel),
        validator_(request.validation, request.validation_batch_size, request.seed, parameters_.validation,
                   input_shape_) {}

  TrainingResult run() {
    start();
    const std::int64_t resumed = std::ssize(state_.epochs);
    if (resumed > 0 && sink_) sink_(state_.epochs);
    bool finished = true;
    if (!state_.analog) {
      finished = run_phase(parameters_.digital_epochs);
      if (finished && parameters_.analog_epochs > 0) enter_analog_phase();
    }
    if (finished && state_.analog) finished = run_phase(parameters_.analog_epochs);
    if (!finished) save_checkpoint();
    return {kept_model(), state_.epochs, resumed, finished};
  }

 private:
  // --- phases --------------------------------------------------------------------------------------------------------

  void start() {
    if (!request_.checkpoint.empty() && std::filesystem::exists(request_.checkpoint)) {
      resume();
      return;
    }
    nn::Graph graph = request_.model.graph;
    std::map<std::string, io::LayerNumbers> calibration = request_.model.calibration;
    if (parameters_.from_scratch) {
      graph = with_fresh_weights(std::move(graph), executor_options(), request_.seed);
      calibration.clear();
    }
    forget_estimated_ranges(calibration);
    const nn::Executor executor(graph, executor_options());
    const LayerResolver resolve = with_calibration(request_.resolve, read_calibration(executor.layers(), calibration));
    static_cast<void>(layer_parameters(executor, resolve));  // the problems of all layers at once
    note_replaced(executor, resolve, environment_);
    state_.analog = parameters_.digital_epochs == 0;
    begin_at(graph, calibration);
    check();
  }

  void resume() {
    io::Model saved = io::read_model(request_.checkpoint);
    require<InputError>(saved.notes["task_id"] == request_.task_id,
                        "'{}' is the checkpoint of another training (its configuration, data or network differ); "
                        "delete it, or start anew with --fresh",
                        request_.checkpoint);
    state_ = training_state(saved.progress, saved.graph);
    begin_at(saved.graph, saved.calibration);
    check();
    environment_.note(fmt::format("continuing behind epoch {} ({})", state_.epochs.size(), request_.checkpoint));
  }

  void check() const {
    if (request_.quantization && state_.epochs.empty())  // names and formats, before an epoch is spent
      static_cast<void>(QuantizedNetwork(nn::Executor(current_graph(), executor_options()), *request_.quantization,
                                         request_.resolve, request_.validation, request_.seed, parallel_));
    if (!request_.data.has_labels()) return;
    const nn::Executor executor(current_graph(), executor_options());
    const std::int64_t classes = element_count(executor.output_shapes(1).at(0));
    request_.data.require_labels_below(classes);
    if (request_.validation.has_labels()) request_.validation.require_labels_below(classes);
  }

  nn::ExecutorOptions executor_options() const { return {.sample_shapes = {input_shape_}}; }

  /// Makes the network of the phase anew from what a checkpoint holds, at the beginning of every epoch: so an epoch
  /// that follows a checkpoint is the epoch that followed without. Weights are mapped to tiles anew, as programming
  /// does.
  void begin_at(const nn::Graph& graph, const std::map<std::string, io::LayerNumbers>& calibration) {
    checkpoint_.graph = graph;
    checkpoint_.calibration = calibration;
    checkpoint_.progress = to_numbers(state_);
    make_network(graph, calibration);
    analog_ = {};
    if (!state_.analog) return;
    const NetworkCalibration known = read_calibration(network_->layers(), calibration);
    analog_ = LearningTiles(*network_, with_calibration(request_.resolve, known), request_.seed, learn_ranges_from());
  }

  void make_network(const nn::Graph& graph, const std::map<std::string, io::LayerNumbers>& calibration) {
    if (request_.quantization) {
      low_precision_ =
          std::make_unique<LowPrecisionTraining>(graph, executor_options(), *request_.quantization, request_.resolve,
                                                 learn_ranges_from(), read_quantizer_ranges(calibration));
      network_ =
          std::make_unique<nn::TrainingNetwork>(low_precision_->changed(), low_precision_->options(), request_.seed);
      low_precision_->give_quantizers(*network_);
      loss_input_ = nn::loss_input(graph);
      return;
    }
    if (!request_.spiking) {
      network_ = std::make_unique<nn::TrainingNetwork>(graph, executor_options(), request_.seed);
      loss_input_ = nn::loss_input(graph);
      return;
    }
    spiking_parameters_ = with_learned_neurons(*request_.spiking, calibration);
    spiking_ = std::make_unique<SpikingTraining>(graph, executor_options(), *spiking_parameters_, request_.seed);
    const nn::Executor& unrolled = spiking_->unrolled();
    network_ = std::make_unique<nn::TrainingNetwork>(unrolled.graph(), unrolled.options(), request_.seed);
    spiking_->give_neurons(*network_);
  }

  /// As the model has it, whatever form it learns in.
  nn::Graph current_graph() const {
    if (low_precision_) return low_precision_->plain(network_->graph());
    return spiking_ ? spiking_->rolled(network_->graph()) : network_->graph();
  }

  /// The step from which on quantizers learn their ranges.
  std::optional<std::uint64_t> learn_ranges_from() const {
    if (!parameters_.quantizers.learn_quant_params) return std::nullopt;
    return static_cast<std::uint64_t>(state_.total_steps - state_.phase_steps +
                                      parameters_.quantizers.init_learning_after);
  }

  void enter_analog_phase() {
    const io::Model kept = kept_model();
    TrainingState next;
    next.analog = true;
    next.epochs = state_.epochs;
    next.total_steps = state_.total_steps;
    state_ = std::move(next);
    begin_at(kept.graph, kept.calibration);
  }

  bool run_phase(std::int64_t epochs) {
    while (state_.phase_epoch < epochs) {
      if (stopped_early()) break;
      if (!run_epoch(epochs)) return false;
      if (parameters_.checkpoint_every > 0 && state_.phase_epoch % parameters_.checkpoint_every == 0) save_checkpoint();
    }
    return true;
  }

  bool stopped_early() const {
    const std::int64_t patience = parameters_.early_stopping.patience;
    return patience > 0 && state_.stale >= patience;
  }

  // --- epochs --------------------------------------------------------------------------------------------------------

  /// False when cancelled: the epoch is then lost.
  bool run_epoch(std::int64_t phase_epochs) {
    const auto begin = std::chrono::steady_clock::now();
    const std::int64_t epoch = std::ssize(state_.epochs);
    const std::int64_t steps = batches_.steps_per_epoch();
    Sums sums;
    results::TrainingEpoch record;
    record.analog = state_.analog;
    for (std::int64_t step = 0; step < steps; ++step) {
      if (environment_.cancelled()) return false;
      record.learning_rate = learning_rate(phase_epochs);
      run_step(epoch, step, record.learning_rate, sums);
      if (environment_.progress) environment_.progress(progress(epoch, step), progress_total(), "samples");
    }
    const auto samples = static_cast<double>(batches_.samples());
    record.loss = sums.loss / samples;
    if (request_.data.has_labels()) record.accuracy = static_cast<double>(sums.correct) / samples;
    record.gradient_norm = sums.gradient_norm / static_cast<double>(steps);
    const bool last = state_.phase_epoch + 1 == phase_epochs;
    if (last || (state_.phase_epoch + 1) % parameters_.validation.every == 0)
      if (!validate(record, epoch)) return false;
    record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    state_.epochs.push_back(std::move(record));
    ++state_.phase_epoch;
    begin_at(current_graph(), current_calibration());
    if (sink_) sink_(state_.epochs);
    return true;
  }

  std::int64_t progress(std::int64_t epoch, std::int64_t step) const {
    return epoch * batches_.samples() + std::min(batches_.samples(), (step + 1) * parameters_.batch_size);
  }
  std::int64_t progress_total() const {
    return (parameters_.digital_epochs + parameters_.analog_epochs) * batches_.samples();
  }

  double learning_rate(std::int64_t phase_epochs) const {
    const bool analog = state_.analog;
    const double base =
        analog ? parameters_.analog_learning_rate.value_or(parameters_.learning_rate) : parameters_.learning_rate;
    const nn::ScheduleParameters& schedule =
        analog && parameters_.analog_schedule ? *parameters_.analog_schedule : parameters_.schedule;
    const std::int64_t steps = batches_.steps_per_epoch();
    return nn::scheduled_rate(schedule, base, state_.phase_steps, steps, steps * phase_epochs);
  }

  void run_step(std::int64_t epoch, std::int64_t step, double rate, Sums& sums) {
    const Tensor batch = batches_.inputs(epoch, step, parallel_);
    network_->zero_gradients();
    const auto number = static_cast<std::uint64_t>(state_.total_steps);
    const Tensor output =
        spiking_ ? spiking_->decode(network_->forward(spiking_->encode(batch, number, parallel_), number, parallel_))
                 : network_->forward(batch, number, parallel_);
    const nn::Loss loss = batches_.loss(epoch, step, output, loss_input_);
    if (!std::isfinite(loss.value))
      throw RunError(
          fmt::format("epoch {}, step {}: the loss is not finite; try a smaller training.lr, or "
                      "training.gradient_clip",
                      epoch + 1, step + 1));
    network_->backward(spiking_ ? spiking_->decode_gradient(loss.d_output) : loss.d_output, parallel_);
    std::vector<nn::TrainedParameter> trained = network_->parameters();
    std::vector<nn::OptimizedParameter> arrays;
    std::vector<std::span<float>> gradients;
    for (const nn::TrainedParameter& parameter : trained) {
      const bool decays = parameters_.decay_all || parameter.kind == nn::ParameterKind::weight;
      arrays.push_back({parameter.value, parameter.gradient, rate_factor(parameters_.rate_factors, parameter.kind),
                        decays ? 1.0 : 0.0});
      gradients.push_back(parameter.gradient);
    }
    const double limit = parameters_.gradient_clip > 0.0 ? parameters_.gradient_clip : 1e300;
    const double norm = nn::clip_gradient_norm(gradients, limit);
    if (!std::isfinite(norm))
      throw RunError(
          fmt::format("epoch {}, step {}: a gradient is not finite; try a smaller training.lr", epoch + 1, step + 1));
    nn::optimizer_step(parameters_.optimizer, rate, arrays, state_.optimizer, parallel_);
    network_->updated();
    sums.loss += loss.value * static_cast<double>(batches_.batch_size(step));
    sums.correct += loss.correct;
    sums.gradient_norm += norm;
    ++state_.phase_steps;
    ++state_.total_steps;
  }

  // --- validation and models -----------------------------------------------------------------------------------------

  /// False when cancelled.
  bool validate(results::TrainingEpoch& record, std::int64_t epoch) {
    const nn::Graph graph = current_graph();
    const std::map<std::string, io::LayerNumbers> calibration = current_calibration();
    if (request_.spiking) spiking_parameters_ = with_learned_neurons(*request_.spiking, calibration);
    const nn::Executor float32(graph, executor_options());
    std::optional<QuantizedNetwork> quantized;
    if (request_.quantization) {
      QuantizationParameters quantization = *request_.quantization;
      quantization.ranges = read_quantizer_ranges(calibration);
      quantized.emplace(float32, quantization, request_.resolve, request_.validation, request_.seed, parallel_);
    }
    const nn::Executor& executor = quantized ? quantized->executor() : float32;
    if (!validator_.reference(executor, spiking_parameters_, record, parallel_, environment_)) return false;
    if (state_.analog) {
      const NetworkCalibration known = read_calibration(executor.layers(), calibration);
      const LayerResolver resolve = with_calibration(request_.resolve, known);
      if (!validator_.chips(executor, spiking_parameters_, resolve, epoch, record, parallel_, environment_))
        return false;
    }
    const double score = validation_score(record, request_.validation.has_labels());
    if (!state_.best || score > state_.best->score + parameters_.early_stopping.min_delta) {
      for (results::TrainingEpoch& other : state_.epochs)
        if (other.analog == state_.analog) other.best = false;
      record.best = true;
      state_.best = BestModel{score, epoch, graph, calibration};
      state_.stale = 0;
    } else {
      ++state_.stale;
    }
    return true;
  }

  std::map<std::string, io::LayerNumbers> current_calibration() const {
    std::map<std::string, io::LayerNumbers> numbers;
    analog_.add_numbers(network_->layers(), numbers);
    if (spiking_) spiking_->store_neurons(network_->parameters(), *request_.spiking, numbers);
    if (low_precision_) add_numbers(low_precision_->ranges(), numbers);
    return numbers;
  }

  /// The best or the last of the phase.
  io::Model kept_model() const {
    io::Model model;
    model.notes = request_.model.notes;
    if (parameters_.keep == KeptModel::best && state_.best) {
      model.graph = state_.best->graph;
      model.calibration = state_.best->calibration;
    } else {
      model.graph = current_graph();
      model.calibration = current_calibration();
    }
    return model;
  }

  void save_checkpoint() {
    if (request_.checkpoint.empty()) return;
    checkpoint_.notes["task_id"] = request_.task_id;
    io::write_model(checkpoint_, request_.checkpoint);
  }

  const TrainingRequest& request_;
  const TrainingParameters& parameters_;
  const EpochSink& sink_;
  Parallel parallel_;
  const Environment& environment_;
  Shape input_shape_;
  TrainingBatches batches_;
  Validator validator_;
  TrainingState state_;
  io::Model checkpoint_;                                 ///< graph and ranges at the beginning of the epoch
  std::optional<SpikingParameters> spiking_parameters_;  ///< with what was learned
  std::unique_ptr<SpikingTraining> spiking_;
  std::unique_ptr<LowPrecisionTraining> low_precision_;
  std::unique_ptr<nn::TrainingNetwork> network_;
  LearningTiles analog_;  ///< none in the digital phase
  nn::LossInput loss_input_ = nn::LossInput::logits;
};

}  // namespace

TrainingResult train(const TrainingRequest& request, const EpochSink& sink, Parallel parallel,
                     const Environment& environment) {
  validate(request.parameters);
  if (request.quantization && request.spiking)
    throw ConfigError("quantization", "is not trained together with spiking neurons; give the neurons a state_quant");
  return Trainer(request, sink, parallel, environment).run();
}

}  // namespace tessera::sim
