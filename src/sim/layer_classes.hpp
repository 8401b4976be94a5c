#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "tessera/sim/evaluate.hpp"

/// Private: which layers of several evaluations compute the same.
namespace tessera::sim {

/// Numbers for the layers of some requests, equal where a layer's parameters and seed are, so that it does the same to
/// the same input on the same chip at the same time.
class LayerClasses {
 public:
  explicit LayerClasses(std::span<const EvaluationRequest* const> requests);

  const LayerParameters& parameters(std::size_t request, std::size_t layer) const {
    return requests_[request][layer].parameters;
  }
  std::uint32_t whole(std::size_t request, std::size_t layer) const { return requests_[request][layer].whole; }
  /// The same up to the periphery quantizer: equal products, and equal weights, programmed and drifted.
  std::uint32_t product(std::size_t request, std::size_t layer) const { return requests_[request][layer].product; }

  /// A number for what a layer (of class `whole` or `product`) is on one chip at one time, as one read finds it.
  std::uint32_t at(std::size_t request, std::size_t layer, std::uint32_t number, std::int64_t program,
                   std::optional<double> time_s, std::int64_t read);

 private:
  struct Layer {
    LayerParameters parameters;
    std::uint32_t whole = 0;
    std::uint32_t product = 0;
  };
  std::vector<std::vector<Layer>> requests_;
  using Key = std::tuple<std::uint32_t, std::int64_t, double, std::int64_t>;
  std::map<Key, std::uint32_t> numbers_;
};

/// Parameters of every layer of a request.
std::vector<LayerParameters> layer_parameters(const EvaluationRequest& request);

}  // namespace tessera::sim
