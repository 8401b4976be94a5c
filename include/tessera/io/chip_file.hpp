#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/random/stream.hpp"

/// Programmed chips in a model file: for every tile of every chip the target weights, what programming left in the
/// devices, and the weights that later reads found, kept apart (docs/formats/model.md, `/chips`). Module io only keeps
/// the numbers; sim knows what they mean.
namespace tessera::io {

/// One programmed tile of one chip. Arrays over devices are (device, output, input), row-major.
struct ChipTile {
  std::string part;      ///< name of the layer's part that it belongs to
  random::Address chip;  ///< the address from which its noise is drawn; `repeat` is the number of the chip
  Matrix target;         ///< weights asked for, in tile units (outputs x inputs)
  std::int64_t devices = 0;
  double uS_per_weight = 1.0;
  double weight_offset = 0.0;
  std::vector<float> conductances;   ///< programmed, uS
  std::vector<float> drift;          ///< exponent or deviate of each device; empty: none
  std::vector<std::uint8_t> faults;  ///< 0 none, 1 stuck at zero, 2 stuck at g_max; empty: none
  double mean_pulses = 1.0;
  double unconverged_fraction = 0.0;
  std::map<std::string, std::string> programmed_under = {};  ///< keys and values; empty in files of version 1.1

  bool operator==(const ChipTile&) const;
};

/// Writes a model file with chips, tile by tile, so that no more than one tile is held.
class ChipFileWriter {
 public:
  /// `times`: seconds after programming at which reads follow; empty: none. Errors as write_model().
  ChipFileWriter(const std::string& path, const Model& model, const std::vector<double>& times, std::int64_t reads);
  ~ChipFileWriter();
  ChipFileWriter(ChipFileWriter&&) noexcept;
  ChipFileWriter& operator=(ChipFileWriter&&) noexcept;

  /// InputError for a tile that was added before, or arrays that do not fit together.
  void add(const ChipTile& tile);
  /// The weights in tile units (outputs x inputs) that read `read` at times[time] found in a tile added before.
  void add_drifted(const std::string& part, std::uint32_t tile, std::uint32_t repeat, std::int64_t time,
                   std::int64_t read, ConstMatrixView weights);
  /// Gives the file its name.
  void commit();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// All tiles of the chips in a model file, in the order in which they were added; empty without chips. InputError for a
/// file that is missing, damaged or holds arrays that do not fit together.
std::vector<ChipTile> read_chips(const std::string& path);

}  // namespace tessera::io
