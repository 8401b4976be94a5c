#pragma once
#include "onnx_node.hpp"

/// ONNX element types of values on their way into the graph, which knows float32 and int64 only: the range of an
/// integer type matters where values wrap, and where one is a zero point or a bit pattern.
namespace tessera::io {

/// Gives every output of an imported node its ONNX type, as far as it follows from the types of its inputs.
void set_output_types(const NodeImport& n);

/// Smallest and largest value of an integer type of up to 32 bits; bool is 0 to 1. InputError for others.
struct IntegerRange {
  std::int64_t low, high;
};
IntegerRange integer_range(int type);

/// Bits of an integer type, 1 for bool, 64 for unknown types.
int integer_bits(int type);
bool is_unsigned(int type);

}  // namespace tessera::io
