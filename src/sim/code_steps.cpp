#include <algorithm>
#include <cmath>
#include <map>

#include "tessera/core/error.hpp"
#include "tessera/kernels/fixed_point.hpp"
#include "tessera/sim/integer_chain.hpp"
#include "tessera/tile/fixed_point.hpp"

// Steps of codes on their way through a network, and the Adds that change them.
namespace tessera::sim {
namespace {

// The nearest float32 of 16 significant bits: it stays itself when it comes back through an input range.
float coarse_step(double step) {
  constexpr int bits = 16;
  int exponent = 0;
  const double fraction = std::frexp(step, &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, bits)), exponent - bits));
}

class StepFinder {
 public:
  StepFinder(const nn::Graph& graph, const std::vector<LayerLink>& links, std::span<const LayerCodes> layers)
      : graph_(graph), links_(links), layers_(layers) {
    for (std::size_t l = 0; l < links.size(); ++l)
      if (links[l].fixed_point && links[l].broken.empty() && links[l].source.node >= 0 && layers[l].input_step > 0.0)
        readers_[links[l].source.node].push_back(l);
  }

  CodeConnections run() {
    for (std::size_t l = 0; l < links_.size(); ++l) {
      ReachedCodes& reached = found_.layers.emplace_back();
      if (!links_[l].fixed_point || !links_[l].broken.empty() || links_[l].sources.empty()) continue;
      reader_ = l;
      if (!(layers_[l].input_step > 0.0))
        reached.broken = "its DAC has no step of its own";
      else
        reached = step_of(links_[l].source);
    }
    for (std::size_t l = 0; l < links_.size(); ++l)
      for (std::size_t s = 0; s < found_.sums.size() && found_.layers[l].step > 0.0F; ++s)
        if (found_.sums[s].node == links_[l].source.node) found_.layers[l].sum = static_cast<int>(s);
    return std::move(found_);
  }

 private:
  ReachedCodes step_of(const CodeSource& source) {
    if (source.layer >= 0) return {.step = layers_[static_cast<std::size_t>(source.layer)].output_step, .broken = {}};
    const auto known = nodes_.find(source.node);
    if (known != nodes_.end()) return known->second;
    const CodeJoin& join = *std::ranges::find(links_[reader_].joins, source.node, &CodeJoin::node);
    return nodes_[source.node] = joined(join);
  }

  ReachedCodes joined(const CodeJoin& join) {
    std::vector<float> steps;
    for (const CodeSource& operand : join.operands) {
      ReachedCodes reached = step_of(operand);
      if (!reached.broken.empty()) return reached;
      steps.push_back(reached.step);
    }
    const auto other = std::ranges::find_if(steps, [&](float step) { return step != steps.front(); });
    if (other == steps.end()) return {.step = steps.front(), .broken = {}};
    const nn::Node& node = graph_.nodes[static_cast<std::size_t>(join.node)];
    if (!join.adds)
      return {.broken = fmt::format("{} '{}' meets codes of different steps ({:.4g} and {:.4g})", node.op, node.name,
                                    static_cast<double>(steps.front()), static_cast<double>(*other))};
    return {.step = add_sum(join.node, steps), .broken = {}};
  }

  float add_sum(int node, const std::vector<float>& steps) {
    // An Add that no layer reads itself has the step of the one behind the next Add.
    const auto direct = readers_.find(node);
    const std::vector<std::size_t> readers = direct != readers_.end() ? direct->second : std::vector{reader_};
    CodeSum sum{.node = node, .layer = readers.front(), .format = layers_[readers.front()].formats->add};
    double step = 0.0;
    for (const std::size_t l : readers) {
      step = std::max(step, layers_[l].input_step);
      sum.largest_code = std::max(sum.largest_code, layers_[l].largest_input_code);
    }
    sum.step = coarse_step(step);
    const tile::FixedPointFormat format = tile::format_of(sum.format);
    const kernels::CodeRange range = kernels::code_range(format.width(), false);
    for (std::size_t k = 0; k < 2; ++k) {
      constexpr double out_of_reach = 1e15;
      sum.operand_step[k] = steps[k];
      const double m = static_cast<double>(steps[k]) / static_cast<double>(sum.step);
      const double code = std::nearbyint(std::min(std::ldexp(m, format.fraction_bits), out_of_reach));
      sum.multiplier[k] = std::min(static_cast<std::int64_t>(code), range.high);
      sum.saturated += static_cast<double>(sum.multiplier[k]) < code ? 1 : 0;
    }
    const auto at = std::ranges::lower_bound(found_.sums, node, {}, &CodeSum::node);
    found_.sums.insert(at, sum);
    return sum.step;
  }

  const nn::Graph& graph_;
  const std::vector<LayerLink>& links_;
  std::span<const LayerCodes> layers_;
  std::map<int, std::vector<std::size_t>>
      readers_;  // by node, layers that read its codes with nothing that adds between
  std::map<int, ReachedCodes> nodes_;
  std::size_t reader_ = 0;
  CodeConnections found_;
};

}  // namespace

CodeConnections connect_codes(const nn::Graph& graph, const std::vector<LayerLink>& links,
                              std::span<const LayerCodes> layers) {
  return StepFinder(graph, links, layers).run();
}

}  // namespace tessera::sim
