#include "tessera/circuit/effective_matrix.hpp"

#include <algorithm>
#include <memory>
#include <mutex>

#include "circuit/degenerate_wires.hpp"
#include "circuit/macro_model.hpp"
#include "circuit/memory.hpp"

namespace tessera::circuit {
namespace {

using namespace detail;

constexpr std::int64_t leaf = 8;          // input lines and output lines of what lanes solve at once
constexpr std::int64_t block_lines = 64;  // input lines and output lines whose leaves are solved together

/// What one thread uses again from merge to merge.
struct Worker {
  LeafSolver leaves;
  Storage storage = {};
};

/// Workers in turn, so that no more are made than threads run.
class Workers {
 public:
  explicit Workers(const Network& network) : network_(network) {}
  std::unique_ptr<Worker> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::unique_ptr<Worker>(new Worker{LeafSolver(network_)});
    std::unique_ptr<Worker> worker = std::move(free_.back());
    free_.pop_back();
    return worker;
  }
  void give(std::unique_ptr<Worker> worker) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(worker));
  }

 private:
  const Network& network_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> free_;
};

void collect_leaves(const Network& network, const Rectangle& r, std::vector<Rectangle>& leaves) {
  const Cut cut = cut_of(network, r, leaf);
  if (cut == Cut::none) {
    leaves.push_back(r);
    return;
  }
  for (const Rectangle& part : parts(network, r, cut)) collect_leaves(network, part, leaves);
}

MacroModel merge(const Network& network, const Rectangle& r, Cut cut, const MacroModel& a, const MacroModel& b,
                 Storage& storage, Parallel parallel) {
  const Join j = join(a.ports, b.ports, cut, ports_of(network, r));
  const Elimination e = eliminate_joint(a, b, j, storage, parallel);
  const MacroModel m = merged(a, b, j, e, storage, parallel);
  for (const RealView& used : {a.y, b.y, e.u, e.coupling}) storage.give(used);
  return m;
}

// Takes the leaves in the order in which collect_leaves() found them.
MacroModel merge_leaves(const Network& network, const Rectangle& r, const std::vector<MacroModel>& leaves,
                        std::size_t& next, Storage& storage) {
  const Cut cut = cut_of(network, r, leaf);
  if (cut == Cut::none) return leaves[next++];
  const auto [first, second] = parts(network, r, cut);
  const MacroModel a = merge_leaves(network, first, leaves, next, storage);
  const MacroModel b = merge_leaves(network, second, leaves, next, storage);
  return merge(network, r, cut, a, b, storage, {});
}

MacroModel solve_block(const Network& network, const Rectangle& r, Worker& worker) {
  std::vector<Rectangle> rectangles;
  collect_leaves(network, r, rectangles);
  const std::vector<MacroModel> leaves = worker.leaves.models(rectangles, worker.storage);
  std::size_t next = 0;
  return merge_leaves(network, r, leaves, next, worker.storage);
}

/// Rectangles that other threads have solved, in the order in which the descent meets them.
struct Solved {
  std::int64_t cells = 0;  ///< which those are: the first with at most so many cells
  std::vector<MacroModel> models = {};
  std::size_t next = 0;

  bool has(const Rectangle& r) const { return r.rows() * r.cols() <= cells; }
};

// Depth first: what has just been merged is still in the cache, and its memory is free for the next.
MacroModel solve(const Network& network, const Rectangle& r, Solved& solved, Worker& worker, Parallel parallel) {
  if (solved.has(r)) return solved.models[solved.next++];
  const Cut cut = cut_of(network, r, block_lines);
  if (cut == Cut::none) return solve_block(network, r, worker);
  const auto [first, second] = parts(network, r, cut);
  const MacroModel a = solve(network, first, solved, worker, parallel);
  const MacroModel b = solve(network, second, solved, worker, parallel);
  return merge(network, r, cut, a, b, worker.storage, parallel);
}

