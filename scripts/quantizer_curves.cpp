// Tables for scripts/plot_quantizers, computed by the library itself: one file per plot, columns as named in its first
// line.
//   quantizer_curves FOLDER
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "tessera/quant/leaky.hpp"
#include "tessera/quant/number_format.hpp"
#include "tessera/quant/state_quant.hpp"
#include "tessera/quant/surrogate.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

namespace {

using namespace tessera;         // NOLINT(google-build-using-namespace): a program of its own
using namespace tessera::quant;  // NOLINT(google-build-using-namespace)

struct Column {
  std::string name;
  std::vector<float> values;
};

std::vector<float> range(float low, float high, int points) {
  std::vector<float> x;
  for (int i = 0; i < points; ++i)
    x.push_back(low + (high - low) * static_cast<float>(i) / static_cast<float>(points - 1));
  return x;
}

void write(const std::string& path, const std::vector<Column>& columns) {
  std::ofstream file(path);
  for (const Column& column : columns) file << '"' << column.name << "\" ";
  file << '\n';
  for (std::size_t i = 0; i < columns[0].values.size(); ++i) {
    for (const Column& column : columns) file << column.values[i] << ' ';
    file << '\n';
  }
  if (!file) throw RunError("cannot write " + path);
}

Column uniform(const std::string& name, QMethod method, float low, float high, const std::vector<float>& x) {
  UniformQuantizer quantizer({.n_bits = 3, .method = method});
  quantizer.set_quant_range(low, high);
  std::vector<float> y(x.size());
  quantizer.forward(x, y);
  return {name, y};
}

Column number(const std::string& name, const Number& format, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  quantize_nearest(format, {static_cast<std::int64_t>(x.size())}, x, y);
  return {name, y};
}

void uniform_quantizers(const std::string& folder) {
  const std::vector<float> x = range(-1.5f, 1.5f, 601);
  UniformQuantizer quantizer({.n_bits = 3, .method = QMethod::asymmetric_uniform});
  quantizer.set_quant_range(-0.5f, 1.0f);
  std::vector<float> gradient(x.size());
  quantizer.backward({1, 1, 601}, x, std::vector<float>(x.size(), 1.0f), gradient);
  write(folder + "/uniform.dat", {{"x", x},
                                  uniform("symmetric, range [-1, 1]", QMethod::symmetric_uniform, -1.0f, 1.0f, x),
                                  uniform("symmetric, range [0, 1]", QMethod::symmetric_uniform, 0.0f, 1.0f, x),
                                  uniform("asymmetric, range [-0.5, 1]", QMethod::asymmetric_uniform, -0.5f, 1.0f, x),
                                  {"its gradient", gradient}});
}

void number_formats(const std::string& folder) {
  const std::vector<float> x = range(-5.0f, 5.0f, 721);
  write(folder + "/qpytorch.dat", {{"x", x},
                                   number("fixed, wl 4, fl 1", FixedPoint{4, 1}, x),
                                   number("block, wl 4", BlockFloatingPoint{4}, x),
                                   number("float, exp 2, man 2", FloatingPoint{2, 2}, x)});
  const std::vector<float> wide = range(-9.0f, 9.0f, 721);
  write(folder + "/hardware.dat", {{"x", wide},
                                   number("int4", named_number("int4"), wide),
                                   number("fp4\\\\_e2m1", named_number("fp4_e2m1"), wide),
                                   number("fp6\\\\_e2m3", named_number("fp6_e2m3"), wide)});
}

void stochastic_rounding(const std::string& folder) {
  constexpr int points = 321, draws = 200;
  const std::vector<float> x = range(-2.0f, 2.0f, points);
  const random::Stream stream({.seed = 1}, random::Purpose::stochastic_rounding);
  const auto sample = [&](const Number& format, Column& once, Column& mean) {
    std::vector<double> sums(points, 0.0);
    std::vector<float> y(points);
    for (std::uint32_t k = 0; k < draws; ++k) {
      quantize_stochastic(format, {points}, x, y, {stream, k, 0});
      for (std::size_t i = 0; i < y.size(); ++i) sums[i] += static_cast<double>(y[i]) / draws;
    }
    once.values = y;
    mean.values.assign(sums.begin(), sums.end());
  };
  Column fixed_once{"fixed, wl 4, fl 1: one draw", {}}, fixed_mean{"mean of 200 draws", {}};
  Column float_once{"float, exp 3, man 1: one draw", {}}, float_mean{"mean of 200 draws", {}};
  sample(FixedPoint{4, 1}, fixed_once, fixed_mean);
  sample(FloatingPoint{3, 1}, float_once, float_mean);
  write(folder + "/stochastic.dat", {{"x", x}, fixed_once, fixed_mean, float_once, float_mean});
}

void states(const std::string& folder) {
  const std::vector<float> x = range(-1.4f, 1.6f, 601);
  const auto levels = [&](const std::string& name, bool is_uniform, bool thr_centered) {
    std::vector<float> y(x.size());
    StateQuant(StateQuantParameters{.num_bits = 4, .uniform = is_uniform, .thr_centered = thr_centered}).forward(x, y);
    return Column{name, y};
  };
  write(folder + "/state.dat", {{"x", x},
                                levels("uniform", true, true),
                                levels("exponential, centred at the threshold", false, true),
                                levels("exponential, centred at 0", false, false)});
}

void surrogates(const std::string& folder) {
  const std::vector<float> x = range(-1.5f, 1.5f, 601);
  std::vector<Column> columns{{"x", x}};
  for (const SpikeGradient kind : {SpikeGradient::atan, SpikeGradient::fast_sigmoid, SpikeGradient::sigmoid}) {
    Surrogate surrogate{.spike_grad = kind, .slope = 5.0};
    std::vector<float> derivative(x.size());
    surrogate_derivative(surrogate, x, derivative);
    columns.push_back({to_string(kind), derivative});
  }
  columns[2].name = "fast\\\\_sigmoid, slope 5";
  columns[3].name = "sigmoid, slope 5";
  write(folder + "/surrogate.dat", columns);
}

void neuron(const std::string& folder) {
  constexpr int steps = 60;
  std::vector<Column> columns{{"time step", range(0.0f, steps - 1, steps)}};
  for (const bool quantized : {false, true}) {
    LeakyParameters p;
    p.beta = {0.9f};
    if (quantized) p.state_quant = StateQuantParameters{.num_bits = 4};
    const Leaky unit(p);
    Matrix mem(1, 1), spikes(1, 1), input(1, 1);
    Column state{quantized ? "state of 4 bits" : "state", {}}, fired{"spikes", {}};
    for (int t = 0; t < steps; ++t) {
      input(0, 0) = t < 40 ? 0.2f : 0.05f;
      unit.step(input.view(), mem.view(), spikes.view());
      state.values.push_back(mem(0, 0));
      fired.values.push_back(spikes(0, 0));
    }
    columns.push_back(state);
    columns.push_back(fired);
  }
  write(folder + "/leaky.dat", columns);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: quantizer_curves FOLDER\n");
    return 2;
  }
  try {
    const std::string folder = argv[1];
    uniform_quantizers(folder);
    number_formats(folder);
    stochastic_rounding(folder);
    states(folder);
    surrogates(folder);
    neuron(folder);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 4;
  }
  return 0;
}
