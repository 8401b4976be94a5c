#include "tessera/tile/crossbar_engine.hpp"

#include <algorithm>
#include <optional>

#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/sensitivity.hpp"
#include "tessera/kernels/outer_product.hpp"
#include "tessera/kernels/product.hpp"

namespace tessera::tile {
namespace {

using circuit::CrossbarParameters;
using circuit::RealMatrix;

RealMatrix widened(ConstMatrixView m) {
  RealMatrix wide = RealMatrix::uninitialized(m.rows, m.cols);
  for (std::int64_t r = 0; r < m.rows; ++r) std::copy_n(m.row(r), m.cols, wide.view().row(r));
  return wide;
}

/// Chain rule through the tile's linear part: quantizers and clipping pass gradients on as they are. Weights of
/// balanced cores with wires get the exact adjoint of the effective matrices of their arrays; others the gradient of
/// the effective weights themselves.
class CrossbarBackward final : public EngineBackward {
 public:
  CrossbarBackward(const CrossbarParameters& parameters, const RealMatrix& w, const circuit::CellState& state,
                   const circuit::WeightLimits& limits, const random::Address& address)
      : parameters_(circuit::without_converters(parameters)), w_(w), state_(state), sum_(w.rows(), w.cols()) {
    const RealMatrix computed = circuit::computed_weights(parameters_, state, address);
    Matrix response(w.cols(), w.rows());
    for (std::int64_t i = 0; i < w.cols(); ++i)
      for (std::int64_t j = 0; j < w.rows(); ++j) response(i, j) = static_cast<float>(limits.scale() * computed(j, i));
    back_ = kernels::PackedMatrix(std::as_const(response).view());  // [inputs, outputs]
  }

  void begin() override { std::fill(sum_.values().begin(), sum_.values().end(), 0.0F); }
  void prepare(MatrixView, std::span<const MatrixView>) const override {}
  void lines(ConstMatrixView, ConstMatrixView e, ConstMatrixView, std::span<const MatrixView>,
             MatrixView dz) const override {
    kernels::multiply(back_, e, dz);
  }
  void add_weights(ConstMatrixView z, ConstMatrixView e, ConstMatrixView, std::span<const MatrixView>,
                   Parallel parallel) override {
    kernels::add_outer_products(e, z, sum_.view(), parallel);
  }
  Matrix weight_gradient() const override {
    const circuit::Wires wires = circuit::normalised_wires(parameters_, w_.cols());
    const bool exact =
        parameters_.core.style == circuit::CoreStyle::BALANCED && !wires.ideal() && wires.current_from_input;
    return exact ? through_wires(wires) : sum_;
  }

 private:
  // y = limit (M+ - M-) x / gr and g+- = g0 + gr max(+-w, 0), w in units of the limit: the factors cancel.
  Matrix through_wires(const circuit::Wires& wires) const {
    const circuit::SliceCells& cells = state_.slices.front();
    const RealMatrix outer = widened(sum_.view());
    std::vector<RealMatrix> of_cells;
    if (parameters_.core.balanced.interleaved_posneg) {
      of_cells = circuit::FactoredArray({cells.positive.view(), cells.negative.view()}, wires)
                     .conductance_gradient(outer.view());
    } else {
      for (const RealMatrix* g : {&cells.positive, &cells.negative})
        of_cells.push_back(circuit::FactoredArray({g->view()}, wires).conductance_gradient(outer.view()).front());
      for (double& v : of_cells[1].values()) v = -v;
    }
    Matrix gradient(w_.rows(), w_.cols());
    const bool one_sided = parameters_.core.balanced.style == circuit::BalancedStyle::ONE_SIDED;
    for (std::size_t c = 0; c < gradient.values().size(); ++c) {
      const double w = w_.values()[c];
      const double plus = of_cells[0].values()[c], minus = -of_cells[1].values()[c];
      // Only one cell of a one-sided pair moves with the weight; at 0 either.
      const double share = !one_sided || w == 0.0 ? 0.5 : (w > 0.0 ? 1.0 : 0.0);
      gradient.values()[c] = static_cast<float>(share * plus + (1.0 - share) * minus);
    }
    return gradient;
  }

