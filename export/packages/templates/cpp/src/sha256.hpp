#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace edgedistill {

// 64 lower-case hexadecimal digits (FIPS 180-4).
std::string sha256(const std::uint8_t* data, std::size_t size);

}  // namespace edgedistill
