#include "tessera/tile/analog_columns.hpp"

#include <algorithm>

#include "tile/analog_layer_impl.hpp"

namespace tessera::tile {
namespace {

constexpr const char* not_finite = "a value at the input of an analog tile is not finite";
constexpr std::int64_t part_columns = 64;
constexpr std::int64_t block_windows = 64;  // as many draws of a stream are made together (tessera/random/stream.hpp)

/// One value for every layer; empty where none has any.
std::vector<float> gathered(std::span<const LayerTile* const> tiles, std::vector<float> LayerTile::*member) {
  if (std::ranges::all_of(tiles, [&](const LayerTile* tile) { return (tile->*member).empty(); })) return {};
  std::vector<float> values;
  for (const LayerTile* tile : tiles) values.push_back((tile->*member).empty() ? 1.0F : (tile->*member)[0]);
  return values;
}

/// Windows [first, first + count) of all.
std::vector<kernels::WindowRun> runs_of(const kernels::ChannelWindows& z, std::int64_t first, std::int64_t count) {
  std::vector<kernels::WindowRun> runs;
  for (const kernels::WindowRun& run : z.runs) {
    const std::int64_t begin = std::max<std::int64_t>(0, first), end = std::min(run.count, first + count);
    if (begin < end) runs.push_back({run.first + begin * z.step, end - begin});
    first -= run.count;
  }
  return runs;
}

}  // namespace

struct AnalogColumns::Part {
  AnalogProduct product;
  ColumnStreams streams;
  std::vector<float> scale, alpha, late_scale, bias;  // empty: none
};

std::optional<AnalogColumns> AnalogColumns::of(std::span<const AnalogLayer* const> layers) {
  if (layers.empty()) return std::nullopt;
  const AnalogLayer::Impl& first = *layers.front()->impl_;
  std::vector<float> ranges;
  std::optional<kernels::InputConversion> conversion;
  const std::shared_ptr<const IOParameters> io(first.parameters, &first.parameters->forward);
  for (const AnalogLayer* layer : layers) {
    const AnalogLayer::Impl& own = *layer->impl_;
    if (own.tiles.size() != 1 || own.outputs != 1 || own.inputs != first.inputs || own.has_fixed_point() ||
        own.parameters->forward != *io || own.bias.empty() != first.bias.empty())
      return std::nullopt;
    const LayerTile& tile = own.tiles.front();
    conversion = layer->input_conversion();
    if (!conversion || !tile.product.columns_apart() || tile.output_quantizer ||
        tile.product.frozen().out_noise_values.empty() != first.tiles.front().product.frozen().out_noise_values.empty())
      return std::nullopt;
    ranges.push_back(conversion->range);
  }
  AnalogColumns columns;
  columns.ranged_ = ranges.front() > 0.0F;
  columns.same_ranges_ = std::ranges::all_of(ranges, [&](float range) { return range == ranges.front(); });
  if (!columns.same_ranges_ && std::ranges::any_of(ranges, [](float range) { return range <= 0.0F; }))
    return std::nullopt;
  columns.conversion_ = {std::move(ranges), conversion->scale, conversion->converter, conversion->negative_factor};
  columns.columns_ = std::ssize(layers);
  auto parts = std::make_shared<std::vector<Part>>();
  for (std::size_t begin = 0; begin < layers.size(); begin += part_columns) {
    const auto some = layers.subspan(begin, std::min<std::size_t>(part_columns, layers.size() - begin));
    Part part;
    Matrix weights = Matrix::uninitialized(std::ssize(some), first.inputs);
    FrozenDraws frozen;
    std::vector<const LayerTile*> tiles;
    for (std::size_t c = 0; c < some.size(); ++c) {
      const AnalogLayer::Impl& own = *some[c]->impl_;
      const LayerTile& tile = own.tiles.front();
      tiles.push_back(&tile);
      const Matrix own_weights = tile.product.engine()->weights();
      std::copy_n(own_weights.view().row(0), first.inputs, weights.view().row(static_cast<std::int64_t>(c)));
      for (const float value : tile.product.frozen().out_noise_values) frozen.out_noise_values.push_back(value);
      for (const float value : own.bias_in_use()) part.bias.push_back(value);
      random::Address address = own.address;
      address.tile = 0;
      for (const random::Purpose purpose :
           {random::Purpose::output_noise, random::Purpose::weight_read_noise, random::Purpose::adc_rounding})
        part.streams[purpose].emplace_back(address, purpose);
    }
    part.product = AnalogProduct(io, first.tiles.front().product.engine()->with_weights(weights.view()), first.address);
    part.product.set_frozen(std::move(frozen));
    part.scale = gathered(tiles, &LayerTile::scale);
    part.alpha = gathered(tiles, &LayerTile::alpha);
    part.late_scale = gathered(tiles, &LayerTile::late_scale);
    parts->push_back(std::move(part));
  }
  columns.parts_ = std::move(parts);
  return columns;
}

void AnalogColumns::convert(std::span<const float> x, std::span<float> z, kernels::ConversionCounts* counts) const {
  if (ranged_ && !same_ranges_) {
    require<RunError>(kernels::convert_channels(conversion_, x, z, counts), not_finite);
    return;
  }
  const auto n = static_cast<std::int64_t>(x.size());
  kernels::DacBlock block;
  block.x = {x.data(), 1, n};
  block.z = {z.data(), 1, n};
  block.range = ranged_ ? conversion_.ranges.front() : 0.0F;
  block.scale = conversion_.scale != 1.0F ? &conversion_.scale : nullptr;
  block.converter = conversion_.converter;
  block.negative_factor = conversion_.negative_factor;
  block.counts = counts;
  require<RunError>(kernels::convert_inputs(block), not_finite);
}

void AnalogColumns::count_inputs(std::span<const float> x, std::int64_t times, LayerStatistics& statistics) const {
  AlignedVector<float> z(x.size());
  kernels::ConversionCounts counts;
  convert(x, z, &counts);
  statistics.inputs_clipped += times * counts.range_clipped;
  statistics.dac_clipped += times * counts.clipped;
  statistics.dac_peak = std::max(statistics.dac_peak, counts.peak);
}

void AnalogColumns::forward(const kernels::ChannelWindows& z, MatrixView y, std::uint64_t first_vector,
                            std::uint32_t event, LayerStatistics* statistics) const {
  ProductScratch scratch;
  if (statistics != nullptr) {
    const std::int64_t vectors = y.rows * columns_, inputs = vectors * std::ssize(z.taps);
    statistics->vectors += vectors;
    statistics->tile_vectors += vectors;
    statistics->bound_management_rounds += vectors;
    statistics->adc_conversions += vectors;
    statistics->dac_conversions += inputs;
    if (ranged_) statistics->inputs += inputs;
  }
  for (std::int64_t first = 0; first < y.rows;) {
    const std::uint64_t vector = first_vector + static_cast<std::uint64_t>(first);
    const std::int64_t whole = block_windows - static_cast<std::int64_t>(vector % block_windows);
    const std::int64_t count = std::min(whole, y.rows - first);
    const std::vector<kernels::WindowRun> runs = runs_of(z, first, count);
    const kernels::ChannelWindows windows{runs, z.taps, z.step};
    std::int64_t column = 0;
    for (const Part& part : *parts_) {
      const MatrixView to = y.rows_from(first, count).cols_from(column, part.product.outputs());
      const bool late = !part.alpha.empty() || !part.late_scale.empty();
      ProductCall call;
      call.y = to;
      call.first_vector = vector;
      call.event = event;
      call.scale = part.scale.empty() ? nullptr : part.scale.data();
      call.bias = late || part.bias.empty() ? nullptr : part.bias.data();
      call.columns = &part.streams;
      call.statistics = statistics;
      part.product.run_columns(windows, column, call, scratch);
      if (late) {
        multiply_columns(to, part.alpha);
        multiply_columns(to, part.late_scale);
        if (!part.bias.empty()) add_columns(to, part.bias);
      }
      column += to.cols;
    }
    first += count;
  }
}

}  // namespace tessera::tile
