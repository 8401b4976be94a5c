#include <algorithm>
#include <cmath>

#include "gate_function.hpp"
#include "linear_call.hpp"

/// LSTM, GRU and RNN: every product by the packed weights or an operator, gates in float32.
namespace tessera::nn {

namespace {

/// One direction of the layer.
class DirectionPass {
 public:
  DirectionPass(const LinearCall& call, std::int64_t index)
      : call_(call),
        index_(index),
        steps_(call.in[0].dim(0)),
        batch_(call.in[0].dim(1)),
        reverse_(index == 1 || call.node.text("direction", "forward") == "reverse") {
    const std::string& op = call.node.op;
    gates_ = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
    parts_ = op == "GRU" ? 3 : 2;
    hidden_ = part(0).weight.rows() / gates_;
    f_ = gate_functions(call.node, static_cast<std::size_t>(index));
    if (call.in.size() > 4 && call.in[4].data != nullptr) lengths_ = call.in[4].integers();
    const float clip = call.node.real("clip", 0.0F);
    if (clip > 0.0F) limit_ = clip;
  }

  void run() {
    const std::int64_t rows = steps_ * batch_;
    Matrix from_input = Matrix::uninitialized(rows, gates_ * hidden_);
    const ConstMatrixView x(call_.in[0].floats(), rows, part(0).weight.cols());
    if (call_.operators.empty())
      kernels::multiply(packed(0), x, from_input.view(), call_.parallel, part(0).bias);
    else
      for (std::int64_t t = 0; t < steps_; ++t)
        product(0, x.rows_from(t * batch_, batch_), from_input.view().rows_from(t * batch_, batch_), t);
    h_ = initial(5);
    c_ = initial(6);
    for (std::int64_t s = 0; s < steps_; ++s) {
      const std::int64_t t = reverse_ ? steps_ - 1 - s : s;
      const MatrixView gates = from_input.view().rows_from(t * batch_, batch_);
      const Matrix old_h = lengths_ != nullptr ? h_ : Matrix(), old_c = lengths_ != nullptr ? c_ : Matrix();
      if (call_.node.op == "LSTM")
        lstm_step(gates, t);
      else if (call_.node.op == "GRU")
        gru_step(gates, t);
      else
        rnn_step(gates, t);
      float* y = output(0);
      if (y != nullptr) {
        y += (t * call_.out[0].dim(1) + index_) * batch_ * hidden_;
        std::copy_n(h_.data(), batch_ * hidden_, y);
      }
      if (lengths_ != nullptr) keep_finished(t, old_h, old_c, y);
    }
    if (float* y = output(1)) std::copy_n(h_.data(), batch_ * hidden_, y + index_ * batch_ * hidden_);
    if (float* y = output(2)) std::copy_n(c_.data(), batch_ * hidden_, y + index_ * batch_ * hidden_);
  }

 private:
  /// Sequences that end before step t keep their states, and give zeros.
  void keep_finished(std::int64_t t, const Matrix& old_h, const Matrix& old_c, float* y) {
    for (std::int64_t b = 0; b < batch_; ++b) {
      if (t < lengths_[call_.in[4].size() == 1 ? 0 : b]) continue;
      std::copy_n(old_h.view().row(b), hidden_, h_.view().row(b));
      std::copy_n(old_c.view().row(b), hidden_, c_.view().row(b));
      if (y != nullptr) std::fill_n(y + b * hidden_, hidden_, 0.0F);
    }
  }

  std::size_t part_index(std::int64_t i) const { return static_cast<std::size_t>(index_ * parts_ + i); }
  const LinearPart& part(std::int64_t i) const { return call_.compiled.layer.parts[part_index(i)]; }
  const kernels::PackedMatrix& packed(std::int64_t i) const { return call_.compiled.packed(part_index(i)); }
  float* output(std::size_t i) const { return i < call_.out.size() ? static_cast<float*>(call_.out[i].data) : nullptr; }

  Matrix initial(std::size_t input) const {
    Matrix state(batch_, hidden_);
    if (input < call_.in.size() && call_.in[input].data != nullptr)
      std::copy_n(call_.in[input].floats() + index_ * batch_ * hidden_, batch_ * hidden_, state.data());
    return state;
  }

