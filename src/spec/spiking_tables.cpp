#include "spiking_tables.hpp"

#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Node;
using config::Range;
using config::Report;
using config::Section;
using config::Type;

/// One number, or one per unit.
Type<std::vector<float>> one_per_unit() {
  const Type<std::vector<double>> numbers = config::one_or_list(config::real(), 1);
  return {numbers.info,
          [numbers](const Node& node, const std::string& key, std::vector<float>& value, Report& report) {
            std::vector<double> read(value.begin(), value.end());
            numbers.read(node, key, read, report);
            value.clear();
            for (const double x : read) value.push_back(static_cast<float>(x));
          },
          [numbers](const std::vector<float>& value) {
            if (value.size() == 1) return config::real().write(static_cast<double>(value.front()));
            return numbers.write({value.begin(), value.end()});
          }};
}

Type<float> single() {
  const Type<double> number = config::real();
  return {number.info,
          [number](const Node& node, const std::string& key, float& value, Report& report) {
            double read = static_cast<double>(value);
            number.read(node, key, read, report);
            value = static_cast<float>(read);
          },
          [number](const float& value) { return number.write(static_cast<double>(value)); }};
}

Type<sim::NeuronStateQuant> state_quant_type() {
  using P = sim::NeuronStateQuant;
  return Section<P>("StateQuant", "Levels of the state, snnTorch's state_quant.")
      .field("num_bits", [](auto& p) -> auto& { return p.levels.num_bits; },
             config::integer<int>(Range::between(1, 16)), {.unit = "bit", .help = "2^num_bits levels"})
      .field("uniform", [](auto& p) -> auto& { return p.levels.uniform; }, config::boolean(),
             {.help = "equally spaced; else exponential"})
      .field("thr_centered", [](auto& p) -> auto& { return p.levels.thr_centered; }, config::boolean(),
             {.help = "exponential levels are dense at the threshold, else at 0"})
      .field("threshold", &P::threshold, {.help = "T of the levels; null: that of the neuron"})
      .field("lower_limit", [](auto& p) -> auto& { return p.levels.lower_limit; }, config::real(),
             {.help = "lowest level -(T + T lower_limit)"})
      .field("upper_limit", [](auto& p) -> auto& { return p.levels.upper_limit; }, config::real(),
             {.help = "highest level T + T upper_limit"})
      .field("multiplier", [](auto& p) -> auto& { return p.levels.multiplier; }, config::optional(config::real()),
             {.help = "ratio of neighbouring exponential steps; null: by num_bits"})
      .field("rule", [](auto& p) -> auto& { return p.levels.rule; },
             choice<quant::LevelRule>(
                 {{"nearest", quant::LevelRule::nearest}, {"peer_distance", quant::LevelRule::peer_distance}}),
             {.help = "peer_distance: values too large for float32 distances go to the lowest level"});
}

Type<quant::Surrogate> surrogate_type() {
  using P = quant::Surrogate;
  using quant::SpikeGradient;
  const auto positive = config::Range::above(0.0);
  return Section<P>("SpikeGradient", "Derivative put in place of a spike's, snnTorch's surrogates. Training only.")
      .field("type", &P::spike_grad,
             choice<SpikeGradient>({{"atan", SpikeGradient::atan},
                                    {"fast_sigmoid", SpikeGradient::fast_sigmoid},
                                    {"sigmoid", SpikeGradient::sigmoid},
                                    {"straight_through_estimator", SpikeGradient::straight_through_estimator},
                                    {"heaviside", SpikeGradient::heaviside},
                                    {"triangular", SpikeGradient::triangular},
                                    {"SFS", SpikeGradient::SFS},
                                    {"spike_rate_escape", SpikeGradient::spike_rate_escape},
                                    {"SSO", SpikeGradient::SSO},
                                    {"LSO", SpikeGradient::LSO}}),
             {.help = "formulas: docs/models/quantization.md"})
      .field("alpha", &P::alpha, {.range = positive, .help = "atan"})
      .field("slope", &P::slope, {.range = positive, .help = "fast_sigmoid, sigmoid, SFS, spike_rate_escape, LSO"})
      .field("threshold", &P::threshold, {.help = "triangular"})
      .field("B", &P::B, {.help = "SFS"})
      .field("beta", &P::beta, {.help = "spike_rate_escape"})
      .field("mean", &P::mean, {.help = "SSO"})
      .field("variance", &P::variance, {.help = "SSO"});
}

