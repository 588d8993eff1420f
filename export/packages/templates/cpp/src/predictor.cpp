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
    const std::int64_t images = static_cast<std::int64_t>(filled);
    const std::int64_t height = preprocessing.height, width = preprocessing.width;
    const std::size_t one = static_cast<std::size_t>(height * width * 3);
    if (filled > std::vector<std::uint8_t>().max_size() / one) {
      throw std::bad_alloc();
    }
    std::vector<std::uint8_t> pixels(filled * one);
    for (std::size_t i = 0; i < filled; ++i) {
      std::uint8_t* place = pixels.data() + i * one;
      if (i < count) {
        const Image small = resized(first[i], preprocessing);
        std::copy(small.rgb.begin(), small.rgb.end(), place);
      } else {
        std::copy(place - one, place, place);
      }
    }
    Outputs outputs;
    if (manifest.is_float_nchw) {
      const std::vector<float> values = normalized(pixels, preprocessing);
      outputs = run({{images, 3, height, width}, values.data(), values.size() * sizeof(float)});
    } else {
      outputs = run({{images, height, width, 3}, pixels.data(), pixels.size()});
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

  std::vector<Prediction> predict(const Image* images, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const Image& image = images[i];
      check_size(image.height, image.width);
      if (image.rgb.size() != std::size_t(image.height) * image.width * 3) {
        fail("an image whose rgb is not height * width * 3 bytes");
      }
    }
    std::vector<Prediction> found;
    const std::size_t most = static_cast<std::size_t>(artifact.batch_max);
    for (std::size_t start = 0; start < count; start += most) {
      infer(images + start, std::min(most, count - start), found);
    }
    return found;
  }
};

Predictor::Predictor(const fs::path& bundle, const Options& options) {
  guarded_path(bundle, [&](const std::string& name) {
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
    fail(name + ": no artifact could be run here." + reasons);
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

Prediction Predictor::predict(const Image& image) {
  return guarded(loaded_->artifact.name, [&] { return std::move(loaded_->predict(&image, 1).front()); });
}

std::vector<Prediction> Predictor::predict(const std::vector<Image>& images) {
  return guarded(loaded_->artifact.name, [&] { return loaded_->predict(images.data(), images.size()); });
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
    found.sentence = std::to_string(golden.size()) + " photographs: the logits are " + number(found.largest, 3) +
                     " off at most and " + number(mean, 3) + " on average; allowed are " +
                     number(allowed.largest, 3) +
                     (allowed.mean ? " and " + number(*allowed.mean, 3) : std::string()) + ".";
    return found;
  });
}

}  // namespace edgedistill
