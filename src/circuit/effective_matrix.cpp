#include "tessera/circuit/effective_matrix.hpp"

#include <algorithm>

#include "circuit/degenerate_wires.hpp"
#include "circuit/macro_model.hpp"
#include "circuit/memory.hpp"

namespace tessera::circuit {
namespace {

using namespace detail;

constexpr std::int64_t leaf = 8;         // input lines and output lines of what lanes solve at once
constexpr std::int64_t task_ports = 64;  // input lines and output lines that one thread merges alone

void collect_leaves(const Network& network, const Rectangle& r, std::vector<Rectangle>& leaves) {
  const Cut cut = cut_of(network, r, leaf);
  if (cut == Cut::none) {
    leaves.push_back(r);
    return;
  }
  for (const Rectangle& half : halves(r, cut)) collect_leaves(network, half, leaves);
}

// Depth first, taking the leaves in the order collect_leaves() found them.
MacroModel merge_below(const Network& network, const Rectangle& r, std::vector<MacroModel>& leaves, std::size_t& next,
                       Storage& storage) {
  const Cut cut = cut_of(network, r, leaf);
  if (cut == Cut::none) return std::move(leaves[next++]);
  const auto [first, second] = halves(r, cut);
  MacroModel a = merge_below(network, first, leaves, next, storage);
  MacroModel b = merge_below(network, second, leaves, next, storage);
  const Join j = join(a.ports, b.ports, cut, ports_of(network, r).order);
  Elimination e = eliminate_joint(a, b, j, storage, {});
  MacroModel m = merged(a, b, j, e, storage, {});
  for (RealMatrix* used : {&a.y, &b.y, &e.u, &e.coupling}) storage.give(std::move(*used));
  return m;
}

struct Node {
  Rectangle rectangle;
  Cut cut = Cut::none;
  std::array<std::size_t, 2> parts = {};
  MacroModel model = {};
};

// The tree down to the rectangles of one thread, each level's nodes together, the root first.
std::vector<std::vector<Node>> upper_levels(const Network& network) {
  std::vector<std::vector<Node>> levels(1);
  levels[0].push_back({.rectangle = network.whole()});
  for (std::size_t depth = 0; depth < levels.size(); ++depth) {
    std::vector<Node> next;
    for (Node& node : levels[depth]) {
      node.cut = cut_of(network, node.rectangle, task_ports);
      if (node.cut == Cut::none) continue;
      const auto parts = halves(node.rectangle, node.cut);
      node.parts = {next.size(), next.size() + 1};
      for (const Rectangle& part : parts) next.push_back({.rectangle = part});
    }
    if (!next.empty()) levels.push_back(std::move(next));
  }
  return levels;
}

void solve_alone(const Network& network, Node& node, Storage& storage) {
  std::vector<Rectangle> rectangles;
  collect_leaves(network, node.rectangle, rectangles);
  std::vector<MacroModel> leaves = leaf_models(network, rectangles);
  std::size_t next = 0;
  node.model = merge_below(network, node.rectangle, leaves, next, storage);
}

// The rectangles of one thread, in groups that use their storage again.
void solve_lowest(const Network& network, std::vector<std::vector<Node>>& levels, Parallel parallel) {
  std::vector<Node*> alone;
  for (std::vector<Node>& level : levels)
    for (Node& node : level)
      if (node.cut == Cut::none) alone.push_back(&node);
  constexpr std::size_t groups = 16;
  parallel_for(parallel, static_cast<std::int64_t>(groups), [&](std::int64_t g) {
    Storage storage;
    for (auto t = static_cast<std::size_t>(g); t < alone.size(); t += groups) solve_alone(network, *alone[t], storage);
  });
}

// Y[left, bottom] of the whole array.
RealMatrix transfer_admittance(const Network& network, Parallel parallel) {
  std::vector<std::vector<Node>> levels = upper_levels(network);
  solve_lowest(network, levels, parallel);
  for (std::size_t depth = levels.size() - 1; depth-- > 0;) {
    std::vector<Node>& level = levels[depth];
    std::vector<Node>& below = levels[depth + 1];
    const bool many = level.size() >= 4;  // then one thread per merge, else all in each
    parallel_for(many ? parallel : Parallel{1}, static_cast<std::int64_t>(level.size()), [&](std::int64_t t) {
      Node& node = level[static_cast<std::size_t>(t)];
      if (node.cut == Cut::none) return;
      MacroModel& a = below[node.parts[0]].model;
      MacroModel& b = below[node.parts[1]].model;
      const Join j = join(a.ports, b.ports, node.cut, ports_of(network, node.rectangle).order);
      const Parallel inside = many ? Parallel{1} : parallel;
      Storage storage;
      const Elimination e = eliminate_joint(a, b, j, storage, inside);
      if (depth == 0)
        node.model.y = merged_left_bottom(a, b, j, e, inside);
      else
        node.model = merged(a, b, j, e, storage, inside);
      a = {};
      b = {};
    });
  }
  Node& root = levels[0][0];
  if (root.cut != Cut::none) return std::move(root.model.y);
  const Ports& p = root.model.ports;
  return RealMatrix(root.model.y.view()
                        .rows_from(p.at(Side::left), p.size(Side::left))
                        .cols_from(p.at(Side::bottom), p.size(Side::bottom)));
}

}  // namespace

double effective_matrix_bytes(std::int64_t outputs, std::int64_t inputs, std::int64_t sets) {
  // At the widest: the macro-models of two halves, the coupling of their merge and the result.
  const double lines = static_cast<double>(sets * inputs), p = static_cast<double>(outputs);
  return 8.0 * (6.0 * lines * lines + 4.0 * lines * p + 6.0 * p * p);
}

RealMatrix effective_matrix(const Cells& cells, const Wires& wires, Parallel parallel) {
  check_array(cells, wires);
  if (!wires.current_from_input)
    throw ConfigError("current_from_input",
                      "an array with a separate source has no effective matrix: its currents are not linear in the "
                      "gates; use gated_currents");
  const double bytes = effective_matrix_bytes(cells.outputs(), cells.inputs(), cells.sets());
  require<InputError>(bytes <= available_memory_bytes(),
                      "the wires of a {}x{} array need {:.3g} GB to solve, more than the memory of this machine; use "
                      "smaller arrays (rows_max, cols_max)",
                      cells.outputs(), cells.inputs(), bytes * 1e-9);
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
