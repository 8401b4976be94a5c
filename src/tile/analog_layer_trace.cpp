#include <algorithm>
#include <cmath>

#include "tile/analog_layer_impl.hpp"

// The fixed-point periphery step by step, written from its definition: what a test bench replays.
namespace tessera::tile {
namespace {

CodeMatrix dac_codes(const AnalogProduct& product, ConstMatrixView x, float range) {
  std::optional<kernels::InputConversion> conversion = product.input_conversion();
  if (!conversion || !(conversion->converter.step > 0.0F) || x.cols != product.inputs()) return {};
  conversion->range = range;
  conversion->negative_factor = 1.0F;  // the DAC's error is no part of its code
  CodeMatrix codes(x.rows, x.cols);
  std::vector<float> z(static_cast<std::size_t>(x.cols));
  for (std::int64_t r = 0; r < x.rows; ++r) {
    require<RunError>(kernels::convert_inputs(*conversion, x.row_span(r), z),
                      "a value at the input of an analog tile is not finite");
    for (std::int64_t i = 0; i < x.cols; ++i)
      codes(r, i) = static_cast<std::int64_t>(std::rint(z[static_cast<std::size_t>(i)] / conversion->converter.step));
  }
  return codes;
}

}  // namespace

FixedPointTrace AnalogLayer::trace_fixed_point(ConstMatrixView x, const ForwardCall& call) const {
  const Impl& layer = *impl_;
  if (!layer.has_fixed_point()) throw ConfigError("pre_post.fixed_point", "is off: there are no codes");
  const FixedPointPeriphery& periphery = layer.ready_fixed_point();
  const FixedPointParameter& p = periphery.parameters;
  if (periphery.in_reals)
    throw ConfigError("pre_post.fixed_point", "computes in real numbers (exact, or binary16): there are no codes");
  if (p.product.rounding == FixedPointRounding::stochastic || p.output.rounding == FixedPointRounding::stochastic)
    throw ConfigError("pre_post.fixed_point.product.rounding", "is stochastic: there is no one vector to replay");
  const kernels::FixedPointDatapath& path = periphery.datapath;
  Matrix v(x.rows, product_columns());
  product(x, v.view(), call);
  FixedPointTrace trace;
  trace.accumulator = CodeMatrix(x.rows, outputs());
  trace.output = CodeMatrix(x.rows, outputs());
  for (std::int64_t t = 0; t < tile_count(); ++t) {
    const LayerTile& from = layer.tiles[static_cast<std::size_t>(t)];
    const FixedPointTile& tile = periphery.tiles[static_cast<std::size_t>(t)];
    const FixedPointOutputs& shared = periphery.outputs[static_cast<std::size_t>(t % layer.output_parts)];
    const bool last = t / layer.output_parts + 1 == layer.input_parts;
    FixedPointTrace::Tile codes;
    codes.dac = dac_codes(from.product, x.cols_from(from.place.first_input, from.place.inputs),
                          layer.parameters->pre_post.input_range.enable ? layer.tile_state(t).input_range : 0.0F);
    for (CodeMatrix* m : {&codes.adc, &codes.product, &codes.sum}) *m = CodeMatrix(x.rows, from.place.outputs);
    const std::int64_t first = layer.first_column(t);
    const auto per_unit = static_cast<float>(1.0 / tile.adc.step);
    const auto fitted = [&](kernels::WideInteger sum) {
      return kernels::fit(sum, path.accumulator_bits, true, path.accumulator_overflow);
    };
    for (std::int64_t r = 0; r < x.rows; ++r)
      for (std::int64_t c = 0; c < from.place.outputs; ++c) {
        const auto i = static_cast<std::size_t>(c);
        std::int64_t& s = trace.accumulator(r, from.place.first_output + c);
        const auto a = static_cast<std::int64_t>(std::rint(v(r, first + c) * per_unit));
        codes.adc(r, c) = std::clamp(a, -tile.adc.largest_code, tile.adc.largest_code);
        codes.product(r, c) = codes.adc(r, c) * tile.scale.code[i];
        const kernels::WideInteger kept = kernels::round_shift(codes.product(r, c), path.cut, path.product_rounding);
        s = fitted(s + kernels::round_shift(kept, tile.scale.shift[i], path.product_rounding));
        if (!tile.bias.aligned.empty()) s = fitted(static_cast<kernels::WideInteger>(s) + tile.bias.aligned[i]);
        codes.sum(r, c) = s;
        if (!last) continue;
        if (!shared.bias.aligned.empty()) s = fitted(static_cast<kernels::WideInteger>(s) + shared.bias.aligned[i]);
        const std::int64_t rectified = path.relu ? std::max<std::int64_t>(s, 0) : s;
        trace.output(r, from.place.first_output + c) =
            path.output_bits == 0
                ? rectified
                : kernels::fit(kernels::round_shift(rectified, path.fraction_bits, path.output_rounding),
                               path.output_bits, path.output_signed, path.output_overflow);
      }
    trace.tiles.push_back(std::move(codes));
  }
  return trace;
}

}  // namespace tessera::tile
