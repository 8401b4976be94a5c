#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>

#include "operator_list.hpp"
#include "tessera/nn/einsum.hpp"

/// Einsum: sums of products over named axes, in double (or int64), in row-major order of the summed axes.
namespace tessera::nn {

EinsumEquation parse_einsum(const std::string& text, const std::vector<std::size_t>& ranks, const std::string& where) {
  std::string equation;
  std::ranges::copy_if(text, std::back_inserter(equation), [](char ch) { return ch != ' '; });
  EinsumEquation result;
  std::size_t ellipsis = 0;
  const std::size_t arrow = equation.find("->");
  std::vector<std::string> terms(1);
  for (const char ch : equation.substr(0, arrow)) {
    if (ch == ',')
      terms.emplace_back();
    else
      terms.back() += ch;
  }
  require<InputError>(terms.size() == ranks.size(), "{}: equation '{}' for {} inputs", where, text, ranks.size());
  // Axes behind an ellipsis are counted from the last; they get labels of their own, from 1 on.
  const auto labels_of = [&](const std::string& term, std::size_t hidden) {
    std::string labels;
    for (std::size_t i = 0; i < term.size(); ++i) {
      if (term.compare(i, 3, "...") == 0) {
        for (std::size_t d = hidden; d > 0; --d) labels += static_cast<char>(d);
        i += 2;
        continue;
      }
      require<InputError>(std::isalpha(static_cast<unsigned char>(term[i])) != 0, "{}: equation '{}'", where, text);
      labels += term[i];
    }
    return labels;
  };
  std::map<char, int> seen;
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const bool dots = terms[k].find("...") != std::string::npos;
    const std::size_t named = terms[k].size() - (dots ? 3 : 0);
    require<InputError>(named == ranks[k] || (dots && named < ranks[k]), "{}: equation '{}' for an input of rank {}",
                        where, text, ranks[k]);
    require<InputError>(ranks[k] <= 64, "{}: {} axes", where, ranks[k]);
    if (dots) ellipsis = std::max(ellipsis, ranks[k] - named);
    result.inputs.push_back(labels_of(terms[k], dots ? ranks[k] - named : 0));
    for (const char label : result.inputs.back()) ++seen[label];
  }
  if (arrow != std::string::npos) {
    result.output = labels_of(equation.substr(arrow + 2), ellipsis);
  } else {
    for (std::size_t d = ellipsis; d > 0; --d) result.output += static_cast<char>(d);
    for (const auto& [label, count] : seen)
      if (label > 64 && count == 1) result.output += label;
  }
  for (std::size_t i = 0; i < result.output.size(); ++i)
    require<InputError>(seen.contains(result.output[i]) && result.output.find(result.output[i]) == i,
                        "{}: equation '{}' repeats or invents an axis of the output", where, text);
  for (const auto& [label, count] : seen)
    if (result.output.find(label) == std::string::npos) result.summed += label;
  return result;
}

