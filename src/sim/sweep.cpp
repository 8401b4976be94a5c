#include "tessera/sim/sweep.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "sim/relative_cost.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/recording.hpp"

namespace tessera::sim {

namespace {

/// Points in flight together: what they share is computed once, and a killed process loses one chip of each.
constexpr std::size_t most_points_together = 16;

std::string chip_name(const SweepJob& job, std::int64_t program) {
  return fmt::format("{}.{}.h5", job.id, program);
}

/// The accuracy of a chip by time, mean over its reads.
std::vector<double> accuracies(h5::File file) {
  const results::Reader reader(std::move(file));
  const results::NamedArray accuracy = reader.read(reader.score());
  const auto reads = static_cast<std::size_t>(accuracy.shape.back());
  std::vector<double> means;
  for (std::size_t first = 0; first < accuracy.values.size(); first += reads) {
    Moments moments;
    for (std::size_t r = 0; r < reads; ++r) moments.add(accuracy.values[first + r]);
    means.push_back(moments.mean());
  }
  return means;
}

/// How many chips a point needs at least, and whether it has them and needs no more.
struct Need {
  std::int64_t chips = 0;
  bool complete = false;
};

/// Looks at the store again and again: what a finished chip says does not change, so it is kept.
class Progress {
 public:
  Progress(const std::vector<SweepJob>& jobs, const SweepOptions& options) : jobs_(jobs), options_(options) {
    for (const SweepJob& job : jobs) repeats_.push_back(job.request().evaluation.repeats);
  }

  Need need(std::size_t j) {
    const SweepJob& job = jobs_[j];
    const std::optional<StopParameters>& stop = options_.stop;
    Need need{repeats_[j], false};
    if (stop) need.chips = std::clamp<std::int64_t>(need.chips, 2, stop->max_repeats);
    std::int64_t there = 0;
    const auto count = [&] {
      while (there < need.chips && options_.store.has(chip_name(job, there))) ++there;
      return there >= need.chips;
    };
    while (count() && stop && need.chips < stop->max_repeats && !precise(job, need.chips)) ++need.chips;
    need.complete = there >= need.chips;
    return need;
  }

 private:
  bool precise(const SweepJob& job, std::int64_t chips) {
    std::vector<std::vector<double>>& known = known_[job.id];
    while (std::ssize(known) < chips)
      known.push_back(accuracies(options_.store.open(chip_name(job, std::ssize(known)))));
    for (std::size_t time = 0; time < known.front().size(); ++time) {
      std::vector<double> values;
      for (std::int64_t chip = 0; chip < chips; ++chip) values.push_back(known[static_cast<std::size_t>(chip)][time]);
      if (!is_precise_enough(*options_.stop, values)) return false;
    }
    return true;
  }

