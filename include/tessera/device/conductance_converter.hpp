#pragma once
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "tessera/core/error.hpp"

/// How a weight is split over the devices of a unit cell (reference section 7). Conductances are in uS. A cell has a
/// fixed list of devices, plus then minus of each pair; every converter applies per tile to the tile's weights W, with
/// wm = max(max |W|, 1e-7). Names and defaults are aihwkit's.
namespace tessera::device {

/// One differential pair:  k = (g_max - g_min) / wm,  g+ = [k W]+ + g_min,  g- = [-k W]+ + g_min.
struct SinglePairConductanceConverter {
  double g_max = 25.0;
  double g_min = 0.0;
  bool operator==(const SinglePairConductanceConverter&) const = default;
};

/// One device without a reference:  k = (g_max - g_min) / max(max W - min W, 1e-7),  g = (W - min W) k + g_min.
/// Cells of crossbars (`normalised`, not configured: their core has split the weights): W is a conductance over g_max,
///     k = g_max,  g = g_max W.
struct SingleDeviceConductanceConverter {
  double g_max = 88.199997;
  double g_min = 9.0;
  bool normalised = false;
  bool operator==(const SingleDeviceConductanceConverter&) const = default;
};

/// Pairs of significance f_p, filled in the listed order, each until it saturates:
///     k = sum_p f_p (g_max - g_min) / wm,   W = sum_p f_p (g+_p - g-_p) / k.
struct NPairConductanceConverter {
  std::vector<double> f_lst = {1.0, 1.0};
  double g_max = 25.0;
  double g_min = 0.0;
  bool operator==(const NPairConductanceConverter&) const = default;
};

/// NPair with exactly two pairs.
struct DualPairConductanceConverter {
  std::vector<double> f_lst = {1.0, 1.0};
  double g_max = 25.0;
  double g_min = 0.0;
  bool operator==(const DualPairConductanceConverter&) const = default;
};

/// Any placement: g_lst = [g+_1, g-_1, g+_2, g-_2, ...], each a list of B conductances over an even grid of weights.
/// With h_b = sum_p f_p (g+_p[b] - g-_p[b]):  k = max |h| / wm, the grid is linspace(-max |h|, max |h|, B) / k, and
/// every conductance interpolates its list linearly at W (end values outside). W = sum_p f_p (g+_p - g-_p) / k.
struct CustomPairConductanceConverter {
  std::vector<double> f_lst = {};
  std::vector<std::vector<double>> g_lst = {};
  double g_max = 25.0;
  double g_min = 0.0;
  bool operator==(const CustomPairConductanceConverter&) const = default;
};

using ConductanceConverter =
    std::variant<SinglePairConductanceConverter, SingleDeviceConductanceConverter, NPairConductanceConverter,
                 DualPairConductanceConverter, CustomPairConductanceConverter>;

double g_max(const ConductanceConverter& converter);
double g_min(const ConductanceConverter& converter);
void set_range(ConductanceConverter& converter, double g_min, double g_max);

/// Devices per weight.
std::int64_t device_count(const ConductanceConverter& converter);

/// Significance of each device in the weight: +f_p, -f_p, ...; +1 for a single device.
std::vector<double> device_factors(const ConductanceConverter& converter);

/// The linear map back from conductances, fixed for one set of weights:
///     W = weight_offset + sum_d factor_d (g_d - g_min) / uS_per_weight.
struct Conversion {
  double uS_per_weight = 1.0;
  double weight_offset = 0.0;
  bool operator==(const Conversion&) const = default;
};

/// The map that brings the extreme weight to the end of the conductance range.
Conversion make_conversion(const ConductanceConverter& converter, std::span<const float> weights);

/// The conductance of device `device` for every weight; out has the length of weights.
void to_conductances(const ConductanceConverter& converter, const Conversion& conversion, std::int64_t device,
                     std::span<const float> weights, std::span<float> out);

/// The weights of n cells; `conductances` holds device after device, each with n values `stride` apart from the next
/// device's.
void to_weights(const ConductanceConverter& converter, const Conversion& conversion,
                std::span<const float> conductances, std::int64_t stride, std::span<float> out);

/// Appends what is wrong: empty or reversed ranges, f_lst or g_lst of the wrong size, factors <= 0, list values outside
/// the range, lists that do not give the weight back (checked on 33 points to 1e-4, as the peer does on 5).
void find_problems(const ConductanceConverter& converter, const std::string& key, std::vector<Problem>& problems);

}  // namespace tessera::device
