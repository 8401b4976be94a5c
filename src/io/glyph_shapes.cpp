#include "io/glyph_shapes.hpp"

#include "tessera/core/error.hpp"

namespace tessera::io {

namespace {

using P = GlyphPoint;
using S = GlyphStroke;

constexpr P zero_ring[] = {{0, -.92F}, {.68F, -.92F}, {.68F, .92F}, {-.68F, .92F}, {-.68F, -.92F}, {0, -.92F}};
constexpr P zero_open[] = {{.1F, -.9F}, {-.6F, -.98F}, {-.72F, .95F}, {.7F, 1.0F}, {.72F, -.85F}, {-.05F, -.95F}};
constexpr S zero_a[] = {zero_ring};
constexpr S zero_b[] = {zero_open};

constexpr P one_stem[] = {{.05F, -.92F}, {.05F, .92F}};
constexpr P one_flag[] = {{-.38F, -.52F}, {.05F, -.92F}};
constexpr P one_foot[] = {{-.36F, .92F}, {.44F, .92F}};
constexpr P one_slant[] = {{.16F, -.92F}, {-.1F, .92F}};
constexpr S one_a[] = {one_stem, one_flag};
constexpr S one_b[] = {one_slant};
constexpr S one_c[] = {one_stem, one_flag, one_foot};

constexpr P two_neck[] = {{-.55F, -.5F}, {-.5F, -.98F}, {.62F, -1.02F}, {.62F, -.3F}, {.1F, .25F}, {-.6F, .9F}};
constexpr P two_base[] = {{-.6F, .9F}, {.62F, .88F}};
constexpr P two_looped[] = {{-.55F, -.5F}, {-.5F, -.98F}, {.62F, -1.02F}, {.6F, -.15F}, {-.2F, .95F},
                            {-.68F, 1.0F}, {-.6F, .5F},   {-.1F, .68F},   {.3F, 1.02F}, {.68F, .78F}};
constexpr S two_a[] = {two_neck, two_base};
constexpr S two_b[] = {two_looped};

constexpr P three_top[] = {{-.55F, -.72F}, {-.25F, -1.02F}, {.62F, -.98F}, {.58F, -.08F}, {-.1F, -.08F}};
constexpr P three_bottom[] = {{-.1F, -.08F}, {.76F, -.06F}, {.7F, 1.0F}, {-.25F, 1.02F}, {-.6F, .65F}};
constexpr P three_roof[] = {{-.5F, -.9F}, {.52F, -.9F}};
constexpr P three_diagonal[] = {{.52F, -.9F}, {-.06F, -.18F}};
constexpr P three_belly[] = {{-.06F, -.18F}, {.78F, -.18F}, {.7F, 1.0F}, {-.25F, 1.02F}, {-.6F, .65F}};
constexpr S three_a[] = {three_top, three_bottom};
constexpr S three_b[] = {three_roof, three_diagonal, three_belly};

constexpr P four_left[] = {{-.32F, -.9F}, {-.6F, .2F}};
constexpr P four_bar[] = {{-.6F, .2F}, {.66F, .16F}};
constexpr P four_right[] = {{.3F, -.62F}, {.2F, .95F}};
constexpr P four_diagonal[] = {{.26F, -.92F}, {-.66F, .32F}};
constexpr P four_low_bar[] = {{-.66F, .32F}, {.7F, .32F}};
constexpr P four_stem[] = {{.26F, -.92F}, {.26F, .95F}};
constexpr S four_a[] = {four_left, four_bar, four_right};
constexpr S four_b[] = {four_diagonal, four_low_bar, four_stem};

constexpr P five_roof[] = {{.56F, -.9F}, {-.42F, -.9F}};
constexpr P five_neck[] = {{-.42F, -.9F}, {-.5F, -.12F}};
constexpr P five_belly[] = {{-.5F, -.12F}, {0, -.48F}, {.74F, -.25F}, {.68F, .98F}, {-.2F, 1.02F}, {-.6F, .7F}};
constexpr P five_curl[] = {{.58F, -.82F}, {-.1F, -1.0F}, {-.5F, -.75F}, {-.5F, -.2F}, {.2F, -.25F},
                           {.72F, .05F},  {.6F, 1.0F},   {-.2F, 1.0F},  {-.58F, .75F}};
constexpr S five_a[] = {five_roof, five_neck, five_belly};
constexpr S five_b[] = {five_curl};

constexpr P six_spiral[] = {{.42F, -.88F}, {-.55F, -.75F}, {-.68F, .98F}, {.1F, .98F},  {.68F, .9F},
                            {.6F, -.08F},  {0, -.06F},     {-.5F, 0},     {-.52F, .42F}};
constexpr P six_stem[] = {{.3F, -.92F}, {-.35F, -.3F}, {-.54F, .38F}};
constexpr P six_ring[] = {{0, -.06F}, {.62F, -.06F}, {.62F, .94F}, {-.6F, .94F}, {-.6F, -.06F}, {0, -.06F}};
constexpr S six_a[] = {six_spiral};
constexpr S six_b[] = {six_stem, six_ring};

constexpr P seven_roof[] = {{-.6F, -.88F}, {.6F, -.88F}};
constexpr P seven_leg[] = {{.6F, -.88F}, {.1F, -.1F}, {-.15F, .95F}};
constexpr P seven_bar[] = {{-.24F, .06F}, {.46F, .02F}};
constexpr S seven_a[] = {seven_roof, seven_leg};
constexpr S seven_b[] = {seven_roof, seven_leg, seven_bar};

constexpr P eight_upper[] = {{0, -.04F}, {.54F, -.04F}, {.54F, -.94F}, {-.54F, -.94F}, {-.54F, -.04F}, {0, -.04F}};
constexpr P eight_lower[] = {{0, -.04F}, {.66F, -.04F}, {.66F, .94F}, {-.66F, .94F}, {-.66F, -.04F}, {0, -.04F}};
constexpr P eight_twist[] = {{.5F, -.6F},  {.4F, -1.02F}, {-.55F, -1.02F}, {-.6F, -.25F}, {.1F, -.02F}, {.72F, .35F},
                             {.6F, 1.02F}, {-.6F, 1.02F}, {-.7F, .35F},    {0, -.05F},    {.52F, -.3F}, {.5F, -.6F}};
constexpr S eight_a[] = {eight_upper, eight_lower};
constexpr S eight_b[] = {eight_twist};

constexpr P nine_ring[] = {{.52F, -.45F}, {.5F, -.98F}, {-.56F, -1.02F}, {-.62F, .02F},
                           {.2F, .08F},   {.52F, -.1F}, {.52F, -.45F}};
constexpr P nine_leg[] = {{.52F, -.5F}, {.5F, .2F}, {.28F, .95F}};
constexpr P nine_hook[] = {{.54F, -.5F}, {.62F, .95F}, {0, 1.08F}, {-.5F, .74F}};
constexpr S nine_a[] = {nine_ring, nine_leg};
constexpr S nine_b[] = {nine_ring, nine_hook};

constexpr GlyphShape zeros[] = {zero_a, zero_b};
constexpr GlyphShape ones[] = {one_a, one_b, one_c};
constexpr GlyphShape twos[] = {two_a, two_b};
constexpr GlyphShape threes[] = {three_a, three_b};
constexpr GlyphShape fours[] = {four_a, four_b};
constexpr GlyphShape fives[] = {five_a, five_b};
constexpr GlyphShape sixes[] = {six_a, six_b};
constexpr GlyphShape sevens[] = {seven_a, seven_b};
constexpr GlyphShape eights[] = {eight_a, eight_b};
constexpr GlyphShape nines[] = {nine_a, nine_b};
constexpr std::span<const GlyphShape> classes[] = {zeros, ones,  twos,   threes, fours,
                                                   fives, sixes, sevens, eights, nines};

}  // namespace

std::span<const GlyphShape> glyph_shapes(int label) {
  TESSERA_EXPECT(label >= 0 && label < 10);
  return classes[static_cast<std::size_t>(label)];
}

}  // namespace tessera::io