  const std::vector<SweepJob>& jobs_;
  const SweepOptions& options_;
  std::vector<std::int64_t> repeats_;
  std::map<std::string, std::vector<std::vector<double>>> known_;
};

/// Chip `program` of several points.
struct ChipTask {
  std::int64_t program = 0;
  std::vector<std::int64_t> jobs;
};

std::vector<std::int64_t> packed(const std::vector<ChipTask>& tasks) {
  std::vector<std::int64_t> numbers;
  for (const ChipTask& task : tasks) {
    numbers.insert(numbers.end(), {task.program, std::ssize(task.jobs)});
    numbers.insert(numbers.end(), task.jobs.begin(), task.jobs.end());
  }
  return numbers;
}

std::vector<ChipTask> unpacked(const std::vector<std::int64_t>& numbers) {
  std::vector<ChipTask> tasks;
  for (auto at = numbers.begin(); at != numbers.end();) {
    ChipTask task{*at, {}};
    const auto end = at + 2 + *(at + 1);
    task.jobs.assign(at + 2, end);
    tasks.push_back(std::move(task));
    at = end;
  }
  return tasks;
}

bool go_together(const SweepJob& a, const SweepJob& b) {
  const EvaluationRequest x = a.request(), y = b.request();
  return &x.executor == &y.executor && &x.data == &y.data && x.batch_size == y.batch_size;
}

/// The points of this shard, one per id.
std::vector<std::size_t> own_jobs(const std::vector<SweepJob>& jobs, const SweepOptions& options) {
  std::vector<std::size_t> own;
  std::set<std::string> seen;
  const auto count = std::ssize(jobs);
  for (std::int64_t i = count * options.shard / options.shards; i < count * (options.shard + 1) / options.shards; ++i)
    if (seen.insert(jobs[static_cast<std::size_t>(i)].id).second) own.push_back(static_cast<std::size_t>(i));
  return own;
}

/// What is still to be done, as far as known: with a stop rule there may be more afterwards.
std::vector<ChipTask> next_tasks(const std::vector<SweepJob>& jobs, const std::vector<std::size_t>& own,
                                 const SweepOptions& options, Progress& progress) {
  std::vector<std::vector<std::size_t>> blocks;
  for (const std::size_t j : own) {
    const bool joins = options.share && !blocks.empty() && blocks.back().size() < most_points_together &&
                       go_together(jobs[blocks.back().front()], jobs[j]);
    if (joins)
      blocks.back().push_back(j);
    else
      blocks.push_back({j});
  }
  std::vector<ChipTask> tasks;
  for (const std::vector<std::size_t>& block : blocks) {
    std::map<std::int64_t, ChipTask> by_program;
    for (const std::size_t j : block) {
      const Need need = progress.need(j);
      for (std::int64_t program = 0; program < need.chips; ++program) {
        if (options.store.has(chip_name(jobs[j], program))) continue;
        by_program[program].program = program;
        by_program[program].jobs.push_back(static_cast<std::int64_t>(j));
      }
    }
    for (auto& [program, task] : by_program) tasks.push_back(std::move(task));
  }
  return tasks;
}

/// Runs tasks; remembers float32 scores.
class Worker {
 public:
  Worker(const std::vector<SweepJob>& jobs, const SweepOptions& options, Parallel parallel,
         const Environment& environment)
      : jobs_(jobs), options_(options), parallel_(parallel), environment_(environment) {}

  /// False if it was cancelled.
  bool run(const ChipTask& task, std::int64_t number, std::int64_t count) {
    std::vector<EvaluationRequest> requests;
    std::vector<results::Writer> writers;
    std::vector<EvaluationSink> sinks;
    std::vector<EvaluationTask> tasks;
    requests.reserve(task.jobs.size());
    writers.reserve(task.jobs.size());
    sinks.reserve(task.jobs.size());
    std::string labels;
    for (const std::int64_t j : task.jobs) {
      const SweepJob& job = jobs_[static_cast<std::size_t>(j)];
      EvaluationRequest& request = requests.emplace_back(job.request());
      request.first_program = task.program;
      request.evaluation.repeats = 1;
      const auto known = references_.find({&request.executor, &request.data});
      // The float32 network of a spiking run depends on its neurons.
      if (!request.statistics && !job.record.predictions && !request.spiking && known != references_.end())
        request.known_reference = known->second;
      results::Header header = options_.provenance;
      header.task_id = job.id;
      header.resolved_text = job.resolved_text;
      describe_run(header, request, job.record);
      writers.push_back(options_.store.create(chip_name(job, task.program), std::move(header)));
      sinks.push_back(recording_sink(writers.back(), request, {}, parallel_));
      tasks.push_back({request, sinks.back()});
      labels += (labels.empty() ? "" : "; ") + job.label;
    }
    Environment inner = environment_;
    if (environment_.progress)
      inner.progress = [this, number, count](std::int64_t done, std::int64_t total, const char* unit) {
        environment_.progress(number * total + done, count * total, unit);
      };
    try {
      const std::vector<EvaluationResult> results = evaluate_together(tasks, parallel_, inner);
      if (!std::all_of(results.begin(), results.end(), [](const EvaluationResult& r) { return r.complete; }))
        return false;
      warn(task, results);
      if (!requests.front().spiking)
        references_.try_emplace({&requests.front().executor, &requests.front().data}, results.front().reference);
    } catch (const RunError& failure) {
      throw RunError(
          fmt::format("at the sweep's point{} {}: {}", task.jobs.size() > 1 ? "s" : "", labels, failure.what()));
    }
    for (std::size_t i = 0; i < writers.size(); ++i)
      options_.store.keep(chip_name(jobs_[static_cast<std::size_t>(task.jobs[i])], task.program), writers[i]);
    return true;
  }

