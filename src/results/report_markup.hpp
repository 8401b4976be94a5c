#pragma once
#include <string>
#include <string_view>

namespace tessera::results {

/// Text for HTML and SVG, between tags or in a quoted attribute: & < > " ' replaced, bytes that are not UTF-8 and
/// control characters but line feed and tab replaced by U+FFFD.
std::string escaped(std::string_view text);

/// Letters, digits, '_', '-' and '.' kept, everything else '_': part of a file name or an id.
std::string identifier(std::string_view text);

}  // namespace tessera::results
