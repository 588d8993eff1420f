// What tests ask of the library's inside, many cases in one process: `probe WHAT`, arguments on standard input.
#include <clocale>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>

#include "decoders.hpp"
#include "errors.hpp"
#include "resize.hpp"
#include "sha256.hpp"
#include "tensors.hpp"

using namespace edgedistill;

// Of the allocations to come, the one that fails; and how large one must be to count.
static std::size_t allocations_left = 0, counted_from = 0;

#if !defined(__SANITIZE_ADDRESS__)  // which has its own
void* operator new(std::size_t size) {
  if (allocations_left > 0 && size >= counted_from && --allocations_left == 0) {
    throw std::bad_alloc();
  }
  if (void* place = std::malloc(size == 0 ? 1 : size)) {
    return place;
  }
  throw std::bad_alloc();
}
void operator delete(void* place) noexcept { std::free(place); }
void operator delete(void* place, std::size_t) noexcept { std::free(place); }
#endif

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

// Calls `work` again and again, with each of its allocations failing once: "ok", or what left it that is no Error.
template <typename Work>
std::string without_memory(Work work) {
  for (std::size_t turn = 1; turn < 100'000; ++turn) {
    allocations_left = turn;
    try {
      work();
    } catch (const Error&) {
    } catch (...) {
      return "allocation " + std::to_string(turn) + " leaves as no Error";
    }
    if (allocations_left > 0) {
      allocations_left = 0;
      return turn > 1 ? "ok" : "allocates nothing";
    }
  }
  return "no end";
}

// Paths of a bundle and of an image, a line each: what calls of the library do without memory.
void memory() {
  std::string bundle, image;
  std::getline(std::cin, bundle);
  std::getline(std::cin, image);
  const std::filesystem::path folder = bundle, file = image;
  const Prediction prediction{{}, {}, {{"a", 0.5F}}, {}};
  std::cout << "image: " << without_memory([&] { read_image(file); }) << '\n';
  std::cout << "json: " << without_memory([&] { to_json(prediction, image); }) << '\n';
  // The JSON library's destructor allocates a little itself, and ends the program where it cannot.
  counted_from = 4000;
  Options options;
  options.artifact = "trt-fp16";
  std::cout << "bundle: " << without_memory([&] { Predictor predictor(folder, options); }) << '\n';
  Predictor predictor(folder);
  const Image large{1000, 1000, std::vector<std::uint8_t>(3'000'000)};
  counted_from = large.rgb.size();
  allocations_left = 1;
  predictor.predict(large);
  std::cout << "copies: " << 1 - allocations_left << '\n';
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  std::setlocale(LC_ALL, "");  // as programs with a window do
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
  } else if (what == "memory") {
    memory();
  } else if (what == "threads") {
    threads();
  } else {
    return 2;
  }
  return 0;
}
