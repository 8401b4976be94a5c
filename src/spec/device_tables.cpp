#include "device_tables.hpp"

#include <charconv>
#include <cmath>

#include "ranges.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Key;
using config::Named;
using config::Node;
using config::Range;
using config::Report;
using config::Section;
using config::Type;

// The converter of a model, made where it is only implied.
template <class M>
device::ConductanceConverter& converter_of(M& model) {
  return model.g_converter;
}
device::ConductanceConverter& converter_of(device::HermesNoiseModel& model) {
  if (!model.g_converter) model.g_converter = device::converter(device::NoiseModel(model));
  return *model.g_converter;
}
device::ConductanceConverter& converter_of(device::CustomDriftPCMLikeNoiseModel& model) {
  return model.pcm.g_converter;
}

/// `g_max` and `g_min` beside `g_converter` set the converter's range, as in the constructors of the peer.
template <class M>
void add_range_rows(Section<M>& table) {
  const Type<double> conductance = config::real(non_negative);
  const auto act = [conductance](bool is_max) {
    return [conductance, is_max](const Node& node, const std::string& key, M& model, Report& report) {
      device::ConductanceConverter& converter = converter_of(model);
      double value = is_max ? g_max(converter) : g_min(converter);
      conductance.read(node, key, value, report);
      set_range(converter, is_max ? g_min(converter) : value, is_max ? value : g_max(converter));
    };
  };
  table.action("g_max", conductance.info, {.unit = "uS", .help = "short for g_converter.g_max"}, act(true))
      .action("g_min", conductance.info, {.unit = "uS", .help = "short for g_converter.g_min"}, act(false));
}

/// Reports ranges that are given twice and differ.
template <class M>
Type<M> checked_range(Section<M> section) {
  const Type<M> table = section;
  return {table.info,
          [table](const Node& node, const std::string& key, M& value, Report& report) {
            const std::size_t before = report.problems().size();
            table.read(node, key, value, report);
            if (report.problems().size() != before) return;
            for (const char* end : {"g_max", "g_min"}) {
              const Node* outer = find_path(node, end);
              const Node* inner = find_path(node, fmt::format("g_converter.{}", end));
              double a = 0.0;
              double b = 0.0;
              Report ignored;
              if (outer == nullptr || inner == nullptr) continue;
              config::real().read(*outer, {}, a, ignored);
              config::real().read(*inner, {}, b, ignored);
              if (a != b)
                report.problem(outer->position, key + "." + end,
                               fmt::format("{} contradicts g_converter.{}: {}; give one of them", a, end, b));
            }
          },
          table};
}

const char* const coefficients_help = "c_q of the programming error sum_q c_q (g / g_max)^q";

template <class M, class Access>
void add_scale_rows(Section<M>& table, Access in) {
  table
      .field("prog_noise_scale", [in](auto& m) -> auto& { return in(m).prog_noise_scale; }, config::real(non_negative),
             {.help = "factor on the programming error"})
      .field("read_noise_scale", [in](auto& m) -> auto& { return in(m).read_noise_scale; }, config::real(non_negative),
             {.help = "factor on the read noise"})
      .field("drift_scale", [in](auto& m) -> auto& { return in(m).drift_scale; }, config::real(non_negative),
             {.help = "factor on the drift"});
}

template <class M, class Access>
void add_time_rows(Section<M>& table, Access in) {
  table
      .field("t_read", [in](auto& m) -> auto& { return in(m).t_read; }, config::real(positive),
             {.unit = "s", .help = "duration of a read"})
      .field("t_0", [in](auto& m) -> auto& { return in(m).t_0; }, config::real(positive),
             {.unit = "s", .help = "time between programming and the reference read of the drift law"});
}

/// PCMLikeNoiseModel's rows, for the models that contain one.
template <class M, class Access>
void add_pcm_rows(Section<M>& table, Access in) {
  table.field(
      "g_converter", [in](auto& m) -> auto& { return in(m).g_converter; }, conductance_converter());
  add_range_rows(table);
  table
      .field("prog_coeff", [in](auto& m) -> auto& { return in(m).prog_coeff; },
             config::optional(config::list(config::real(), 1)),
             {.unit = "uS", .help = std::string(coefficients_help) + "; null: (0.26348, 1.9650, -1.1731)"})
      .field(
          "prog_coeff_g_max_reference", [in](auto& m) -> auto& { return in(m).prog_coeff_g_max_reference; },
          config::optional(config::real(positive)),
          {.unit = "uS",
           .help = "g_max for which the coefficients hold; null: 25 for the default ones, else the converter's g_max"});
  add_time_rows(table, in);
  add_scale_rows(table, in);
}

