#include "tessera/device/retention.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::device {

void validate(const RetentionParameters& p) {
  const auto refuse = [](const char* key, const std::string& text) { throw ConfigError(key, text); };
  if (!(p.time_constant > 0.0)) refuse("time_constant", fmt::format("{} is not above 0", p.time_constant));
  if (!(p.spread >= 0.0)) refuse("spread", fmt::format("{} is negative", p.spread));
  if (!(p.hold_time >= 0.0)) refuse("hold_time", fmt::format("{} is negative", p.hold_time));
}

Matrix time_constants(const RetentionParameters& parameters, std::int64_t outputs, std::int64_t inputs,
                      const random::Address& chip) {
  Matrix result = Matrix::uninitialized(outputs, inputs);
  const std::span<float> values(result.view().data, static_cast<std::size_t>(outputs * inputs));
  constexpr std::uint32_t event = 1;  // programming draws drift exponents at event 0
  random::fill_normal(random::Stream(chip, random::Purpose::drift_exponent), event, 0, values);
  for (float& z : values)
    z = static_cast<float>(parameters.time_constant * std::exp(parameters.spread * static_cast<double>(z)));
  return result;
}

double age_of(const RetentionParameters& parameters, std::int64_t position, std::int64_t reader, std::int64_t readers) {
  const std::int64_t steps = parameters.causal ? reader - position : readers - position;
  return steps < 0 ? -1.0 : parameters.hold_time * static_cast<double>(steps);
}

}  // namespace tessera::device
