#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tessera/h5/file.hpp"
#include "tessera/spec/rpu_config.hpp"
#include "tessera/tile/analog_layer.hpp"

/// Reading of analog_tile.h5: every group with the attribute `kind` is a case of one linear layer.
namespace tessera::golden {

inline std::string golden_path(const std::string& name) {
  const char* directory = std::getenv("TESSERA_GOLDEN_DIR");
  return (directory != nullptr ? std::string(directory) : std::string(TESSERA_SOURCE_DIR + "/tests/data/golden")) +
         "/" + name;
}

struct TileCase {
  std::string path;
  std::string kind;
  std::string tile_class;
  tile::RpuParameters parameters;
  Matrix weight;
  std::vector<float> bias;
  h5::Group group;
  std::shared_ptr<const h5::File> file;  // stays open while the group is read

  Matrix matrix(const std::string& name) const {
    const Tensor t = group.dataset(name).read_tensor();
    return Matrix(t.dim(0), t.dim(1), t.values());
  }
  tile::AnalogLayer layer() const { return {parameters, weight.view(), bias, {.seed = 1}}; }
  bool torch_engine() const { return tile_class != "InferenceTile"; }
};

/// Switches on what docs/models/peer_defects.md lists, where a case records it.
inline void restore_peer(tile::RpuParameters& p, const Matrix& weight, bool has_bias) {
  const bool line_differs = p.pre_post.input_range.enable || p.forward.nm_thres > 0.0 || p.forward.inp_bound < 1.0;
  p.mapping.bias_line_as_input = has_bias && !p.mapping.digital_bias && line_differs;
  const std::vector<bool> live = tile::live_outputs(weight.view());
  p.mapping.unit_scale_of_dead_outputs = std::find(live.begin(), live.end(), false) != live.end();
}

inline std::vector<TileCase> tile_cases(const std::vector<std::string>& kinds) {
  std::vector<TileCase> cases;
  const auto file = std::make_shared<const h5::File>(h5::File::open(golden_path("analog_tile.h5")));
  file->visit([&](const std::string& path, h5::Kind kind) {
    if (kind != h5::Kind::group || !file->group(path).has_attribute("kind")) return;
    h5::Group group = file->group(path);
    const auto case_kind = group.attribute<std::string>("kind");
    if (std::find(kinds.begin(), kinds.end(), case_kind) == kinds.end()) return;
    const Tensor weight = group.dataset("weight").read_tensor();
    std::vector<float> bias;
    if (group.contains("bias")) bias = group.dataset("bias").read<float>();
    cases.push_back({path, case_kind, group.attribute<std::string>("tile_class"),
                     spec::read_rpu_parameters(group.attribute<std::string>("rpu_config"), path),
                     Matrix(weight.dim(0), weight.dim(1), weight.values()), std::move(bias), std::move(group), file});
    restore_peer(cases.back().parameters, cases.back().weight, !cases.back().bias.empty());
  });
  return cases;
}

}  // namespace tessera::golden
