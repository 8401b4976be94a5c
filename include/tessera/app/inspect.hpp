#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tessera/app/setup.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/quantizer_ranges.hpp"
#include "tessera/tile/parameters.hpp"

namespace tessera::app {

/// One weighted layer, and how it is placed on tiles.
struct LayerSize {
  bool analog = true;
  std::int64_t parameters = 0;  ///< weights and biases
  std::int64_t macs = 0;        ///< for one sample
  std::int64_t tiles = 0;       ///< 0 for a digital layer
  double utilisation = 0.0;     ///< weights over the cells of the tiles
  // On crossbars only.
  std::int64_t weight_slices = 0;
  std::int64_t arrays = 0;      ///< of all tiles and slices, pairs counted twice
  std::int64_t converters = 0;  ///< analog-to-digital, after sharing
};

/// `mapping`: none for a digital layer.
LayerSize layer_size(const nn::Executor& executor, std::size_t layer,
                     const std::optional<tile::MappingParameter>& mapping,
                     const std::optional<circuit::CrossbarParameters>& crossbar = {});

/// By layer, as a configuration has them.
std::vector<LayerSize> layer_sizes(const Setup& setup);

/// One layer with a fixed-point periphery, in words.
struct FixedPointFormats {
  std::string layer;
  std::string scale;         ///< "Q(u,1,7)", with "e per column" where there is an exponent
  std::string bias;          ///< "Q(s,7,1)"
  std::string accumulator;   ///< "24 bits, F = 7"
  std::string output;        ///< "s8, ReLU"
  double output_step = 0.0;  ///< 0: its range is not known before data has been seen
  bool chained = false;      ///< its inputs are codes of layers in front, unconverted
  std::string input;         ///< of which layers; or why not
};

/// An Add that brings codes of different steps together.
struct FixedPointSum {
  std::string name;
  std::string format;  ///< of its multipliers: "Q(u,1,7)"
  std::array<double, 2> operand_step{};
  std::array<std::int64_t, 2> multiplier{};
  double step = 0.0;  ///< of what it gives
  int saturated = 0;  ///< multipliers that do not fit
  std::string layer;  ///< behind it, whose pre_post.fixed_point.add it is built by
};

/// Of a configuration: the layers that have a fixed-point periphery, in their order, and the Adds between them once
/// ranges are known. Nothing is programmed.
struct FixedPointSummary {
  std::vector<FixedPointFormats> layers;
  std::vector<FixedPointSum> sums;
};
FixedPointSummary fixed_point_formats(const Setup& setup);

/// What is in a model file.
struct ModelInspection {
  nn::Executor executor;
  std::vector<LayerSize> sizes;         ///< by layer, on tiles of at most 512x512
  std::vector<std::string> products;    ///< products of two activations, digital unless a rule says otherwise
  sim::NetworkCalibration calibration;  ///< ranges that the file holds
  sim::QuantizerRanges quantizers;
};

/// The shape of an input where a file leaves extents free.
struct InputShape {
  std::string name = {};  ///< empty: of the next input without one, and `shape` is that of one sample
  Shape shape = {};       ///< with a name as the file has it, batch included
};

/// An ONNX file or a native model. `shapes` may be empty. UsageError for names that no input has, and shapes that do not
/// fit.
ModelInspection inspect_model(const std::string& path, const std::vector<InputShape>& shapes = {},
                              const Environment& environment = {});

enum class FileKind { configuration, onnx, model, results, other };

/// What a file is, by its name and, for HDF5, by what it says of itself. InputError if there is no such file or nothing
/// is known of its kind; `other` is HDF5 with another filetype, which goes to `filetype` if one is given.
FileKind kind_of(const std::string& path, std::string* filetype = nullptr);

}  // namespace tessera::app
