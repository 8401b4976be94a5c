// Writes the files that tests/python/open_results_test.py opens with h5py, xarray and netCDF4.
#include <gtest/gtest.h>

#include "results/sample_run.hpp"
#include "tessera/results/reader.hpp"

namespace tessera::results {
namespace {

TEST(ResultSample, IsWrittenForPython) {
  const std::string run = TESSERA_BINARY_DIR + "/results_sample_run.h5";
  const std::string sweep = TESSERA_BINARY_DIR + "/results_sample_sweep.h5";
  sample::write_file(run, sample::run_header());
  sample::write_file(sweep, sample::sweep_header(), 3, 1.0, 20);
  EXPECT_TRUE(Reader(run).complete());
  EXPECT_FALSE(Reader(sweep).complete());
}

}  // namespace
}  // namespace tessera::results
