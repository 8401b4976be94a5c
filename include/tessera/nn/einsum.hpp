#pragma once
#include <string>
#include <vector>

/// Equations of Einsum, such as "bij,bjk->bik".
namespace tessera::nn {

/// One label per axis. Axes behind an ellipsis have the labels 1, 2, ... counted from the last of them.
struct EinsumEquation {
  std::vector<std::string> inputs;
  std::string output;
  std::string summed;  ///< labels that the output does not have
};

/// Reads an equation for inputs of these ranks; without "->" the output has the labels that occur once, in alphabetical
/// order behind the ellipsis. InputError (with `where`) if it does not fit.
EinsumEquation parse_einsum(const std::string& text, const std::vector<std::size_t>& ranks, const std::string& where);

}  // namespace tessera::nn
