#include "leaky_transform.hpp"

#include <cmath>

namespace tessera::sim {

LeakyTransform::LeakyTransform(std::string name, quant::LeakyParameters parameters, std::int64_t steps, Emit emit)
    : name_(std::move(name)), leaky_(std::move(parameters)), steps_(steps), emit_(emit) {}

bool LeakyTransform::needs_order() const {
  const quant::LeakyParameters& p = leaky_.parameters();
  return p.beta.size() > 1 || p.threshold.size() > 1 || p.inhibition;
}

void LeakyTransform::apply(const nn::TransformCall& call) const {
  require<InputError>(call.samples % steps_ == 0, "neurons '{}': {} samples are no whole images of {} steps", name_,
                      call.samples, steps_);
  const std::int64_t images = call.samples / steps_;
  if (images == 0) return;
  const std::int64_t units = static_cast<std::int64_t>(call.x.size()) / call.samples;
  parallel_for(call.parallel, images, [&](std::int64_t n) {
    Matrix mem(1, units);
    for (std::int64_t t = 0; t < steps_; ++t) {
      const std::int64_t first = (n * steps_ + t) * units;
      const ConstMatrixView input{call.x.data() + first, 1, units, units};
      // A state that is not finite never fires again, which nobody would notice.
      for (std::int64_t u = 0; u < units; ++u)
        require<RunError>(std::isfinite(input(0, u)), "neurons '{}': the current of unit {} at step {} is not finite",
                          name_, u, t);
      const MatrixView output{call.y.data() + first, 1, units, units};
      leaky_.step(input, mem.view(), output);
      if (emit_ == Emit::state) std::copy_n(mem.data(), units, output.data);
    }
  });
}

}  // namespace tessera::sim
