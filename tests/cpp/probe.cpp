// What tests ask of the library's inside, many cases in one process: `probe WHAT`, arguments on standard input.
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>

#include "decoders.hpp"
#include "errors.hpp"
#include "resize.hpp"
#include "sha256.hpp"
#include "tensors.hpp"

using namespace edgedistill;

namespace {

template <typename Number>
bool take(Number& number) {
  return std::fread(&number, sizeof number, 1, stdin) == 1;
}

// A length and so many bytes; false at the end of the input.
bool take_blob(std::vector<std::uint8_t>& bytes) {
  std::int32_t length = 0;
  if (!take(length)) {
    return false;
  }
  bytes.resize(static_cast<std::size_t>(length));
  if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) {
    fail("too few bytes");
  }
  return true;
}

void give(const Image& image) {
  const std::int32_t size[] = {image.height, image.width};
  std::fwrite(size, sizeof size, 1, stdout);
  std::fwrite(image.rgb.data(), 1, image.rgb.size(), stdout);
}

// Cases of height, width, wanted height, wanted width, crop, bicubic and pixels; each is answered with its pixels.
void resize() {
  std::int32_t numbers[6];
  while (take(numbers)) {
    Image image{numbers[0], numbers[1], std::vector<std::uint8_t>(std::size_t(numbers[0]) * numbers[1] * 3)};
    if (std::fread(image.rgb.data(), 1, image.rgb.size(), stdin) != image.rgb.size()) {
      fail("too few pixels");
    }
    Preprocessing preprocessing;
    preprocessing.height = numbers[2], preprocessing.width = numbers[3];
    preprocessing.center_crop = numbers[4] != 0, preprocessing.bicubic = numbers[5] != 0;
    give(resized(image, preprocessing));
  }
}

// Blobs of a length and bytes; each is answered with its pixels, or with -1, a length and the error.
void decode_all() {
  std::vector<std::uint8_t> bytes;
  while (take_blob(bytes)) {
    try {
      give(decode(bytes.data(), bytes.size(), "x"));
    } catch (const Error& error) {
      const std::string reason = error.what();
      const std::int32_t head[] = {-1, static_cast<std::int32_t>(reason.size())};
      std::fwrite(head, sizeof head, 1, stdout);
      std::fwrite(reason.data(), 1, reason.size(), stdout);
    }
  }
}

// Blobs likewise, each a manifest.json; a line each: "ok", or the error.
void manifests() {
  std::vector<std::uint8_t> bytes;
  while (take_blob(bytes)) {
    try {
      read_manifest(bytes, "m");
      std::cout << "ok\n";
    } catch (const Error& error) {
      std::cout << error.what() << '\n';
    }
  }
}

void hashes() {
  std::vector<std::uint8_t> bytes;
  while (take_blob(bytes)) {
    std::cout << sha256(bytes.data(), bytes.size()) << '\n';
  }
}

// uint8 pixels of a 2 x 2 image; its float32 (3, 2, 2).
void normalize() {
  std::vector<std::uint8_t> pixels(12);
  std::fread(pixels.data(), 1, pixels.size(), stdin);
  Preprocessing preprocessing;
  preprocessing.height = preprocessing.width = 2;
  const std::vector<float> values = normalized(pixels, preprocessing);
  std::fwrite(values.data(), sizeof(float), values.size(), stdout);
}

// The path of a bundle and of an image, a line each: what eight threads make of them with one predictor.
void threads() {
  std::string bundle, image;
  std::getline(std::cin, bundle);
  std::getline(std::cin, image);
  Predictor predictor{std::filesystem::path(bundle)};
  const Image decoded = read_image(image);
  std::vector<std::string> found(8);
  std::vector<std::thread> running;
  for (std::string& line : found) {
    running.emplace_back([&] { line = to_json(predictor.predict(std::vector<Image>(7, decoded)).back(), "x"); });
  }
  for (std::thread& thread : running) {
    thread.join();
  }
  for (const std::string& line : found) {
    std::cout << line << '\n';
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  if (what == "resize") {
    resize();
  } else if (what == "decode") {
    decode_all();
  } else if (what == "manifests") {
    manifests();
  } else if (what == "hashes") {
    hashes();
  } else if (what == "normalize") {
    normalize();
  } else if (what == "threads") {
    threads();
  } else {
    return 2;
  }
  return 0;
}
