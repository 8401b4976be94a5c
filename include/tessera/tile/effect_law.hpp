#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/range.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/effects.hpp"

/// What an effect does in the product. One of the library's is a file of src/tile/effects; a program adds its own with
/// IOParameters::own_effects (examples/own_effect.cpp): name, place, law and `act` are then all that is read of it.
namespace tessera::kernels {
struct Converter;
struct DacBlock;
struct AdcBlock;
}  // namespace tessera::kernels

namespace tessera::tile {

struct Block;
struct PhaseTrace;
struct ProductScratch;

/// One conversion of a block of vectors, as laws see it.
struct Stage {
  const IOParameters& io;
  const FrozenDraws& frozen;
  const random::Address& address;
  const kernels::Converter& dac;
  const kernels::Converter& adc;
  const Block& block;
  std::uint32_t event = 0;
  ProductScratch& scratch;

  /// Draws of the vectors of the block, `width` each, in `out`.
  const float* normals(random::Purpose purpose, std::int64_t width, AlignedVector<float>& out) const;
  const float* uniforms(random::Purpose purpose, std::int64_t width, AlignedVector<float>& out) const;
};

/// Hook by hook; null where it does nothing. A law that changes values says its slope in the same text, for those who
/// record: see apply().
struct EffectLaw {
  /// Draws what is frozen when a tile is built.
  void (*freeze)(const IOParameters& io, std::int64_t outputs, std::int64_t inputs, const random::Address& address,
                 FrozenDraws& frozen) = nullptr;
  /// Whether the hooks below are called; null: always.
  bool (*acts)(const IOParameters& io, const FrozenDraws& frozen) = nullptr;
  /// Fills its part of the DAC's block.
  void (*dac)(const Stage&, kernels::DacBlock&) = nullptr;
  /// Changes what a pass puts on the lines, element by element.
  void (*lines)(const Stage&, MatrixView z, Matrix* slope) = nullptr;
  /// Changes the columns of a pass by what is on its lines; record->slope and slope_sum are multiplied and added to.
  void (*columns)(const Stage&, ConstMatrixView z, MatrixView v, PhaseTrace* record) = nullptr;
  /// Changes what an ADC is to convert, element by element.
  void (*outputs)(const Stage&, MatrixView v, Matrix* slope) = nullptr;
  /// Fills its part of the ADC's block.
  void (*adc)(const Stage&, kernels::AdcBlock&) = nullptr;
};

/// Takes the place of a slope that nobody wants.
struct NoSlope {
  void operator=(float) const {}
};

/// v = law(v, column, d) for every element, where the law sets d to its derivative. With `slope` (of v's shape) that is
/// multiplied by d.
template <class Law>
void apply(MatrixView v, Matrix* slope, const Law& law) {
  for (std::int64_t r = 0; r < v.rows; ++r) {
    float* row = v.row(r);
    if (slope == nullptr) {
      const NoSlope unwanted;
      for (std::int64_t i = 0; i < v.cols; ++i) row[i] = law(row[i], i, unwanted);
      continue;
    }
    float* slopes = slope->view().row(r);
    for (std::int64_t i = 0; i < v.cols; ++i) {
      float d = 1.0F;
      row[i] = law(row[i], i, d);
      slopes[i] *= d;
    }
  }
}

/// A key of an effect beyond aihwkit's: `forward.NAME`, kept in IOParameters::numbers; 0 is off.
EffectKey number(const std::string& name, Range range, std::vector<double> examples, std::string help);

}  // namespace tessera::tile