Type<sim::NeuronParameters> neuron_type() {
  using P = sim::NeuronParameters;
  using quant::ResetMechanism;
  return Section<P>("Leaky", "A population of leaky integrate-and-fire neurons, snnTorch's Leaky.")
      .field("beta", [](auto& p) -> auto& { return p.leaky.beta; }, one_per_unit(),
             {.help = "decay of the state per step, clamped to [0, 1]; 1: no leak; one value, or one per unit"})
      .field("threshold", [](auto& p) -> auto& { return p.leaky.threshold; }, one_per_unit(),
             {.help = "T: fires where the state exceeds it; one value, or one per unit"})
      .field(
          "reset_mechanism", [](auto& p) -> auto& { return p.leaky.reset_mechanism; },
          choice<ResetMechanism>(
              {{"subtract", ResetMechanism::subtract}, {"zero", ResetMechanism::zero}, {"none", ResetMechanism::none}}),
          {.help = "what a spike does to the state"})
      .field("reset_delay", [](auto& p) -> auto& { return p.leaky.reset_delay; }, config::boolean(),
             {.help = "the reset acts one step after the spike"})
      .field("inhibition", [](auto& p) -> auto& { return p.leaky.inhibition; }, config::boolean(),
             {.help = "only the unit with the largest state fires"})
      .field("graded_spikes_factor", [](auto& p) -> auto& { return p.leaky.graded_spikes_factor; }, single(),
             {.help = "size of a spike; not 0"})
      .field("state_quant", &P::state_quant, config::optional(state_quant_type()),
             {.help = "quantization of the state at every step; null: float32"})
      .field("spike_grad", [](auto& p) -> auto& { return p.leaky.spike_grad; }, surrogate_type(),
             {.help = "training: what stands for the derivative of a spike"})
      .field("learn_beta", &P::learn_beta, {.help = "training: the decay is learned"})
      .field("learn_threshold", &P::learn_threshold, {.help = "training: the threshold is learned"})
      .unused("surrogate_disable", "training only")
      .unused("learn_graded_spikes_factor", "training only");
}

/// Populations by name; an entry is read over `neurons`.
Type<sim::SpikingParameters> instances() {
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::map;
  info->element = neuron_type().info;
  return {info,
          [](const Node& node, const std::string& key, sim::SpikingParameters& p, Report& report) {
            if (node.is_null()) return p.instances.clear();
            config::detail::read_map_entries(
                node, key, report, [&](const Node::Entry& entry, const std::string& entry_key) {
                  const auto found = p.instances.find(entry.key);
                  sim::NeuronParameters neurons = found != p.instances.end() ? found->second : p.neurons;
                  neuron_type().read(entry.value, entry_key, neurons, report);
                  p.instances[entry.key] = std::move(neurons);
                });
          },
          [](const sim::SpikingParameters& p) {
            Node node = Node::map();
            for (const auto& [name, neurons] : p.instances)
              node.entries.push_back({name, neuron_type().write(neurons), {}});
            return node;
          }};
}

Type<sim::BalanceParameters> balance_type() {
  using P = sim::BalanceParameters;
  return Section<P>(
             "BalanceParameters",
             "Thresholds and spike sizes of every population, multiplied by a percentile of the activations that "
             "the float32 network has in its place.")
      .field("percentile", &P::percentile,
             {.unit = "%", .range = {.low = 0.0, .high = 100.0, .low_open = true}, .help = "of all units together"})
      .field("samples", &P::samples,
             {.unit = "samples", .range = Range::at_least(1.0), .help = "the first of the data set"});
}

}  // namespace

Type<sim::SpikingParameters> spiking_parameters() {
  using P = sim::SpikingParameters;
  using sim::SpikeDecoding;
  using sim::SpikeEncoding;
  return Section<P>("SpikingParameters", "The network with spiking neurons, run over time steps.")
      .field("steps", &P::steps, {.range = Range::between(1.0, 65536.0), .help = "time steps per sample"})
      .field(
          "encoding", &P::encoding,
          choice<SpikeEncoding>(
              {{"direct", SpikeEncoding::direct}, {"rate", SpikeEncoding::rate}, {"latency", SpikeEncoding::latency}}),
          {.help = "of the input: constant current; random spikes with probability x; one spike, the earlier the "
                   "larger x"})
      .field("decoding", &P::decoding,
             choice<SpikeDecoding>({{"spike_count", SpikeDecoding::spike_count},
                                    {"membrane_mean", SpikeDecoding::membrane_mean},
                                    {"current_mean", SpikeDecoding::current_mean}}),
             {.help = "of the output: spikes or mean state of neurons behind the last layer; its mean current without "
                      "neurons"})
      .field("replace", &P::replace, config::one_or_list(config::text(), 1),
             {.help = "operators or nodes in whose place neurons are put"})
      .field("neurons", &P::neurons, neuron_type(), {.help = "every population"})
      .field("instances", [](auto& p) -> auto& { return p; }, instances(),
             {.help = "by population, read over `neurons`: the name of the node, or output_neurons"})
      .field("balance", &P::balance, config::optional(balance_type()),
             {.help = "thresholds from data; null: as given"});
}

}  // namespace tessera::spec
