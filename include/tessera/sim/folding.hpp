#pragma once
#include "tessera/io/model_file.hpp"

/// Batch normalization of a model whose layers have stored ranges.
namespace tessera::sim {

/// nn::fold_batchnorm() of a model. ConfigError (model.fold_batchnorm) naming every layer whose output, weight or
/// scales folding changes while the model holds a range of them.
int fold_batchnorm(io::Model& model);

}  // namespace tessera::sim
