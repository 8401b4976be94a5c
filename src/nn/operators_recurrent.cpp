#include "operator_list.hpp"

/// Shapes of recurrent layers; recurrent.cpp evaluates them.
namespace tessera::nn {

namespace {

void infer_recurrent(const InferContext& c, std::int64_t gates, std::size_t outputs) {
  const Shape& x = c.shape(0);
  const Shape& w = c.shape(1);
  const Shape& r = c.shape(2);
  const std::string direction = c.node.text("direction", "forward");
  require<InputError>(direction == "forward" || direction == "reverse" || direction == "bidirectional",
                      "{}: direction '{}' is not known", c.where(), direction);
  const std::int64_t directions = direction == "bidirectional" ? 2 : 1;
  require<InputError>(x.size() == 3 && w.size() == 3 && r.size() == 3 && c.required(0).type == ElementType::float32,
                      "{}: X {}, W {}, R {} (must have three axes each)", c.where(), to_string(x), to_string(w),
                      to_string(r));
  const std::int64_t hidden = r[2];
  const Shape wanted_w = {directions, gates * hidden, x[2]}, wanted_r = {directions, gates * hidden, hidden};
  require<InputError>(w == wanted_w && r == wanted_r && hidden > 0, "{}: W {} and R {} (must be {} and {})", c.where(),
                      to_string(w), to_string(r), to_string(wanted_w), to_string(wanted_r));
  const auto check = [&](std::size_t i, const Shape& wanted, const char* name) {
    if (c.has(i))
      require<InputError>(c.shape(i) == wanted && c.required(i).type == ElementType::float32, "{}: {} {} (must be {})",
                          c.where(), name, to_string(c.shape(i)), to_string(wanted));
  };
  check(3, {directions, 2 * gates * hidden}, "B");
  if (c.has(4)) {
    const std::int64_t count = element_count(c.shape(4));
    require<InputError>(c.required(4).type == ElementType::int64 && (count == 1 || count == x[1]),
                        "{}: sequence_lens {} (must be integers, one or one per sequence)", c.where(),
                        to_string(c.shape(4)));
  }
  check(5, {directions, x[1], hidden}, "initial_h");
  check(6, {directions, x[1], hidden}, "initial_c");
  check(7, {directions, 3 * hidden}, "P");
  c.set(0, ElementType::float32, {x[0], directions, x[1], hidden});
  for (std::size_t i = 1; i < outputs; ++i) c.set(i, ElementType::float32, {directions, x[1], hidden});
}

}  // namespace

void infer_lstm(const InferContext& c) {
  infer_recurrent(c, 4, 3);
}
void infer_gru(const InferContext& c) {
  infer_recurrent(c, 3, 2);
}
void infer_rnn(const InferContext& c) {
  infer_recurrent(c, 1, 2);
}

}  // namespace tessera::nn
