#pragma once

#include "manifest.hpp"

namespace edgedistill {

// Throws Error about the first thing that is wrong with a decoded manifest beyond its types: numbers out of range,
// lists that do not belong together, a path that leads out of the bundle.
void check_manifest(const Manifest& manifest);

}  // namespace edgedistill
