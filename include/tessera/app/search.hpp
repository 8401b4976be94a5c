#pragma once
#include <string>
#include <vector>

#include "tessera/results/search_record.hpp"

namespace tessera::app {

struct SearchOptions {
  std::string file = {};    ///< the configuration that is found (YAML); "": only in the result
  std::string points = {};  ///< every configuration evaluated (HDF5), which a later search continues; "": only in the
                            ///< result
};

struct SearchResult {
  results::SearchRecord record;    ///< results::write_search(), search_image() (docs/formats/search.md)
  std::string configuration = {};  ///< the found one as YAML; paths relative to the folder of SearchOptions::file
  bool cancelled = false;
};

/// What was found, in sentences: accuracy, loss with its bound, bits saved.
std::vector<std::string> search_sentences(const results::SearchRecord& record);

}  // namespace tessera::app
