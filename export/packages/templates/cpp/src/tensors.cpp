#include "tensors.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "errors.hpp"

namespace edgedistill {

namespace {

constexpr std::size_t kTop = 3;

// Allowed difference as a share of the logits' spread, where nothing was measured.
const std::map<std::string, double> kShares = {{"fp32", 1e-4}, {"fp16", 3e-2}, {"bf16", 2e-1}, {"int8", 3e-1}};
constexpr double kFloor = 1e-3, kFloorShare = 1e-4;
constexpr double kMargin = 3.0, kMeanMargin = 1.5, kAsMeasured = 1.05, kAtMost = 1.25;

}  // namespace

std::vector<float> normalized(const std::vector<std::uint8_t>& pixels, const Preprocessing& preprocessing) {
  const std::size_t area = std::size_t(preprocessing.height) * preprocessing.width;
  std::vector<float> values(pixels.size());
  for (std::size_t channel = 0; channel < 3; ++channel) {
    const float scale = 1.0F / (255.0F * preprocessing.std_dev[channel]);
    const float shift = preprocessing.mean[channel] / preprocessing.std_dev[channel];
    for (std::size_t start = 0; start < pixels.size(); start += 3 * area) {
      for (std::size_t i = 0; i < area; ++i) {
        values[start + channel * area + i] = static_cast<float>(pixels[start + 3 * i + channel]) * scale - shift;
      }
    }
  }
  return values;
}

float sigmoid(float logit) {
  const float decay = std::exp(-std::abs(logit));
  return (logit >= 0 ? 1.0F : decay) / (1.0F + decay);
}

Prediction judged(std::vector<float> logits, std::vector<float> probabilities, const Manifest& manifest,
                  const Artifact& artifact) {
  const auto is_finite = [](float value) { return std::isfinite(value); };
  const std::vector<float>& used = artifact.operating_point ? logits : probabilities;
  if (!std::all_of(used.begin(), used.end(), is_finite)) {
    fail(artifact.name + ": its outputs hold NaN or infinity: the model is broken, or overflows in " +
         artifact.precision + ".");
  }
  if (artifact.operating_point) {
    const float temperature = static_cast<float>(artifact.operating_point->temperature);
    std::transform(logits.begin(), logits.end(), probabilities.begin(),
                   [&](float logit) { return sigmoid(logit / temperature); });
  }
  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
  const std::vector<double>& thresholds = manifest.thresholds_of(artifact);
  Prediction found;
  for (const std::size_t i : order) {
    const Label label{manifest.classes[i], probabilities[i]};
    if (double{probabilities[i]} >= thresholds[i]) {
      found.labels.push_back(label);
    }
    if (found.top.size() < kTop) {
      found.top.push_back(label);
    }
  }
  found.logits = std::move(logits);
  found.probabilities = std::move(probabilities);
  return found;
}

bool is_known_precision(const std::string& precision) { return kShares.count(precision) > 0; }

Tolerance tolerance(const Artifact& artifact, const std::vector<GoldenImage>& golden) {
  double low = golden.front().logits.front(), high = low;
  for (const GoldenImage& one : golden) {
    for (const double logit : one.logits) {
      low = std::min(low, logit), high = std::max(high, logit);
    }
  }
  const double least = std::max(kFloor, kFloorShare * (high - low));
  const double built = std::max(least, kShares.at(artifact.precision) * (high - low));
  if (!artifact.parity) {
    return {built, {}};
  }
  const double measured = artifact.parity->largest;
  const double as_measured = std::min(kAsMeasured * measured, kAtMost * built);
  Tolerance allowed{std::max({least, std::min(built, kMargin * measured), as_measured}), {}};
  if (artifact.parity->golden_mean) {
    allowed.mean = std::max(least, kMeanMargin * *artifact.parity->golden_mean);
  }
  return allowed;
}

}  // namespace edgedistill
