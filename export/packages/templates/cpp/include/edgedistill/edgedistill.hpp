// Labels for photographs from an edgedistill bundle: the same pixels, scores and labels as the Python runtime gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgedistill {

// Everything that this library throws, whatever went wrong below it: what() is one line that names the thing and the
// reason.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// 8-bit RGB pixels, row by row: rgb holds height * width * 3 bytes.
struct Image {
  int height = 0;
  int width = 0;
  std::vector<std::uint8_t> rgb;
};

// Decodes a JPEG or PNG: upright by its EXIF orientation, transparency on white, 16 bits cut to 8; colour profiles are
// ignored. `name` is what an Error calls it.
Image decode(const void* bytes, std::size_t size, const std::string& name = "the image");

// The same of a file.
Image read_image(const std::filesystem::path& path);

struct Label {
  std::string name;
  float probability = 0;
};

struct Prediction {
  std::vector<float> logits;         // one per class, as the graph gives them
  std::vector<float> probabilities;  // one per class, at the artifact's temperature
  std::vector<Label> labels;         // the classes at or above their thresholds, the most probable first
  std::vector<Label> top;            // the three most probable, whatever their thresholds
};

// One line of JSON, as `edgedistill predict --json` writes it; `image` is what it calls the image.
std::string to_json(const Prediction& prediction, const std::string& image);

// What is asked for; empty and 0 leave the choice to the manifest.
struct Options {
  std::string artifact;  // its name in the manifest
  std::string backend;   // "openvino" or "onnxruntime"
  std::string device;    // the backend's word, e.g. "cpu" or "gpu"
  int threads = 0;       // of one inference
};

struct SelfTest {
  bool passed = false;
  std::string sentence;  // why, in one line
  double largest = 0;    // difference of a logit to the training framework's
  double allowed = 0;    // the largest that passes
};

// A loaded artifact. Threads may share one: their inferences run in turns.
class Predictor {
 public:
  // Opens a bundle's folder, checks its manifest, and loads the first artifact that runs here: verified ones first,
  // then those without a gate on their accuracy, then in the manifest's order. Each file that is used is compared with
  // its size and SHA-256 before.
  explicit Predictor(const std::filesystem::path& bundle, const Options& options = {});
  Predictor(Predictor&&) noexcept;
  Predictor& operator=(Predictor&&) noexcept;
  ~Predictor();

  Prediction predict(const std::filesystem::path& image);
  Prediction predict(const Image& image);
  // In order, in as few inferences as the artifact's largest batch allows.
  std::vector<Prediction> predict(const std::vector<Image>& images);

  // The bundle's own photographs against the training framework's logits.
  SelfTest selftest();

  const std::string& name() const;                      // the bundle's
  const std::string& artifact() const;                  // what was loaded
  const std::vector<std::string>& passed_over() const;  // what came before it and did not run, with the reason
  const std::vector<std::string>& classes() const;      // in the order of every score

 private:
  struct Loaded;
  std::unique_ptr<Loaded> loaded_;
};

}  // namespace edgedistill
