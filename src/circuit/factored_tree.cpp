#include "circuit/factored_tree.hpp"

#include <algorithm>

#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit::detail {
namespace {

constexpr std::int64_t leaf_lines = 4;
constexpr std::int64_t task_lines = 64;

/// Where the nodes of a leaf are: ports first, then inner nodes.
struct LeafLayout {
  const LeafNodes& leaf;
  std::int64_t input_node(std::int64_t r, std::int64_t c, std::int64_t k) const {
    const std::int64_t line = leaf.sets * r + k;
    if (c == leaf.input_columns()) return leaf.ports.at(Side::right) + line;
    return leaf.ports.count() + line * leaf.input_columns() + c;
  }
  std::int64_t output_node(std::int64_t r, std::int64_t c) const {
    const std::int64_t open = leaf.ports.size(Side::top) > 0 ? 1 : 0;  // rows whose node is a port
    if (r < open) return leaf.ports.at(Side::top) + c;
    return leaf.ports.count() + leaf.inner_inputs() + (r - open) * leaf.rectangle.cols() + c;
  }
  std::int64_t inner_count() const {
    const std::int64_t open = leaf.ports.size(Side::top) > 0 ? 1 : 0;
    return leaf.inner_inputs() + (leaf.rectangle.rows() - open) * leaf.rectangle.cols();
  }
};

MacroModel solve_leaf(const Network& network, TreeNode& node, Storage& storage) {
  const Rectangle& rect = node.rectangle;
  node.leaf.rectangle = rect;
  node.leaf.ports = node.ports;
  node.leaf.sets = network.sets;
  const LeafLayout at{node.leaf};
  const std::int64_t p = node.ports.count(), inner = at.inner_count(), n = p + inner;
  RealMatrix y(n, n);
  const auto connect = [&](std::int64_t a, std::int64_t b, double g) {
    y(a, a) += g;
    y(b, b) += g;
    y(a, b) -= g;
    y(b, a) -= g;
  };
  for (std::int64_t r = 0; r < rect.rows(); ++r)
    for (std::int64_t c = 0; c < rect.cols(); ++c) {
      const std::int64_t input = rect.row0 + r, output = rect.col0 + c;
      const std::int64_t b = at.output_node(r, c);
      for (std::int64_t k = 0; k < network.sets; ++k) {
        const std::int64_t a = at.input_node(r, c, k);
        connect(c == 0 ? node.ports.at(Side::left) + network.sets * r + k : at.input_node(r, c - 1, k), a,
                output == 0 ? network.first_row_S : network.row_S);
        connect(a, b, network.cells.set(k)(output, input));
      }
      connect(b, r + 1 < rect.rows() ? at.output_node(r + 1, c) : node.ports.at(Side::bottom) + c,
              input == network.inputs - 1 ? network.last_column_S : network.column_S);
    }
  const MacroModel m{node.ports, storage.take(p, p)};
  RealMatrix s(inner, inner);
  node.leaf.inner = RealMatrix(inner, p);
  for (std::int64_t q = 0; q < inner; ++q) {
    std::copy_n(y.view().row(p + q) + p, inner, s.view().row(q));
    std::copy_n(y.view().row(p + q), p, node.leaf.inner.view().row(q));
  }
  for (std::int64_t q = 0; q < p; ++q) std::copy_n(y.view().row(q), p, m.y.row(q));
  if (inner > 0) {
    const RealMatrix coupling = node.leaf.inner;
    require<RunError>(kernels::factor_cholesky(s.view()), "a crossbar's cells and wires give no solvable circuit");
    kernels::solve_transposed(s.view(), node.leaf.inner.view());
    kernels::solve_upper(s.view(), node.leaf.inner.view());
    kernels::subtract_product(coupling.view(), node.leaf.inner.view(), m.y);
  }
  return m;
}

MacroModel merge_parts(TreeNode& node, const MacroModel& a, const MacroModel& b, bool root, Storage& storage,
                       Parallel parallel) {
  node.join = join(a.ports, b.ports, node.cut, node.ports);
  node.elimination = eliminate_joint(a, b, node.join, storage, parallel);
  MacroModel m;
  if (!root) m = merged(a, b, node.join, node.elimination, storage, parallel);
  storage.give(a.y);
  storage.give(b.y);
  return m;
}

void plant(const Network& network, TreeNode& node) {
  node.ports = ports_of(network, node.rectangle);
  node.cut = cut_of(network, node.rectangle, leaf_lines);
  if (node.cut == Cut::none) return;
  const auto rectangles = parts(network, node.rectangle, node.cut);
  for (std::size_t t = 0; t < 2; ++t) {
    node.parts[t] = std::make_unique<TreeNode>();
    node.parts[t]->rectangle = rectangles[t];
    plant(network, *node.parts[t]);
  }
}

bool is_task(const Network& network, const TreeNode& node) {
  return cut_of(network, node.rectangle, task_lines) == Cut::none;
}

void collect_tasks(const Network& network, TreeNode& node, std::vector<TreeNode*>& tasks) {
  if (is_task(network, node)) {
    tasks.push_back(&node);
    return;
  }
  for (const auto& part : node.parts) collect_tasks(network, *part, tasks);
}

MacroModel solve_below(const Network& network, TreeNode& node, bool root, Storage& storage) {
  if (node.cut == Cut::none) return solve_leaf(network, node, storage);
  const MacroModel a = solve_below(network, *node.parts[0], false, storage);
  const MacroModel b = solve_below(network, *node.parts[1], false, storage);
  return merge_parts(node, a, b, root, storage, {});
}

MacroModel solve_above(const Network& network, TreeNode& node, const std::vector<MacroModel>& solved, std::size_t& next,
                       bool root, Storage& storage, Parallel parallel) {
  if (is_task(network, node)) return solved[next++];
  const MacroModel a = solve_above(network, *node.parts[0], solved, next, false, storage, parallel);
  const MacroModel b = solve_above(network, *node.parts[1], solved, next, false, storage, parallel);
  return merge_parts(node, a, b, root, storage, parallel);
}

}  // namespace

