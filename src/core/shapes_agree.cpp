#include "tessera/core/shapes_agree.hpp"

namespace tessera {

bool shapes_agree(const Shape& given, const Shape& wanted) {
  const auto without_ones = [](Shape shape) {
    std::erase(shape, 1);
    return shape;
  };
  const Shape a = without_ones(given), b = without_ones(wanted);
  return a == b || (b.size() <= 1 && element_count(a) == element_count(b));
}

}  // namespace tessera
