#include "gate_function.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>

#include "tessera/core/error.hpp"

namespace tessera::nn {

float GateFunction::operator()(float x) const {
  switch (kind) {
    case Kind::sigmoid:
      return 1.0F / (1.0F + std::exp(-x));
    case Kind::tanh:
      return std::tanh(x);
    case Kind::relu:
      return x < 0.0F ? 0.0F : x;
    case Kind::softsign:
      return x / (1.0F + std::fabs(x));
    case Kind::softplus:
      return std::log1p(std::exp(x));
    case Kind::leaky_relu:
      return x < 0.0F ? alpha * x : x;
    case Kind::thresholded_relu:
      return x > alpha ? x : 0.0F;
    case Kind::elu:
      return x < 0.0F ? alpha * std::expm1(x) : x;
    case Kind::affine:
      return alpha * x + beta;
    case Kind::scaled_tanh:
      return alpha * std::tanh(beta * x);
    case Kind::hard_sigmoid:
      return std::clamp(alpha * x + beta, 0.0F, 1.0F);
  }
  return x;
}

float GateFunction::derivative(float x) const {
  switch (kind) {
    case Kind::sigmoid: {
      const float y = (*this)(x);
      return y * (1.0F - y);
    }
    case Kind::tanh: {
      const float y = std::tanh(x);
      return 1.0F - y * y;
    }
    case Kind::relu:
      return x > 0.0F ? 1.0F : 0.0F;
    case Kind::softsign:
      return 1.0F / ((1.0F + std::fabs(x)) * (1.0F + std::fabs(x)));
    case Kind::softplus:
      return 1.0F / (1.0F + std::exp(-x));
    case Kind::leaky_relu:
      return x < 0.0F ? alpha : 1.0F;
    case Kind::thresholded_relu:
      return x > alpha ? 1.0F : 0.0F;
    case Kind::elu:
      return x < 0.0F ? alpha * std::exp(x) : 1.0F;
    case Kind::affine:
      return alpha;
    case Kind::scaled_tanh: {
      const float t = std::tanh(beta * x);
      return alpha * beta * (1.0F - t * t);
    }
    case Kind::hard_sigmoid: {
      const float y = alpha * x + beta;
      return y > 0.0F && y < 1.0F ? alpha : 0.0F;
    }
  }
  return 0.0F;
}

namespace {

GateFunction gate_function(const std::string& where, std::string name, const float* alpha, const float* beta) {
  std::ranges::transform(name, name.begin(), [](unsigned char ch) { return static_cast<char>(std::tolower(ch)); });
  using Kind = GateFunction::Kind;
  struct Known {
    const char* name;
    Kind kind;
    float alpha, beta;
  };
  for (const Known& known :
       {Known{"sigmoid", Kind::sigmoid, 0.0F, 0.0F}, Known{"tanh", Kind::tanh, 0.0F, 0.0F},
        Known{"relu", Kind::relu, 0.0F, 0.0F}, Known{"softsign", Kind::softsign, 0.0F, 0.0F},
        Known{"softplus", Kind::softplus, 0.0F, 0.0F}, Known{"leakyrelu", Kind::leaky_relu, 0.01F, 0.0F},
        Known{"thresholdedrelu", Kind::thresholded_relu, 1.0F, 0.0F}, Known{"elu", Kind::elu, 1.0F, 0.0F},
        Known{"affine", Kind::affine, 1.0F, 0.0F}, Known{"scaledtanh", Kind::scaled_tanh, 1.0F, 1.0F},
        Known{"hardsigmoid", Kind::hard_sigmoid, 0.2F, 0.5F}})
    if (name == known.name)
      return {known.kind, alpha != nullptr ? *alpha : known.alpha, beta != nullptr ? *beta : known.beta};
  throw InputError(fmt::format("{}: activation '{}' is not known", where, name));
}

}  // namespace

std::vector<GateFunction> gate_functions(const Node& node, std::size_t direction) {
  std::vector<std::string> names = node.texts("activations");
  const std::vector<float> alphas = node.reals("activation_alpha"), betas = node.reals("activation_beta");
  const std::size_t each = node.op == "LSTM" ? 3 : node.op == "GRU" ? 2 : 1;
  const std::size_t directions = node.text("direction", "forward") == "bidirectional" ? 2 : 1;
  const std::string where = fmt::format("node '{}' ({})", node.name, node.op);
  if (names.empty())
    for (std::size_t d = 0; d < directions; ++d)
      for (std::size_t i = 0; i < each; ++i) names.emplace_back(each > 1 && i == 0 ? "Sigmoid" : "Tanh");
  require<InputError>(names.size() == each * directions, "{}: {} activations (must be {})", where, names.size(),
                      each * directions);
  std::vector<GateFunction> functions;
  for (std::size_t i = 0; i < each; ++i) {
    const std::size_t at = direction * each + i;
    functions.push_back(gate_function(where, names[at], at < alphas.size() ? &alphas[at] : nullptr,
                                      at < betas.size() ? &betas[at] : nullptr));
  }
  return functions;
}

}  // namespace tessera::nn
