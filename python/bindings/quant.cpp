#include <nanobind/stl/pair.h>
#include <nanobind/stl/variant.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "tessera/core/error.hpp"
#include "tessera/quant/leaky.hpp"
#include "tessera/quant/number_quantizer.hpp"
#include "tessera/quant/quantization_manager.hpp"
#include "tessera/quant/range_estimator.hpp"
#include "tessera/quant/state_quant.hpp"
#include "tessera/quant/straight_through.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

namespace tessera::python {

namespace {

/// The value of an enumeration with this name, of those in `names`, counted from `first`.
template <class Enum, std::size_t N>
Enum from_name(const std::string& name, const std::array<const char*, N>& names, const char* what, int first = 0) {
  for (std::size_t i = 0; i < N; ++i)
    if (name == names[i]) return static_cast<Enum>(static_cast<int>(i) + first);
  std::vector<std::string> legal(names.begin(), names.end());
  const std::string near = nearest_word(name, legal);
  throw ConfigError(what, fmt::format("'{}' is none of {}{}", name, fmt::join(legal, ", "),
                                      near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

quant::Rounding rounding_from(const std::string& name) {
  constexpr std::array<const char*, 2> names{"nearest", "stochastic"};
  return from_name<quant::Rounding>(name, names, "rounding");
}

quant::RandomDraws draws_from(std::uint64_t seed) {
  return {random::Stream(random::Address{.seed = seed}, random::Purpose::stochastic_rounding), 0, 0};
}

NumpyArray quantize(const quant::Number& number, const FloatArray& x, const std::string& rounding, std::uint64_t seed) {
  quant::validate(number);
  return mapped(x, [&](std::span<const float> in, std::span<float> out) {
    quant::quantize(number, rounding_from(rounding), shape_of(x), in, out, draws_from(seed));
  });
}

/// With the random words given, for tests against other implementations.
NumpyArray quantize_with_words(const quant::Number& number, const FloatArray& x,
                               const nb::ndarray<const std::uint32_t, nb::c_contig, nb::device::cpu>& words) {
  quant::validate(number);
  return mapped(x, [&](std::span<const float> in, std::span<float> out) {
    quant::quantize_with_words(number, shape_of(x), in, {words.data(), words.size()}, out);
  });
}

nb::tuple clamp_mask(const quant::FixedPoint& number, const FloatArray& x) {
  std::vector<std::uint8_t> mask(x.size());
  quant::fixed_point_clamp_mask(number, values_of(x), mask);
  const quant::FixedPointRange range = quant::fixed_point_range(number);
  return nb::make_tuple(to_numpy(std::move(mask), sizes_of(x)), range.t_min, range.t_max);
}

/// (values, 1 where the format clamped or None if that is not asked for)
nb::tuple quantize_with_mask(const quant::Number& number, const FloatArray& x, const std::string& rounding,
                             std::uint64_t seed, bool with_mask) {
  if (!with_mask) return nb::make_tuple(quantize(number, x, rounding, seed), nb::none());
  const quant::Quantizer quantizer({.forward_number = number,
                                    .backward_number = {},
                                    .forward_rounding = rounding_from(rounding),
                                    .clamping_grad_zero = true,
                                    .backward_hooks = {}});
  std::vector<std::uint8_t> mask;
  NumpyArray y = mapped(x, [&](std::span<const float> in, std::span<float> out) {
    quantizer.forward(shape_of(x), in, out, draws_from(seed), &mask);
  });
  mask.resize(x.size());
  return nb::make_tuple(std::move(y), to_numpy(std::move(mask), sizes_of(x)));
}

void bind_numbers(nb::module_& m) {
  using quant::BlockFloatingPoint;
  using quant::FixedPoint;
  using quant::FloatingPoint;
  nb::class_<FixedPoint>(m, "FixedPoint")
      .def(
          "__init__",
          [](FixedPoint* self, int wl, int fl, bool clamp, bool symmetric, bool double_rounding) {
            const FixedPoint number{wl, fl, clamp, symmetric, double_rounding};
            quant::validate(number);
            new (self) FixedPoint(number);
          },
          "wl"_a, "fl"_a, "clamp"_a = true, "symmetric"_a = false, "double_rounding"_a = false)
      .def_ro("wl", &FixedPoint::wl)
      .def_ro("fl", &FixedPoint::fl)
      .def_ro("clamp", &FixedPoint::clamp)
      .def_ro("symmetric", &FixedPoint::symmetric)
      .def("__reduce__",
           [](nb::handle self) {
             const auto& n = nb::cast<const FixedPoint&>(self);
             return nb::make_tuple(self.type(), nb::make_tuple(n.wl, n.fl, n.clamp, n.symmetric, n.double_rounding));
           })
      .def("__repr__", [](const FixedPoint& number) { return quant::to_string(number); });
  nb::class_<BlockFloatingPoint>(m, "BlockFloatingPoint")
      .def(
          "__init__",
          [](BlockFloatingPoint* self, int wl, int dim, bool double_rounding) {
            const BlockFloatingPoint number{wl, dim, double_rounding};
            quant::validate(number);
            new (self) BlockFloatingPoint(number);
          },
          "wl"_a, "dim"_a = -1, "double_rounding"_a = false)
      .def_ro("wl", &BlockFloatingPoint::wl)
      .def_ro("dim", &BlockFloatingPoint::dim)
      .def("__reduce__",
           [](nb::handle self) {
             const auto& n = nb::cast<const BlockFloatingPoint&>(self);
             return nb::make_tuple(self.type(), nb::make_tuple(n.wl, n.dim, n.double_rounding));
           })
      .def("__repr__", [](const BlockFloatingPoint& number) { return quant::to_string(number); });
  nb::class_<FloatingPoint>(m, "FloatingPoint")
      .def(
          "__init__",
          [](FloatingPoint* self, int exp, int man, bool double_rounding) {
            const FloatingPoint number{exp, man, quant::NanRule::propagate, double_rounding};
            quant::validate(number);
            new (self) FloatingPoint(number);
          },
          "exp"_a, "man"_a, "double_rounding"_a = false)
      .def_ro("exp", &FloatingPoint::exp)
      .def_ro("man", &FloatingPoint::man)
      .def("__reduce__",
           [](nb::handle self) {
             const auto& n = nb::cast<const FloatingPoint&>(self);
             return nb::make_tuple(self.type(), nb::make_tuple(n.exp, n.man, n.double_rounding));
           })
      .def("__repr__", [](const FloatingPoint& number) { return quant::to_string(number); });
  nb::class_<quant::HardwareFloat>(m, "HardwareFloat");
  nb::class_<quant::IntegerNumber>(m, "IntegerNumber");
  m.def(
      "named_number", [](const std::string& name) { return quant::named_number(name); }, "name"_a);
  m.def("number_names", [] { return quant::number_names(); });
  m.def("quantize", &quantize, "number"_a.none(), "x"_a, "rounding"_a, "seed"_a);
  m.def("quantize_with_mask", &quantize_with_mask, "number"_a.none(), "x"_a, "rounding"_a, "seed"_a, "with_mask"_a);
  m.def("quantize_with_words", &quantize_with_words, "number"_a.none(), "x"_a, "words"_a);
  m.def("clamp_mask", &clamp_mask, "number"_a, "x"_a);
}

quant::UniformQuantizer make_uniform(const std::string& method, int n_bits, const std::string& scale_domain,
                                     bool per_channel, std::optional<int> axis, double eps) {
  constexpr std::array<const char*, 2> domains{"linear", "log"};
  return quant::UniformQuantizer({n_bits, from_name<quant::QMethod>(method, quant::qmethod_names, "qmethod"),
                                  from_name<quant::ScaleDomain>(scale_domain, domains, "scale_domain"), per_channel,
                                  axis, eps});
}

nb::tuple range_gradient(const quant::UniformQuantizer& quantizer, const FloatArray& x, const FloatArray& grad) {
  require_same_shape(x, grad, "grad_y");
  const quant::RangeGradient g = quantizer.range_gradient(quantizer.layout(shape_of(x)), values_of(x), values_of(grad));
  return nb::make_tuple(g.delta, g.zero_float);
}

void bind_uniform(nb::module_& m) {
  using Q = quant::UniformQuantizer;
  nb::class_<Q>(m, "UniformQuantizer")
      .def(
          "__init__",
          [](Q* self, const std::string& method, int n_bits, const std::string& domain, bool per_channel,
             std::optional<int> axis,
             double eps) { new (self) Q(make_uniform(method, n_bits, domain, per_channel, axis, eps)); },
          "method"_a, "n_bits"_a, "scale_domain"_a, "per_channel"_a, "axis"_a.none(), "eps"_a)
      .def("set_quant_range",
           [](Q& q, const std::vector<float>& low, const std::vector<float>& high) { q.set_quant_range(low, high); })
      .def("reset", &Q::reset)
      .def("make_range_trainable", &Q::make_range_trainable, "trainable"_a = true)
      .def("set_state",
           [](Q& q, std::vector<float> delta, std::vector<float> zero_float, bool is_signed) {
             q.set_state({std::move(delta), std::move(zero_float), is_signed});
           })
      .def_prop_ro("is_initialized", &Q::is_initialized)
      .def_prop_ro("range_trainable", &Q::range_trainable)
      .def_prop_ro("symmetric", &Q::symmetric)
      .def_prop_ro("signed", &Q::is_signed)
      .def_prop_ro("int_min", &Q::int_min)
      .def_prop_ro("int_max", &Q::int_max)
      .def_prop_ro("delta", &Q::delta)
      .def_prop_ro("scale", &Q::scale)
      .def_prop_ro("zero_float", &Q::zero_float)
      .def_prop_ro("zero_point", &Q::zero_point)
      .def_prop_ro("x_min", &Q::x_min)
      .def_prop_ro("x_max", &Q::x_max)
      .def("forward",
           [](const Q& q, const FloatArray& x) {
             return mapped(x, [q, &x](auto in, auto out) { q.forward(q.layout(shape_of(x)), in, out); });
           })
      .def("to_integer_forward",
           [](const Q& q, const FloatArray& x) {
             return mapped(x, [q, &x](auto in, auto out) { q.to_integer_forward(q.layout(shape_of(x)), in, out); });
           })
      .def("backward",
           [](const Q& q, const FloatArray& x, const FloatArray& grad) {
             require_same_shape(x, grad, "grad_y");
             return mapped(
                 x, [q, &x, &grad](auto in, auto out) { q.backward(q.layout(shape_of(x)), in, values_of(grad), out); });
           })
      .def("range_gradient", &range_gradient)
      .def("extra_repr", [](const Q& q) { return quant::to_string(q); });
}

quant::RangeEstimatorParams estimator_params(quant::RangeEstimators estimator, const nb::dict& given) {
  quant::RangeEstimatorParams params = quant::default_params(estimator);
  for (const auto& [name, value] : given) {
    const auto key = nb::cast<std::string>(name);
    bool known = false;
    const auto take = [&](const char* field, auto& member) {
      if (key != field) return;
      member = nb::cast<std::decay_t<decltype(member)>>(value);
      known = true;
    };
    if (auto* p = std::get_if<quant::CurrentMinMaxEstimatorParams>(&params)) {
      take("percentile", p->percentile);
      take("two_sided", p->two_sided);
    } else if (auto* q = std::get_if<quant::RunningMinMaxEstimatorParams>(&params)) {
      take("momentum", q->momentum);
    } else {
      quant::MSEEstimatorParams* search = std::get_if<quant::MSEEstimatorParams>(&params);
      if (search == nullptr) search = std::get_if<quant::CrossEntropyEstimatorParams>(&params);
      if (search != nullptr) {
        take("num_candidates", search->num_candidates);
        take("range_margin", search->range_margin);
        if (key == "range_opt_method" || key == "opt_method") {
          search->range_opt_method =
              from_name<quant::OptMethod>(nb::cast<std::string>(value), quant::opt_method_names, "range_opt_method", 1);
          known = true;
        }
      }
    }
    if (!known) throw ConfigError(key, fmt::format("is no option of the estimator {}", quant::to_string(estimator)));
  }
  return params;
}

void bind_estimator(nb::module_& m) {
  using E = quant::RangeEstimator;
  nb::class_<E>(m, "RangeEstimator")
      .def(
          "__init__",
          [](E* self, const std::string& estimator, const nb::dict& params, bool per_channel, std::optional<int> axis,
             std::optional<int> n_groups, const quant::UniformQuantizer* quantizer) {
            const auto kind =
                from_name<quant::RangeEstimators>(estimator, quant::range_estimator_names, "range_estimator");
            new (self) E({kind, estimator_params(kind, params), per_channel, axis, n_groups},
                         quantizer != nullptr ? std::optional(quantizer->parameters()) : std::nullopt);
          },
          "estimator"_a, "params"_a, "per_channel"_a, "axis"_a.none(), "n_groups"_a.none(), "quantizer"_a.none())
      .def("estimate",
           [](E& estimator, const FloatArray& x) {
             const quant::Range& range = estimator.estimate(shape_of(x), values_of(x));
             return std::pair(range.min, range.max);
           })
      .def("reset", &E::reset);
}

/// Constants are cast by name: "slope" is Surrogate::slope.
quant::Surrogate surrogate_from(const std::string& name, const std::map<std::string, double>& options) {
  quant::Surrogate s;
  s.spike_grad = from_name<quant::SpikeGradient>(name, quant::spike_gradient_names, "spike_grad");
  const std::map<std::string, double*> fields{
      {"alpha", &s.alpha}, {"slope", &s.slope}, {"threshold", &s.threshold}, {"B", &s.B},
      {"beta", &s.beta},   {"mean", &s.mean},   {"variance", &s.variance}};
  for (const auto& [key, value] : options) {
    const auto field = fields.find(key);
    if (field == fields.end()) throw ConfigError("spike_grad." + key, "is no option of a surrogate gradient");
    *field->second = value;
  }
  quant::validate(s);
  return s;
}

/// (gradient of the input, of the state before, of beta, of threshold)
nb::tuple leaky_backward(const quant::Leaky& neurons, const FloatArray& input, const FloatArray& previous,
                         const FloatArray& grad_spikes, const FloatArray& grad_mem, std::uint64_t seed) {
  require_same_shape(input, previous, "mem");
  require_same_shape(input, grad_spikes, "grad_spk");
  require_same_shape(input, grad_mem, "grad_mem");
  const ConstMatrixView x = matrix_of(input, "input");
  Matrix grad_input(x.rows, x.cols), grad_previous(x.rows, x.cols);
  std::vector<double> beta(neurons.parameters().beta.size()), threshold(neurons.parameters().threshold.size());
  neurons.backward(x, matrix_of(previous, "mem"), matrix_of(grad_spikes, "grad_spk"), matrix_of(grad_mem, "grad_mem"),
                   {grad_input.view(), grad_previous.view(), beta, threshold}, draws_from(seed));
  return nb::make_tuple(to_numpy(grad_input), to_numpy(grad_previous), beta, threshold);
}

void bind_states(nb::module_& m) {
  using S = quant::StateQuant;
  nb::class_<S>(m, "StateQuant")
      .def(
          "__init__",
          [](S* self, int num_bits, bool uniform, bool thr_centered, double threshold, double lower_limit,
             double upper_limit, std::optional<double> multiplier) {
            new (self) S(quant::StateQuantParameters{num_bits, uniform, thr_centered, threshold, lower_limit,
                                                     upper_limit, multiplier});
          },
          "num_bits"_a, "uniform"_a, "thr_centered"_a, "threshold"_a, "lower_limit"_a, "upper_limit"_a,
          "multiplier"_a.none())
      .def_static("from_levels", [](std::vector<float> levels) { return S(std::move(levels)); })
      .def_prop_ro(
          "levels", [](const S& s) { return to_numpy(s.levels(), {s.levels().size()}); }, nb::rv_policy::move)
      .def("forward",
           [](const S& s, const FloatArray& x) { return mapped(x, [&](auto in, auto out) { s.forward(in, out); }); });
  using L = quant::Leaky;
  nb::class_<L>(m, "Leaky")
      .def(
          "__init__",
          [](L* self, std::vector<float> beta, std::vector<float> threshold, const std::string& reset_mechanism,
             bool reset_delay, bool inhibition, float factor, const S* state_quant, const std::string& spike_grad,
             const std::map<std::string, double>& spike_grad_options) {
            quant::LeakyParameters p;
            p.beta = std::move(beta);
            p.threshold = std::move(threshold);
            p.spike_grad = surrogate_from(spike_grad, spike_grad_options);
            p.reset_mechanism =
                from_name<quant::ResetMechanism>(reset_mechanism, quant::reset_mechanism_names, "reset_mechanism");
            p.reset_delay = reset_delay;
            p.inhibition = inhibition;
            p.graded_spikes_factor = factor;
            if (state_quant != nullptr)
              new (self) L(std::move(p), *state_quant);
            else
              new (self) L(std::move(p));
          },
          "beta"_a, "threshold"_a, "reset_mechanism"_a, "reset_delay"_a, "inhibition"_a, "graded_spikes_factor"_a,
          "state_quant"_a.none(), "spike_grad"_a, "spike_grad_options"_a)
      .def("backward", &leaky_backward, "input"_a, "mem"_a, "grad_spk"_a, "grad_mem"_a, "seed"_a)
      .def("step", [](const L& neurons, const FloatArray& input, const FloatArray& mem) {
        require_same_shape(input, mem, "mem");
        Matrix state(matrix_of(mem, "mem")), spikes(state.rows(), state.cols());
        neurons.step(matrix_of(input, "input"), state.view(), spikes.view());
        return nb::make_tuple(to_numpy(spikes), to_numpy(state));
      });
}

void bind_rounding(nb::module_& m) {
  m.def(
      "round", [](const FloatArray& x) { return mapped(x, quant::round_straight_through); }, "x"_a);
  m.def(
      "floor", [](const FloatArray& x) { return mapped(x, quant::floor_straight_through); }, "x"_a);
}

}  // namespace

void bind_quant(nb::module_& module) {
  nb::module_ m = module.def_submodule("quant");
  bind_rounding(m);
  bind_numbers(m);
  bind_uniform(m);
  bind_estimator(m);
  bind_states(m);
}

}  // namespace tessera::python