  /// Part i applied to the state (or input) of step t.
  void product(std::int64_t i, ConstMatrixView x, MatrixView y, std::int64_t t) const {
    if (call_.operators.empty()) return kernels::multiply(packed(i), x, y, call_.parallel, part(i).bias);
    const LinearOperator& op = *call_.operators[part_index(i)];
    op.forward(
        x, y,
        (static_cast<std::uint64_t>(t) << 32U) + call_.first_sample * static_cast<std::uint64_t>(call_.order.inner),
        call_.parallel);
    if (const Collects* collected = op.collects()) collected->finish(y);
  }

  float bounded(float x) const { return std::clamp(x, -limit_, limit_); }

  void rnn_step(MatrixView gates, std::int64_t t) {
    Matrix r = Matrix::uninitialized(batch_, hidden_);
    product(1, h_.view(), r.view(), t);
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) h_(b, k) = f_[0](bounded(gates(b, k) + r(b, k)));
  }

  /// Gates z, r, h; H' = (1 - z) h + z H.
  void gru_step(MatrixView gates, std::int64_t t) {
    const bool after = call_.node.integer("linear_before_reset", 0) != 0;
    Matrix zr = Matrix::uninitialized(batch_, 2 * hidden_), candidate = Matrix::uninitialized(batch_, hidden_);
    Matrix reset = Matrix::uninitialized(batch_, hidden_), state = h_;
    product(1, h_.view(), zr.view(), t);
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        zr(b, k) = f_[0](bounded(gates(b, k) + zr(b, k)));
        reset(b, k) = f_[0](bounded(gates(b, hidden_ + k) + zr(b, hidden_ + k)));
        if (!after) state(b, k) = reset(b, k) * h_(b, k);
      }
    product(2, state.view(), candidate.view(), t);
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        const float recurrent = after ? reset(b, k) * candidate(b, k) : candidate(b, k);
        const float h = f_[1](bounded(gates(b, 2 * hidden_ + k) + recurrent));
        h_(b, k) = (1.0F - zr(b, k)) * h + zr(b, k) * h_(b, k);
      }
  }

  /// Gates i, o, f, c; peepholes P = [Pi, Po, Pf].
  void lstm_step(MatrixView gates, std::int64_t t) {
    Matrix r = Matrix::uninitialized(batch_, 4 * hidden_);
    product(1, h_.view(), r.view(), t);
    const float* p = call_.in.size() > 7 ? static_cast<const float*>(call_.in[7].data) : nullptr;
    if (p != nullptr) p += index_ * 3 * hidden_;
    const bool coupled = call_.node.integer("input_forget", 0) != 0;
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t k = 0; k < hidden_; ++k) {
        const auto peephole = [&](std::int64_t gate, float cell) {
          return p != nullptr ? p[gate * hidden_ + k] * cell : 0.0F;
        };
        const auto sum = [&](std::int64_t gate) { return gates(b, gate * hidden_ + k) + r(b, gate * hidden_ + k); };
        const float old = c_(b, k);
        const float i = f_[0](bounded(sum(0) + peephole(0, old)));
        const float f = coupled ? 1.0F - i : f_[0](bounded(sum(2) + peephole(2, old)));
        const float cell = f * old + i * f_[1](bounded(sum(3)));
        const float o = f_[0](bounded(sum(1) + peephole(1, cell)));
        c_(b, k) = cell;
        h_(b, k) = o * f_[2](cell);
      }
  }

  const LinearCall& call_;
  std::int64_t index_, steps_, batch_;
  bool reverse_;
  std::int64_t gates_ = 1, parts_ = 2, hidden_ = 0;
  float limit_ = std::numeric_limits<float>::infinity();
  const std::int64_t* lengths_ = nullptr;  ///< steps of every sequence, or of all; null: all steps
  std::vector<GateFunction> f_;
  Matrix h_, c_;
};

}  // namespace

void evaluate_recurrent(const LinearCall& call) {
  const std::int64_t directions = call.node.text("direction", "forward") == "bidirectional" ? 2 : 1;
  for (std::int64_t d = 0; d < directions; ++d) DirectionPass(call, d).run();
}

}  // namespace tessera::nn
