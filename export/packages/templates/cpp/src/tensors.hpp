// From images to a batch, from logits to probabilities and labels.
#pragma once

#include "edgedistill/edgedistill.hpp"
#include "manifest.hpp"

namespace edgedistill {

// float32 (N, 3, H, W) of uint8 (N, H, W, 3).
std::vector<float> normalized(const std::vector<std::uint8_t>& pixels, const Preprocessing& preprocessing);

float sigmoid(float logit);

// Of one image: the probabilities at the artifact's temperature, or the graph's own where it has no operating point.
Prediction judged(std::vector<float> logits, std::vector<float> probabilities, const Manifest& manifest,
                  const Artifact& artifact);

// How far an artifact's logits of the golden images may be from the training framework's.
struct Tolerance {
  double largest;
  std::optional<double> mean;
};
Tolerance tolerance(const Artifact& artifact, const std::vector<GoldenImage>& golden);

// Whether this library knows what the word claims.
bool is_known_precision(const std::string& precision);

}  // namespace edgedistill