Type<device::PCMLikeNoiseModel> pcm_like() {
  Section<device::PCMLikeNoiseModel> table(
      "PCMLikeNoiseModel", "Phase-change memory: state-dependent programming error, drift and read noise.");
  add_pcm_rows(
      table, [](auto& m) -> auto& { return m; });
  return checked_range(table);
}

Type<device::CustomDriftPCMLikeNoiseModel> custom_drift() {
  using M = device::CustomDriftPCMLikeNoiseModel;
  using D = device::CustomDriftModel;
  const Type<D> drift =
      Section<D>("CustomDriftModel", "Drift exponent over conductance, interpolated linearly.")
          .field("g_lst", &D::g_lst,
                 {.unit = "uS", .range = non_negative, .help = "ascending, covering the devices' range"})
          .field("nu_mean_lst", &D::nu_mean_lst, {.help = "mean of the exponent"})
          .field("nu_std_lst", &D::nu_std_lst, {.range = non_negative, .help = "its spread"});
  Section<M> table("CustomDriftPCMLikeNoiseModel", "PCMLikeNoiseModel with a drift table of your own.");
  add_pcm_rows(
      table, [](auto& m) -> auto& { return m.pcm; });
  table.field("custom_drift_model", &M::custom_drift_model, drift);
  return checked_range(table);
}

Type<device::StateIndependentNoiseModel> state_independent() {
  using M = device::StateIndependentNoiseModel;
  const auto self = [](auto& m) -> auto& {
    return m;
  };
  Section<M> table("StateIndependentNoiseModel", "The same noise for every conductance.");
  table.field("g_converter", &M::g_converter, conductance_converter());
  add_range_rows(table);
  table.field("prog_coeff", &M::prog_coeff, config::list(config::real(), 1), {.unit = "uS", .help = coefficients_help})
      .field("drift_nu_mean", &M::drift_nu_mean, {.help = "mean drift exponent"})
      .field("drift_nu_std", &M::drift_nu_std, {.range = non_negative, .help = "its spread"});
  add_time_rows(table, self);
  add_scale_rows(table, self);
  return checked_range(table);
}

/// A map of numbers to polynomials; it replaces the one that was there.
Type<device::CoefficientTable> coefficient_table() {
  const Type<std::vector<double>> polynomial = config::list(config::real(), 1);
  auto info = std::make_shared<config::TypeInfo>();
  info->kind = config::TypeInfo::Kind::map;
  info->element = polynomial.info;
  return {info,
          [polynomial](const Node& node, const std::string& key, device::CoefficientTable& value, Report& report) {
            if (!node.is_map()) {
              report.problem(node.position, key,
                             fmt::format("expected a map of numbers to lists, got {}", describe(node)));
              return;
            }
            device::CoefficientTable read;
            for (const Node::Entry& entry : node.entries) {
              Node name = Node::plain(entry.key);
              name.position = entry.position;
              double number = 0.0;
              const std::size_t before = report.problems().size();
              config::real().read(name, key, number, report);
              std::vector<double> coefficients;
              polynomial.read(entry.value, config::detail::child_key(key, entry.key), coefficients, report);
              if (report.problems().size() == before && !read.emplace(number, std::move(coefficients)).second)
                report.problem(entry.position, key, fmt::format("the number {} stands twice", entry.key));
            }
            value = std::move(read);
          },
          [polynomial](const device::CoefficientTable& value) {
            Node node = Node::map();
            for (const auto& [number, coefficients] : value)
              node.entries.push_back({config::format_real(number), polynomial.write(coefficients), {}});
            return node;
          }};
}

Type<device::ReRamWan2022NoiseModel> wan_2022() {
  using M = device::ReRamWan2022NoiseModel;
  Section<M> table("ReRamWan2022NoiseModel", "Resistive memory, measured 1 s, 1 day and 2 days after programming.");
  table.field("g_converter", &M::g_converter, conductance_converter());
  add_range_rows(table);
  table
      .field("coeff_dic", &M::coeff_dic, coefficient_table(),
             {.help = "seconds after programming to coefficients in uS"})
      .field("noise_scale", &M::noise_scale, {.range = non_negative, .help = "factor on the error"})
      .field("coeff_g_max_reference", &M::coeff_g_max_reference,
             {.unit = "uS",
              .range = positive,
              .help = "g_max for which the coefficients hold; null: 40, where they were measured"})
      .unused("prog_coeff_g_max_reference", "stored by the peer and never used");
  return checked_range(table);
}

/// A number, or a list of one number as dumps write it.
Type<double> number_or_list_of_one() {
  const Type<double> number = config::real();
  return {number.info,
          [number](const Node& node, const std::string& key, double& value, Report& report) {
            number.read(node.is_list() && node.items.size() == 1 ? node.items[0] : node, key, value, report);
          },
          number};
}

