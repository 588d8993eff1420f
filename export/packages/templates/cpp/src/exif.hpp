#pragma once

#include "edgedistill/edgedistill.hpp"
#include "storage.hpp"

namespace edgedistill {

// 1 to 8 from an EXIF block; 1, upright, is also what a missing, damaged or meaningless tag stands for.
int orientation_of(const Bytes& exif);

// The image turned as `orientation` says.
Image upright(Image image, int orientation);

}  // namespace edgedistill
