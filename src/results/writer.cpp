#include "tessera/results/writer.hpp"

#include <algorithm>
#include <utility>

#include "results/writer_impl.hpp"

namespace tessera::results {

Writer::Writer(const std::string& path, Header header, FileUse use)
    : impl_(std::make_unique<Impl>(h5::NewFile(path), std::move(header), use)) {}
Writer::Writer(Header header, FileUse use)
    : impl_(std::make_unique<Impl>(h5::NewFile::in_memory("results"), std::move(header), use)) {}
Writer::~Writer() = default;
Writer::Writer(Writer&&) noexcept = default;

const Header& Writer::header() const {
  return impl_->header;
}

void Writer::write_reference(const std::vector<std::int64_t>& swept, const Score& score) {
  impl_->put_score("/reference", impl_->swept_place(swept), score);
}

void Writer::write_reference_predictions(const std::vector<std::int64_t>& swept, std::int64_t first_sample,
                                         std::span<const std::int32_t> classes) {
  impl_->put_samples("/reference", "predictions", impl_->swept_place(swept), first_sample, classes);
}

void Writer::write_hardware(const std::vector<std::int64_t>& swept, std::size_t layer, const LayerHardware& hardware) {
  require<RunError>(layer < impl_->header.layers.size(), "there is no layer {} among {}", layer,
                    impl_->header.layers.size());
  impl_->put_hardware(impl_->swept_place(swept), layer, hardware);
  impl_->close_datasets();
}

void Writer::write_programming(const std::vector<std::int64_t>& swept, std::int64_t repeat, std::size_t layer,
                               const LayerProgramming& programming) {
  impl_->put_programming(impl_->swept_place(swept), repeat, layer, programming);
}

void Writer::write_weights(const PointIndex& index, std::size_t layer, const LayerWeights& weights) {
  impl_->put_weights(impl_->place(index), layer, weights);
}

void Writer::write_predictions(const PointIndex& index, std::int64_t first_sample,
                               std::span<const std::int32_t> classes) {
  impl_->put_samples("/", "predictions", impl_->place(index), first_sample, classes);
}

void Writer::write_output(const PointIndex& index, std::size_t layer, std::int64_t first_sample,
                          std::span<const float> values) {
  require<RunError>(layer < impl_->layer_groups.size(), "there is no layer {} among {}", layer,
                    impl_->layer_groups.size());
  impl_->put_samples(impl_->layer_groups[layer], "output", impl_->place(index), first_sample, values);
}

void Writer::write_network_output(const PointIndex& index, std::size_t output, std::int64_t first_sample,
                                  std::span<const float> values) {
  impl_->put_samples(impl_->output_groups.at(output), "output", impl_->place(index), first_sample, values);
}

void Writer::write_reference_output(const std::vector<std::int64_t>& swept, std::size_t output,
                                    std::int64_t first_sample, std::span<const float> values) {
  impl_->put_samples(impl_->output_groups.at(output), "output_float32", impl_->swept_place(swept), first_sample,
                     values);
}

void Writer::write_point(const PointIndex& index, const Point& point) {
  const Shape at = impl_->place(index);
  impl_->put_score("/", at, point.score);
  if (impl_->header.statistics) {
    require<RunError>(point.layers.size() == impl_->header.layers.size(), "a point has statistics of {} layers, not {}",
                      point.layers.size(), impl_->header.layers.size());
    for (std::size_t i = 0; i < point.layers.size(); ++i) impl_->put_layer_point(i, at, point.layers[i]);
    if (impl_->header.isolated) {
      std::vector<double> alone;
      for (const LayerPoint& layer : point.layers) alone.push_back(layer.isolated.sqnr_db);
      impl_->put("/", "sqnr_db_isolated", at, alone);
    }
  }
  impl_->put_populations(at, point.populations);
  if (impl_->header.costs()) {
    require<RunError>(point.cost.has_value(), "a point has no costs, which the header announces");
    impl_->put_cost(at, *point.cost);
  }
  // First the numbers, then the mark that they are there.
  impl_->file.flush();
  impl_->put("/", "finished", at, std::uint8_t{1});
  impl_->file.flush();
}

void Writer::copy_point(const std::vector<std::int64_t>& swept, const h5::File& point, std::int64_t first_repeat) {
  impl_->swept_place(swept);
  for (CopyTarget& target : impl_->targets) target.dataset = &impl_->open_dataset(target.path);
  PointCopier(impl_->targets).copy(point, swept, first_repeat);
}

void Writer::write_chips(const std::vector<std::int64_t>& swept, std::int64_t chips) {
  impl_->put("/", "chips", impl_->swept_place(swept), static_cast<std::int32_t>(chips));
}

void Writer::write_runtime(const Runtime& runtime) {
  Impl& to = *impl_;
  to.put("/runtime", "wall_time", {}, runtime.wall_seconds);
  to.put("/runtime", "reference_time", {}, runtime.reference_seconds);
  to.put("/runtime", "analog_time", {}, runtime.analog_seconds);
  to.put("/runtime", "reference_samples", {}, runtime.reference_samples);
  to.put("/runtime", "analog_samples", {}, runtime.analog_samples);
  to.put("/runtime", "threads", {}, runtime.threads);
  to.put("/runtime", "batch_size", {}, runtime.batch_size);
  to.put("/runtime", "peak_memory", {}, runtime.peak_memory_bytes);
  to.put_text("/runtime", "command", runtime.command);
  to.put_text("/runtime", "instruction_set", runtime.instruction_set);
  to.put_text("/runtime", "host", runtime.host);
}

std::int64_t Writer::finished() const {
  const auto marks = impl_->dataset("/", "finished").read<std::uint8_t>();
  return std::count(marks.begin(), marks.end(), 1);
}

h5::Image Writer::commit() {
  impl_->file.flush();
  impl_->file.set_attribute(
      "complete", impl_->header.stopped ? missing_places(impl_->file) == 0 : finished() == impl_->point_count());
  impl_->targets.clear();
  impl_->datasets.clear();
  impl_->scales.clear();
  return impl_->file.commit();
}

}  // namespace tessera::results