std::int64_t LeafNodes::inner_inputs() const {
  return sets * rectangle.rows() * input_columns();
}

const double* LeafNodes::input_node(std::int64_t row, std::int64_t col, std::int64_t set, ConstRealView ports_voltage,
                                    ConstRealView inner_voltage) const {
  const std::int64_t at = LeafLayout{*this}.input_node(row, col, set);
  return at < ports.count() ? ports_voltage.row(at) : inner_voltage.row(at - ports.count());
}

const double* LeafNodes::output_node(std::int64_t row, std::int64_t col, ConstRealView ports_voltage,
                                     ConstRealView inner_voltage) const {
  const std::int64_t at = LeafLayout{*this}.output_node(row, col);
  return at < ports.count() ? ports_voltage.row(at) : inner_voltage.row(at - ports.count());
}

FactoredTree factored_tree(const Network& network, Parallel parallel) {
  FactoredTree tree{std::make_unique<TreeNode>(), {}};
  tree.root->rectangle = network.whole();
  plant(network, *tree.root);
  std::vector<TreeNode*> tasks;
  collect_tasks(network, *tree.root, tasks);
  std::vector<MacroModel> solved(tasks.size());
  for (std::size_t t = 0; t <= tasks.size(); ++t) tree.memory.push_back(std::make_unique<Storage>());
  parallel_for(parallel, static_cast<std::int64_t>(tasks.size()), [&](std::int64_t task) {
    const auto t = static_cast<std::size_t>(task);
    solved[t] = solve_below(network, *tasks[t], tasks[t] == tree.root.get(), *tree.memory[t]);
  });
  std::size_t next = 0;
  solve_above(network, *tree.root, solved, next, true, *tree.memory.back(), parallel);
  return tree;
}

RealMatrix part_voltages(const TreeNode& node, int part, ConstRealView v, ConstRealView joint) {
  RealMatrix out = RealMatrix::uninitialized(node.parts[static_cast<std::size_t>(part)]->ports.count(), v.cols);
  for (int t = 0; t < node.join.segment_count; ++t) {
    const Segment& s = node.join.segments[static_cast<std::size_t>(t)];
    if (s.part != part) continue;
    for (std::int64_t q = 0; q < s.count; ++q) std::copy_n(v.row(s.to + q), v.cols, out.view().row(s.from + q));
  }
  for (std::int64_t q = 0; q < node.join.joined; ++q)
    std::copy_n(joint.row(q), v.cols, out.view().row(node.join.joint[static_cast<std::size_t>(part)] + q));
  return out;
}

}  // namespace tessera::circuit::detail
