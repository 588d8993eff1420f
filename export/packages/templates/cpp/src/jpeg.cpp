// JPEG by libjpeg-turbo, with the settings that Pillow leaves it: the accurate transform, colour enlarged smoothly.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>

// After <cstdio>, whose names it uses.
#include <jpeglib.h>

#include "decoders.hpp"
#include "errors.hpp"

namespace edgedistill {

namespace {

struct Handler {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is one to this
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr common) {
  Handler* handler = reinterpret_cast<Handler*>(common->err);
  common->err->format_message(common, handler->message);
  std::longjmp(handler->back, 1);
}

void keep_quiet(j_common_ptr, int) {}

void do_nothing(j_decompress_ptr) {}

// The data are all there from the beginning: wanting more means that the file ends early.
boolean at_the_end(j_decompress_ptr info) {
  Handler* handler = reinterpret_cast<Handler*>(info->err);
  std::strcpy(handler->message, "the file ends early");
  std::longjmp(handler->back, 1);
}

void skip(j_decompress_ptr info, long count) {
  if (count <= 0) {
    return;
  }
  if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) {
    at_the_end(info);
  }
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

// What libjpeg needs, in one object that outlives a jump.
struct Reader {
  Handler handler{};
  jpeg_source_mgr source{};
  jpeg_decompress_struct info{};
  Bytes row;  // CMYK or grey

  Reader(const std::uint8_t* bytes, std::size_t size) {
    info.err = jpeg_std_error(&handler.base);
    handler.base.error_exit = leave;
    handler.base.emit_message = keep_quiet;
    source.init_source = do_nothing;
    source.fill_input_buffer = at_the_end;
    source.skip_input_data = skip;
    source.resync_to_restart = jpeg_resync_to_restart;
    source.term_source = do_nothing;
    source.next_input_byte = bytes;
    source.bytes_in_buffer = size;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { jpeg_destroy_decompress(&info); }

  // Each of the three runs libjpeg; false: `handler.message` says why. None keeps an object that a jump would leak.
  bool open() {
    if (setjmp(handler.back) != 0) {
      return false;
    }
    jpeg_create_decompress(&info);
    info.src = &source;
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : info.num_components == 4 ? JCS_CMYK : JCS_RGB;
    return true;
  }

  bool start() {
    if (setjmp(handler.back) != 0) {
      return false;
    }
    jpeg_start_decompress(&info);
    return true;
  }

  bool read(std::uint8_t* rgb) {
    if (setjmp(handler.back) != 0) {
      return false;
    }
    const std::size_t width = info.output_width;
    while (info.output_scanline < info.output_height) {
      std::uint8_t* out = rgb + info.output_scanline * width * 3;
      JSAMPROW into = info.output_components == 3 ? out : row.data();
      jpeg_read_scanlines(&info, &into, 1);
      if (info.output_components == 1) {
        for (std::size_t x = 0; x < width; ++x) {
          std::memset(out + 3 * x, row[x], 3);
        }
      } else if (info.output_components == 4) {
        // Adobe's way round: 255 is no ink, so that the product is what is left of white.
        for (std::size_t x = 0; x < width; ++x) {
          for (std::size_t c = 0; c < 3; ++c) {
            out[3 * x + c] = static_cast<std::uint8_t>((row[4 * x + c] * row[4 * x + 3] + 127) / 255);
          }
        }
      }
    }
    jpeg_finish_decompress(&info);
    return true;
  }
};

}  // namespace

Decoded decode_jpeg(const std::uint8_t* bytes, std::size_t size) {
  Reader reader(bytes, size);
  if (!reader.open()) {
    fail(reader.handler.message);
  }
  check_size(reader.info.image_height, reader.info.image_width);
  if (reader.info.num_components != 1 && reader.info.num_components != 3 && reader.info.num_components != 4) {
    fail(std::to_string(reader.info.num_components) + " components are not read");
  }
  Decoded decoded;
  for (jpeg_saved_marker_ptr marker = reader.info.marker_list; marker != nullptr; marker = marker->next) {
    if (marker->data_length >= 6 && std::memcmp(marker->data, "Exif\0\0", 6) == 0) {
      decoded.exif.insert(decoded.exif.end(), marker->data + (decoded.exif.empty() ? 0 : 6),
                          marker->data + marker->data_length);
    }
  }
  Image& image = decoded.image;
  image.height = static_cast<int>(reader.info.image_height);
  image.width = static_cast<int>(reader.info.image_width);
  image.rgb.resize(std::size_t(image.height) * image.width * 3);
  reader.row.resize(std::size_t(image.width) * 4);
  if (!reader.start() || !reader.read(image.rgb.data())) {
    fail(reader.handler.message);
  }
  return decoded;
}

}  // namespace edgedistill
