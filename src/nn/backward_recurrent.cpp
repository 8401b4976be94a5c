#include <algorithm>
#include <cmath>
#include <limits>

#include "backward.hpp"
#include "float_linear.hpp"
#include "gate_function.hpp"

/// LSTM, GRU and RNN in training: gates are kept for every step and gradients pass back through time.
namespace tessera::nn {

namespace {

void fit(Matrix& matrix, std::int64_t rows, std::int64_t cols) {
  if (matrix.rows() != rows || matrix.cols() != cols) matrix = Matrix::uninitialized(rows, cols);
}

/// One direction's values, row step * batch + sample, and its parts.
struct Direction {
  Matrix sums;    ///< of every gate before its activation (the candidate of a GRU included)
  Matrix gates;   ///< after it
  Matrix before;  ///< state h before the step
  Matrix cells;   ///< LSTM: cell after the step
  Matrix cell_before;
  Matrix candidate;  ///< GRU: Rh applied to the state, or to the reset state
  Matrix reset;      ///< GRU: the reset state
  Matrix d_sums;
};

class TrainedRecurrent final : public TrainedLayer {
 public:
  using TrainedLayer::TrainedLayer;

  void forward(const ForwardContext& c) override {
    begin_step(c.step);
    set_up(c.node, c.in[0]);
    for (std::size_t d = 0; d < directions_.size(); ++d) forward_direction(c, d);
  }

  void backward(const BackwardContext& c, bool) override {
    for (std::size_t d = 0; d < directions_.size(); ++d) backward_direction(c, d);
  }

 private:
  enum class Cell { lstm, gru, rnn };

  void set_up(const Node& node, const Array& x) {
    cell_ = node.op == "LSTM" ? Cell::lstm : node.op == "GRU" ? Cell::gru : Cell::rnn;
    gates_ = cell_ == Cell::lstm ? 4 : cell_ == Cell::gru ? 3 : 1;
    parts_per_direction_ = cell_ == Cell::gru ? 3 : 2;
    steps_ = x.dim(0);
    batch_ = x.dim(1);
    inputs_ = x.dim(2);
    hidden_ = layer().parts[0].weight.rows() / gates_;
    directions_.resize(parts().size() / parts_per_direction_);
    const float clip = node.real("clip", 0.0F);
    limit_ = clip > 0.0F ? clip : std::numeric_limits<float>::infinity();
    functions_.clear();
    for (std::size_t d = 0; d < directions_.size(); ++d) functions_.push_back(gate_functions(node, d));
    reset_after_ = node.integer("linear_before_reset", 0) != 0;
    coupled_ = node.integer("input_forget", 0) != 0;
    const std::int64_t rows = steps_ * batch_;
    for (Direction& direction : directions_) {
      for (Matrix* m : {&direction.sums, &direction.gates, &direction.d_sums}) fit(*m, rows, gates_ * hidden_);
      fit(direction.before, rows, hidden_);
      if (cell_ == Cell::lstm) {
        fit(direction.cells, rows, hidden_);
        fit(direction.cell_before, rows, hidden_);
      }
      if (cell_ == Cell::gru) {
        fit(direction.candidate, rows, hidden_);
        fit(direction.reset, rows, hidden_);
      }
    }
    reversed_ = node.text("direction", "forward") == "reverse";
  }

  std::int64_t time(std::size_t d, std::int64_t s) const { return d == 1 || reversed_ ? steps_ - 1 - s : s; }
  TrainableLinear& part_of(std::size_t d, std::size_t i) { return part(d * parts_per_direction_ + i); }
  static std::uint64_t first_vector(std::int64_t t) { return static_cast<std::uint64_t>(t) << 32U; }
  MatrixView at(Matrix& matrix, std::int64_t t) const { return matrix.view().rows_from(t * batch_, batch_); }
  float bounded(float x) const { return std::clamp(x, -limit_, limit_); }
  /// Derivative of f(bounded(x)).
  float slope(const GateFunction& f, float x) const { return std::fabs(x) > limit_ ? 0.0F : f.derivative(x); }

  const float* peepholes(std::span<const Array> in, std::size_t d) const {
    if (in.size() <= 7 || in[7].data == nullptr) return nullptr;
    return in[7].floats() + static_cast<std::int64_t>(d) * 3 * hidden_;
  }

  Matrix initial(std::span<const Array> in, std::size_t input, std::size_t d) const {
    Matrix state(batch_, hidden_);
    if (input < in.size() && in[input].data != nullptr)
      std::copy_n(in[input].floats() + static_cast<std::int64_t>(d) * batch_ * hidden_, batch_ * hidden_, state.data());
    return state;
  }

