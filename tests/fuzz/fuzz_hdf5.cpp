// Does every byte string read as a native model file, an HDF5 data set or a result file, or end in an error? What is
// found inside libhdf5 itself is not ours to repair; docs/dev/fuzzing.md lists it.
#include <algorithm>

#include "fuzz_target.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/results/reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tessera::fuzz::ScratchFile file("hdf5");
  const std::string& path = file.write(data, size);
  tessera::fuzz::expect_result_or_error([&] { tessera::io::read_model(path); });
  tessera::fuzz::expect_result_or_error([&] { tessera::results::Reader reader(path); });
  tessera::fuzz::expect_result_or_error([&] {
    tessera::io::DataParameters parameters;
    parameters.format = tessera::io::DataFormat::hdf5;
    parameters.inputs = {path};
    const tessera::io::DataSet set(parameters);
    if (tessera::element_count(set.sample_shape()) > (1 << 20)) return;
    set.read(0, std::min<std::int64_t>(set.size(), 16));
  });
  return 0;
}
