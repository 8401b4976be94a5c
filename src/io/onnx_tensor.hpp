#pragma once
#include <onnx/onnx_pb.h>

#include <string>

#include "tessera/nn/graph.hpp"

/// Tensors of ONNX files.
namespace tessera::io {

/// Converts a tensor, reading external data from `folder` where it says so. InputError (without the file's name): a
/// type that is not a real number or integer, a size that does not fit the shape, NaN, a double beyond float32,
/// external data that is missing, too short, or outside the folder.
nn::Constant convert_tensor(const onnx::TensorProto& tensor, const std::string& folder);

/// "float", "int64", ... for messages; "type 99" if unknown.
std::string onnx_type_name(int type);

/// Whether a type becomes float32 (true) or int64 (false); InputError for others.
bool is_floating_type(int type);

}  // namespace tessera::io
