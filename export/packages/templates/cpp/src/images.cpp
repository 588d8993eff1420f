#include <cstring>

#include "decoders.hpp"
#include "errors.hpp"
#include "exif.hpp"

namespace edgedistill {

namespace {

bool begins(const std::uint8_t* bytes, std::size_t size, const char* with, std::size_t count) {
  return size >= count && std::memcmp(bytes, with, count) == 0;
}

Image decoded(const std::uint8_t* bytes, std::size_t size) {
  Decoded found;
  if (begins(bytes, size, "\xff\xd8\xff", 3)) {
    found = decode_jpeg(bytes, size);
  } else if (begins(bytes, size, "\x89PNG\r\n\x1a\n", 8)) {
    found = decode_png(bytes, size);
  } else {
    fail("neither a JPEG nor a PNG, the formats that are read");
  }
  return upright(std::move(found.image), orientation_of(found.exif));
}

}  // namespace

void check_size(std::int64_t height, std::int64_t width) {
  if (height < 1 || width < 1 || height > kMostPixels / width) {
    fail(std::to_string(width) + " x " + std::to_string(height) + " pixels are none, or more than the allowed " +
         std::to_string(kMostPixels));
  }
}

Image decode(const void* bytes, std::size_t size, const std::string& name) {
  return guarded(name, [&] {
    if (bytes == nullptr || size == 0) {
      fail(name + ": is empty: no image.");
    }
    try {
      return decoded(static_cast<const std::uint8_t*>(bytes), size);
    } catch (const Error& error) {
      fail(name + ": cannot be decoded (" + error.what() + "). Replace or remove the file.");
    }
  });
}

Image read_image(const std::filesystem::path& path) {
  return guarded_path(path, [&](const std::string& name) {
    const Bytes bytes = read_any(path, kMostBytes, "image");
    return decode(bytes.data(), bytes.size(), name);
  });
}

}  // namespace edgedistill
