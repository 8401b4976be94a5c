// Does every byte string read as a data set of the flat formats (the first byte chooses), gzipped or not, or end in an
// error?
#include <algorithm>

#include "fuzz_target.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/npy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tessera::fuzz::ScratchFile file("data");
  if (size == 0) return 0;
  const std::string& path = file.write(data + 1, size - 1);
  tessera::fuzz::expect_result_or_error([&] {
    using tessera::io::DataFormat;
    tessera::io::DataParameters parameters;
    constexpr DataFormat formats[] = {DataFormat::idx, DataFormat::npy, DataFormat::cifar10};
    parameters.format = formats[data[0] % 3];
    parameters.inputs = {path};
    if ((data[0] & 4U) != 0 && parameters.format != DataFormat::cifar10) parameters.labels = path;
    if ((data[0] & 8U) != 0) tessera::io::read_npy(path);
    const tessera::io::DataSet set(parameters);
    if (tessera::element_count(set.sample_shape()) > (1 << 20)) return;
    const std::int64_t count = std::min<std::int64_t>(set.size(), 16);
    set.read(0, count);
    if (set.has_targets() && tessera::element_count(set.target_shape()) < (1 << 20)) set.read_targets(0, count);
  });
  return 0;
}
