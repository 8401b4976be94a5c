#include "tessera/results/assemble.hpp"

#include <algorithm>
#include <fstream>
#include <vector>

#include "tessera/core/atomic_file.hpp"

namespace tessera::results {

namespace {

/// A block of a dataset: one place along the leading axes, the others whole or their front.
struct Block {
  Shape start;
  Shape count;
  std::int64_t size() const { return element_count(count); }
};

/// The block at `place`, of the extents `rest` along the axes behind it.
Block block_at(const std::vector<std::int64_t>& place, const Shape& rest) {
  Block block;
  block.start = place;
  block.count.assign(place.size(), 1);
  block.start.resize(place.size() + rest.size(), 0);
  block.count.insert(block.count.end(), rest.begin(), rest.end());
  return block;
}

template <class T>
void copy_numbers(h5::Dataset& to, const Block& target, const h5::Dataset& from, const Block& source) {
  std::vector<T> values(static_cast<std::size_t>(source.size()));
  from.read_block(source.start, source.count, std::span<T>(values));
  to.write_block(target.start, target.count, std::span<const T>(values));
}

void copy_values(h5::Dataset& to, const Block& target, const h5::Dataset& from, const Block& source) {
  if (source.size() == 0) return;
  switch (to.type()) {
    case h5::ElementType::float64:
      return copy_numbers<double>(to, target, from, source);
    case h5::ElementType::float32:
      return copy_numbers<float>(to, target, from, source);
    case h5::ElementType::int64:
      return copy_numbers<std::int64_t>(to, target, from, source);
    case h5::ElementType::int32:
      return copy_numbers<std::int32_t>(to, target, from, source);
    case h5::ElementType::uint8:
      return copy_numbers<std::uint8_t>(to, target, from, source);
    default:
      throw InputError("a variable along swept axes has a type that cannot be copied");
  }
}

std::vector<std::string> swept_names(const h5::File& file) {
  return file.has_attribute("swept") ? file.attribute_values<std::string>("swept") : std::vector<std::string>{};
}

/// Paths of all datasets of `file` whose leading axes are the swept ones.
std::vector<std::string> swept_datasets(const h5::File& file) {
  const std::vector<std::string> swept = swept_names(file);
  std::vector<std::string> paths;
  file.visit([&](const std::string& path, h5::Kind kind) {
    if (kind != h5::Kind::dataset) return;
    const h5::Dataset dataset = file.dataset(path);
    if (h5::is_scale(dataset)) return;
    const std::vector<std::string> names = h5::dimension_names(dataset);
    if (names.size() >= swept.size() && std::equal(swept.begin(), swept.end(), names.begin())) paths.push_back(path);
  });
  return paths;
}

/// Calls visit(index) for every place on the swept axes, row-major.
template <class Visit>
void for_each_place(const Shape& extents, const Visit& visit) {
  const std::int64_t count = element_count(extents);
  for (std::int64_t i = 0; i < count; ++i) {
    std::vector<std::int64_t> index(extents.size());
    std::int64_t rest = i;
    for (std::size_t axis = extents.size(); axis-- > 0;) {
      index[axis] = rest % extents[axis];
      rest /= extents[axis];
    }
    visit(index);
  }
}

/// The repeats that a place needs to be complete: all, or those of its chips where a stop rule decides (0: unknown).
std::int64_t needed_repeats(const h5::File& file, const std::vector<std::int64_t>& index, std::int64_t all) {
  if (!file.contains("chips")) return all;
  std::vector<std::int32_t> chips(1);
  const Block block = block_at(index, {});
  file.dataset("chips").read_block(block.start, block.count, std::span<std::int32_t>(chips));
  const std::vector<std::int32_t> reads = file.dataset("read").read<std::int32_t>();
  return chips[0] * (1 + *std::max_element(reads.begin(), reads.end()));
}

bool is_finished(const h5::File& file, const std::vector<std::int64_t>& index) {
  const h5::Dataset finished = file.dataset("finished");
  const Shape rest(finished.shape().begin() + std::ssize(index), finished.shape().end());
  const Block block = block_at(index, rest);
  std::vector<std::uint8_t> marks(static_cast<std::size_t>(block.size()));
  finished.read_block(block.start, block.count, std::span<std::uint8_t>(marks));
  const std::int64_t repeats = rest.back();
  const std::int64_t needed = needed_repeats(file, index, repeats);
  for (std::int64_t i = 0; i < std::ssize(marks); ++i)
    if (i % repeats < needed && marks[static_cast<std::size_t>(i)] != 1) return false;
  return needed > 0;
}

Shape swept_extents(const h5::File& file) {
  const Shape whole = file.dataset("finished").shape();
  return {whole.begin(), whole.begin() + std::ssize(swept_names(file))};
}

}  // namespace

void PointCopier::copy(const h5::File& point, const std::vector<std::int64_t>& index, std::int64_t first_repeat) {
  for (const CopyTarget& target : targets_) {
    if (!point.contains(target.path)) continue;
    const h5::Dataset source = point.dataset(target.path);
    const Shape& shape = source.shape();
    Block place = block_at(index, shape);
    bool fits = target.dataset->rank() == source.rank() + std::ssize(index);
    if (fits && target.repeat_axis) place.start[*target.repeat_axis] = first_repeat;
    for (std::size_t axis = 0; fits && axis < place.start.size(); ++axis)
      fits = place.start[axis] + place.count[axis] <= target.dataset->shape()[axis];
    require<InputError>(fits,
                        "{} of a sweep's point has shape {}, the sweep {}: what is swept must not change the "
                        "number of samples, times or repeats",
                        target.path, to_string(shape), to_string(target.dataset->shape()));
    copy_values(*target.dataset, place, source, block_at({}, shape));
  }
}

std::int64_t missing_places(const h5::File& sweep) {
  std::int64_t missing = 0;
  for_each_place(swept_extents(sweep),
                 [&](const std::vector<std::int64_t>& index) { missing += is_finished(sweep, index) ? 0 : 1; });
  return missing;
}

std::int64_t merge_files(const std::vector<std::string>& files, const std::string& output) {
  require<InputError>(!files.empty(), "no files to merge");
  AtomicFile target(output);
  std::ifstream first(files.front(), std::ios::binary);
  require<InputError>(first.is_open(), "{}: cannot be read", files.front());
  std::vector<char> block(std::size_t{1} << 20);
  while (first.read(block.data(), static_cast<std::streamsize>(block.size())) || first.gcount() > 0)
    target.write({block.data(), static_cast<std::size_t>(first.gcount())});
  h5::File merged = h5::File::resume(target);
  const std::string task = merged.attribute<std::string>("task_id", "");
  const std::vector<std::string> paths = swept_datasets(merged);
  const std::size_t axes = swept_names(merged).size();
  require<InputError>(axes > 0, "{}: no result file of a sweep", files.front());
  const Shape extents = swept_extents(merged);
  for (std::size_t f = 1; f < files.size(); ++f) {
    const h5::File part = h5::File::open(files[f]);
    require<InputError>(part.attribute<std::string>("task_id", "") == task,
                        "{} and {} are not parts of one sweep: their task_id differs", files.front(), files[f]);
    for_each_place(extents, [&](const std::vector<std::int64_t>& index) {
      if (!is_finished(part, index) || is_finished(merged, index)) return;
      for (const std::string& path : paths) {
        if (!part.contains(path)) continue;
        h5::Dataset to = merged.dataset(path);
        const h5::Dataset from = part.dataset(path);
        const Shape rest(from.shape().begin() + static_cast<std::ptrdiff_t>(axes), from.shape().end());
        copy_values(to, block_at(index, rest), from, block_at(index, rest));
      }
    });
  }
  const std::int64_t missing_points = missing_places(merged);
  merged.set_attribute("complete", missing_points == 0);
  merged.close();
  target.commit();
  return missing_points;
}

}  // namespace tessera::results
