#include "exif.hpp"

#include <cstring>

namespace edgedistill {

namespace {

constexpr std::uint32_t kTag = 0x0112, kShort = 3, kLong = 4;
constexpr std::size_t kEntry = 12;

// Numbers of a TIFF block; what lies beyond its end is told by `is_whole`.
class Block {
 public:
  Block(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {
    is_little_ = size >= 4 && std::memcmp(bytes, "II*\0", 4) == 0;
    is_whole_ = is_little_ || (size >= 4 && std::memcmp(bytes, "MM\0*", 4) == 0);
  }

  std::uint32_t number(std::size_t place, std::size_t bytes) {
    if (place > size_ || size_ - place < bytes) {
      is_whole_ = false;
      return 0;
    }
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value = value << 8 | bytes_[place + (is_little_ ? bytes - 1 - i : i)];
    }
    return value;
  }

  bool is_whole() const { return is_whole_; }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
  bool is_little_ = false;
  bool is_whole_ = false;
};

}  // namespace

int orientation_of(const Bytes& exif) {
  const std::uint8_t* bytes = exif.data();
  std::size_t size = exif.size();
  while (size >= 6 && std::memcmp(bytes, "Exif\0\0", 6) == 0) {
    bytes += 6, size -= 6;
  }
  Block block(bytes, size);
  const std::size_t start = block.is_whole() ? block.number(4, 4) : 0;
  const std::uint32_t count = block.is_whole() ? block.number(start, 2) : 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t place = start + 2 + i * kEntry;
    const std::uint32_t tag = block.number(place, 2), kind = block.number(place + 2, 2);
    const std::uint32_t values = block.number(place + 4, 4);
    if (!block.is_whole()) {
      return 1;
    }
    if (tag == kTag) {
      const std::uint32_t value = kind == kShort ? block.number(place + 8, 2) : block.number(place + 8, 4);
      const bool is_one = values == 1 && (kind == kShort || kind == kLong) && block.is_whole();
      return is_one && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) {
    return image;
  }
  const int height = image.height, width = image.width;
  const bool is_on_its_side = orientation >= 5;
  Image turned{is_on_its_side ? width : height, is_on_its_side ? height : width, Bytes(image.rgb.size())};
  std::uint8_t* out = turned.rgb.data();
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x, out += 3) {
      int row = is_on_its_side ? x : y, column = is_on_its_side ? y : x;
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
        row = height - 1 - row;
      }
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
        column = width - 1 - column;
      }
      std::memcpy(out, image.rgb.data() + (std::size_t(row) * width + column) * 3, 3);
    }
  }
  return turned;
}

}  // namespace edgedistill
