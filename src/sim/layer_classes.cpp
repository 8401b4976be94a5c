#include "layer_classes.hpp"

#include <algorithm>
#include <tuple>

#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {

namespace {

/// What a product depends on.
LayerParameters without_periphery(LayerParameters layer) {
  layer.rpu.pre_post.periph_quant = {};
  return layer;
}

/// Ranges of activation quantizers and output codes are estimated on the network as it is, and codes pass from layer to
/// layer, so that a layer depends on all others.
bool estimates_ranges(const std::vector<LayerParameters>& layers) {
  return std::any_of(layers.begin(), layers.end(), [](const LayerParameters& layer) {
    return layer.analog &&
           (layer.rpu.pre_post.fixed_point || (layer.rpu.act_quant_config && layer.rpu.act_quant_config->n_bits > 0));
  });
}

/// Numbers equal values alike.
class Numbering {
 public:
  std::uint32_t of(const EvaluationRequest& request, LayerParameters layer) {
    // Number formats round the target weights.
    FormatMap formats = request.quantization ? request.quantization->formats : FormatMap{};
    std::tuple key(request.seed, request.evaluation.chips, std::move(formats), std::move(layer));
    const auto found = std::find(known_.begin(), known_.end(), key);
    if (found == known_.end()) {
      known_.push_back(std::move(key));
      return static_cast<std::uint32_t>(known_.size());
    }
    return static_cast<std::uint32_t>(found - known_.begin()) + 1;
  }

 private:
  std::vector<std::tuple<std::uint64_t, std::string, FormatMap, LayerParameters>> known_;
};

}  // namespace

std::vector<LayerParameters> layer_parameters(const EvaluationRequest& request) {
  return layer_parameters(request.executor, request.resolve);
}

LayerClasses::LayerClasses(std::span<const EvaluationRequest* const> requests) {
  std::vector<std::vector<LayerParameters>> all;
  for (const EvaluationRequest* request : requests) all.push_back(layer_parameters(*request));
  requests_.resize(requests.size());
  const std::size_t layers = all.empty() ? 0 : all.front().size();
  // Requests whose layers depend on each other share nothing unless they are the same throughout.
  std::vector<std::uint32_t> kin(requests.size(), 0);
  std::uint32_t families = 0;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    if (!estimates_ranges(all[r])) continue;
    for (std::size_t before = 0; before < r && kin[r] == 0; ++before)
      if (kin[before] != 0 && all[before] == all[r] && requests[before]->seed == requests[r]->seed &&
          requests[before]->quantization == requests[r]->quantization)
        kin[r] = kin[before];
    if (kin[r] == 0) kin[r] = ++families;
  }
  for (std::size_t l = 0; l < layers; ++l) {
    // Products and whole layers are numbered from one range, so that their numbers on chips do not collide.
    std::vector<Numbering> whole(families + 1), product(families + 1);
    const auto stride = static_cast<std::uint32_t>(2 * requests.size() + 2);
    for (std::size_t r = 0; r < requests.size(); ++r) {
      Layer layer{all[r][l]};
      if (layer.parameters.analog) {
        layer.whole = 2 * kin[r] * stride + whole[kin[r]].of(*requests[r], layer.parameters);
        layer.product =
            (2 * kin[r] + 1) * stride + product[kin[r]].of(*requests[r], without_periphery(layer.parameters));
      }
      requests_[r].push_back(std::move(layer));
    }
  }
}

std::uint32_t LayerClasses::at(std::size_t request, std::size_t layer, std::uint32_t number, std::int64_t program,
                               std::optional<double> time_s, std::int64_t read) {
  const LayerParameters& parameters = requests_[request][layer].parameters;
  if (!parameters.analog) return 0;
  const double time = time_s && parameters.device ? *time_s : -1.0;
  const auto next = static_cast<std::uint32_t>(numbers_.size() + 1);
  return numbers_.try_emplace(Key{number, program, time, read}, next).first->second;
}

}  // namespace tessera::sim
