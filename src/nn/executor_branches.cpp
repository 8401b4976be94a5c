#include <algorithm>
#include <cstring>
#include <new>

#include "executor_implementation.hpp"

/// Several networks on one batch, computed in common as far as they agree.
namespace tessera::nn {

namespace {

// Samples in a block: small products are dear for very few, unless these are large.
constexpr std::int64_t fewest_together = 8, large_bytes = std::int64_t{24} << 20;

/// To the networks that have not been shown this layer on a way that was given up for lack of memory.
void show(BranchWalk& walk, const std::vector<std::size_t>& networks, const LinearRecord& record, std::size_t node) {
  std::vector<std::size_t> fresh;
  for (const std::size_t n : networks)
    if (walk.shown[n] <= node) fresh.push_back(n);
  for (const std::size_t n : fresh) walk.shown[n] = node + 1;
  if (!fresh.empty()) walk.run.observer(fresh, record);
}

/// Networks by their number for a layer, in order.
std::vector<std::vector<std::size_t>> apart(const std::vector<std::size_t>& networks,
                                            const std::vector<std::vector<std::uint32_t>>& numbers, std::size_t layer) {
  std::vector<std::vector<std::size_t>> lists;
  for (const std::size_t n : networks) {
    const auto found = std::ranges::find_if(
        lists, [&](const auto& list) { return numbers[list.front()][layer] == numbers[n][layer]; });
    if (found != lists.end())
      found->push_back(n);
    else
      lists.push_back({n});
  }
  return lists;
}

std::int64_t bytes_of(const Array& array) {
  return array.size() * (array.is_float() ? 4 : 8);
}

std::size_t buffer_of(const Plan& plan, int slot) {
  return static_cast<std::size_t>(plan.slots[static_cast<std::size_t>(slot)].buffer);
}

/// Buffers that hold something at step i that a later step, or the caller, reads before anything else is written there:
/// under whatever shape, since a slot may be a view of another.
std::vector<bool> live_buffers(const Plan& plan, std::size_t i) {
  std::vector<bool> live(plan.buffer_bytes.size()), written(plan.buffer_bytes.size());
  const auto read = [&](int slot) {
    const int buffer = slot < 0 ? -1 : plan.slots[static_cast<std::size_t>(slot)].buffer;
    if (buffer >= 0 && !written[static_cast<std::size_t>(buffer)]) live[static_cast<std::size_t>(buffer)] = true;
  };
  const auto write = [&](const Step& step) {
    for (const int slot : step.out)
      if (slot >= 0 && plan.slots[static_cast<std::size_t>(slot)].buffer >= 0) written[buffer_of(plan, slot)] = true;
  };
  write(plan.steps[i]);
  for (std::size_t after = i + 1; after < plan.steps.size(); ++after) {
    for (const int slot : plan.steps[after].in) read(slot);
    write(plan.steps[after]);
  }
  for (const int slot : plan.outputs) read(slot);
  return live;
}

}  // namespace

void Executor::Implementation::run_branched(const Tensor& batch, const BranchedRun& run) const try {
  const std::size_t count = run.networks.size();
  require<InputError>(run.same_layer.size() == count && run.same_product.size() == count,
                      "{} networks, {} lists of layers, {} of products", count, run.same_layer.size(),
                      run.same_product.size());
  for (std::size_t n = 0; n < count; ++n)
    require<InputError>(run.networks[n]->size() == layers_.size() && run.same_layer[n].size() == layers_.size() &&
                            run.same_product[n].size() == layers_.size(),
                        "network {} of {} is not given for all {} layers", n, count, layers_.size());
  if (graph_.batch == BatchMode::fixed) return run_apart(batch, run);
  std::int64_t samples = 0;
  const std::vector<BoundInput> bound = bind_inputs(graph_, {&batch, 1}, samples);
  if (samples == 0) return run_apart(batch, run);
  const bool watched = run.observer || run.transform_observer;
  if (graph_.batch == BatchMode::any && !watched) {
    // Room for what the networks hold apart from each other.
    const std::int64_t budget = cache_budget * 4, per_sample = std::max<std::int64_t>(1, bytes_per_sample(bound));
    const std::int64_t few = std::clamp<std::int64_t>(large_bytes / per_sample, 1, fewest_together);
    const std::int64_t fitting = std::max(few, budget / per_sample);
    const std::int64_t threads = std::max(1, run.parallel.threads);
    const std::int64_t block = std::min(fitting, (samples + threads - 1) / threads);
    if (block < samples) return run_branched_blocks(batch, run, block);
  }
  BranchWalk walk{.run = run, .bound = bound, .samples = samples};
  walk.plan = plan_for(shapes_of(bound, samples), static_cast<bool>(run.observer));
  walk.axes = axes_for(bound);
  walk.shown.assign(count, 0);
  walk.waiting.emplace_back();
  for (std::size_t n = 0; n < count; ++n) walk.waiting.back().push_back(n);
  while (!walk.waiting.empty()) {
    std::vector<std::size_t> networks = std::move(walk.waiting.back());
    walk.waiting.pop_back();
    std::unique_ptr<Workspace> workspace = take_workspace();
    workspace->fit(*walk.plan);
    if (!networks.empty()) follow(walk, 0, std::move(workspace), std::move(networks));
  }
} catch (const std::bad_alloc&) {
  throw RunError("out of memory while evaluating the network; use a smaller batch");
}

void Executor::Implementation::run_branched_blocks(const Tensor& batch, const BranchedRun& run,
                                                   std::int64_t block) const {
  const std::int64_t samples = batch.dim(0), sample_size = batch.size() / samples;
  const std::int64_t blocks = (samples + block - 1) / block;
  using Outputs = std::pair<std::vector<std::size_t>, std::vector<Tensor>>;
  std::vector<std::vector<Outputs>> outputs(static_cast<std::size_t>(blocks));
  parallel_for_blocks(run.parallel, samples, block, [&](std::int64_t b, std::int64_t begin, std::int64_t end) {
    Shape shape = batch.shape();
    shape[0] = end - begin;
    Tensor part = Tensor::uninitialized(std::move(shape));
    std::copy_n(batch.data() + begin * sample_size, part.size(), part.data());
    BranchedRun own = run;
    own.first_sample += static_cast<std::uint64_t>(begin);
    own.parallel = {1};
    own.memory_bytes = run.memory_bytes / std::max(1, run.parallel.threads);
    own.output = [&](std::span<const std::size_t> networks, std::span<const Tensor> made) {
      outputs[static_cast<std::size_t>(b)].emplace_back(std::vector(networks.begin(), networks.end()),
                                                        std::vector(made.begin(), made.end()));
    };
    run_branched(part, own);
  });
  if (!run.output) return;
  std::int64_t counted = 0;
  const std::shared_ptr<const SampleAxes> axes = axes_for(bind_inputs(graph_, {&batch, 1}, counted));
  for (const Outputs& first : outputs.front()) {
    std::vector<Tensor> made;
    for (std::size_t o = 0; o < first.second.size(); ++o) {
      Shape shape = first.second[o].shape();
      if (!(*axes)[static_cast<std::size_t>(graph_.outputs[o])].any()) {
        made.push_back(first.second[o]);
        continue;
      }
      shape[0] = samples;
      Tensor all = Tensor::uninitialized(std::move(shape));
      float* to = all.data();
      for (const std::vector<Outputs>& list : outputs) {
        const auto found = std::ranges::find_if(
            list, [front = first.first.front()](const Outputs& entry) { return entry.first.front() == front; });
        TESSERA_EXPECT(found != list.end() && found->second[o].dim(0) > 0);
        to = std::copy_n(found->second[o].data(), found->second[o].size(), to);
      }
      TESSERA_EXPECT(to == all.data() + all.size());
      made.push_back(std::move(all));
    }
    run.output(first.first, made);
  }
}

void Executor::Implementation::follow(BranchWalk& walk, std::size_t first_step, std::unique_ptr<Workspace> workspace,
                                      std::vector<std::size_t> networks, std::optional<Activation> input) const {
  const Plan& plan = *walk.plan;
  const std::vector<Array> arrays = arrays_of(plan, *workspace, walk.bound, 0);
  RunOptions options{.first_sample = walk.run.first_sample,
                     .parallel = walk.run.parallel,
                     .overrides = walk.run.networks[networks.front()]};
  if (walk.run.transform_observer)
    options.transform_observer = [&](const std::string& node, const TransformCall& call) {
      walk.run.transform_observer(networks, node, call);
    };
  LinearObserver observer;
  if (walk.run.observer)
    observer = [&](const LinearRecord& record) {
      show(walk, networks, record, static_cast<std::size_t>(layers_[record.layer].node));
    };
  PassState state{.first_sample = walk.run.first_sample,
                  .samples = graph_.batch == BatchMode::any ? walk.samples : 1,
                  .axes = *walk.axes,
                  .observer = observer,
                  .input = std::move(input)};
  for (std::size_t i = first_step; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const std::vector<Array> in = arrays_at(arrays, step.in), out = arrays_at(arrays, step.out);
    if (step.layer >= 0) {
      const std::vector<std::vector<std::size_t>> parting =
          apart(networks, walk.run.same_layer, static_cast<std::size_t>(step.layer));
      if (parting.size() > 1) return part(walk, i, std::move(workspace), parting, in, out);
    }
    run_step(step, in, out, options, state);
  }
  TESSERA_EXPECT(!plan.outputs.empty());
  std::vector<Tensor> outputs;
  for (std::size_t o = 0; o < plan.outputs.size(); ++o)
    outputs.push_back(samples_first((*walk.axes)[static_cast<std::size_t>(graph_.outputs[o])],
                                    tensor_of(arrays[static_cast<std::size_t>(plan.outputs[o])])));
  give_back(std::move(workspace));
  if (std::ranges::any_of(outputs, [](const Tensor& t) { return has_nan(t.data(), t.size()); }))
    name_the_culprit(walk.bound, walk.samples, options);
  if (walk.run.output) walk.run.output(networks, outputs);
}

void Executor::Implementation::part(BranchWalk& walk, std::size_t i, std::unique_ptr<Workspace> workspace,
                                    const std::vector<std::vector<std::size_t>>& parting, const std::vector<Array>& in,
                                    const std::vector<Array>& out) const {
  const Plan& plan = *walk.plan;
  const Step& step = plan.steps[i];
  const auto layer = static_cast<std::size_t>(step.layer);
  std::int64_t output_bytes = 0, workspace_bytes = 0;
  for (const Array& array : out) output_bytes += array.data != nullptr ? bytes_of(array) : 0;
  for (const std::int64_t bytes : plan.buffer_bytes) workspace_bytes += bytes;
  std::size_t now = parting.size();
  const std::int64_t free = walk.run.memory_bytes - walk.held_bytes - workspace_bytes;
  if (std::ssize(parting) * output_bytes > free) {
    now = static_cast<std::size_t>(
        std::clamp<std::int64_t>(free / std::max<std::int64_t>(1, output_bytes), 1, std::ssize(parting)));
    std::vector<std::size_t> later;
    for (std::size_t p = now; p < parting.size(); ++p) later.insert(later.end(), parting[p].begin(), parting[p].end());
    std::sort(later.begin(), later.end());
    walk.waiting.push_back(std::move(later));
  }
  const std::int64_t held = static_cast<std::int64_t>(now) * output_bytes + workspace_bytes;
  walk.held_bytes += held;

  // The outputs of each, in memory that takes the place of the plan's buffers when its turn comes.
  std::vector<std::vector<AlignedVector<std::byte>>> memory(now);
  std::vector<std::vector<Array>> outs(now, out);
  std::vector<LinearBranch> branches(now);
  for (std::size_t b = 0; b < now; ++b) {
    for (std::size_t o = 0; o < out.size(); ++o) {
      if (out[o].data == nullptr) continue;
      memory[b].push_back(take_buffer(plan.buffer_bytes[buffer_of(plan, step.out[o])]));
      outs[b][o].data = memory[b].back().data();
    }
    const std::size_t leader = parting[b].front();
    branches[b] = {(*walk.run.networks[leader])[layer], outs[b], walk.run.same_product[leader][layer]};
    check_operators(layer, branches[b].operators);
  }
  LayerRun layer_now = layer_run(layer, *walk.axes);
  layer_now.first_sample = walk.run.first_sample;
  layer_now.samples = graph_.batch == BatchMode::any ? walk.samples : 1;
  layer_now.limits = step.limits;
  layer_now.parallel = walk.run.parallel;
  run_layer(layer_now, in, branches);
  std::optional<Activation> input;
  if (walk.run.observer && seen_again(layer_now, walk.run.first_sample)) {
    input = input_of(layer, in, *walk.axes);
    for (std::size_t b = 0; b < now && !shown_by_transform_[layer]; ++b)
      show(walk, parting[b], {.layer = layer, .input = *input, .output = output_of(layer, outs[b], *walk.axes)},
           static_cast<std::size_t>(step.node));
    if (!shown_by_transform_[layer]) input.reset();
  }
  const std::vector<bool> live = live_buffers(plan, i);
  for (std::size_t b = 0; b < now; ++b) {
    std::unique_ptr<Workspace> copy;
    if (b + 1 == now) {
      copy = std::move(workspace);
    } else {
      copy = take_workspace();
      copy->fit(plan);
      for (std::size_t buffer = 0; buffer < live.size(); ++buffer)
        if (live[buffer])
          std::memcpy(copy->buffers[buffer].data(),
                      workspace->buffers[buffer].data(),  // NOLINT(bugprone-use-after-move)
                      static_cast<std::size_t>(plan.buffer_bytes[buffer]));
    }
    for (std::size_t o = 0, m = 0; o < out.size(); ++o) {
      if (out[o].data == nullptr) continue;
      std::swap(copy->buffers[buffer_of(plan, step.out[o])], memory[b][m]);
      give_back(std::move(memory[b][m++]));
    }
    follow(walk, i + 1, std::move(copy), parting[b], input);
  }
  walk.held_bytes -= held;
}

void Executor::Implementation::run_apart(const Tensor& batch, const BranchedRun& run) const {
  for (std::size_t n = 0; n < run.networks.size(); ++n) {
    RunOptions options{.first_sample = run.first_sample, .parallel = run.parallel, .overrides = run.networks[n]};
    const std::span<const std::size_t> alone(&n, 1);
    if (run.observer) options.observer = [&](const LinearRecord& record) { run.observer(alone, record); };
    if (run.transform_observer)
      options.transform_observer = [&](const std::string& node, const TransformCall& call) {
        run.transform_observer(alone, node, call);
      };
    const std::vector<Tensor> outputs = this->run({&batch, 1}, options);
    if (run.output) run.output(alone, outputs);
  }
}

}  // namespace tessera::nn
