#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/h5/file.hpp"
#include "tessera/results/records.hpp"

namespace tessera::results {

struct LayerInfo {
  std::string name;
  std::string group;  ///< path in the file: "/layers/conv1"
  std::string op;
  bool analog = false;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
};

struct VariableInfo {
  std::string path;
  std::vector<std::string> dims;
  Shape shape;
  h5::ElementType type = h5::ElementType::other;
  std::string units;
  std::string long_name;
};

/// Values with named axes, row-major. Missing integers are NaN too.
struct NamedArray {
  std::vector<std::string> dims;
  Shape shape;
  std::vector<double> values;
};

/// Reads result files of the same major schema version and any minor.
class Reader {
 public:
  /// InputError if the file is no result file, damaged, or of another major version.
  explicit Reader(const std::string& path);
  /// The same for a file that is open, on a disk or in memory.
  explicit Reader(h5::File file);

  const std::string& path() const { return file_.file_name(); }
  int schema_minor() const { return schema_minor_; }
  /// "" or a sentence that the file was written by a later version, whose additions are not shown.
  std::string version_note() const;

  std::string tessera_version() const;
  std::string created_utc() const;
  std::string command() const;
  std::string task_id() const;
  std::uint64_t seed() const;
  std::uint32_t rng_layout() const;
  bool complete() const;
  std::string config_text() const;
  std::string resolved_text() const;

  /// The axes of a point: the swept ones, time, repeat.
  std::vector<Axis> axes() const;
  std::size_t swept_axes() const { return swept_.size(); }
  std::vector<LayerInfo> layers() const;
  /// Everything with values but coordinates, in the order of the file. InputError where the file is damaged.
  std::vector<VariableInfo> variables() const;
  /// The share of right predictions: "/accuracy", without labels "/agreement"; "" where the task has none.
  std::string score() const { return has("/accuracy") ? "/accuracy" : has("/agreement") ? "/agreement" : ""; }
  bool has(const std::string& variable) const { return file_.contains(variable); }
  /// Numbers of a variable such as "/accuracy" or "/layers/conv1/sqnr_db". InputError if there is none.
  NamedArray read(const std::string& variable) const;
  /// Texts of a variable or coordinate.
  std::vector<std::string> texts(const std::string& variable) const;

 private:
  h5::File file_;
  int schema_minor_ = 0;
  std::vector<std::string> swept_;
};

}  // namespace tessera::results
