// What of manifest.json this library uses, as values; docs/bundle.md of edgedistill lists every key.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace edgedistill {

struct FileEntry {
  std::string path;    // from the bundle's root, with forward slashes
  std::string sha256;  // 64 lower-case hexadecimal digits
  std::int64_t bytes = 0;
};

constexpr std::int64_t kAnySize = -1;  // a symbolic dimension

struct TensorSpec {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
};

struct Preprocessing {
  int height = 0;
  int width = 0;
  bool center_crop = false;  // else "squash"
  bool bicubic = false;      // else "bilinear"
  std::array<float, 3> mean = {0.485F, 0.456F, 0.406F};
  std::array<float, 3> std_dev = {0.229F, 0.224F, 0.225F};
};

struct OperatingPoint {
  std::vector<double> thresholds;
  double temperature = 1;
};

// Differences of logits to the training framework's, at export.
struct Parity {
  double largest = 0;
  std::optional<double> golden_mean;
};

struct Artifact {
  std::string name;
  std::string backend;
  std::string precision;
  std::string device = "cpu";
  std::string status;
  std::string reason;
  int threads = 0;  // 0: the library's choice
  int batch_min = 1;
  int batch_max = 32;
  bool is_gated = false;  // on the mAP that it may lose
  std::vector<FileEntry> files;
  std::optional<Parity> parity;
  std::optional<OperatingPoint> operating_point;
};

struct GoldenImage {
  FileEntry file;
  std::vector<double> logits;
};

struct Manifest {
  std::string name;
  std::vector<std::string> classes;
  Preprocessing preprocessing;
  bool is_float_nchw = false;  // else uint8 NHWC
  TensorSpec input;
  std::vector<TensorSpec> outputs;
  std::vector<double> thresholds;
  std::vector<Artifact> artifacts;
  std::vector<GoldenImage> selftest;

  const std::vector<double>& thresholds_of(const Artifact& artifact) const {
    return artifact.operating_point ? artifact.operating_point->thresholds : thresholds;
  }
};

// Whether a graph's own tensor can be what is listed: symbolic dimensions fit any.
bool fits(const TensorSpec& own, const TensorSpec& listed);

std::string described(const TensorSpec& spec);

// Throws Error: damaged, newer than this library, or a field that it uses is wrong; `where` is what it calls the file.
Manifest read_manifest(const std::vector<std::uint8_t>& json, const std::string& where);

}  // namespace edgedistill