 private:
  /// Each trouble of a layer once, at the first point that shows it.
  void warn(const ChipTask& task, const std::vector<EvaluationResult>& results) {
    for (std::size_t i = 0; i < results.size(); ++i)
      for (const LayerWarning& warning : results[i].warnings)
        if (warned_.emplace(warning.layer, warning.trouble).second)
          environment_.warn(
              fmt::format("{} (first seen at {})", warning.text, jobs_[static_cast<std::size_t>(task.jobs[i])].label));
  }

  const std::vector<SweepJob>& jobs_;
  const SweepOptions& options_;
  Parallel parallel_;
  const Environment& environment_;
  std::set<std::pair<std::string, LayerTrouble>> warned_;
  std::map<std::pair<const nn::Executor*, const io::DataSet*>, TaskScore> references_;
};

}  // namespace

std::string points_folder(const std::string& output) {
  return output + ".points";
}

std::string ChipStore::file(const std::string& name) const {
  return (std::filesystem::path(folder_) / name).string();
}

void ChipStore::prepare() const {
  if (images_) return;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  require<RunError>(!error, "cannot create the folder {}: {}", folder_, error.message());
}

bool ChipStore::has(const std::string& name) const {
  return images_ ? images_->contains(name) : std::filesystem::exists(file(name));
}

results::Writer ChipStore::create(const std::string& name, results::Header header) const {
  return images_ ? results::Writer(std::move(header), results::FileUse::point)
                 : results::Writer(file(name), std::move(header), results::FileUse::point);
}

void ChipStore::keep(const std::string& name, results::Writer& writer) const {
  h5::Image image = writer.commit();
  if (images_) images_->insert_or_assign(name, std::move(image));
}

h5::File ChipStore::open(const std::string& name) const {
  return images_ ? h5::File::open_image(images_->at(name), name) : h5::File::open(file(name));
}

void ChipStore::remove() const {
  if (images_)
    images_->clear();
  else
    std::filesystem::remove_all(folder_);
}

bool is_precise_enough(const StopParameters& stop, const std::vector<double>& accuracies) {
  Moments moments;
  for (const double accuracy : accuracies) moments.add(accuracy);
  return moments.count() >= 2 && 100.0 * moments.confidence_95() <= stop.half_width;
}

SweepSummary run_sweep(const std::vector<SweepJob>& jobs, const SweepOptions& options, Parallel parallel,
                       const Environment& environment) {
  SweepSummary summary;
  options.store.prepare();
  const std::vector<std::size_t> own = own_jobs(jobs, options);
  Progress progress(jobs, options);
  std::set<std::string> before;
  for (const SweepJob& job : jobs)
    if (progress.need(static_cast<std::size_t>(&job - jobs.data())).complete) before.insert(job.id);
  if (!jobs.empty()) {
    const EvaluationRequest first = jobs.front().request();
    note_replaced(first.executor, first.resolve, environment);
  }
  Worker worker(jobs, options, parallel, environment);
  for (;;) {
    // The leader's view of the folder counts: on a network drive another process may not see all files yet.
    std::vector<std::int64_t> plan;
    if (options.team.leads && !summary.cancelled) plan = packed(next_tasks(jobs, own, options, progress));
    if (options.team.from_leader) plan = options.team.from_leader(std::move(plan));
    const std::vector<ChipTask> tasks = unpacked(plan);
    if (tasks.empty()) break;
    std::int64_t started = 0;
    const auto run = [&](std::int64_t i) {
      const ChipTask& task = tasks[static_cast<std::size_t>(i)];
      if (!summary.cancelled) summary.cancelled = !worker.run(task, started++, std::ssize(tasks));
      if (!summary.cancelled) summary.chips += std::ssize(task.jobs);
      return !summary.cancelled;
    };
    if (options.team.distribute) {
      options.team.distribute(std::ssize(tasks), run);
    } else {
      for (std::int64_t i = 0; i < std::ssize(tasks) && run(i);) ++i;
    }
    if (summary.cancelled && !options.team.from_leader) break;
  }
  std::set<std::string> counted;
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    if (!progress.need(j).complete)
      ++summary.missing;
    else if (before.contains(jobs[j].id) || !counted.insert(jobs[j].id).second)
      ++summary.reused;
    else
      ++summary.computed;
  }
  return summary;
}

