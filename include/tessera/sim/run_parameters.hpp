#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tessera/device/retention.hpp"
#include "tessera/tile/effects.hpp"

/// What a simulation is asked to do. Plain values, filled by module spec from YAML or by hand.
namespace tessera::sim {

/// Which input an output is fed back to, for the next sample of a sequence.
struct StateParameters {
  std::string input;
  std::string initial = {};  ///< file of its value for the first sample of a sequence; empty: zeros

  bool operator==(const StateParameters&) const = default;
};

/// Which network, and how it is prepared.
struct ModelParameters {
  std::string file;         ///< .onnx, or .h5 written by tessera
  std::string output = {};  ///< name of the output that is evaluated; empty: the first
  /// Names of outputs that are kept, the first of which is evaluated; "*" stands for all. Empty: that of `output`.
  std::vector<std::string> outputs = {};
  std::vector<std::pair<std::string, StateParameters>> state = {};  ///< by the name of the output
  bool fold_batchnorm = false;  ///< true: fold batch normalization into the preceding layer's weights before mapping
                                ///< to tiles; false (as in aihwkit): keep it digital
  bool dequantize = false;      ///< ONNX: integer layers become float32 layers between quantizers, which go on tiles
  bool use_calibration = true;  ///< apply the input ranges and quantizer ranges that the model file holds

  bool operator==(const ModelParameters&) const = default;
};

/// What a network's outputs are compared with.
enum class Task {
  automatic,       ///< classification with integer labels, regression with real ones, else agreement
  classification,  ///< the largest output is the label: accuracy, top-5, loss, confusion
  regression,      ///< outputs are the labels (targets): mean squared error
  anomaly,         ///< outputs are the inputs: mean squared error, and with labels how well it finds anomalies (AUC)
  language_model,  ///< outputs at a position are logits of the next token: loss, perplexity, accuracy, agreement
  agreement        ///< outputs are those of the float32 network: same largest output, KL divergence, cosine
};

/// How often and when the programmed network is evaluated.
struct EvaluationParameters {
  int repeats = 1;            ///< independently programmed chips, each with its own noise; >= 1
  int read_repeats = 1;       ///< independent reads and passes of each chip at each time; >= 1
  std::vector<double> times;  ///< seconds after programming; empty: right after programming, before any read noise
  std::string chips = {};  ///< model file of programmed chips to evaluate instead of programming new ones; empty: none
  Task task = Task::automatic;
  std::vector<int> normal_labels{0};     ///< anomaly: labels of samples that are no anomalies
  std::optional<int> ignore_index = {};  ///< label of positions that do not count; none: all count
  std::optional<int> class_axis = {};    ///< axis of a sample's output that counts classes; none: the one that fits

  bool operator==(const EvaluationParameters&) const = default;
};

/// What goes into the result file beyond accuracy and loss.
struct RecordParameters {
  bool statistics = true;            ///< per-layer error against float32, clipping, saturation
  std::vector<std::string> tensors;  ///< globs of layer names whose output is stored for every sample
  bool predictions = false;          ///< the predicted class of every sample
  bool outputs = false;              ///< the outputs of the network for every sample

  bool operator==(const RecordParameters&) const = default;
};

struct LayerCalibration;

/// What a layer was configured as before a calibration of all layers (calibration.force_all_layers) made it one with an
/// input range and without noise management.
struct ReplacedParameters {
  bool input_range_enable = true;
  tile::NoiseManagementType noise_management = tile::NoiseManagementType::NONE;
  bool operator==(const ReplacedParameters&) const = default;
};

/// What one layer is simulated as: on tiles with its devices, or digital.
struct LayerParameters : tile::AnalogParameters {
  bool analog = true;
  /// Leakage of what is written at run time, for products of two activations; none: it stays.
  std::optional<device::RetentionParameters> retention = {};
  /// Ranges found by calibration or training (layer_calibration.hpp); null: those of `rpu`.
  std::shared_ptr<const LayerCalibration> calibration = {};
  /// What a forced calibration replaced in `rpu`; none: nothing.
  std::optional<ReplacedParameters> replaced = {};

  bool operator==(const LayerParameters&) const = default;
};

/// Parameters of the layer called `name` with operator type `op` ("Conv", "Gemm", "MatMul").
using LayerResolver = std::function<LayerParameters(const std::string& name, const std::string& op)>;

}  // namespace tessera::sim
