#include "sim/evaluation_scoring.hpp"

#include <limits>
#include <optional>

namespace tessera::sim {

namespace {

/// Stands for positions without a next token.
constexpr std::int32_t no_token = std::numeric_limits<std::int32_t>::min();

ConstMatrixView rows_of(const Tensor& output) {
  const std::int64_t rows = output.dim(0);
  return {output.data(), rows, rows > 0 ? output.size() / rows : 0};
}

/// Outputs as rows of class scores, copied only where the classes do not lie along the last axis.
class ClassRows {
 public:
  ClassRows(const Tensor& output, const ClassLayout& layout) {
    if (layout.classes_first && layout.positions > 1) turned_ = class_rows(output, layout);
    view_ = {turned_ ? turned_->data() : output.data(), output.dim(0) * layout.positions, layout.classes};
  }
  ClassRows(const ClassRows&) = delete;
  ClassRows& operator=(const ClassRows&) = delete;
  ConstMatrixView view() const { return view_; }

 private:
  std::optional<Tensor> turned_;
  ConstMatrixView view_;
};

std::vector<float> as_floats(std::span<const std::int32_t> labels) {
  std::vector<float> values;
  for (const std::int32_t label : labels) values.push_back(static_cast<float>(label));
  return values;
}

}  // namespace

EvaluationScoring::EvaluationScoring(const EvaluationRequest& request)
    : request_(request), kind_(output_kind(request.executor.graph())), task_(task_of(request)) {
  if (compares_classes()) layout_ = class_layout(request, task_);
  if (task_ == Task::language_model && !request.data.has_labels())
    tokens_ = token_input(request.data, layout_.positions);
}

std::vector<std::int32_t> EvaluationScoring::predicted(const Tensor& output) const {
  if (!compares_classes()) return predicted_classes(rows_of(output));
  return predicted_classes(ClassRows(output, layout_).view());
}

std::vector<std::int32_t> EvaluationScoring::expected_classes(const Tensor& reference, const Tensor& input,
                                                              std::int64_t first, std::int64_t count) const {
  if (task_ == Task::agreement) return predicted(reference);
  const std::int64_t each = layout_.positions;
  const io::DataSet& data = request_.data;
  std::vector<std::int32_t> labels;
  if (data.has_labels()) {
    const auto own =
        data.labels().subspan(static_cast<std::size_t>(first * each), static_cast<std::size_t>(count * each));
    labels.assign(own.begin(), own.end());
  }
  if (task_ == Task::classification) return labels;
  // The token of the next position; the last one has none.
  const std::int32_t none = request_.evaluation.ignore_index.value_or(no_token);
  std::vector<std::int32_t> next(static_cast<std::size_t>(count * each), none);
  const std::int64_t size = count > 0 ? input.size() / count : 0;
  for (std::int64_t s = 0; s < count; ++s)
    for (std::int64_t p = 0; p + 1 < each; ++p) {
      const auto to = static_cast<std::size_t>(s * each + p);
      if (data.has_labels()) {
        next[to] = labels[to + 1];
        continue;
      }
      const float* const sample = input.data() + s * size;
      if (tokens_.mask >= 0 && sample[tokens_.mask + p + 1] == 0.0F) continue;
      const float token = sample[tokens_.begin + p + 1];
      require<InputError>(token == static_cast<float>(static_cast<std::int32_t>(token)) && token >= 0.0F &&
                              token < static_cast<float>(layout_.classes),
                          "sample {}: {} is no token of the {} that the network has logits of; give data.labels",
                          first + s, token, layout_.classes);
      next[to] = static_cast<std::int32_t>(token);
    }
  return next;
}

std::optional<std::int32_t> EvaluationScoring::ignored() const {
  const std::optional<std::int32_t> given = request_.evaluation.ignore_index;
  return task_ == Task::language_model && !given ? no_token : given;
}

std::vector<double> EvaluationScoring::losses(const Tensor& output, const Tensor& input, std::int64_t first) const {
  TESSERA_EXPECT(task_ == Task::classification || task_ == Task::language_model);
  const std::int64_t count = output.dim(0), positions = layout_.positions;
  const ClassRows rows(output, layout_);
  const std::vector<std::int32_t> expected = expected_classes({}, input, first, count);
  std::vector<double> losses;
  for (std::int64_t s = 0; s < count; ++s) {
    TaskScore one;
    one.add(rows.view().rows_from(s * positions, positions),
            std::span(expected).subspan(static_cast<std::size_t>(s * positions), static_cast<std::size_t>(positions)),
            kind_, ignored());
    losses.push_back(one.loss_sum);
  }
  return losses;
}

void EvaluationScoring::add(TaskScore& score, const Tensor& output, const Tensor& reference, const Tensor& input,
                            std::int64_t first, std::vector<float>* right) const {
  const std::int64_t count = output.dim(0);
  const io::DataSet& data = request_.data;
  if (compares_classes()) {
    const ClassRows rows(output, layout_);
    const std::vector<std::int32_t> expected = expected_classes(reference, input, first, count);
    std::optional<std::int32_t> left_out = ignored();
    if (compares_with_float32())
      score.add_agreement(rows.view(), ClassRows(reference, layout_).view(), kind_, layout_.positions);
    if (task_ == Task::agreement) {
      score.correct = score.agreed;
      score.count = score.compared;
      left_out.reset();
    } else {
      score.add(rows.view(), expected, kind_, left_out);
    }
    if (right == nullptr) return;
    const std::vector<std::int32_t> seen = predicted_classes(rows.view());
    for (std::int64_t s = 0; s < count; ++s) {
      std::int64_t hits = 0, counted = 0;
      for (std::int64_t p = s * layout_.positions; p < (s + 1) * layout_.positions; ++p) {
        const auto at = static_cast<std::size_t>(p);
        if (left_out && expected[at] == *left_out) continue;
        ++counted;
        hits += seen[at] == expected[at] ? 1 : 0;
      }
      right->push_back(counted > 0 ? static_cast<float>(hits) / static_cast<float>(counted) : 1.0F);
    }
    return;
  }
  const auto labels = data.has_labels()
                          ? data.labels().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))
                          : std::span<const std::int32_t>();
  if (task_ == Task::regression) {
    const Tensor targets =
        data.has_targets() ? data.read_targets(first, count) : Tensor(Shape{count, 1}, as_floats(labels));
    score.add_targets(rows_of(output), rows_of(targets));
  } else if (task_ == Task::anomaly) {
    score.add_reconstructions(rows_of(output), rows_of(input), labels, request_.evaluation.normal_labels);
  }
}

}  // namespace tessera::sim