namespace {

template <class Ranks>
EinsumEquation equation_of(const Node& node, const Ranks& shapes, const std::string& where) {
  std::vector<std::size_t> ranks;
  for (const Shape& shape : shapes) ranks.push_back(shape.size());
  return parse_einsum(node.text("equation", ""), ranks, where);
}

std::map<char, std::int64_t> extents_of(const EinsumEquation& equation, const std::vector<Shape>& shapes,
                                        const std::string& where) {
  std::map<char, std::int64_t> extents;
  for (std::size_t k = 0; k < shapes.size(); ++k)
    for (std::size_t d = 0; d < shapes[k].size(); ++d) {
      std::int64_t& extent = extents.emplace(equation.inputs[k][d], 1).first->second;
      const std::int64_t own = shapes[k][d];
      require<InputError>(own == extent || own == 1 || extent == 1, "{}: extents {} and {} of one axis", where, extent,
                          own);
      if (extent == 1) extent = own;
    }
  return extents;
}

/// Strides of an operand along the given labels; 0 where it is repeated, summed where it has a label twice.
Shape strides_along(const std::string& labels, const std::string& own, const Shape& shape) {
  const Shape strides = strides_of(shape);
  Shape result(labels.size(), 0);
  for (std::size_t i = 0; i < labels.size(); ++i)
    for (std::size_t d = 0; d < own.size(); ++d)
      if (own[d] == labels[i] && shape[d] != 1) result[i] += strides[d];
  return result;
}

std::int64_t offset_at(std::int64_t index, const Shape& extents, const Shape& strides) {
  std::int64_t offset = 0;
  for (std::size_t i = extents.size(); i-- > 0; index /= extents[i]) offset += index % extents[i] * strides[i];
  return offset;
}

template <class T, class Sum>
void contract(const ComputeContext& c) {
  std::vector<Shape> shapes;
  for (const Array& in : c.in) shapes.push_back(in.shape);
  const EinsumEquation equation = equation_of(c.node, shapes, c.where());
  const std::map<char, std::int64_t> extents = extents_of(equation, shapes, c.where());
  Shape summed;
  for (const char label : equation.summed) summed.push_back(extents.at(label));
  std::vector<Shape> outer, inner;
  for (std::size_t k = 0; k < c.in.size(); ++k) {
    outer.push_back(strides_along(equation.output, equation.inputs[k], shapes[k]));
    inner.push_back(strides_along(equation.summed, equation.inputs[k], shapes[k]));
  }
  const std::int64_t terms = element_count(summed);
  // Offsets of every term, once for all outputs.
  std::vector<std::vector<std::int64_t>> offsets(c.in.size());
  for (std::size_t k = 0; k < c.in.size(); ++k)
    for (std::int64_t t = 0; t < terms; ++t) offsets[k].push_back(offset_at(t, summed, inner[k]));
  T* out = static_cast<T*>(c.out[0].data);
  parallel_for_blocks(c.parallel, c.out[0].size(), 64, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    std::vector<const T*> base(c.in.size());
    for (std::int64_t o = begin; o < end; ++o) {
      for (std::size_t k = 0; k < base.size(); ++k)
        base[k] = static_cast<const T*>(c.in[k].data) + offset_at(o, c.out[0].shape, outer[k]);
      Sum sum = 0;
      for (std::size_t t = 0; t < static_cast<std::size_t>(terms); ++t) {
        auto product = static_cast<Sum>(1);
        for (std::size_t k = 0; k < base.size(); ++k) product *= static_cast<Sum>(base[k][offsets[k][t]]);
        sum += product;
      }
      out[o] = static_cast<T>(sum);
    }
  });
}

}  // namespace

void infer_einsum(const InferContext& c) {
  std::vector<Shape> shapes;
  for (std::size_t k = 0; k < c.in.size(); ++k) {
    require<InputError>(c.required(k).type == c.required(0).type, "{}: floating-point and integer inputs mixed",
                        c.where());
    shapes.push_back(c.shape(k));
  }
  const EinsumEquation equation = equation_of(c.node, shapes, c.where());
  const std::map<char, std::int64_t> extents = extents_of(equation, shapes, c.where());
  Shape out, summed;
  for (const char label : equation.output) out.push_back(extents.at(label));
  for (const char label : equation.summed) summed.push_back(extents.at(label));
  constexpr std::int64_t most_terms = std::int64_t{1} << 24;
  require<InputError>(element_count(summed) <= most_terms, "{}: sums of {} terms are not supported (at most {})",
                      c.where(), element_count(summed), most_terms);
  c.set(0, c.required(0).type, out);
}

void compute_einsum(const ComputeContext& c) {
  if (c.out[0].is_float())
    contract<float, double>(c);
  else
    contract<std::int64_t, std::int64_t>(c);
}

}  // namespace tessera::nn
