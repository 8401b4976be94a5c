#include "circuit/line_currents.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/circuit/cell_voltages.hpp"
#include "tessera/circuit/device_error.hpp"
#include "tessera/circuit/effective_matrix.hpp"
#include "tessera/circuit/fixed_point.hpp"

namespace tessera::circuit::detail {
namespace {

template <class T>
using Owning = std::conditional_t<std::is_same_v<T, float>, Matrix, RealMatrix>;

void add_scaled(RealMatrix& a, const RealMatrix& b, double factor) {
  for (std::size_t c = 0; c < a.values().size(); ++c) a.values()[c] += factor * b.values()[c];
}

/// In units of Gmax and Vread: i = g v + c2 v^2 + c3 v^3.
std::array<RealMatrix, 2> power_coefficients(const CellParameters& device, const RealMatrix& g) {
  std::array<RealMatrix, 2> c{RealMatrix(g.rows(), g.cols()), RealMatrix(g.rows(), g.cols())};
  const CellLaw law = cell_law(device);
  for (std::size_t e = 0; e < g.values().size(); ++e) {
    const CellCurve curve = cell_curve(law, g.values()[e] / device.Rmin);
    c[0].values()[e] = curve.c2 * device.Vread * device.Rmin;
    c[1].values()[e] = curve.c3 * device.Vread * device.Vread * device.Rmin;
  }
  return c;
}

RealMatrix deviations(const CellParameters& device, const RealMatrix& g) {
  RealMatrix sigma(g.rows(), g.cols());
  for (std::size_t c = 0; c < sigma.values().size(); ++c)
    sigma.values()[c] = error_law(device.read_noise, ErrorSlot::read_noise, device, g.values()[c], device.time).sigma;
  return sigma;
}

NoiseSensitivity ideal_sensitivity(std::int64_t outputs, std::int64_t inputs) {
  NoiseSensitivity s{RealMatrix(outputs, inputs), RealMatrix(outputs, inputs), RealMatrix(outputs, inputs)};
  for (RealMatrix* m : {&s.adjoint, &s.own_drop, &s.ones_drop}) std::fill(m->values().begin(), m->values().end(), 1.0);
  return s;
}

}  // namespace

CellLaw cell_law(const CellParameters& device) {
  if (!device.nonlinear_IV.active()) return LinearCell{};
  if (device.nonlinear_IV.model == CellLawModel::CubicDevice) return CubicCell{};
  return RramMiloCell{};
}

CurrentMatrix::CurrentMatrix(ConstRealView m, Precision precision) {
  if (precision == Precision::single)
    packed_ = kernels::PackedMatrix(rounded(m).view());
  else
    real_ = RealMatrix(m);
}

// Vectors of the other precision are converted: that is for tests and tools, networks use the one they asked for.
void CurrentMatrix::multiply(ConstMatrixView v, MatrixView out) const {
  if (real_.rows() == 0) {
    kernels::multiply(packed_, v, out);
    return;
  }
  RealMatrix x(v.rows, v.cols);
  for (std::int64_t r = 0; r < v.rows; ++r) std::copy_n(v.row(r), v.cols, x.view().row(r));
  const Matrix y = rounded(multiply_rows(x.view(), real_.view()).view());
  for (std::int64_t r = 0; r < out.rows; ++r) std::copy_n(y.view().row(r), out.cols, out.row(r));
}

void CurrentMatrix::multiply(ConstRealView v, RealView out) const {
  if (real_.rows() > 0) {
    const RealMatrix y = multiply_rows(v, real_.view());
    for (std::int64_t r = 0; r < out.rows; ++r) std::copy_n(y.view().row(r), out.cols, out.row(r));
    return;
  }
  const Matrix x = rounded(v);
  Matrix y(out.rows, out.cols);
  kernels::multiply(packed_, x.view(), y.view());
  for (std::int64_t r = 0; r < out.rows; ++r) std::copy_n(y.view().row(r), out.cols, out.row(r));
}

std::int64_t CurrentMatrix::bytes() const {
  return packed_.bytes() + static_cast<std::int64_t>(real_.values().size_bytes());
}

ReadNoise::ReadNoise(const NoiseMatrices& matrices, Precision precision)
    : square_(matrices.square.view(), precision), mixed_(matrices.mixed.view(), precision), mean_(matrices.mean) {
  has_mean_ = std::any_of(mean_.begin(), mean_.end(), [](double v) { return v > 0.0; });
}

template <class T>
void ReadNoise::add(BasicMatrixView<const T> v, const ConversionDraws& draws, BasicMatrixView<T> out) const {
  Owning<T> square(v.rows, v.cols), variance(out.rows, out.cols), mixed;
  for (std::int64_t r = 0; r < v.rows; ++r)
    for (std::int64_t i = 0; i < v.cols; ++i) square(r, i) = v(r, i) * v(r, i);
  square_.multiply(BasicMatrixView<const T>(square.view()), variance.view());
  if (has_mean_) {
    mixed = Owning<T>(out.rows, out.cols);
    mixed_.multiply(v, mixed.view());
  }
  std::vector<float> xi(static_cast<std::size_t>(out.cols));
  for (std::int64_t r = 0; r < out.rows; ++r) {
    random::fill_normal(draws.stream, draws.event,
                        (draws.first_vector + static_cast<std::uint64_t>(r)) * static_cast<std::uint64_t>(out.cols),
                        xi);
    double mean = 0.0;
    if (has_mean_)
      for (std::int64_t i = 0; i < v.cols; ++i) mean += static_cast<double>(v(r, i)) / static_cast<double>(v.cols);
    for (std::int64_t j = 0; j < out.cols; ++j) {
      double sum = static_cast<double>(variance(r, j));
      if (has_mean_) sum += mean * static_cast<double>(mixed(r, j)) + mean * mean * mean_[static_cast<std::size_t>(j)];
      out(r, j) += static_cast<T>(std::sqrt(std::max(sum, 0.0)) * static_cast<double>(xi[static_cast<std::size_t>(j)]));
    }
  }
}

LineCurrents::LineCurrents(const CrossbarParameters& p, ArrayCells cells, bool separate, const Wires& wires,
                           Precision precision, Parallel parallel)
    : outputs_(cells.positive.rows()),
      array_(std::move(cells)),
      separate_(separate),
      wires_(wires),
      simulation_(p.simulation),
      device_(p.device) {
  const bool gated = !wires.current_from_input;
  const bool nonlinear = p.device.nonlinear_IV.active();
  const bool ideal = wires.ideal();
  series_sources_ = gated && p.compat.gated_signed == GatedSigned::CROSSSIM && p.dac.is_signed;
  each_vector_ = !ideal && (gated || nonlinear || simulation_.solver != Solver::EXACT);
  const bool ladders = gated && each_vector_ && !nonlinear && !series_sources_;
  noisy_gates_ = ladders && p.device.read_noise.active();
  if (ladders && !noisy_gates_) {
    if (separate_) {
      gated_.push_back(std::make_shared<const GatedArray>(Cells{array_.positive.view()}, wires_));
      if (array_.negative.rows() > 0)
        gated_.push_back(std::make_shared<const GatedArray>(Cells{array_.negative.view()}, wires_));
    } else {
      gated_.push_back(std::make_shared<const GatedArray>(this->cells(), wires_));
    }
    array_ = {};
  }
  if (each_vector_) return;
  solve_linear(p, separate, precision, parallel);
  if (nonlinear) {
    std::array<RealMatrix, 2> powers = power_coefficients(device_, array_.positive);
    if (array_.negative.rows() > 0) {
      // The negative array of a pair subtracts its current; an interleaved negative cell sees -v.
      const std::array<RealMatrix, 2> other = power_coefficients(device_, array_.negative);
      add_scaled(powers[0], other[0], separate ? -1.0 : 1.0);
      add_scaled(powers[1], other[1], -1.0);
    }
    powers_ = {CurrentMatrix(powers[0].view(), precision), CurrentMatrix(powers[1].view(), precision)};
  }
  if (p.device.read_noise.active()) prepare_noise(p, separate, precision, parallel);
  array_ = {};
}

void LineCurrents::solve_linear(const CrossbarParameters&, bool separate, Precision precision, Parallel parallel) {
  const bool pair = array_.negative.rows() > 0;
  RealMatrix m;
  if (wires_.ideal()) {
    m = array_.positive;
    if (pair) add_scaled(m, array_.negative, -1.0);
  } else if (separate || !pair) {
    m = effective_matrix({array_.positive.view()}, wires_, parallel);
    if (pair) add_scaled(m, effective_matrix({array_.negative.view()}, wires_, parallel), -1.0);
  } else {
    m = effective_matrix(cells(), wires_, parallel);
  }
  linear_ = CurrentMatrix(m.view(), precision);
}

void LineCurrents::prepare_noise(const CrossbarParameters& p, bool separate, Precision precision, Parallel parallel) {
  NoiseMatrices matrices;
  const auto add = [&](const RealMatrix& g, const NoiseSensitivity& s) {
    matrices.add(s, deviations(p.device, g).view());
  };
  const bool pair = array_.negative.rows() > 0;
  if (wires_.ideal()) {
    const NoiseSensitivity ideal = ideal_sensitivity(array_.positive.rows(), array_.positive.cols());
    add(array_.positive, ideal);
    if (pair) add(array_.negative, ideal);
  } else if (pair && !separate) {
    const std::vector<NoiseSensitivity> both = FactoredArray(cells(), wires_, parallel).noise_sensitivities(parallel);
    add(array_.positive, both[0]);
    add(array_.negative, both[1]);
  } else {
    for (const RealMatrix* g : {&array_.positive, &array_.negative})
      if (g->rows() > 0) add(*g, FactoredArray({g->view()}, wires_, parallel).noise_sensitivities(parallel).front());
  }
  noise_.emplace(matrices, precision);
}

Cells LineCurrents::cells() const {
  return {array_.positive.view(), array_.negative.rows() > 0 ? array_.negative.view() : ConstRealView{}};
}

std::vector<double> LineCurrents::solve_one(const Cells& cells, std::span<const double> v) const {
  if (series_sources_) return series_source_currents(cells, wires_, v);
  const bool nonlinear = device_.nonlinear_IV.active();
  if (!nonlinear && !wires_.current_from_input) {  // noisy gates: other cells for every vector
    const RealMatrix one = GatedArray(cells, wires_).currents({v.data(), 1, static_cast<std::int64_t>(v.size())});
    return {one.values().begin(), one.values().end()};
  }
  if (!nonlinear && simulation_.solver == Solver::FIXED_POINT)
    return fixed_point_currents(
        cells, wires_, v, {simulation_.Verr_th_mvm, simulation_.relaxation_gamma, simulation_.Niters_max_parasitics});
  if (!nonlinear) return cell_voltages(cells, wires_, v).current_A;
  // Nonlinear laws know amperes and volts.
  const auto in_siemens = [&](ConstRealView g) {
    RealMatrix m(g);
    for (double& x : m.values()) x /= device_.Rmin;
    return m;
  };
  const RealMatrix positive = in_siemens(cells.positive);
  const RealMatrix negative = cells.interleaved() ? in_siemens(cells.negative) : RealMatrix();
  Wires wires = wires_;
  for (double* ohm : {&wires.row_ohm, &wires.column_ohm, &wires.row_terminal_ohm, &wires.column_terminal_ohm})
    *ohm *= device_.Rmin;
  wires.supply_V *= device_.Vread;
  std::vector<double> volts(v.begin(), v.end());
  if (wires.current_from_input)
    for (double& x : volts) x *= device_.Vread;
  std::vector<double> current =
      cell_voltages({positive.view(), cells.interleaved() ? negative.view() : ConstRealView{}}, wires, volts,
                    cell_law(device_))
          .current_A;
  for (double& i : current) i *= device_.Rmin / device_.Vread;
  return current;
}

// As vector r of a call finds them. Element (vector, cell): each vector has draws of its own, at an event of its own.
ArrayCells LineCurrents::noisy_cells(const ConversionDraws& draws, std::int64_t r) const {
  ArrayCells noisy = array_;
  const std::uint64_t vector = draws.first_vector + static_cast<std::uint64_t>(r);
  random::Stream stream = draws.stream;
  stream.key[0] ^= static_cast<std::uint32_t>(vector);
  stream.key[1] ^= static_cast<std::uint32_t>(vector >> 32);
  std::uint32_t set = 0;
  for (RealMatrix* g : {&noisy.positive, &noisy.negative}) {
    if (g->rows() > 0)
      apply_error(device_.read_noise, ErrorSlot::read_noise, device_, device_.time, stream, draws.event ^ (set << 31),
                  g->values());
    ++set;
  }
  return noisy;
}

void LineCurrents::solve_each(ConstRealView v, const ConversionDraws& draws, RealView out) const {
  for (std::int64_t r = 0; r < v.rows; ++r) {
    std::fill_n(out.row(r), out.cols, 0.0);
    if (std::all_of(v.row(r), v.row(r) + v.cols, [](double x) { return x == 0.0; })) continue;
    ArrayCells noisy;
    const ArrayCells* now = &array_;
    if (device_.read_noise.active()) {
      noisy = noisy_cells(draws, r);
      now = &noisy;
    }
    const bool pair = now->negative.rows() > 0;
    const auto add = [&](const Cells& cells, double sign) {
      const std::vector<double> current = solve_one(cells, v.row_span(r));
      for (std::int64_t j = 0; j < out.cols; ++j) out(r, j) += sign * current[static_cast<std::size_t>(j)];
    };
    if (separate_ || !pair) {
      add({now->positive.view()}, 1.0);
      if (pair) add({now->negative.view()}, -1.0);
    } else {
      add({now->positive.view(), now->negative.view()}, 1.0);
    }
  }
}

void LineCurrents::run_noisy_gated(ConstMatrixView gates, const ConversionDraws& draws, MatrixView out) const {
  for (std::int64_t r = 0; r < gates.rows; ++r) {
    const MatrixView row(out.row(r), 1, out.cols, out.stride);
    std::fill_n(row.data, row.cols, 0.0F);
    if (std::all_of(gates.row(r), gates.row(r) + gates.cols, [](float x) { return x == 0.0F; })) continue;
    const ArrayCells noisy = noisy_cells(draws, r);
    const bool pair = noisy.negative.rows() > 0;
    const auto add = [&](const Cells& cells, float sign) {
      GatedArray(cells, wires_, false).add_currents(gates.rows_from(r, 1), sign, row);
    };
    if (pair && !separate_) {
      add({noisy.positive.view(), noisy.negative.view()}, 1.0F);
      continue;
    }
    add({noisy.positive.view()}, 1.0F);
    if (pair) add({noisy.negative.view()}, -1.0F);
  }
}

void LineCurrents::run_gated(ConstMatrixView gates, MatrixView out) const {
  for (std::int64_t r = 0; r < out.rows; ++r) std::fill_n(out.row(r), out.cols, 0.0F);
  for (std::size_t k = 0; k < gated_.size(); ++k) gated_[k]->add_currents(gates, k == 0 ? 1.0F : -1.0F, out);
}

void LineCurrents::run_gated(ConstRealView gates, RealView out) const {
  for (std::size_t k = 0; k < gated_.size(); ++k) {
    const RealMatrix part = gated_[k]->currents(gates);
    for (std::int64_t r = 0; r < out.rows; ++r)
      for (std::int64_t j = 0; j < out.cols; ++j) out(r, j) = k == 0 ? part(r, j) : out(r, j) - part(r, j);
  }
}

template <class T>
void LineCurrents::run(BasicMatrixView<const T> v, const ConversionDraws& draws, BasicMatrixView<T> out) const {
  if (!gated_.empty()) {
    run_gated(v, out);
    return;
  }
  if constexpr (std::is_same_v<T, float>) {
    if (noisy_gates_) {
      run_noisy_gated(v, draws, out);
      return;
    }
  }
  if (each_vector_) {
    RealMatrix inputs(v.rows, v.cols), currents(out.rows, out.cols);
    for (std::int64_t r = 0; r < v.rows; ++r) std::copy_n(v.row(r), v.cols, inputs.view().row(r));
    solve_each(inputs.view(), draws, currents.view());
    for (std::int64_t r = 0; r < out.rows; ++r)
      std::transform(currents.view().row(r), currents.view().row(r) + out.cols, out.row(r),
                     [](double x) { return static_cast<T>(x); });
    return;
  }
  linear_.multiply(v, out);
  if (powers_) {
    Owning<T> power(v.rows, v.cols), part(out.rows, out.cols);
    for (std::int64_t r = 0; r < v.rows; ++r)
      for (std::int64_t i = 0; i < v.cols; ++i) power(r, i) = v(r, i) * v(r, i);
    for (std::size_t k = 0; k < 2; ++k) {
      (*powers_)[k].multiply(BasicMatrixView<const T>(power.view()), part.view());
      for (std::int64_t r = 0; r < out.rows; ++r)
        for (std::int64_t j = 0; j < out.cols; ++j) out(r, j) += part(r, j);
      for (std::int64_t r = 0; r < v.rows; ++r)
        for (std::int64_t i = 0; i < v.cols; ++i) power(r, i) *= v(r, i);
    }
  }
  if (noise_) noise_->add(v, draws, out);
}

template void LineCurrents::run(BasicMatrixView<const float>, const ConversionDraws&, BasicMatrixView<float>) const;
template void LineCurrents::run(BasicMatrixView<const double>, const ConversionDraws&, BasicMatrixView<double>) const;

std::int64_t LineCurrents::bytes() const {
  std::int64_t sum = linear_.bytes() + static_cast<std::int64_t>(array_.positive.values().size_bytes() +
                                                                 array_.negative.values().size_bytes());
  for (const auto& array : gated_) sum += array->bytes();
  if (powers_) sum += (*powers_)[0].bytes() + (*powers_)[1].bytes();
  if (noise_) sum += noise_->bytes();
  return sum;
}

}  // namespace tessera::circuit::detail
