// Does any damage to a valid file end in data or an InputError, never in a crash, a hang or another exception?
// Thousands of seeded mutations; meant to be run under the address and undefined-behaviour sanitizers as well.
#include <algorithm>

#include "data_files.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/random/stream.hpp"

#ifdef __SANITIZE_ADDRESS__
// libhdf5 1.10 does not free everything when it refuses a damaged file.
extern "C" __attribute__((weak)) const char* __lsan_default_suppressions() {
  return "leak:libhdf5\n";
}
#endif

namespace tessera::io {
namespace {

using io_test::Bytes;

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : stream_({.seed = seed}, random::Purpose::test) {}
  std::size_t below(std::size_t limit) { return random::bits(stream_, 0, next_++) % limit; }

 private:
  random::Stream stream_;
  std::uint64_t next_ = 0;
};

// One to four of: flip a bit, set an extreme byte, remove, insert or repeat a piece, cut the end.
Bytes mutate(Bytes bytes, Draws& draws) {
  const std::size_t changes = 1 + draws.below(4);
  for (std::size_t change = 0; change < changes && !bytes.empty(); ++change) {
    // Half of the changes hit the header, where they matter most.
    const std::size_t at = draws.below(draws.below(2) == 0 ? std::min<std::size_t>(bytes.size(), 100) : bytes.size());
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t length = std::min(1 + draws.below(16), bytes.size() - at);
    switch (draws.below(6)) {
      case 0:
        bytes[at] ^= static_cast<std::uint8_t>(1U << draws.below(8));
        break;
      case 1:
        std::fill_n(place, length, draws.below(2) == 0 ? std::uint8_t{0xFF} : std::uint8_t{0});
        break;
      case 2:
        bytes.erase(place, place + static_cast<std::ptrdiff_t>(length));
        break;
      case 3:
        bytes.insert(place, length, static_cast<std::uint8_t>(draws.below(256)));
        break;
      case 4: {
        const Bytes piece(place, place + static_cast<std::ptrdiff_t>(length));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
        break;
      }
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

class DataSetMutationTest : public io_test::DataFiles {
 protected:
  void run(DataFormat format, const Bytes& inputs, const Bytes& labels, int rounds, std::uint64_t seed) {
    Draws draws(seed);
    const std::string good_inputs = write("good-inputs", inputs);
    const std::string good_labels = labels.empty() ? "" : write("good-labels", labels);
    int refused = 0;
    int read = 0;
    for (int round = 0; round < rounds; ++round) {
      DataParameters p;
      p.format = format;
      p.batch_size = 4;
      const bool hit_labels = !labels.empty() && draws.below(3) == 0;
      p.inputs = {hit_labels ? good_inputs : write("inputs", mutate(inputs, draws))};
      p.labels = hit_labels ? write("labels", mutate(labels, draws)) : good_labels;
      try {
        const DataSet data(p);
        ASSERT_LE(data.size() * element_count(data.sample_shape()), std::int64_t{1} << 24);
        for (std::int64_t first = 0; first < data.size(); first += 4) {
          data.read(first, std::min<std::int64_t>(4, data.size() - first));
        }
        if (data.has_targets()) data.read_targets(0, data.size());
        ++read;
      } catch (const InputError& error) {
        ASSERT_NE(std::string(error.what()).find(path("")), std::string::npos)
            << "does not name the file: " << error.what();
        ++refused;
      }
    }
    EXPECT_GT(refused, rounds / 5);
    EXPECT_GT(read, 0);
  }
};

Bytes idx_labels() {
  Bytes bytes = io_test::idx_header(0x08, {12});
  for (std::uint8_t i = 0; i < 12; ++i) bytes.push_back(i % 10);
  return bytes;
}

TEST_F(DataSetMutationTest, Idx) {
  run(DataFormat::idx, io_test::idx_counting({12, 5, 4}), idx_labels(), 2000, 1);
}

TEST_F(DataSetMutationTest, GzippedIdx) {
  run(DataFormat::idx, io_test::gzip(io_test::idx_counting({12, 5, 4})), io_test::gzip(idx_labels()), 2000, 2);
}

TEST_F(DataSetMutationTest, Cifar10) {
  run(DataFormat::cifar10, Bytes(std::size_t{3 * 3073}, 3), {}, 1000, 3);
}

TEST_F(DataSetMutationTest, Npy) {
  Bytes values;
  for (std::uint8_t i = 0; i < 12 * 6; ++i) values.insert(values.end(), {0, 0, i, 0x3F});
  for (const char* order : {"False", "True"}) {
    const std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': {}, 'shape': (12, 2, 3), }}", order);
    const Bytes labels = io_test::npy_file("{'descr': '|u1', 'fortran_order': False, 'shape': (12,), }", Bytes(12, 1));
    run(DataFormat::npy, io_test::npy_file(header, values), labels, 1000, 4);
  }
}

TEST_F(DataSetMutationTest, Hdf5) {
  {
    h5::File file = h5::File::create(path("good.h5"));
    file.write<float>("inputs", {12, 3}, std::vector<float>(36, 0.5F));
    file.write<std::uint8_t>("labels", {12}, std::vector<std::uint8_t>(12, 1));
    file.close();
  }
  run(DataFormat::hdf5, io_test::read_bytes(path("good.h5")), {}, 1000, 5);
}

}  // namespace
}  // namespace tessera::io
