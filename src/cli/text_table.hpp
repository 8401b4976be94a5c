#pragma once
#include <string>
#include <vector>

namespace tessera::cli {

/// A table for people: columns padded to their widest cell, headings underlined, numbers right-aligned.
class TextTable {
 public:
  enum class Align { left, right };
  void add_column(std::string heading, Align align = Align::right);
  void add_row(std::vector<std::string> cells);
  std::string text() const;

 private:
  struct Column {
    std::string heading;
    Align align;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tessera::cli
