#pragma once

#include "edgedistill/edgedistill.hpp"
#include "manifest.hpp"

namespace edgedistill {

// The pixels that the graph takes, as Pillow's antialiased filters give them, to the bit: two passes of 8 bits each.
Image resized(const Image& image, const Preprocessing& preprocessing);

}  // namespace edgedistill
