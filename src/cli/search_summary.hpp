#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "tessera/results/search_record.hpp"

namespace tessera::cli {

/// What was found, in sentences: accuracy, loss with its bound, bits saved.
std::vector<std::string> search_sentences(const results::SearchRecord& record);

/// The sentences, bits by layer, and the Pareto front.
void print_search_summary(std::ostream& out, const results::SearchRecord& record);

}  // namespace tessera::cli