  void forward_direction(const ForwardContext& c, std::size_t d) {
    Direction& v = directions_[d];
    const ConstMatrixView x(c.in[0].floats(), steps_ * batch_, inputs_);
    TrainableLinear& from_input = part_of(d, 0);
    if (dynamic_cast<FloatLinear*>(&from_input) != nullptr)
      from_input.forward(x, v.sums.view(), 0, c.parallel);
    else
      for (std::int64_t t = 0; t < steps_; ++t)
        from_input.forward(x.rows_from(t * batch_, batch_), at(v.sums, t), first_vector(t), c.parallel);
    Matrix h = initial(c.in, 5, d), cell = initial(c.in, 6, d);
    const auto directions = static_cast<std::int64_t>(directions_.size()), index = static_cast<std::int64_t>(d);
    for (std::int64_t s = 0; s < steps_; ++s) {
      const std::int64_t t = time(d, s);
      std::copy_n(h.data(), batch_ * hidden_, at(v.before, t).data);
      if (cell_ == Cell::lstm)
        lstm_forward(d, t, peepholes(c.in, d), h, cell, c.parallel);
      else if (cell_ == Cell::gru)
        gru_forward(d, t, h, c.parallel);
      else
        rnn_forward(d, t, h, c.parallel);
      if (c.out[0].data != nullptr)
        std::copy_n(h.data(), batch_ * hidden_, c.out[0].floats() + (t * directions + index) * batch_ * hidden_);
    }
    if (c.out.size() > 1 && c.out[1].data != nullptr)
      std::copy_n(h.data(), batch_ * hidden_, c.out[1].floats() + index * batch_ * hidden_);
    if (c.out.size() > 2 && c.out[2].data != nullptr)
      std::copy_n(cell.data(), batch_ * hidden_, c.out[2].floats() + index * batch_ * hidden_);
  }

  void backward_direction(const BackwardContext& c, std::size_t d) {
    Direction& v = directions_[d];
    const auto directions = static_cast<std::int64_t>(directions_.size()), index = static_cast<std::int64_t>(d);
    const auto gradient_of = [&](std::size_t o) {
      Matrix g(batch_, hidden_);
      if (o < c.d_out.size() && c.d_out[o].data != nullptr)
        std::copy_n(c.d_out[o].floats() + index * batch_ * hidden_, batch_ * hidden_, g.data());
      return g;
    };
    Matrix dh = gradient_of(1), dc = gradient_of(2), d_before(batch_, hidden_);
    for (std::int64_t s = steps_; s-- > 0;) {
      const std::int64_t t = time(d, s);
      if (c.d_out[0].data != nullptr) {
        const float* dy = c.d_out[0].floats() + (t * directions + index) * batch_ * hidden_;
        for (std::int64_t i = 0; i < batch_ * hidden_; ++i) dh.data()[i] += dy[i];
      }
      if (cell_ == Cell::lstm)
        lstm_backward(d, t, peepholes(c.in, d), dh, dc, d_before, c.parallel);
      else if (cell_ == Cell::gru)
        gru_backward(d, t, dh, d_before, c.parallel);
      else
        rnn_backward(d, t, dh, d_before, c.parallel);
      std::swap(dh, d_before);
    }
    for (const auto& [input, gradient] : {std::pair<std::size_t, const Matrix*>{5, &dh}, {6, &dc}})
      if (c.wants(input))
        std::copy_n(gradient->data(), batch_ * hidden_, c.d_in[input].floats() + index * batch_ * hidden_);
    input_backward(c, d, v);
  }

  void input_backward(const BackwardContext& c, std::size_t d, Direction& v) {
    const ConstMatrixView x(c.in[0].floats(), steps_ * batch_, inputs_);
    TrainableLinear& from_input = part_of(d, 0);
    const bool whole = dynamic_cast<FloatLinear*>(&from_input) != nullptr;
    // The second direction adds to the first one's gradient.
    const bool direct = c.wants(0) && d == 0;
    if (!direct) dx_.resize(static_cast<std::size_t>(c.in[0].size()));
    const MatrixView dx(direct ? c.d_in[0].floats() : dx_.data(), x.rows, x.cols);
    if (whole)
      from_input.backward(x, v.d_sums.view(), dx, 0, c.parallel);
    else
      for (std::int64_t t = steps_; t-- > 0;)
        from_input.backward(x.rows_from(t * batch_, batch_), at(v.d_sums, t), dx.rows_from(t * batch_, batch_),
                            first_vector(t), c.parallel);
    if (c.wants(0) && !direct)
      for (std::int64_t i = 0; i < c.in[0].size(); ++i) c.d_in[0].floats()[i] += dx_[static_cast<std::size_t>(i)];
  }

