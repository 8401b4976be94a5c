#pragma once
#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <string>

#include "mapped_file.hpp"
#include "tessera/nn/graph.hpp"

/// Tensors of ONNX files.
namespace tessera::io {

/// Files beside a model that hold tensors, mapped when they are first asked for and kept as long as a tensor is there.
class ExternalData {
 public:
  /// `model`: the file of the model, for what was left in it (onnx_moved.hpp); null for models in memory.
  explicit ExternalData(std::string folder, std::shared_ptr<const MappedFile> model = nullptr)
      : folder_(std::move(folder)), model_(std::move(model)) {}
  const std::shared_ptr<const MappedFile>& model() const { return model_; }
  /// InputError (without the model's name) if the location is not a file inside the folder.
  std::shared_ptr<const MappedFile> file(const std::string& location);

 private:
  std::string folder_;
  std::shared_ptr<const MappedFile> model_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

/// Converts a tensor, reading external data where it says so: float32 values of some size, in large files, stay
/// there until they are written to. InputError (without the file's name): a
/// type that is not a real number or integer, a size that does not fit the shape, NaN, a double beyond float32,
/// external data that is missing, too short, or outside the folder; NaN unless it is allowed (in data, not in weights).
nn::Constant convert_tensor(const onnx::TensorProto& tensor, ExternalData& external, bool allow_nan = false);

/// Types that the installed definitions of ONNX may not know yet.
inline constexpr int onnx_uint4 = 21, onnx_int4 = 22, onnx_uint2 = 25, onnx_int2 = 26;

/// "float", "int64", ... for messages; "type 99" if unknown.
std::string onnx_type_name(int type);

/// Whether a type becomes float32 (true) or int64 (false); InputError for others.
bool is_floating_type(int type);

}  // namespace tessera::io
