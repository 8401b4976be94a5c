#include <algorithm>

#include "sim/programmed_chip.hpp"

/// Ranges of activation quantizers and output codes, and where codes pass from layer to layer.
namespace tessera::sim {

void ProgrammedChip::connect_codes(const nn::Graph& graph) {
  input_codes_.assign(layers_.size(), {});
  code_sums_.clear();
  if (needs_activation_ranges()) return;
  std::vector<LayerCodes> codes(layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (!links_[l].fixed_point) continue;
    float range = 0.0F;
    for (const Part& part : layers_[l]) range = std::max(range, part.layer->output_range());
    for (Part& part : layers_[l]) {
      if (part.layer->output_range() != range)
        with_layer_name(part.name, [&] { part.own_layer().set_output_range(range); });
      for (std::int64_t t = 0; t < part.layer->tile_count(); ++t)
        codes[l].input_step = std::max(codes[l].input_step, part.layer->input_code_step(t));
    }
    const tile::AnalogLayer& tiles = *layers_[l].front().layer;
    codes[l].output_step = tiles.output_step();
    codes[l].largest_input_code = tiles.largest_input_code();
    codes[l].formats = &*tiles.parameters().pre_post.fixed_point;
  }
  CodeConnections found = sim::connect_codes(graph, links_, codes);
  code_sums_ = std::move(found.sums);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const ReachedCodes& reached = found.layers[l];
    input_codes_[l] = {.chained = reached.step > 0.0F,
                       .sources = links_[l].sources,
                       .sum = reached.sum < 0 ? nullptr : &code_sums_[static_cast<std::size_t>(reached.sum)],
                       .broken = links_[l].broken.empty() ? reached.broken : links_[l].broken};
    if (!input_codes_[l].chained) continue;
    for (Part& part : layers_[l])
      for (std::int64_t t = 0; t < part.layer->tile_count(); ++t) {
        const double range = static_cast<double>(part.layer->state().tiles[static_cast<std::size_t>(t)].input_range);
        part.own_layer().set_input_range(
            t, static_cast<float>(range * static_cast<double>(reached.step) / part.layer->input_code_step(t)));
      }
  }
}

namespace {

/// Keeps what the tiles of a layer give for the vectors of a batch, and then takes its activation ranges from all of
/// them. On one thread only.
class EstimatingOperator final : public nn::LinearOperator, private nn::TakesWeights, private nn::Collects {
 public:
  EstimatingOperator(const std::string& name, tile::AnalogLayer& layer)
      : name_(name), layer_(layer), outputs_(static_cast<std::size_t>(layer.tile_count())) {}
  void forward(ConstMatrixView x, MatrixView, std::uint64_t first_vector, Parallel parallel) const override {
    keep(layer_, x, first_vector, parallel);
  }
  void multiply(ConstMatrixView weight, ConstMatrixView x, MatrixView, std::uint64_t first_vector,
                std::uint64_t written, Parallel parallel) const override {
    keep(written_layer(layer_, weight, nullptr, written), x, first_vector, parallel);
  }
  const nn::TakesWeights* takes_weights() const override { return this; }
  const nn::Collects* collects() const override { return this; }
  void finish(MatrixView y) const override {
    with_layer_name(name_, [&] { layer_.estimate_activation_ranges(parts(0, y.rows), y); });
    for (AlignedVector<float>& outputs : outputs_) outputs = {};  // other layers need the memory
    rows_ = 0;
  }

 private:
  void keep(const tile::AnalogLayer& layer, ConstMatrixView x, std::uint64_t first_vector, Parallel parallel) const {
    const std::int64_t before = rows_;
    rows_ += x.rows;
    for (std::size_t t = 0; t < outputs_.size(); ++t)
      outputs_[t].resize(static_cast<std::size_t>(rows_ * layer.place(static_cast<std::int64_t>(t)).outputs));
    layer.tile_outputs(x, parts(before, x.rows), {first_vector, parallel, nullptr, 0});
  }
  std::vector<MatrixView> parts(std::int64_t first, std::int64_t rows) const {
    std::vector<MatrixView> views;
    for (std::size_t t = 0; t < outputs_.size(); ++t) {
      const std::int64_t columns = layer_.place(static_cast<std::int64_t>(t)).outputs;
      views.emplace_back(outputs_[t].data() + first * columns, rows, columns);
    }
    return views;
  }

  const std::string& name_;
  tile::AnalogLayer& layer_;
  mutable std::vector<AlignedVector<float>> outputs_;  // of every tile, vector by vector
  mutable std::int64_t rows_ = 0;
};

/// Whether the layer has an activation quantizer or an output code, and any of them has no range yet.
bool needs_activation_range(const tile::AnalogLayer& layer) {
  if (layer.parameters().pre_post.fixed_point) return layer.needs_output_range();
  const auto& quantizer = layer.parameters().act_quant_config;
  if (!quantizer || quantizer->n_bits <= 0) return false;
  const tile::LayerState& state = layer.state();
  return (state.tiles.size() > 1 && state.output_quantizer.delta.empty()) ||
         std::any_of(state.tiles.begin(), state.tiles.end(),
                     [](const tile::TileState& tile) { return tile.output_quantizer.delta.empty(); });
}

}  // namespace

bool ProgrammedChip::needs_activation_ranges() const {
  for (const auto& parts : layers_)
    for (const Part& part : parts)
      if (needs_activation_range(*part.layer)) return true;
  return false;
}

bool ProgrammedChip::has_output_codes() const {
  return std::ranges::any_of(links_, &LayerLink::fixed_point);
}

void ProgrammedChip::estimate_activation_ranges(const nn::Executor& executor, std::span<const Tensor> batches) {
  std::vector<std::unique_ptr<EstimatingOperator>> operators;
  nn::LinearOverrides overrides(layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    if (layers_[l].empty() || !needs_activation_range(*layers_[l].front().layer)) continue;
    for (Part& part : layers_[l]) {
      operators.push_back(std::make_unique<EstimatingOperator>(part.name, part.own_layer()));
      overrides[l].push_back(operators.back().get());
    }
  }
  std::uint64_t first = 0;
  for (const Tensor& batch : batches) {
    executor.run(batch, {.first_sample = first, .parallel = Parallel{1}, .overrides = &overrides, .observer = {}});
    first += static_cast<std::uint64_t>(batch.dim(0));
  }
  connect_codes(executor.graph());
}

}  // namespace tessera::sim