  // --- Cells: v.sums of step t holds W x + b when a step begins ------------------------------------------------------

  void rnn_forward(std::size_t d, std::int64_t t, Matrix& h, Parallel parallel) {
    Matrix r = Matrix::uninitialized(batch_, hidden_);
    part_of(d, 1).forward(h.view(), r.view(), first_vector(t), parallel);
    float* sums = at(directions_[d].sums, t).data;
    for (std::int64_t i = 0; i < batch_ * hidden_; ++i) {
      sums[i] += r.data()[i];
      h.data()[i] = functions_[d][0](bounded(sums[i]));
    }
  }

  void rnn_backward(std::size_t d, std::int64_t t, const Matrix& dh, Matrix& d_before, Parallel parallel) {
    Direction& v = directions_[d];
    const float* sums = at(v.sums, t).data;
    float* d_sums = at(v.d_sums, t).data;
    for (std::int64_t i = 0; i < batch_ * hidden_; ++i) d_sums[i] = dh.data()[i] * slope(functions_[d][0], sums[i]);
    part_of(d, 1).backward(at(v.before, t), at(v.d_sums, t), d_before.view(), first_vector(t), parallel);
  }

  /// Gates i, o, f, c; peepholes P = [Pi, Po, Pf].
  void lstm_forward(std::size_t d, std::int64_t t, const float* p, Matrix& h, Matrix& cell, Parallel parallel) {
    Direction& v = directions_[d];
    const auto& f = functions_[d];
    Matrix r = Matrix::uninitialized(batch_, 4 * hidden_);
    part_of(d, 1).forward(h.view(), r.view(), first_vector(t), parallel);
    const MatrixView sums = at(v.sums, t), gates = at(v.gates, t), cells = at(v.cells, t),
                     before = at(v.cell_before, t);
    const auto peephole = [&](std::int64_t gate, std::int64_t k, float value) {
      return p != nullptr ? p[gate * hidden_ + k] * value : 0.0F;
    };
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        const auto sum = [&](std::int64_t gate, float extra) {
          float& s = sums(b, gate * hidden_ + k);
          s = s + r(b, gate * hidden_ + k) + extra;
          return bounded(s);
        };
        const float old = cell(b, k);
        before(b, k) = old;
        const float i = f[0](sum(0, peephole(0, k, old)));
        const float forget_sum = sum(2, peephole(2, k, old));
        const float forget = coupled_ ? 1.0F - i : f[0](forget_sum);
        const float candidate = f[1](sum(3, 0.0F));
        const float now = forget * old + i * candidate;
        const float o = f[0](sum(1, peephole(1, k, now)));
        gates(b, k) = i;
        gates(b, hidden_ + k) = o;
        gates(b, 2 * hidden_ + k) = forget;
        gates(b, 3 * hidden_ + k) = candidate;
        cell(b, k) = cells(b, k) = now;
        h(b, k) = o * f[2](now);
      }
  }

  void lstm_backward(std::size_t d, std::int64_t t, const float* p, const Matrix& dh, Matrix& dc, Matrix& d_before,
                     Parallel parallel) {
    Direction& v = directions_[d];
    const auto& f = functions_[d];
    const MatrixView sums = at(v.sums, t), gates = at(v.gates, t), cells = at(v.cells, t),
                     before = at(v.cell_before, t), d_sums = at(v.d_sums, t);
    const auto peephole = [&](std::int64_t gate, std::int64_t k) {
      return p != nullptr ? p[gate * hidden_ + k] : 0.0F;
    };
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        const float i = gates(b, k), o = gates(b, hidden_ + k), forget = gates(b, 2 * hidden_ + k),
                    candidate = gates(b, 3 * hidden_ + k), now = cells(b, k), old = before(b, k);
        const float d_o = dh(b, k) * f[2](now) * slope(f[0], sums(b, hidden_ + k));
        const float d_cell = dc(b, k) + dh(b, k) * o * f[2].derivative(now) + d_o * peephole(1, k);
        const float through_i = d_cell * candidate - (coupled_ ? d_cell * old : 0.0F);
        const float d_i = through_i * slope(f[0], sums(b, k));
        const float d_f = coupled_ ? 0.0F : d_cell * old * slope(f[0], sums(b, 2 * hidden_ + k));
        d_sums(b, k) = d_i;
        d_sums(b, hidden_ + k) = d_o;
        d_sums(b, 2 * hidden_ + k) = d_f;
        d_sums(b, 3 * hidden_ + k) = d_cell * i * slope(f[1], sums(b, 3 * hidden_ + k));
        dc(b, k) = d_cell * forget + d_i * peephole(0, k) + d_f * peephole(2, k);
      }
    part_of(d, 1).backward(at(v.before, t), d_sums, d_before.view(), first_vector(t), parallel);
  }

