// PNG by libpng.
#include <csetjmp>
#include <cstring>

#include <png.h>

#include "decoders.hpp"
#include "errors.hpp"

namespace edgedistill {

namespace {

constexpr int kMostSide = 0x7fffffff;

struct Reader {
  const std::uint8_t* bytes;
  std::size_t left;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[200] = "";
  Bytes pixels;
  std::vector<png_bytep> rows;

  Reader(const std::uint8_t* data, std::size_t size) : bytes(data), left(size) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, leave, [](png_structp, png_const_charp) {});
    info = png == nullptr ? nullptr : png_create_info_struct(png);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }

  [[noreturn]] static void leave(png_structp png, png_const_charp reason) {
    Reader* reader = static_cast<Reader*>(png_get_error_ptr(png));
    std::strncpy(reader->message, reason, sizeof reader->message - 1);
    std::longjmp(png_jmpbuf(png), 1);
  }

  static void give(png_structp png, png_bytep into, std::size_t count) {
    Reader* reader = static_cast<Reader*>(png_get_io_ptr(png));
    if (count > reader->left) {
      png_error(png, "the file ends early");
    }
    std::memcpy(into, reader->bytes, count);
    reader->bytes += count, reader->left -= count;
  }

  // Each of the two runs libpng; false: `message` says why. None keeps an object that a jump would leak.
  bool open() {
    if (setjmp(png_jmpbuf(png)) != 0) {
      return false;
    }
    png_set_read_fn(png, this, give);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(png, 1);
    png_set_user_limits(png, kMostSide, kMostSide);
    png_read_info(png, info);
    return true;
  }

  bool read() {
    if (setjmp(png_jmpbuf(png)) != 0) {
      return false;
    }
    png_read_image(png, rows.data());
    png_read_end(png, info);
    return true;
  }

  // What libpng makes of the stored pixels: 8 bits, 1 to 4 channels.
  bool prepare() {
    if (setjmp(png_jmpbuf(png)) != 0) {
      return false;
    }
    png_set_expand(png);  // palettes, few bits and a transparent colour
    png_set_strip_16(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    return true;
  }
};

// Over white, in 8-bit integers.
std::uint8_t over_white(int level, int alpha) {
  return static_cast<std::uint8_t>((level * alpha + 255 * (255 - alpha) + 127) / 255);
}

}  // namespace

Decoded decode_png(const std::uint8_t* bytes, std::size_t size) {
  Reader reader(bytes, size);
  if (reader.info == nullptr) {
    throw std::bad_alloc();
  }
  if (!reader.open()) {
    fail(reader.message);
  }
  const std::size_t height = png_get_image_height(reader.png, reader.info);
  const std::size_t width = png_get_image_width(reader.png, reader.info);
  check_size(static_cast<std::int64_t>(height), static_cast<std::int64_t>(width));
  const bool has_key = png_get_valid(reader.png, reader.info, PNG_INFO_tRNS) != 0;
  if (has_key && png_get_bit_depth(reader.png, reader.info) == 16 &&
      png_get_color_type(reader.png, reader.info) == PNG_COLOR_TYPE_RGB) {
    fail("a transparent colour (tRNS) among 16-bit colours is not read: give it an alpha channel");
  }
  if (!reader.prepare()) {
    fail(reader.message);
  }
  const std::size_t channels = png_get_channels(reader.png, reader.info);
  const std::size_t across = png_get_rowbytes(reader.png, reader.info);
  reader.pixels.resize(height * across);
  for (std::size_t y = 0; y < height; ++y) {
    reader.rows.push_back(reader.pixels.data() + y * across);
  }
  if (!reader.read()) {
    fail(reader.message);
  }
  Decoded decoded;
  Image& image = decoded.image;
  image = {static_cast<int>(height), static_cast<int>(width), Bytes(height * width * 3)};
  const bool has_alpha = channels == 2 || channels == 4, is_grey = channels <= 2;
  for (std::size_t i = 0; i < height * width; ++i) {
    const std::uint8_t* pixel = reader.pixels.data() + i * channels;
    const int alpha = has_alpha ? pixel[channels - 1] : 255;
    for (std::size_t c = 0; c < 3; ++c) {
      image.rgb[3 * i + c] = over_white(pixel[is_grey ? 0 : c], alpha);
    }
  }
  png_uint_32 length = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &length, &exif) != 0 && exif != nullptr) {
    decoded.exif.assign(exif, exif + length);
  }
  return decoded;
}

}  // namespace edgedistill