Type<device::ReRamCMONoiseModel> cmo() {
  using M = device::ReRamCMONoiseModel;
  const Type<M> decay =
      Section<M>("ReRamCMODecay", "Change of conductance with ln t.")
          .field("mean", &M::decay_mean, number_or_list_of_one(), {.unit = "uS", .help = "slope of the mean"})
          .field("std", &M::decay_std, config::list(config::real(), 2),
                 {.unit = "uS", .help = "slope and offset of the spread"});
  const Type<M> read = Section<M>("ReRamCMORead", "Read noise.")
                           .field("K", &M::read_k, {.range = non_negative, .help = "amplitude"})
                           .field("t_read", &M::t_read, {.unit = "s", .range = positive, .help = "duration of a read"});
  Section<M> table("ReRamCMONoiseModel", "Conductive-metal-oxide resistive memory, programmed with write-verify.");
  table.field("g_converter", &M::g_converter, conductance_converter());
  add_range_rows(table);
  table.field("coeff_dict", &M::coeff_dict, coefficient_table(), {.help = "acceptance range in % to c_0 (uS), c_1"})
      .field("acceptance_range", &M::acceptance_range,
             {.unit = "%", .range = positive, .help = "one of the numbers in coeff_dict"})
      .field("coeff_g_max_reference", &M::coeff_g_max_reference,
             {.unit = "uS",
              .range = positive,
              .help = "g_max for which the coefficients hold; null: the converter's g_max"})
      .group("decay_dict", decay)
      .group("read_dict", read);
  add_scale_rows(
      table, [](auto& m) -> auto& { return m; });
  const Type<M> strict = checked_range(table);
  return {strict.info,
          [strict](const Node& node, const std::string& key, M& value, Report& report) {
            strict.read(node, key, value, report);
            constexpr double peer_default = 0.02;  // no key of the peer's own table: it takes the smallest one instead
            if (value.acceptance_range != peer_default || value.coeff_dict.empty() ||
                value.coeff_dict.contains(peer_default))
              return;
            value.acceptance_range = value.coeff_dict.begin()->first;
            report.unused(
                key + ".acceptance_range",
                fmt::format("0.02 is not in coeff_dict; {} is used, as the peer does", value.acceptance_range));
          },
          strict};
}

Type<device::HermesNoiseModel> hermes() {
  using M = device::HermesNoiseModel;
  Section<M> table("HermesNoiseModel", "PCM of the Hermes chip, one or two devices per polarity of a weight.");
  table.field("num_devices", &M::num_devices, {.range = Range::between(1.0, 2.0), .help = "per polarity"})
      .field("g_converter", &M::g_converter, config::optional(conductance_converter()),
             {.help = "null: a single pair with g_max 20.7 (two devices) or 10.35 (one)"});
  add_range_rows(table);
  table
      .field("prog_coeff", &M::prog_coeff, config::optional(config::list(config::real(), 1)),
             {.unit = "uS", .help = std::string(coefficients_help) + "; null: those of num_devices"})
      .field(
          "prog_coeff_g_max_reference", &M::prog_coeff_g_max_reference,
          {.unit = "uS", .range = positive, .help = "g_max for which the coefficients hold; null: that of num_devices"})
      .field("t_read", &M::t_read, {.unit = "s", .range = positive, .help = "duration of a read"})
      .field("t_0", &M::t_0,
             {.unit = "s", .range = positive, .help = "as PCMLikeNoiseModel; null: 300 (two devices) or 200 (one)"});
  add_scale_rows(
      table, [](auto& m) -> auto& { return m; });
  return checked_range(table);
}

Type<device::TableNoiseModel> table_model() {
  using M = device::TableNoiseModel;
  Section<M> table("TableNoiseModel",
                   "A measured device of your own. A table that is null is an effect that does not happen.");
  table.field("g_converter", &M::g_converter, conductance_converter());
  add_range_rows(table);
  table
      .field("programming_sigma", &M::programming_sigma, device_table(),
             {.unit = "uS", .help = "programming error; no time axis"})
      .field("drift", &M::drift,
             choice<device::TableDrift>(
                 {{"exponent", device::TableDrift::exponent}, {"change", device::TableDrift::change}}),
             {.help = "drift tables hold exponents of a power law, or changes in uS"})
      .field("drift_mean", &M::drift_mean, device_table(), {.help = "mean of the drift"})
      .field("drift_std", &M::drift_std, device_table(), {.help = "its spread from device to device"})
      .field("t_0", &M::t_0, {.unit = "s", .range = positive, .help = "exponent: reference time of the power law"})
      .field("read_sigma", &M::read_sigma, device_table(), {.unit = "uS", .help = "read noise"});
  add_scale_rows(
      table, [](auto& m) -> auto& { return m; });
  return checked_range(table);
}

}  // namespace

