#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "golden/tile_cases.hpp"
#include "tessera/config/document.hpp"

/// The JSON golden files: float32 arrays are {"shape": [...], "f32": 8 hex digits per element}.
namespace tessera::golden {

inline config::Node read_json(const std::string& name) {
  std::ifstream file(golden_path(name));
  std::stringstream text;
  text << file.rdbuf();
  return config::parse(text.str(), {.name = name, .directory = {}});
}

inline const config::Node& at(const config::Node& node, const std::string& key) {
  const config::Node* found = node.find(key);
  if (found == nullptr) throw InputError("golden file has no key " + key);
  return *found;
}

inline double number(const config::Node& node) {
  return std::stod(node.scalar);
}

inline bool boolean(const config::Node& node) {
  return node.scalar == "true";
}

inline Tensor array(const config::Node& node) {
  Shape shape;
  for (const config::Node& extent : at(node, "shape").items) shape.push_back(std::stoll(extent.scalar));
  const std::string& hex = at(node, "f32").scalar;
  std::vector<float> values;
  for (std::size_t i = 0; i < hex.size(); i += 8)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(std::stoul(hex.substr(i, 8), nullptr, 16))));
  return Tensor(shape, values);
}

inline Matrix matrix(const config::Node& node) {
  const Tensor t = array(node);
  return Matrix(t.dim(0), t.dim(1), t.values());
}

inline std::vector<float> values(const config::Node& node) {
  const Tensor t = array(node);
  return {t.values().begin(), t.values().end()};
}

/// Elements agree within `tolerance` times the largest expected value, or 1 if that is smaller.
inline void expect_near(const Matrix& ours, const Matrix& theirs, double tolerance, const std::string& what) {
  ASSERT_EQ(ours.rows(), theirs.rows()) << what;
  ASSERT_EQ(ours.cols(), theirs.cols()) << what;
  double scale = 1.0;
  for (const float v : theirs.values()) scale = std::max(scale, static_cast<double>(std::fabs(v)));
  for (std::size_t i = 0; i < ours.values().size(); ++i)
    EXPECT_NEAR(ours.values()[i], theirs.values()[i], tolerance * scale) << what << " element " << i;
}

}  // namespace tessera::golden
