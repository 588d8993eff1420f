// From the bytes of one format to pixels as they are stored; docs/images.md of edgedistill has the rules.
#pragma once

#include <string>

#include "edgedistill/edgedistill.hpp"
#include "storage.hpp"

namespace edgedistill {

constexpr std::int64_t kMostPixels = 178'956'970;  // of an encoded image
constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;

struct Decoded {
  Image image;
  Bytes exif;  // empty where there is none
};

// Both throw Error with the reason alone.
Decoded decode_jpeg(const std::uint8_t* bytes, std::size_t size);
Decoded decode_png(const std::uint8_t* bytes, std::size_t size);

// Throws Error where the pixels are none or more than `kMostPixels`.
void check_size(std::int64_t height, std::int64_t width);

}  // namespace edgedistill