  CrossbarParameters parameters_;
  RealMatrix w_;
  circuit::CellState state_;
  kernels::PackedMatrix back_;
  Matrix sum_;
};

class CrossbarEngine final : public Engine {
 public:
  CrossbarEngine(const CrossbarParameters& parameters, const circuit::WeightLimits& limits,
                 const random::Address& address, ConstMatrixView weights)
      : parameters_(parameters),
        limits_(limits),
        address_(address),
        weights_(weights),
        normalised_(circuit::normalised_weights(parameters.core.weights, limits, widened(weights).view())),
        state_(circuit::program_cells(parameters, normalised_.view(), address)),
        tile_(parameters, state_, limits, address, circuit::Precision::single) {}
  /// With the cells of `state` in place of those of `like`.
  CrossbarEngine(const CrossbarEngine& like, circuit::CellState state)
      : parameters_(like.parameters_),
        limits_(like.limits_),
        address_(like.address_),
        normalised_(circuit::stored_weights(parameters_, state)),
        state_(std::move(state)),
        settings_(like.settings_),
        tile_(parameters_, state_, limits_, address_, circuit::Precision::single) {
    weights_ = circuit::rounded(normalised_.view());
    for (float& w : weights_.values()) w *= static_cast<float>(limits_.scale());
    if (!settings_.empty()) tile_ = tile_.with_converters(settings_);
  }

  std::int64_t inputs() const override { return weights_.cols(); }
  std::int64_t outputs() const override { return weights_.rows(); }
  std::int64_t bytes() const override { return tile_.bytes(); }
  Matrix weights() const override { return weights_; }
  std::shared_ptr<const Engine> with_weights(ConstMatrixView weights) const override {
    auto engine = std::make_shared<CrossbarEngine>(parameters_, limits_, address_, weights);
    engine->set_converters(settings_);
    return engine;
  }
  Matrix cells() const override {
    return circuit::rounded(circuit::stacked(circuit::target_cells(parameters_, normalised_.view())).view());
  }
  std::shared_ptr<const Engine> with_cells(ConstMatrixView cells) const override {
    return std::make_shared<CrossbarEngine>(*this, circuit::unstacked(widened(cells).view(), state_));
  }
  std::shared_ptr<const Engine> with_converters(std::span<const circuit::ConverterSetting> settings) const override {
    auto engine = std::make_shared<CrossbarEngine>(*this);
    engine->set_converters({settings.begin(), settings.end()});
    return engine;
  }
  bool calibrated() const override { return tile_.calibrated(); }
  std::optional<circuit::OutputGrid> output_grid() const override { return tile_.output_grid(); }
  std::optional<circuit::WireLoss> wire_loss(Parallel parallel) const override {
    if (!parameters_.array.parasitics.enable) return std::nullopt;
    return circuit::wire_loss(parameters_, state_, address_, parallel);
  }
  circuit::CompensationLoss compensation_loss() const override { return state_.compensation; }

  void run(const EngineCall& call, EngineScratch&) const override {
    if (call.statistics == nullptr) {
      tile_.multiply(call.z, call.v, {call.first_vector, call.event});
      return;
    }
    LayerStatistics& statistics = *call.statistics;
    circuit::TileCounts counts;
    counts.activity = statistics.activity;
    for (const circuit::ConversionCounts& slice : statistics.converters) counts.slices.push_back(slice.blank());
    tile_.multiply(call.z, call.v, {call.first_vector, call.event}, &counts);
    // The tile counts one conversion per output for every product; the crossbar knows better.
    if (parameters_.adc.converts()) statistics.adc_conversions -= call.z.rows * outputs();
    statistics.line_clipped += counts.line_clipped;
    statistics.dac_code_sum += counts.code_sum;
    statistics.dac_bit_sum += counts.bit_sum;
    if (statistics.converters.size() < counts.slices.size()) statistics.converters.resize(counts.slices.size());
    for (std::size_t s = 0; s < counts.slices.size(); ++s) {
      statistics.converters[s].add(counts.slices[s]);
      statistics.adc_conversions += counts.slices[s].conversions;
      statistics.adc_saturated += counts.slices[s].below + counts.slices[s].above;
    }
  }

  std::unique_ptr<EngineBackward> backward() const override {
    return std::make_unique<CrossbarBackward>(parameters_, normalised_, state_, limits_, address_);
  }

 private:
  void set_converters(std::vector<circuit::ConverterSetting> settings) {
    settings_ = std::move(settings);
    if (!settings_.empty()) tile_ = tile_.with_converters(settings_);
  }

