#include "resize.hpp"

#include <algorithm>
#include <cmath>

namespace edgedistill {

namespace {

constexpr int kChannels = 3;
constexpr int kBits = 22;  // of a weight's fraction: a sum of 8-bit values stays within 32 bits
constexpr std::int32_t kHalf = 1 << (kBits - 1);

// A part of an image along both axes, in pixels. In single precision, as Pillow has it: its rounding decides weights.
struct Box {
  float left, top, right, bottom;
};

// Along one axis: for each output pixel the first input pixel, and the weights from there on.
struct Weights {
  std::vector<int> first;
  std::vector<std::size_t> start;  // of each one's weights; one more than there are outputs
  std::vector<std::int32_t> values;
};

double triangle(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) {
    return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  }
  return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

Weights weights(int stored, float from, float to, int wanted, bool bicubic) {
  const double step = static_cast<double>(to - from) / wanted;
  const double spread = std::max(step, 1.0), reach = spread * (bicubic ? 2.0 : 1.0), inverse = 1.0 / spread;
  Weights found;
  found.start.push_back(0);
  std::vector<double> exact;
  for (int i = 0; i < wanted; ++i) {
    const double centre = from + (i + 0.5) * step;
    const int first = std::max(0, static_cast<int>(centre - reach + 0.5));
    const int last = std::min(stored, static_cast<int>(centre + reach + 0.5));
    exact.clear();
    double sum = 0;
    for (int j = 0; j < last - first; ++j) {
      const double x = (j + first - centre + 0.5) * inverse;
      exact.push_back(bicubic ? cubic(x) : triangle(x));
      sum += exact.back();
    }
    for (double weight : exact) {
      weight = sum != 0.0 ? weight / sum : weight;
      found.values.push_back(static_cast<std::int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kBits)));
    }
    found.first.push_back(first);
    found.start.push_back(found.values.size());
  }
  return found;
}

std::uint8_t level(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

Image across(const Image& image, const Weights& weights, int top, int bottom) {
  const int wanted = static_cast<int>(weights.first.size());
  Image made{bottom - top, wanted, std::vector<std::uint8_t>(std::size_t(bottom - top) * wanted * kChannels)};
  std::uint8_t* out = made.rgb.data();
  for (int y = top; y < bottom; ++y) {
    const std::uint8_t* row = image.rgb.data() + std::size_t(y) * image.width * kChannels;
    for (int i = 0; i < wanted; ++i) {
      const std::uint8_t* pixel = row + std::size_t(weights.first[i]) * kChannels;
      std::int32_t red = kHalf, green = kHalf, blue = kHalf;
      for (std::size_t k = weights.start[i]; k < weights.start[i + 1]; ++k, pixel += kChannels) {
        const std::int32_t weight = weights.values[k];
        red += pixel[0] * weight, green += pixel[1] * weight, blue += pixel[2] * weight;
      }
      *out++ = level(red), *out++ = level(green), *out++ = level(blue);
    }
  }
  return made;
}

// `top` is the row of the whole image that is this image's first.
Image down(const Image& image, const Weights& weights, int top) {
  const int wanted = static_cast<int>(weights.first.size());
  const std::size_t across = std::size_t(image.width) * kChannels;
  Image made{wanted, image.width, std::vector<std::uint8_t>(wanted * across)};
  std::vector<std::int32_t> sums(across);
  for (int i = 0; i < wanted; ++i) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const std::uint8_t* row = image.rgb.data() + (weights.first[i] - top) * across;
    for (std::size_t k = weights.start[i]; k < weights.start[i + 1]; ++k, row += across) {
      const std::int32_t weight = weights.values[k];
      for (std::size_t x = 0; x < across; ++x) {
        sums[x] += row[x] * weight;
      }
    }
    std::transform(sums.begin(), sums.end(), made.rgb.begin() + i * across, level);
  }
  return made;
}

// The largest box of the target's aspect in the middle, as PIL.ImageOps.fit has it: not rounded to pixels.
Box centre(const Image& image, int height, int width) {
  const double have = double(image.width) / image.height, want = double(width) / height;
  double kept_width = image.width, kept_height = image.height;
  if (have > want) {
    kept_width = want * image.height;
  } else if (have < want) {
    kept_height = image.width / want;
  }
  const double left = (image.width - kept_width) * 0.5, top = (image.height - kept_height) * 0.5;
  return {float(left), float(top), float(left + kept_width), float(top + kept_height)};
}

}  // namespace

Image resized(const Image& image, const Preprocessing& preprocessing) {
  const int height = preprocessing.height, width = preprocessing.width;
  if (image.height == height && image.width == width) {
    return image;
  }
  const Box box =
      preprocessing.center_crop ? centre(image, height, width) : Box{0, 0, float(image.width), float(image.height)};
  const bool is_across = width != image.width || box.left != 0 || box.right != width;
  const bool is_down = height != image.height || box.top != 0 || box.bottom != height;
  const Weights rows = weights(image.height, box.top, box.bottom, height, preprocessing.bicubic);
  const Weights columns = weights(image.width, box.left, box.right, width, preprocessing.bicubic);
  if (!is_across) {
    return is_down ? down(image, rows, 0) : image;
  }
  if (!is_down) {
    return across(image, columns, 0, image.height);
  }
  // Pillow from version 13 on; before, always across first, which is a level here and there.
  if (height < image.height && image.height - height > 2 * (std::int64_t{image.width} - width)) {
    return across(down(image, rows, 0), columns, 0, height);
  }
  const int top = rows.first.front();
  const int bottom = rows.first.back() + static_cast<int>(rows.start.back() - rows.start[rows.start.size() - 2]);
  return down(across(image, columns, top, bottom), rows, top);
}

}  // namespace edgedistill
