#include <algorithm>
#include <cmath>
#include <mutex>

#include "decoders.hpp"
#include "errors.hpp"
#include "loading.hpp"
#include "resize.hpp"
#include "tensors.hpp"

namespace edgedistill {

namespace fs = std::filesystem;

struct Predictor::Loaded {
  fs::path bundle;
  Manifest manifest;
  Artifact artifact;
  std::vector<std::string> passed_over;
  std::unique_ptr<Backend> backend;
  std::mutex turn;

  // One inference of at most the largest batch; a small one is filled up with its last image.
  void infer(const Image* first, std::size_t count, std::vector<Prediction>& into) {
    const Preprocessing& preprocessing = manifest.preprocessing;
    const std::size_t filled = std::max(count, static_cast<std::size_t>(artifact.batch_min));
    std::vector<std::uint8_t> pixels;
    for (std::size_t i = 0; i < filled; ++i) {
      const Image small = resized(first[std::min(i, count - 1)], preprocessing);
      pixels.insert(pixels.end(), small.rgb.begin(), small.rgb.end());
    }
    const std::int64_t number = static_cast<std::int64_t>(filled);
    const std::int64_t height = preprocessing.height, width = preprocessing.width;
    Outputs outputs;
    if (manifest.is_float_nchw) {
      const std::vector<float> values = normalized(pixels, preprocessing);
      outputs = run({{number, 3, height, width}, values.data(), values.size() * sizeof(float)});
    } else {
      outputs = run({{number, height, width, 3}, pixels.data(), pixels.size()});
    }
    const std::size_t classes = manifest.classes.size();
    if (outputs.logits.size() != filled * classes || outputs.probabilities.size() != filled * classes) {
      fail(artifact.name + ": its outputs are not one number per image and class.");
    }
    for (std::size_t i = 0; i < count; ++i) {
      const auto row = [&](const std::vector<float>& values) {
        return std::vector<float>(values.begin() + static_cast<std::ptrdiff_t>(i * classes),
                                  values.begin() + static_cast<std::ptrdiff_t>((i + 1) * classes));
      };
      into.push_back(judged(row(outputs.logits), row(outputs.probabilities), manifest, artifact));
    }
  }

  Outputs run(const Batch& batch) {
    const std::lock_guard<std::mutex> alone(turn);
    return guarded(artifact.name + ": inference failed", [&] { return backend->run(batch); });
  }

  std::vector<Prediction> predict(const std::vector<Image>& images) {
    std::vector<Prediction> found;
    const std::size_t most = static_cast<std::size_t>(artifact.batch_max);
    for (std::size_t start = 0; start < images.size(); start += most) {
      infer(images.data() + start, std::min(most, images.size() - start), found);
    }
    return found;
  }
};

Predictor::Predictor(const fs::path& bundle, const Options& options) {
  guarded(bundle.string(), [&] {
    loaded_ = std::make_unique<Loaded>();
    loaded_->bundle = bundle;
    loaded_->manifest = open_manifest(bundle);
    for (const Artifact& artifact : ranked(loaded_->manifest, options, bundle)) {
      try {
        loaded_->backend = load(bundle, loaded_->manifest, artifact, options);
        loaded_->artifact = artifact;
        return;
      } catch (const Error& error) {
        loaded_->passed_over.push_back(artifact.name + ": " + error.what());
      }
    }
    std::string reasons;
    for (const std::string& reason : loaded_->passed_over) {
      reasons += " " + reason + (reason.back() == '.' ? "" : ".");
    }
    fail(bundle.string() + ": no artifact could be run here." + reasons);
  });
}

Predictor::Predictor(Predictor&&) noexcept = default;
Predictor& Predictor::operator=(Predictor&&) noexcept = default;
Predictor::~Predictor() = default;

const std::string& Predictor::name() const { return loaded_->manifest.name; }
const std::string& Predictor::artifact() const { return loaded_->artifact.name; }
const std::vector<std::string>& Predictor::passed_over() const { return loaded_->passed_over; }
const std::vector<std::string>& Predictor::classes() const { return loaded_->manifest.classes; }

Prediction Predictor::predict(const fs::path& image) { return predict(read_image(image)); }

Prediction Predictor::predict(const Image& image) { return predict(std::vector<Image>{image}).front(); }

std::vector<Prediction> Predictor::predict(const std::vector<Image>& images) {
  return guarded(loaded_->artifact.name, [&] {
    for (const Image& image : images) {
      check_size(image.height, image.width);
      if (image.rgb.size() != std::size_t(image.height) * image.width * 3) {
        fail("an image whose rgb is not height * width * 3 bytes");
      }
    }
    return loaded_->predict(images);
  });
}

SelfTest Predictor::selftest() {
  return guarded(loaded_->artifact.name, [&] {
    const std::vector<GoldenImage>& golden = loaded_->manifest.selftest;
    if (golden.empty()) {
      fail(name() + ": carries no self-test photographs. `edgedistill export` adds them.");
    }
    const Tolerance allowed = tolerance(loaded_->artifact, golden);
    SelfTest found;
    found.allowed = allowed.largest;
    double sum = 0;
    for (const GoldenImage& one : golden) {
      const Bytes bytes = read_listed(loaded_->bundle, one.file);
      const Prediction prediction = predict(decode(bytes.data(), bytes.size(), one.file.path));
      for (std::size_t i = 0; i < one.logits.size(); ++i) {
        const double difference = std::abs(double{prediction.logits[i]} - one.logits[i]);
        found.largest = std::max(found.largest, difference);
        sum += difference;
      }
    }
    const double mean = sum / static_cast<double>(golden.size() * loaded_->manifest.classes.size());
    found.passed = std::isfinite(mean) && found.largest <= allowed.largest && (!allowed.mean || mean <= *allowed.mean);
    found.sentence = std::to_string(golden.size()) + " photographs: the logits are " + std::to_string(found.largest) +
                     " off at most and " + std::to_string(mean) + " on average; allowed are " +
                     std::to_string(allowed.largest) +
                     (allowed.mean ? " and " + std::to_string(*allowed.mean) : std::string()) + ".";
    return found;
  });
}

}  // namespace edgedistill