  CrossbarParameters parameters_;
  circuit::WeightLimits limits_;
  random::Address address_;
  Matrix weights_;
  RealMatrix normalised_;
  circuit::CellState state_;
  std::vector<circuit::ConverterSetting> settings_;
  circuit::CoreTile tile_;
};

}  // namespace

std::vector<Problem> crossbar_problems(const RpuParameters& p) {
  std::vector<Problem> problems;
  if (!p.crossbar) return problems;
  const CrossbarParameters& crossbar = *p.crossbar;
  const auto require = [&](bool condition, const std::string& key, const std::string& message) {
    if (!condition) problems.push_back({{}, 0, 0, key, message});
  };
  circuit::find_problems(crossbar, problems);
  for (Problem& problem : problems) problem.key = "crossbar." + problem.key;
  // The size of a tile may be given in either place.
  const auto check_size = [&](std::int64_t size, int mapped, int unset, const char* key, const char* mapping_key) {
    require(size == 0 || mapped == unset || mapped == size, std::string("crossbar.core.") + key,
            fmt::format("{} differs from mapping.{} = {}; give one of them", size, mapping_key, mapped));
  };
  const MappingParameter unset;
  check_size(crossbar.core.rows_max, p.mapping.max_input_size, unset.max_input_size, "rows_max", "max_input_size");
  check_size(crossbar.core.cols_max, p.mapping.max_output_size, unset.max_output_size, "cols_max", "max_output_size");
  for (const auto& [strategy, key] : {std::pair{crossbar.core.weights.row_partition_strategy, "row"},
                                      std::pair{crossbar.core.weights.col_partition_strategy, "col"}})
    require(strategy == circuit::PartitionStrategy::EQUAL,
            fmt::format("crossbar.core.mapping.weights.{}_partition_strategy", key),
            "layers of networks are cut into tiles of EQUAL size");
  require(!crossbar.core.inputs.percentile, "crossbar.core.mapping.inputs.mvm.percentile",
          "input limits of networks come from calibration: pre_post.input_range with min and max here");
  return problems;
}

CrossbarCount crossbar_count(const CrossbarParameters& p, const TilePlace& place) {
  const bool interleaved = p.has_pairs() && p.core.balanced.interleaved_posneg;
  CrossbarCount count;
  count.arrays = interleaved ? p.slices() : p.cells_per_weight();
  if (!p.adc.converts()) return count;
  const std::int64_t lines = place.outputs + (p.has_unit_column() ? 1 : 0);
  const bool shared = p.adc.is_circuit() && p.adc.model != circuit::AdcModel::RampADC;
  const std::int64_t each = shared ? (lines + p.adc.group_size - 1) / p.adc.group_size : lines;
  count.converters = each * p.slices() * (p.has_pairs() && !p.subtracts_in_array() ? 2 : 1);
  return count;
}

IOParameters bare_forward() {
  IOParameters io;
  io.inp_bound = 0.0;
  io.inp_res = -1.0;
  io.out_bound = 0.0;
  io.out_noise = 0.0;
  io.out_res = -1.0;
  io.bound_management = BoundManagementType::NONE;
  io.noise_management = NoiseManagementType::NONE;
  return io;
}

MappingParameter crossbar_mapping(const RpuParameters& parameters) {
  MappingParameter mapping = parameters.mapping;
  if (!parameters.crossbar) return mapping;
  const circuit::CoreParameters& core = parameters.crossbar->core;
  if (core.rows_max > 0) mapping.max_input_size = static_cast<int>(core.rows_max);
  if (core.cols_max > 0) mapping.max_output_size = static_cast<int>(core.cols_max);
  return mapping;
}

RpuParameters with_crossbar_tiles(const RpuParameters& parameters) {
  RpuParameters p = parameters;
  if (!p.crossbar) return p;
  p.forward = bare_forward();
  p.mapping = crossbar_mapping(parameters);
  return p;
}

EngineFactory crossbar_engines(const CrossbarParameters& parameters, const MappingParameter& mapping,
                               ConstMatrixView weight) {
  std::optional<circuit::WeightLimits> whole;
  if (mapping.weight_scaling_omega <= 0.0)
    whole = circuit::weight_limits(parameters.core.weights, widened(weight).view());
  return [parameters, whole](ConstMatrixView weights, const random::Address& address) {
    const circuit::WeightLimits limits =
        whole ? *whole : circuit::weight_limits(parameters.core.weights, widened(weights).view());
    return std::make_shared<const CrossbarEngine>(parameters, limits, address, weights);
  };
}

}  // namespace tessera::tile