void collect_tasks(const Network& network, const Rectangle& r, const Solved& solved, std::vector<Rectangle>& tasks) {
  if (solved.has(r)) {
    tasks.push_back(r);
    return;
  }
  const Cut cut = cut_of(network, r, block_lines);
  if (cut == Cut::none) return;
  for (const Rectangle& part : parts(network, r, cut)) collect_tasks(network, part, solved, tasks);
}

// The lower levels of the tree, one thread for each subtree.
Solved solve_lower(const Network& network, Workers& workers, Parallel parallel) {
  constexpr std::int64_t subtrees = 16;
  Solved solved{network.inputs * network.outputs / subtrees};
  std::vector<Rectangle> tasks;
  collect_tasks(network, network.whole(), solved, tasks);
  solved.models.resize(tasks.size());
  parallel_for(parallel, static_cast<std::int64_t>(tasks.size()), [&](std::int64_t t) {
    std::unique_ptr<Worker> worker = workers.take();
    Solved none;
    solved.models[static_cast<std::size_t>(t)] = solve(network, tasks[static_cast<std::size_t>(t)], none, *worker, {});
    workers.give(std::move(worker));
  });
  return solved;
}

// Y[left, bottom] of the whole array.
RealMatrix transfer_admittance(const Network& network, Parallel parallel) {
  const Rectangle whole = network.whole();
  Workers workers(network);
  const Cut cut = cut_of(network, whole, block_lines);
  if (cut == Cut::none) {
    const std::unique_ptr<Worker> worker = workers.take();
    const MacroModel m = solve_block(network, whole, *worker);
    return RealMatrix(ConstRealView(m.y)
                          .rows_from(m.ports.at(Side::left), m.ports.size(Side::left))
                          .cols_from(m.ports.at(Side::bottom), m.ports.size(Side::bottom)));
  }
  Solved solved = parallel.threads > 1 ? solve_lower(network, workers, parallel) : Solved{};
  const std::unique_ptr<Worker> worker = workers.take();
  const auto [first, second] = parts(network, whole, cut);
  const MacroModel a = solve(network, first, solved, *worker, parallel);
  const MacroModel b = solve(network, second, solved, *worker, parallel);
  const Join j = join(a.ports, b.ports, cut, ports_of(network, whole));
  const Elimination e = eliminate_joint(a, b, j, worker->storage, parallel);
  return merged_left_bottom(a, b, j, e, parallel);
}

}  // namespace

double effective_matrix_bytes(std::int64_t outputs, std::int64_t inputs, std::int64_t sets) {
  // At the widest: the macro-models of two halves, the coupling of their merge and the result.
  const double lines = static_cast<double>(sets * inputs), p = static_cast<double>(outputs);
  return 8.0 * (6.0 * lines * lines + 4.0 * lines * p + 6.0 * p * p);
}

RealMatrix effective_matrix(const Cells& cells, const Wires& wires, Parallel parallel) {
  if (!wires.current_from_input)
    throw ConfigError("current_from_input",
                      "an array with a separate source has no effective matrix: its currents are not linear in the "
                      "gates; use gated_currents");
  const double bytes = effective_matrix_bytes(cells.outputs(), cells.inputs(), cells.sets());
  require<InputError>(bytes <= available_memory_bytes(),
                      "the wires of a {}x{} array need {:.3g} GB to solve, more than the memory of this machine; use "
                      "smaller arrays (rows_max, cols_max)",
                      cells.outputs(), cells.inputs(), bytes * 1e-9);
  check_array(cells, wires);  // looks at every cell: not of what is too large anyway
  if (wires.row_ohm == 0.0 || wires.column_ohm == 0.0) return degenerate_matrix(cells, wires);
  const Network network(cells, wires);
  const RealMatrix y = transfer_admittance(network, parallel);
  RealMatrix m(cells.outputs(), cells.inputs());
  const std::int64_t sets = cells.sets();
  for (std::int64_t j = 0; j < m.rows(); ++j)
    for (std::int64_t i = 0; i < m.cols(); ++i) m(j, i) = sets == 1 ? -y(i, j) : y(2 * i + 1, j) - y(2 * i, j);
  return m;
}

}  // namespace tessera::circuit