  /// Gates z, r, h; H' = (1 - z) h + z H.
  void gru_forward(std::size_t d, std::int64_t t, Matrix& h, Parallel parallel) {
    Direction& v = directions_[d];
    const auto& f = functions_[d];
    Matrix zr = Matrix::uninitialized(batch_, 2 * hidden_);
    part_of(d, 1).forward(h.view(), zr.view(), first_vector(t), parallel);
    const MatrixView sums = at(v.sums, t), gates = at(v.gates, t), candidate = at(v.candidate, t),
                     reset = at(v.reset, t);
    for (std::int64_t b = 0; b < batch_; ++b) {
      for (std::int64_t k = 0; k < 2 * hidden_; ++k) {
        sums(b, k) += zr(b, k);
        gates(b, k) = f[0](bounded(sums(b, k)));
      }
      for (std::int64_t k = 0; k < hidden_; ++k) reset(b, k) = gates(b, hidden_ + k) * h(b, k);
    }
    part_of(d, 2).forward(reset_after_ ? h.view() : reset, candidate, first_vector(t), parallel);
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        float& sum = sums(b, 2 * hidden_ + k);
        sum += reset_after_ ? gates(b, hidden_ + k) * candidate(b, k) : candidate(b, k);
        const float proposed = gates(b, 2 * hidden_ + k) = f[1](bounded(sum));
        const float z = gates(b, k);
        h(b, k) = (1.0F - z) * proposed + z * h(b, k);
      }
  }

  void gru_backward(std::size_t d, std::int64_t t, const Matrix& dh, Matrix& d_before, Parallel parallel) {
    Direction& v = directions_[d];
    const auto& f = functions_[d];
    const MatrixView sums = at(v.sums, t), gates = at(v.gates, t), candidate = at(v.candidate, t),
                     before = at(v.before, t), d_sums = at(v.d_sums, t);
    Matrix d_candidate = Matrix::uninitialized(batch_, hidden_), d_reset = Matrix::uninitialized(batch_, hidden_),
           d_state = Matrix::uninitialized(batch_, hidden_), direct = Matrix::uninitialized(batch_, hidden_);
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        const float z = gates(b, k), proposed = gates(b, 2 * hidden_ + k), g = dh(b, k);
        d_sums(b, k) = g * (before(b, k) - proposed) * slope(f[0], sums(b, k));
        const float d_sum = g * (1.0F - z) * slope(f[1], sums(b, 2 * hidden_ + k));
        d_sums(b, 2 * hidden_ + k) = d_sum;
        d_candidate(b, k) = reset_after_ ? d_sum * gates(b, hidden_ + k) : d_sum;
        direct(b, k) = g * z;
      }
    part_of(d, 2).backward(reset_after_ ? before : at(v.reset, t), d_candidate.view(), d_state.view(), first_vector(t),
                           parallel);
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        const float r = gates(b, hidden_ + k);
        d_reset(b, k) = reset_after_ ? d_sums(b, 2 * hidden_ + k) * candidate(b, k) : d_state(b, k) * before(b, k);
        d_sums(b, hidden_ + k) = d_reset(b, k) * slope(f[0], sums(b, hidden_ + k));
        direct(b, k) += reset_after_ ? d_state(b, k) : d_state(b, k) * r;
      }
    part_of(d, 1).backward(before, d_sums.cols_from(0, 2 * hidden_), d_before.view(), first_vector(t), parallel);
    for (std::int64_t i = 0; i < batch_ * hidden_; ++i) d_before.data()[i] += direct.data()[i];
  }

  Cell cell_ = Cell::rnn;
  std::int64_t gates_ = 1, steps_ = 0, batch_ = 0, inputs_ = 0, hidden_ = 0;
  std::size_t parts_per_direction_ = 2;
  bool reset_after_ = false, coupled_ = false, reversed_ = false;
  float limit_ = std::numeric_limits<float>::infinity();
  std::vector<std::vector<GateFunction>> functions_;
  std::vector<Direction> directions_;
  AlignedVector<float> dx_;
};

}  // namespace

std::unique_ptr<TrainedLayer> make_trained_recurrent(const LinearLayer& layer) {
  return std::make_unique<TrainedRecurrent>(layer);
}

}  // namespace tessera::nn
