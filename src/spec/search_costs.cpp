#include <map>
#include <memory>

#include "tessera/cost/network_cost.hpp"
#include "tessera/spec/search.hpp"

// What the states of a search cost on the hardware of `cost:`.
namespace tessera::spec {

namespace {

/// Layers of a state, each resolved once for each combination of its own rungs.
class ResolvedLayers {
 public:
  ResolvedLayers(const SearchPlan& plan, const SearchSpace& space, const std::vector<LayerName>& layers)
      : plan_(plan), space_(space) {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      index_.emplace(layers[l].name, l);
      if (layers[l].product) products_.push_back(layers[l].name);
    }
  }

  struct Layer {
    sim::LayerParameters parameters;
    cost::HardwareParameters hardware;
  };
  const Layer& get(const sim::SearchState& state, const std::string& name, const std::string& op) {
    std::vector<int> own{static_cast<int>(index_.at(name))};
    for (std::size_t k = 0; k < state.size(); ++k)
      if (space_.knobs[k].whole_network || space_.names[k].layer == name) own.push_back(state[k]);
    if (const auto known = known_.find(own); known != known_.end()) return known->second;
    const RunConfig config = with_rungs(plan_, space_, state);
    Layer layer{layer_resolver(config, products_)(name, op), *resolve_layer(config, {name, op}).hardware};
    return known_.emplace(std::move(own), std::move(layer)).first->second;
  }

 private:
  const SearchPlan& plan_;
  const SearchSpace& space_;
  std::vector<std::string> products_;
  std::map<std::string, std::size_t> index_;
  std::map<std::vector<int>, Layer> known_;
};

struct Coster {
  Coster(const SearchPlan& given_plan, const SearchSpace& space, const nn::Executor& network,
         const std::vector<LayerName>& layers)
      : plan(given_plan),
        executor(network),
        facts(sim::network_facts(network)),
        resolved(given_plan, space, layers),
        model(*cost_model(given_plan.config, layers)) {}

  sim::CostDescription describe(const sim::SearchState& state, std::int64_t columns,
                                std::span<const sim::LayerActivity> activity) {
    model.hardware = [&](const std::string& name, const std::string& op) {
      cost::HardwareParameters hardware = resolved.get(state, name, op).hardware;
      if (columns > 0) hardware.adc.columns = columns;
      return hardware;
    };
    const auto resolve = [&](const std::string& name, const std::string& op) {
      return resolved.get(state, name, op).parameters;
    };
    const sim::QuantizationParameters* quantization = plan.config.quantization ? &*plan.config.quantization : nullptr;
    return sim::describe_cost(executor, facts, resolve, model, activity, quantization);
  }

  const SearchPlan& plan;
  const nn::Executor& executor;
  sim::NetworkFacts facts;
  ResolvedLayers resolved;
  sim::CostModel model;
};

}  // namespace

std::function<sim::HardwareCosts(const sim::SearchState&)> search_costs(const SearchPlan& plan,
                                                                        const SearchSpace& space,
                                                                        const nn::Executor& executor,
                                                                        const std::vector<LayerName>& layers,
                                                                        std::vector<sim::LayerActivity> activity) {
  if (!plan.config.cost) return nullptr;
  auto coster = std::make_shared<Coster>(plan, space, executor, layers);
  const sim::SearchCost wanted =
      sim::is_hardware_cost(plan.section.parameters.cost) ? plan.section.parameters.cost : sim::SearchCost::energy;
  return [coster, wanted, activity = std::move(activity)](const sim::SearchState& state) {
    std::vector<std::int64_t> options = coster->plan.section.columns_per_converter;
    if (options.empty()) options = {0};
    sim::HardwareCosts best;
    for (const std::int64_t columns : options) {
      const sim::CostDescription described = coster->describe(state, columns, activity);
      const cost::NetworkCost network = cost::network_cost(described.design, described.table.nominal());
      const sim::HardwareCosts costs{network.energy_J(), network.latency_s(), network.area_mm2(), columns};
      if (columns == options.front() || costs.of(wanted) < best.of(wanted)) best = costs;
    }
    return best;
  };
}

sim::CostDescription searched_design(const SearchPlan& plan, const SearchSpace& space, const nn::Executor& executor,
                                     const std::vector<LayerName>& layers, const sim::SearchState& state,
                                     std::int64_t columns_per_converter, std::span<const sim::LayerActivity> activity) {
  return Coster(plan, space, executor, layers).describe(state, columns_per_converter, activity);
}

}  // namespace tessera::spec
