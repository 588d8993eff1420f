// One library that runs graphs. A backend is one file: it defines a class and a function that loads an artifact.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "manifest.hpp"
#include "storage.hpp"

namespace edgedistill {

// What a backend opens: files that are what the manifest lists, the main one first.
struct Model {
  const Manifest& manifest;
  const Artifact& artifact;
  std::vector<Bytes> files;
  std::string device;
  int threads = 0;  // 0: the library's choice
};

// A batch of images as the graph takes them.
struct Batch {
  std::vector<std::int64_t> shape;
  const void* values = nullptr;  // uint8 or float32, as the manifest's `input` says
  std::size_t bytes = 0;
};

// float32 (N, C) each, row by row.
struct Outputs {
  std::vector<float> logits;
  std::vector<float> probabilities;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // What the graph takes and gives.
  virtual std::vector<TensorSpec> inputs() const = 0;
  virtual std::vector<TensorSpec> outputs() const = 0;

  virtual Outputs run(const Batch& batch) = 0;
};

using Loader = std::unique_ptr<Backend> (*)(const Model&);

#ifdef EDGEDISTILL_OPENVINO
std::unique_ptr<Backend> load_openvino(const Model& model);
#endif
#ifdef EDGEDISTILL_ONNXRUNTIME
std::unique_ptr<Backend> load_onnxruntime(const Model& model);
#endif

}  // namespace edgedistill