namespace {

std::int64_t images_of(const EvaluationRequest& request) {
  const EvaluationParameters& evaluation = request.evaluation;
  return request.data.size() * evaluation.repeats * evaluation.read_repeats *
         std::max<std::int64_t>(1, std::ssize(evaluation.times));
}

}  // namespace

std::int64_t count_images(const std::vector<SweepJob>& jobs) {
  std::int64_t images = 0;
  for (const SweepJob& job : jobs) images += images_of(job.request());
  return images;
}

double estimate_seconds(const std::vector<SweepJob>& jobs, bool share, Parallel parallel) {
  constexpr std::int64_t few = 16;
  using Clock = std::chrono::steady_clock;
  std::vector<EvaluationRequest> requests;
  for (const SweepJob& job : jobs) {
    if (!requests.empty() && (!share || requests.size() >= most_points_together || !go_together(jobs.front(), job)))
      break;
    requests.push_back(job.request());
    requests.back().evaluation.repeats = 1;
    requests.back().evaluation.read_repeats = 1;
    if (std::vector<double>& times = requests.back().evaluation.times; !times.empty()) times = {times.front()};
    requests.back().batch_size = few;
  }
  // From the first sample on, until the second batch begins.
  std::optional<Clock::time_point> start;
  std::atomic<bool> cancel{false};
  Environment environment;
  environment.cancel = &cancel;
  EvaluationSink sink;
  sink.begin = [&](const PointIndex&, const AnalogNetwork&) { start = Clock::now(); };
  std::vector<EvaluationTask> tasks;
  for (const EvaluationRequest& request : requests) tasks.push_back({request, sink});
  const std::int64_t images = std::ssize(requests) * std::min(few, requests.front().data.size());
  environment.progress = [&](std::int64_t done, std::int64_t, const char*) { cancel = done >= images; };
  evaluate_together(tasks, parallel, environment);
  const double seconds = std::chrono::duration<double>(Clock::now() - start.value_or(Clock::now())).count();
  return seconds / static_cast<double>(images) * static_cast<double>(count_images(jobs));
}

void collect_points(results::Writer& writer, const std::vector<SweepJob>& jobs, const SweepOptions& options) {
  Progress progress(jobs, options);
  RelativeCosts relative(writer);
  const std::int64_t reads = writer.header().reads;
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    const Need need = progress.need(j);
    for (std::int64_t program = 0; program < need.chips; ++program)
      if (options.store.has(chip_name(jobs[j], program))) {
        const h5::File file = options.store.open(chip_name(jobs[j], program));
        writer.copy_point(jobs[j].index, file, program * reads);
        relative.add(j == 0, jobs[j].index, file, program * reads);
      }
    if (options.stop && need.complete) writer.write_chips(jobs[j].index, need.chips);
  }
}

}  // namespace tessera::sim