Type<device::NoiseModel> noise_model() {
  using namespace device;
  return config::one_of("NoiseModel", "What happens to conductances between being written and being read.",
                        Named<PCMLikeNoiseModel>{"PCMLikeNoiseModel", pcm_like()},
                        Named<CustomDriftPCMLikeNoiseModel>{"CustomDriftPCMLikeNoiseModel", custom_drift()},
                        Named<StateIndependentNoiseModel>{"StateIndependentNoiseModel", state_independent()},
                        Named<ReRamWan2022NoiseModel>{"ReRamWan2022NoiseModel", wan_2022()},
                        Named<ReRamCMONoiseModel>{"ReRamCMONoiseModel", cmo()},
                        Named<HermesNoiseModel>{"HermesNoiseModel", hermes()},
                        Named<TableNoiseModel>{"TableNoiseModel", table_model()});
}

Type<device::DriftCompensation> drift_compensation() {
  using namespace device;
  using Global = GlobalDriftCompensation;
  using Exact = GlobalDriftCompensationWithExactReference;
  using PerColumn = PerColumnDriftCompensation;
  return config::one_of(
      "DriftCompensation", "A digital factor that makes up for drift, from a noisy read of the tile.",
      Named<Global>{"GlobalDriftCompensation", Section<Global>("GlobalDriftCompensation", "One factor per tile.")},
      Named<Exact>{"GlobalDriftCompensationWithExactReference",
                   Section<Exact>("GlobalDriftCompensationWithExactReference",
                                  "... with the exact product of the target weights as baseline.")
                       .field("read_magnitudes", &Exact::read_magnitudes,
                              {.help = "beyond aihwkit: true restores its read of magnitudes, which noise makes larger "
                                       "than the baseline; false: values count with the signs of the targets"})},
      Named<PerColumn>{"PerColumnDriftCompensation",
                       Section<PerColumn>("PerColumnDriftCompensation", "One factor per output.")});
}

Type<device::DriftFrom> drift_from() {
  return choice<device::DriftFrom>({{"devices", device::DriftFrom::devices}, {"weights", device::DriftFrom::weights}});
}

Type<device::ProgramAndVerify> program_and_verify() {
  using P = device::ProgramAndVerify;
  return Section<P>("ProgramAndVerify",
                    "Closed-loop programming: read, correct, repeat until the reading is within the tolerance.")
      .field("tolerance", &P::tolerance, {.unit = "uS", .range = positive, .help = "accepted error of the reading"})
      .field("max_pulses", &P::max_pulses,
             {.range = Range::between(0.0, 10000.0), .help = "corrections after the first pulse"})
      .field("gain", &P::gain,
             {.range = {.low = 0.0, .high = 1.0, .low_open = true}, .help = "part of the error that a pulse corrects"})
      .field("pulse_noise", &P::pulse_noise, {.range = non_negative, .help = "relative spread of a pulse's effect"})
      .field("read_noise", &P::read_noise, {.unit = "uS", .range = non_negative, .help = "error of a verifying read"});
}

config::Type<device::RetentionParameters> written_retention() {
  using P = device::RetentionParameters;
  using device::WrittenPositions;
  return config::Section<P>("RetentionParameters",
                            "What volatile cells still hold of a matrix that is written at run time when it is read: "
                            "w exp(-t / tau) after a time t (docs/models/retention.md).")
      .field("time_constant", &P::time_constant,
             {.unit = "s", .range = config::Range::above(0.0), .help = "median of tau over cells"})
      .field("spread", &P::spread,
             {.range = config::Range::at_least(0.0), .help = "standard deviation of ln tau from cell to cell"})
      .field("hold_time", &P::hold_time,
             {.unit = "s", .range = config::Range::at_least(0.0), .help = "between the writes of two positions"})
      .field("causal", &P::causal,
             {.help = "vector t reads when position t has just been written, and finds 0 at later ones; false: all are "
                      "read after the last was written"})
      .field(
          "positions", &P::positions,
          config::choice<WrittenPositions>({{"automatic", WrittenPositions::automatic},
                                            {"outputs", WrittenPositions::outputs},
                                            {"inputs", WrittenPositions::inputs}}),
          {.help = "axis of the written weight that counts positions: outputs of queries x keys, inputs of attention x "
                   "values; automatic: the one that is as long as there are vectors"});
}

}  // namespace tessera::spec
