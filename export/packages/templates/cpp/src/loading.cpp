#include "loading.hpp"

#include <algorithm>
#include <utility>

#include "errors.hpp"
#include "tensors.hpp"

namespace edgedistill {

namespace fs = std::filesystem;

namespace {

constexpr auto kManifest = "manifest.json";
constexpr std::int64_t kLargestManifest = 64 << 20;
constexpr int kMostThreads = 1024;

void check_graph(const Backend& backend, const Manifest& manifest) {
  const auto check = [](const std::vector<TensorSpec>& own, const TensorSpec& listed) {
    const auto is_it = [&](const TensorSpec& spec) { return spec.name == listed.name; };
    const auto found = std::find_if(own.begin(), own.end(), is_it);
    if (found == own.end() || !fits(*found, listed)) {
      fail("its graph has " + (found == own.end() ? "no `" + listed.name + "`" : described(*found)) +
           ", the manifest says " + described(listed) + ": the file and the manifest do not belong together");
    }
  };
  const std::size_t inputs = backend.inputs().size();
  if (inputs != 1) {
    fail("its graph takes " + std::to_string(inputs) + " inputs, the manifest lists one");
  }
  check(backend.inputs(), manifest.input);
  for (const TensorSpec& output : manifest.outputs) {
    check(backend.outputs(), output);
  }
}

Loader find_backend(const std::string& name) {
#ifdef EDGEDISTILL_OPENVINO
  if (name == "openvino") {
    return load_openvino;
  }
#endif
#ifdef EDGEDISTILL_ONNXRUNTIME
  if (name == "onnxruntime") {
    return load_onnxruntime;
  }
#endif
  static_cast<void>(name);
  return nullptr;
}

}  // namespace

Manifest open_manifest(const fs::path& bundle) {
  std::error_code problem;
  if (!fs::is_directory(bundle, problem)) {
    fail(shown(bundle) + ": no such folder. Give a bundle's folder; a .zip is to be unpacked first.");
  }
  if (!fs::exists(bundle / kManifest, problem)) {
    fail(shown(bundle) + ": not a bundle (no manifest.json).");
  }
  return read_manifest(read_file(bundle, kManifest, kLargestManifest), shown(bundle / kManifest));
}

std::vector<Artifact> ranked(const Manifest& manifest, const Options& options, const fs::path& bundle) {
  if (options.threads < 0 || options.threads > kMostThreads) {
    fail("threads " + std::to_string(options.threads) + ": needs 1 to " + std::to_string(kMostThreads) + ".");
  }
  std::vector<Artifact> found;
  std::string held;
  for (const Artifact& artifact : manifest.artifacts) {
    held += (held.empty() ? "" : ", ") + artifact.name;
    const bool is_wanted = (options.artifact.empty() || options.artifact == artifact.name) &&
                           (options.backend.empty() || options.backend == artifact.backend);
    if (is_wanted) {
      found.push_back(artifact);
    }
  }
  if (found.empty()) {
    const std::string between = options.artifact.empty() || options.backend.empty() ? "" : " ";
    const std::string asked = options.artifact + between + options.backend;
    fail(shown(bundle) + ": holds no artifact for " + (asked.empty() ? "anything" : asked) + "; it holds " +
         (held.empty() ? "nothing" : held) + ".");
  }
  std::stable_sort(found.begin(), found.end(), [](const Artifact& a, const Artifact& b) {
    const auto rank = [](const Artifact& one) { return std::make_pair(one.status != "verified", one.is_gated); };
    return rank(a) < rank(b);
  });
  return found;
}

std::unique_ptr<Backend> load(const fs::path& bundle, const Manifest& manifest, const Artifact& artifact,
                              const Options& options) {
  if (artifact.files.empty()) {
    fail("not in the bundle: " + (artifact.reason.empty() ? "its export failed" : artifact.reason));
  }
  const Loader loader = find_backend(artifact.backend);
  if (loader == nullptr) {
    fail("cannot run here: this program was built without the backend " + artifact.backend);
  }
  if (!is_known_precision(artifact.precision)) {
    fail("cannot run here: this library does not know the precision " + artifact.precision);
  }
  // All of it guarded: what does not load must not keep the next artifact from being tried.
  return guarded("cannot be loaded", [&] {
    Model model{manifest,
                artifact,
                {},
                options.device.empty() ? artifact.device : options.device,
                options.threads > 0 ? options.threads : artifact.threads};
    for (const FileEntry& entry : artifact.files) {
      model.files.push_back(read_listed(bundle, entry));
    }
    std::unique_ptr<Backend> backend = loader(model);
    check_graph(*backend, manifest);
    return backend;
  });
}

}  // namespace edgedistill
