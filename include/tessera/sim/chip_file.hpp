#pragma once
#include <string>

#include "tessera/device/life_cycle.hpp"
#include "tessera/io/chip_file.hpp"
#include "tessera/sim/evaluate.hpp"

/// Programmed chips kept in a model file, and evaluated again later (docs/formats/model.md).
namespace tessera::sim {

/// Chips of an earlier run, by layer part, tile and number of the chip.
class StoredChips {
 public:
  /// None: every chip is programmed anew.
  StoredChips() = default;
  /// All chips of a model file; none for an empty path. InputError for a file that cannot be read or holds no chips.
  explicit StoredChips(const std::string& path);

  bool empty() const { return tiles_.empty(); }
  /// The tile as it was programmed, to be read with the devices of `parameters`. InputError if the file does not have
  /// it, or it was programmed for other weights than `target` (another network or mapping) or with other devices.
  /// ConfigError with every key that programming depends on (device::programming_law) and that has another value now:
  /// what was programmed cannot follow it; or if a fault map is given (`map`, of the tile) that is not the tile's.
  device::ProgrammedState state(const std::string& part, std::uint32_t tile, std::uint32_t repeat,
                                const device::DeviceParameters& parameters, const Matrix& target,
                                const device::FaultMap* map = nullptr) const;

 private:
  std::string path_;
  std::vector<io::ChipTile> tiles_;
};

/// What programming left in tile `tile` of a layer's part. The part has devices.
io::ChipTile chip_tile(const ProgrammedChip& chip, std::size_t layer, std::size_t part, std::int64_t tile,
                       const std::string& part_name);

/// `sink`, and besides writes every chip, and the weights of every read, to `writer`. All must outlive it.
EvaluationSink storing_sink(EvaluationSink sink, io::ChipFileWriter& writer, const EvaluationRequest& request);

}  // namespace tessera::sim
